"""Waiting for a node's pods, with what the cluster says of them shown meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import TypeAlias

from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.startup.crashes import Run
from buildwright.drivers.kubernetes.startup.readiness import Boot
from buildwright.drivers.kubernetes.startup.scheduling import Taint
from buildwright.drivers.steps import Step
from buildwright.drivers.values import spoken
from buildwright.errors import BuildwrightError, NotReadyError
from buildwright.kube.api import CLAIM, EVENT, NODE, POD, Cluster, Kind, Object
from buildwright.kube.follow import follow
from buildwright.kube.objects import Event, Pod, Workload

_LINES = 200
"""What a daemon says of a wrong flag may stand before all of its usage."""
_LOG_TIMEOUT = 5.0
_ANEW = 2.0
"""Seconds after which a workload that has gone does not come back."""
_WOKEN = "buildwright/woken"
"""An annotation whose change makes a controller try again at once what it was refused, which it would do only after
minutes, kubelet ask a pod anew whether it is ready, and the scheduler look again at the pod of a claim."""


class RemovedError(NotReadyError):
    """The workload that was waited for is not there any more."""


Among: TypeAlias = Callable[[Sequence[Pod]], list[Pod]]
"""Says which pods count."""


async def wait(
    cluster: Cluster, fleet: Fleet, want: int, shown: Step, among: Among = list, *, made: bool = True
) -> None:
    """Follow workload, pods and events until `want` of the pods that are `among` those that count are ready.

    `made` is False for a workload that was there before. Raises NotReadyError after the option `timeout`, or at once
    when waiting is in vain. Without the right to follow events, or to read logs, it goes without.
    """
    await _Waiting(cluster, fleet, want, shown, among, made).run()


class _Waiting:
    def __init__(self, cluster: Cluster, fleet: Fleet, want: int, shown: Step, among: Among, made: bool) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._shown = shown
        self._among = among
        self._made = made
        self._boot = Boot(want, fleet.options, cluster.namespace, made=made, logs=True)
        self._workload: Workload | None = None
        self._pods: tuple[Pod, ...] | None = None
        """All that have the labels; None before they are known."""
        self._events: tuple[Object, ...] | None = None
        """All of the namespace as they are now; None while they cannot be followed."""
        self._changed = asyncio.Event()
        self._changed.set()

    async def run(self) -> None:
        options, name = self._fleet.options, self._fleet.node.name
        try:
            async with asyncio.timeout(options.timeout):
                await self._follow()
        except TimeoutError:
            pass
        except BaseExceptionGroup as failures:
            matched, others = failures.split(BuildwrightError)
            raise (matched.exceptions[0] if matched is not None and others is None else failures) from failures
        if self._boot.ready:
            return
        if self._boot.hopeless:
            raise NotReadyError(f"node {name} cannot become ready: {self._boot.hopeless}")
        await asyncio.gather(*map(self._read, self._boot.unready()))
        raise NotReadyError(f"node {name} was not ready after {spoken(options.timeout)}: {self._boot.summary()}")

    async def _follow(self) -> None:
        boot = self._boot
        followed = [self._follow_pods(), self._follow_events()]
        if self._fleet.options.managed:
            followed.append(self._follow_workload())
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(following) for following in followed]
            while not (boot.ready or boot.hopeless):
                with suppress(TimeoutError):
                    async with asyncio.timeout(boot.due):
                        await self._changed.wait()
                self._changed.clear()
                self._hear()
                boot.judge()
                for line in boot.news():
                    self._shown.log(line)
                if boot.puzzled():
                    tasks.append(group.create_task(self._look_at_nodes()))
                if self._fleet.options.managed:
                    tasks += [group.create_task(self._nudge(POD, pod)) for pod in boot.overlooked()]
                    tasks += [group.create_task(self._nudge(CLAIM, claim)) for claim in boot.unbound()]
                tasks += [group.create_task(self._read(run)) for run in boot.unread()]
            for task in tasks:
                task.cancel()

    async def _follow_workload(self) -> None:
        async with aclosing(follow(self._cluster, self._fleet.kind, name=self._fleet.name)) as states:
            nudged, there = self._made, False
            async for items in states:
                if there and not items:
                    items = await self._back(states)
                there = bool(items)
                for item in items:
                    workload = Workload.read(item)
                    if self._boot.want and not workload.replicas:
                        raise NotReadyError(
                            f"node {self._fleet.node.name} was stopped while it started: start it again with "
                            "buildwright inspect --bootstrap"
                        )
                    self._workload = workload
                    self._boot.feed_workload(workload)
                    self._feed_pods()
                    if not nudged and workload.pods < workload.replicas:
                        nudged = True
                        await self._nudge(self._fleet.kind, self._fleet.name)
                self._changed.set()

    async def _back(self, states: AsyncIterator[tuple[Object, ...]]) -> tuple[Object, ...]:
        """What comes in the place of a workload that has gone, as one does whose claims are being changed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_ANEW):
                async for items in states:
                    if items:
                        return items
        raise RemovedError(f"node {self._fleet.node.name} was removed while it started: create it again")

    async def _follow_pods(self) -> None:
        async with aclosing(follow(self._cluster, POD, labels=self._fleet.labels)) as states:
            async for items in states:
                self._pods = tuple(map(Pod.read, items))
                self._feed_pods()
                self._changed.set()

    def _feed_pods(self) -> None:
        if self._pods is None:
            return
        if not self._fleet.options.managed:
            self._boot.feed_pods(self._among(self._pods))
        elif self._workload is not None:
            self._boot.feed_pods(self._among(self._fleet.own(self._workload, self._pods)))

    async def _follow_events(self) -> None:
        with suppress(BuildwrightError):
            async with aclosing(follow(self._cluster, EVENT)) as states:
                async for items in states:
                    self._events = items
                    self._changed.set()
        self._events = None
        self._boot.lose_events()

    def _hear(self) -> None:
        """Feed the events about our objects, once for all that have come since.

        A namespace may have thousands of others, which are left out before they are read.
        """
        if self._events is None or self._pods is None:
            return
        ours = [item for item in self._events if self._concerns(item["involvedObject"].get("name", ""))]
        self._boot.feed_events([Event.read(item) for item in ours])

    def _concerns(self, name: str) -> bool:
        """Whether it may be the name of one of our pods, their claims or their workload."""
        if self._fleet.options.managed:
            return self._fleet.name in name
        return any(pod.name == name for pod in self._pods or ())

    async def _look_at_nodes(self) -> None:
        with suppress(BuildwrightError):
            nodes, _ = await self._cluster.list(NODE)
            self._boot.feed_taints([taint for node in nodes for taint in Taint.all_of(node)])
            self._changed.set()

    async def _read(self, run: Run) -> None:
        lines: list[str] = []
        with suppress(BuildwrightError, TimeoutError):
            async with (
                asyncio.timeout(_LOG_TIMEOUT),
                aclosing(
                    self._cluster.logs(run.pod, run.container, tail=_LINES, previous=self._boot.past(run))
                ) as log,
            ):
                lines = [line async for line in log]
        for line in self._boot.feed_log(run, lines):
            self._shown.log(line)
        self._changed.set()

    async def _nudge(self, kind: Kind, name: str) -> None:
        """Change what its controller, or kubelet, would look at again only after a while."""
        change = {"metadata": {"annotations": {_WOKEN: str(time.time_ns())}}}
        with suppress(BuildwrightError):
            await self._cluster.patch(kind, name, change)
