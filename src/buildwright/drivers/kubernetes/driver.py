"""The kubernetes driver: options and manifests meet the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from buildwright.drivers.driver import Driver, Instance, NodeInfo, NodeStatus, Traits
from buildwright.drivers.kubernetes import manifest
from buildwright.drivers.kubernetes.choose import choose, container_of
from buildwright.drivers.kubernetes.name import kubeconfig_of, object_name
from buildwright.drivers.kubernetes.options import PLATFORM_ANNOTATION, parse
from buildwright.drivers.kubernetes.readiness import Boot
from buildwright.drivers.kubernetes.stream import PodStream
from buildwright.drivers.steps import Step, step
from buildwright.drivers.values import human
from buildwright.errors import BuildwrightError, ClusterError, ConnectError, NotReadyError, UsageError
from buildwright.kube.api import CONFIG_MAP, DEPLOYMENT, POD, Cluster
from buildwright.kube.follow import follow
from buildwright.kube.objects import Pod, Workload
from buildwright.model.node import Node
from buildwright.model.platform import Platform
from buildwright.model.status import StatusSink
from buildwright.wire.stream import ByteStream

_ATTEMPTS = 4
_FIRST_DELAY = 0.5


class KubernetesDriver:
    """One node as one Deployment. Reads the kubeconfig when the cluster is first needed, and each time anew."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._name = object_name(node.name)
        self._options = parse(node.driver_opts)
        self._kubeconfig = kubeconfig_of(node.endpoint)
        self._config_maps = manifest.config_maps(self._name, node, self._options)

    @property
    def traits(self) -> Traits:
        return Traits(default_load=self._options.default_load, dynamic=True)

    async def info(self) -> NodeInfo:
        async with self._cluster() as cluster:
            found = await cluster.get(DEPLOYMENT, self._name)
            if found is None:
                return NodeInfo(status=NodeStatus.INACTIVE)
            if Workload.read(found).ready <= 0:
                return NodeInfo(status=NodeStatus.STOPPED)
            pods = await self._pods(cluster)
        instances = [Instance(name=pod.name, platforms=_platforms(pod)) for pod in pods if pod.running]
        return NodeInfo(
            status=NodeStatus.RUNNING, instances=tuple(sorted(instances, key=lambda instance: instance.name))
        )

    async def start(self, sink: StatusSink, /) -> None:
        async with self._cluster() as cluster:
            found = await cluster.get(DEPLOYMENT, self._name)
            if found is not None and Workload.read(found).ready > 0:
                return
            with step(sink, "[internal] booting buildkit") as shown:
                want = self._options.replicas if found is None else Workload.read(found).replicas
                if found is None:
                    await self._create(cluster)
                elif want == 0:
                    want = self._options.replicas
                    await cluster.patch(DEPLOYMENT, self._name, {"spec": {"replicas": want}})
                timeout = human(self._options.timeout)
                with shown.part(f"waiting for {want} pods to be ready, timeout: {timeout}"):
                    await self._wait(cluster, Boot(want), shown)

    async def open(self, affinity: str = "", /) -> ByteStream:
        from buildwright.kube import exec as pod_exec

        cluster = self._cluster()
        try:
            for attempt in range(_ATTEMPTS):
                try:
                    pod = await self._choose(cluster, affinity)
                    container = container_of(pod)
                    stream = await pod_exec.connect(cluster, pod.name, container, ("buildctl", "dial-stdio"))
                    return PodStream(stream, cluster, pod, container)
                except (ConnectError, ClusterError) as error:
                    passing = isinstance(error, ClusterError) and error.status >= 500
                    if not passing or attempt == _ATTEMPTS - 1:
                        raise
                # A node that has just joined refuses its API server until its certificate is signed.
                await asyncio.sleep(_FIRST_DELAY * 2**attempt)
            raise AssertionError("unreachable")
        except BaseException:
            await cluster.aclose()
            raise

    async def stop(self) -> None:
        """Pods stay, as with buildx."""

    async def remove(self, *, keep_state: bool = False, keep_daemon: bool = False) -> None:
        if keep_daemon:
            return
        async with self._cluster() as cluster:
            await cluster.delete(DEPLOYMENT, self._name)
            for item in self._config_maps:
                await cluster.delete(CONFIG_MAP, item["metadata"]["name"])

    def _cluster(self) -> Cluster:
        from buildwright.kube.config import load

        return Cluster(load(self._kubeconfig), namespace=self._options.namespace)

    def _labels(self) -> Mapping[str, str]:
        return manifest.labels(self._name, self._options)

    async def _pods(self, cluster: Cluster) -> list[Pod]:
        items, _ = await cluster.list(POD, labels=self._labels())
        return [Pod.read(item) for item in items]

    async def _choose(self, cluster: Cluster, affinity: str) -> Pod:
        pods = await self._pods(cluster)
        chosen = choose(pods, affinity, self._options.load_balance)
        if chosen is None:
            boot = Boot(self._options.replicas)
            boot.feed_pods(pods)
            raise NotReadyError(
                f"node {self._node.name} has no pod to build in namespace {cluster.namespace} ({boot.summary()}): "
                "start it with buildwright inspect --bootstrap"
            )
        return chosen

    async def _create(self, cluster: Cluster) -> None:
        """Make what is missing. Objects that someone else has made meanwhile are as good as ours."""
        for item in self._config_maps:
            if await cluster.create(item, CONFIG_MAP) is None:
                await cluster.replace(item, CONFIG_MAP)
        await cluster.create(manifest.deployment(self._name, self._node, self._options), DEPLOYMENT)

    async def _wait(self, cluster: Cluster, boot: Boot, shown: Step) -> None:
        """Follow workload and pods until they are ready; raises NotReadyError at a timeout or when it is in vain."""
        changed = asyncio.Event()
        changed.set()

        async def follow_workload() -> None:
            async with aclosing(follow(cluster, DEPLOYMENT, name=self._name)) as states:
                async for items in states:
                    for item in items:
                        boot.feed_workload(Workload.read(item))
                    changed.set()

        async def follow_pods() -> None:
            async with aclosing(follow(cluster, POD, labels=self._labels())) as states:
                async for items in states:
                    boot.feed_pods([Pod.read(item) for item in items])
                    changed.set()

        try:
            async with asyncio.timeout(self._options.timeout), asyncio.TaskGroup() as group:
                followers = [group.create_task(follow_workload()), group.create_task(follow_pods())]
                while not (boot.ready or boot.hopeless):
                    await changed.wait()
                    changed.clear()
                    for line in boot.news():
                        shown.log(line)
                for follower in followers:
                    follower.cancel()
        except TimeoutError:
            pass
        except BaseExceptionGroup as failures:
            matched, others = failures.split(BuildwrightError)
            raise (matched.exceptions[0] if matched is not None and others is None else failures) from failures
        if boot.ready:
            return
        if boot.hopeless:
            raise NotReadyError(f"node {self._node.name} cannot become ready: {boot.hopeless}")
        raise NotReadyError(
            f"node {self._node.name} was not ready after {human(self._options.timeout)}: {boot.summary()}"
        )


def _platforms(pod: Pod) -> tuple[Platform, ...]:
    """What the pod's annotation says; nothing when it says nothing valid."""
    text = pod.annotations.get(PLATFORM_ANNOTATION, "")
    try:
        return tuple(Platform.parse(part) for part in text.split(",") if part)
    except UsageError:
        return ()


if TYPE_CHECKING:
    _: type[Driver] = KubernetesDriver
