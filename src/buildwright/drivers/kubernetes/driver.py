"""The kubernetes driver: options and manifests meet the cluster."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from buildwright.drivers.driver import Driver, Instance, NodeInfo, NodeStatus, Traits, quiet
from buildwright.drivers.kubernetes.building.lease import Keeper, LeasedStream, leases, server_time
from buildwright.drivers.kubernetes.building.stream import PodStream
from buildwright.drivers.kubernetes.choose import choose, container_of
from buildwright.drivers.kubernetes.fleet import Fleet, Losses
from buildwright.drivers.kubernetes.identity import connect
from buildwright.drivers.kubernetes.options import CLAIM as CLAIM_OPTION
from buildwright.drivers.kubernetes.options import FOR_ALL_PODS, LoadBalance
from buildwright.drivers.kubernetes.perseverance import outlasting, repeated
from buildwright.drivers.kubernetes.placement import PLATFORM_ANNOTATION
from buildwright.drivers.steps import Step, Unseen, step
from buildwright.drivers.values import human
from buildwright.errors import BuildwrightError, ClusterError, ConnectError, NotReadyError, UsageError
from buildwright.kube.api import NOT_FOUND, POD, Cluster, Object
from buildwright.kube.objects import Pod, Workload
from buildwright.model.node import Node
from buildwright.model.platform import Platform
from buildwright.model.status import StatusSink
from buildwright.wire.stream import ByteStream

_ATTEMPTS = 4
_BUSY = 429
_FIRST_DELAY = 0.5
_REPLACEMENT = 30.0
"""Seconds that `open` waits for a pod."""
_OPENING = 60.0
"""Seconds within which `open` has a stream."""
_OUTAGE = 60.0
"""Seconds that the API server may be away after a loss."""


class KubernetesDriver:
    """One node as one workload. Reads the kubeconfig when the cluster is first needed, and each time anew."""

    def __init__(self, node: Node) -> None:
        self._fleet = Fleet.of(node)
        self._losses = Losses()
        self._overdue: dict[str, str] = {}

    @property
    def traits(self) -> Traits:
        options = self._fleet.options
        by_project = options.load_balance is LoadBalance.AFFINITY
        return Traits(
            default_load=options.default_load, dynamic=True, by_project=by_project, warnings=self._warnings()
        )

    async def info(self) -> NodeInfo:
        async with await connect(self._fleet) as cluster:
            found, pods = await self._state(cluster)
        if self._fleet.options.managed and found is None:
            return NodeInfo(status=NodeStatus.INACTIVE)
        stopped = found is not None and not Workload.read(found).replicas
        # A workload counts its ready pods a moment after they are.
        if stopped or not any(pod.ready for pod in pods):
            return NodeInfo(status=NodeStatus.STOPPED)
        instances = [Instance(name=pod.name, platforms=_platforms(pod)) for pod in pods if pod.running]
        return NodeInfo(
            status=NodeStatus.RUNNING, instances=tuple(sorted(instances, key=lambda instance: instance.name))
        )

    async def start(self, sink: StatusSink, /) -> None:
        if self._losses:
            await self._replace(sink)
            return
        async with await connect(self._fleet) as cluster:
            await self._start(cluster, sink)

    async def _start(self, cluster: Cluster, sink: StatusSink) -> list[Pod] | None:
        """The pods, when one of them was ready; None when they have been started."""
        found, pods = await repeated(partial(self._look, cluster))
        if pods is None:
            await self._boot(cluster, found, sink)
        return pods

    async def _look(self, cluster: Cluster) -> tuple[Object | None, list[Pod] | None]:
        """The workload, if there is one and it is ours, and the pods, if one of them is ready to stay."""
        found, pods = await self._state(cluster)
        if found is not None and self._fleet.options.owner:
            from buildwright.drivers.kubernetes.lifecycle import objects

            await objects.adopt(cluster, self._fleet, found)
        if found is not None and not Workload.read(found).replicas:
            return found, None
        return found, pods if any(pod.ready for pod in pods) else None

    async def _boot(self, cluster: Cluster, found: Object | None, sink: StatusSink) -> None:
        from buildwright.drivers.kubernetes.lifecycle import objects

        options = self._fleet.options
        with step(sink, "[internal] booting buildkit") as shown:
            for attempt in range(_ATTEMPTS):
                waking = partial(objects.wake, cluster, self._fleet, found)
                want = await repeated(waking) if options.managed else 1
                # It is loaded while the pods begin.
                from buildwright.drivers.kubernetes.startup import boot

                try:
                    with shown.part(f"waiting for {want} pods to be ready, timeout: {human(options.timeout)}"):
                        await boot.wait(cluster, self._fleet, want, shown, made=found is None)
                    break
                except boot.RemovedError:
                    # What goes with its owner is the builder of a job that is over, and ours has just begun. What
                    # somebody has removed stays so.
                    if not options.owner or attempt == _ATTEMPTS - 1:
                        raise
                    found = None

    async def _replace(self, sink: StatusSink) -> None:
        """Wait for a pod to build in after a loss, and before that for the API server, which may be why."""
        from buildwright.drivers.kubernetes.startup import boot

        with step(sink, "[internal] waiting for another pod") as shown:
            async with await outlasting(self._return, _OUTAGE) as cluster:
                await boot.wait(cluster, self._fleet, 1, shown, self._losses.whole, made=False)

    async def _return(self) -> Cluster:
        """The cluster, in which the workload still is to have pods; what others have ended stays so."""
        from buildwright.drivers.kubernetes.lifecycle import objects

        cluster = await connect(self._fleet)
        try:
            if self._fleet.options.managed:
                name = self._fleet.node.name
                found = await cluster.get(self._fleet.kind, self._fleet.name)
                if found is None or objects.leaving(found):
                    raise NotReadyError(f"node {name} was removed meanwhile: create it again")
                if not Workload.read(found).replicas:
                    raise NotReadyError(
                        f"node {name} was stopped meanwhile: start it again with buildwright inspect --bootstrap"
                    )
                await objects.wake(cluster, self._fleet, found)
            return cluster
        except BaseException:
            await cluster.aclose()
            raise

    async def open(self, affinity: str = "", /, *, start: StatusSink | None = None) -> ByteStream:
        if start is not None and self._losses:
            await self._replace(start)
            start = None
        cluster = await connect(self._fleet)
        try:
            pods = await self._start(cluster, start) if start is not None else None
            return await self._connected(cluster, affinity, pods)
        except BaseException:
            await cluster.aclose()
            raise

    async def _connected(self, cluster: Cluster, affinity: str, pods: list[Pod] | None) -> ByteStream:
        """A stream to one of the pods, which owns `cluster`. `pods` are those of now, if somebody has asked."""
        last = "the API server is busy"
        try:
            async with asyncio.timeout(_OPENING):
                for attempt in range(_ATTEMPTS):
                    pod = await self._choose(cluster, affinity, pods if not attempt else None)
                    try:
                        return await self._stream(cluster, pod, affinity)
                    except ClusterError as error:
                        if not error.retriable and error.status != NOT_FOUND:
                            raise
                        if error.status != _BUSY:
                            self._losses.note(pod)
                        if attempt == _ATTEMPTS - 1:
                            raise ConnectError(f"pod {pod.name} on {pod.node} cannot be reached: {error}") from error
                        last, asked = str(error), error.retry_after
                    # A node that has just joined refuses its API server until its certificate is signed.
                    await asyncio.sleep(max(asked, _FIRST_DELAY * 2**attempt))
        except TimeoutError:
            raise ConnectError(
                f"no pod of node {self._fleet.node.name} in namespace {cluster.namespace} could be reached within "
                f"{_OPENING:.0f} s ({last}): try again"
            ) from None
        raise AssertionError("unreachable")

    async def _stream(self, cluster: Cluster, pod: Pod, affinity: str) -> ByteStream:
        from buildwright.kube import exec as pod_exec

        container = container_of(pod)
        stream = await pod_exec.connect(cluster, pod.name, container, ("buildctl", "dial-stdio"))
        watched = PodStream(stream, cluster, pod, container, on_loss=self._losses.note, on_cut=self._losses.note_cut)
        building = affinity and self._fleet.options.managed
        return LeasedStream(watched, Keeper(cluster, self._fleet, pod, self._overdue)) if building else watched

    async def stop(self, *, tell: Callable[[str], None] = quiet) -> None:
        if not self._fleet.options.managed:
            tell(f"the pods of node {self._fleet.node.name} run on: they are not ours to stop (managed=false)")
            return
        async with await connect(self._fleet) as cluster:
            from buildwright.drivers.kubernetes.lifecycle import objects

            await objects.stop(cluster, self._fleet, tell)

    async def remove(
        self, *, keep_state: bool = False, keep_daemon: bool = False, tell: Callable[[str], None] = quiet
    ) -> None:
        if keep_daemon:
            return
        if not self._fleet.options.managed:
            tell(f"the pods of node {self._fleet.node.name} stay: they are not ours to delete (managed=false)")
            return
        async with await connect(self._fleet) as cluster:
            from buildwright.drivers.kubernetes.lifecycle import objects

            await objects.remove(cluster, self._fleet, keep_state=keep_state, tell=tell)

    def _warnings(self) -> tuple[str, ...]:
        options = self._fleet.options
        if not options.managed:
            idle = sorted(
                {*self._fleet.node.driver_opts, *(["--buildkitd-config"] if self._fleet.node.files else [])}
            )
            idle = [option for option in idle if option not in FOR_ALL_PODS]
            return (f"without effect on pods that are not ours (managed=false): {', '.join(idle)}",) if idle else ()
        from buildwright.drivers.kubernetes.manifests import gc

        found = gc.doubts(self._fleet.node, options)
        if options.claim and options.root_volume_memory:
            found += (f"buildkit-root-volume-memory has no effect beside {CLAIM_OPTION}: leave one of them out",)
        return found

    async def _state(self, cluster: Cluster) -> tuple[Object | None, list[Pod]]:
        """The workload, None when there is none or it is not ours to make, and its pods."""
        fleet, found = self._fleet, None
        if fleet.options.managed:
            found = await cluster.get(fleet.kind, fleet.name)
            if found is None:
                return None, []
        items, _ = await cluster.list(POD, labels=fleet.labels)
        pods = [Pod.read(item) for item in items]
        return found, fleet.own(Workload.read(found), pods) if found is not None else pods

    async def _choose(self, cluster: Cluster, affinity: str, known: list[Pod] | None) -> Pod:
        """A pod to build in. One that is due is waited for: a workload replaces those that just went.

        `known` are the pods of this moment, if somebody has asked already.
        """
        chosen, pods = await repeated(partial(self._chosen, cluster, affinity, known))
        if chosen is None and self._fleet.options.managed:
            from buildwright.drivers.kubernetes.startup import boot

            with suppress(NotReadyError, TimeoutError):
                async with asyncio.timeout(_REPLACEMENT):
                    await boot.wait(cluster, self._fleet, 1, Step(Unseen(), ""), self._losses.whole, made=False)
            chosen, pods = await repeated(partial(self._chosen, cluster, affinity, None))
        if chosen is None:
            from buildwright.drivers.kubernetes.startup.readiness import Boot

            waiting = Boot(self._fleet.options.replicas)
            waiting.feed_pods(pods)
            raise NotReadyError(
                f"node {self._fleet.node.name} has no pod to build in namespace {cluster.namespace} "
                f"({waiting.summary()}): start it with buildwright inspect --bootstrap"
            )
        return chosen

    async def _chosen(self, cluster: Cluster, affinity: str, known: list[Pod] | None) -> tuple[Pod | None, list[Pod]]:
        """The pod that takes a build now, None when none can, and all pods."""
        pods = (await self._state(cluster))[1] if known is None else known
        builds = await self._builds(cluster, pods)
        return choose(self._losses.whole(pods), affinity, self._fleet.options.load_balance, builds), pods

    async def _builds(self, cluster: Cluster, pods: Sequence[Pod]) -> dict[str, int]:
        """How many builds run in each pod, if the choice goes by it; nothing where that cannot be read."""
        if self._fleet.options.load_balance is not LoadBalance.AFFINITY:
            return {}
        try:
            held = await leases(cluster, self._fleet.labels)
            now = await server_time(cluster) if held else 0.0
        except BuildwrightError:
            return {}
        running = Counter(lease.pod for lease in held if lease.valid(now))
        return {pod.name: running[pod.uid] for pod in pods}


def _platforms(pod: Pod) -> tuple[Platform, ...]:
    """What the pod's annotation says; nothing when it says nothing valid."""
    text = pod.annotations.get(PLATFORM_ANNOTATION, "")
    try:
        return tuple(Platform.parse(part) for part in text.split(",") if part)
    except UsageError:
        return ()


if TYPE_CHECKING:
    _: type[Driver] = KubernetesDriver
