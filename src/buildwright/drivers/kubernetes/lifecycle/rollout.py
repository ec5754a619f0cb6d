"""Following a workload while it puts new pods in the place of former ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.startup import boot
from buildwright.drivers.steps import Step, step
from buildwright.drivers.values import human, spoken
from buildwright.errors import BuildwrightError, NotReadyError
from buildwright.kube.api import POD, STATEFUL_SET, Cluster, Object
from buildwright.kube.follow import follow as states_of
from buildwright.kube.objects import Pod, Workload
from buildwright.model.status import StatusSink

_GRACE = 30


def settled(item: Object) -> bool:
    """Whether every pod of a workload is ready and made from its present template, and no other is to be let go.

    A Deployment counts no pods that are being deleted, though builds may go on in them.
    """
    spec, status = item["spec"], item.get("status") or {}
    seen = (status.get("observedGeneration") or 0) >= (item["metadata"].get("generation") or 0)
    # A StatefulSet that has not looked at its pods yet says of both revisions that they are the present one.
    alike = status.get("currentRevision") == status.get("updateRevision")
    counts = [status.get(name) or 0 for name in ("replicas", "readyReplicas", "updatedReplicas")]
    return seen and alike and all(count == spec.get("replicas", 1) for count in counts)


@dataclass(frozen=True, slots=True)
class Former:
    """The pods to be replaced: their uids, and how many seconds each may take to leave."""

    uids: frozenset[str] = frozenset()
    grace: float = 0.0

    @classmethod
    def of(cls, found: Object, pods: Sequence[Object]) -> Former:
        """Those of a workload that was `found` before it changes."""
        grace = found["spec"]["template"]["spec"].get("terminationGracePeriodSeconds")
        return cls(frozenset(pod["metadata"]["uid"] for pod in pods), float(_GRACE if grace is None else grace))


async def follow(cluster: Cluster, fleet: Fleet, former: Former, sink: StatusSink) -> None:
    """Wait until the workload is settled; no-op when it is, or is not there.

    Former pods that let their builds finish are not waited for, but for pods with names for good: those come one by
    one, and each may wait for the builds of the one before. Raises NotReadyError after the option `timeout`, or at
    once when waiting is in vain.
    """
    found = await cluster.get(fleet.kind, fleet.name)
    if found is None or settled(found):
        return
    want = found["spec"].get("replicas", 1)
    limit = fleet.options.timeout
    if fleet.kind is STATEFUL_SET:
        limit += want * former.grace
    patient = replace(fleet, options=replace(fleet.options, timeout=limit))
    waiting = f"waiting for {want} pods to be ready, timeout: {human(limit)}"
    with step(sink, f"[internal] replacing the pods of {fleet.node.name}") as shown:
        with shown.part(waiting):
            await _wait(cluster, patient, want, former, shown)
        with suppress(BuildwrightError):  # the pods are replaced, and this only informs
            pods, _ = await cluster.list(POD, labels=fleet.labels)
            if said := farewell(fleet.own(Workload.read(found), [Pod.read(item) for item in pods])):
                shown.log(said)


def farewell(pods: Iterable[Pod]) -> str:
    """What is still to come of pods that let their builds finish; "" when there are none."""
    leaving = [pod for pod in pods if pod.terminating and pod.hooked]
    if not leaving:
        return ""
    whose = "1 former pod takes no new builds and ends with its last one"
    if len(leaving) > 1:
        whose = f"{len(leaving)} former pods take no new builds and end with their last ones"
    return f"{whose}, after {spoken(max(pod.grace or 0 for pod in leaving))} at most"


async def _wait(cluster: Cluster, fleet: Fleet, want: int, former: Former, shown: Step) -> None:
    """Until the workload is settled, or its new pods cannot become ready."""
    seen: list[Pod] = []

    def fresh(pods: Sequence[Pod]) -> list[Pod]:
        seen[:] = pods
        return [pod for pod in pods if pod.uid not in former.uids]

    async with asyncio.TaskGroup() as group:
        settling = group.create_task(_failure(_settle(cluster, fleet)))
        booting = group.create_task(_failure(boot.wait(cluster, fleet, want, shown, fresh, made=False)))
        await asyncio.wait((settling, booting), return_when=asyncio.FIRST_COMPLETED)
        over = [settling]
        if not settling.done() and booting.result() is None:
            # All new pods are ready; the former ones are yet to be let go.
            over.append(group.create_task(_failure(_let_go(cluster, fleet))))
            await asyncio.wait(over, timeout=fleet.options.timeout, return_when=asyncio.FIRST_COMPLETED)
        ended = next((task for task in (*over, booting) if task.done() and (task in over or task.result())), None)
        failure = ended.result() if ended else NotReadyError(f"node {fleet.node.name} does not let former pods go")
        for task in (*over, booting):
            task.cancel()
    if failure is None:
        return
    if not isinstance(failure, NotReadyError) or not former.uids:
        raise failure
    working = sum(pod.ready and pod.uid in former.uids for pod in seen)
    raise NotReadyError(f"{failure}; {working or 'none'} of its former pods can still take builds") from failure


async def _settle(cluster: Cluster, fleet: Fleet) -> None:
    async with aclosing(states_of(cluster, fleet.kind, name=fleet.name)) as states:
        async for items in states:
            if any(settled(item) for item in items):
                return


async def _let_go(cluster: Cluster, fleet: Fleet) -> None:
    """Until no more pods are to stay than the workload shall have.

    A StatefulSet counts those that are being deleted to their end.
    """
    async with aclosing(states_of(cluster, POD, labels=fleet.labels)) as states:
        async for items in states:
            if (found := await cluster.get(fleet.kind, fleet.name)) is None:
                return
            workload = Workload.read(found)
            pods = fleet.own(workload, [Pod.read(item) for item in items])
            staying = [pod for pod in pods if pod.phase not in ("Failed", "Succeeded")]
            if sum(not pod.terminating for pod in staying) <= workload.replicas:
                return


async def _failure(work: Awaitable[None]) -> BuildwrightError | None:
    try:
        await work
    except BuildwrightError as error:
        return error
    return None
