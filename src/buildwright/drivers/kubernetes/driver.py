"""The kubernetes driver: options and manifests meet the cluster."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from buildwright.drivers.driver import Driver, Instance, NodeInfo, NodeStatus, Traits, quiet
from buildwright.drivers.kubernetes import gc, manifest
from buildwright.drivers.kubernetes.choose import choose, container_of
from buildwright.drivers.kubernetes.name import kubeconfig_of, object_name
from buildwright.drivers.kubernetes.options import CLAIM as CLAIM_OPTION
from buildwright.drivers.kubernetes.options import parse
from buildwright.drivers.kubernetes.placement import PLATFORM_ANNOTATION
from buildwright.drivers.kubernetes.readiness import Boot
from buildwright.drivers.kubernetes.stream import PodStream
from buildwright.drivers.steps import Step, step
from buildwright.drivers.values import human
from buildwright.errors import BuildwrightError, ClusterError, ConnectError, NotReadyError, UsageError
from buildwright.kube.api import (
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    FORBIDDEN,
    POD,
    SECRET,
    STATEFUL_SET,
    Cluster,
    Kind,
    Object,
)
from buildwright.kube.follow import follow
from buildwright.kube.objects import Pod, Workload
from buildwright.model.node import Node
from buildwright.model.platform import Platform
from buildwright.model.status import StatusSink
from buildwright.wire.stream import ByteStream

_ATTEMPTS = 4
_FIRST_DELAY = 0.5


class KubernetesDriver:
    """One node as one workload. Reads the kubeconfig when the cluster is first needed, and each time anew."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._options = parse(node.driver_opts)
        self._name = object_name(node.name, stateful=bool(self._options.claim))
        self._kubeconfig = kubeconfig_of(node.endpoint)
        self._kind = STATEFUL_SET if self._options.claim else DEPLOYMENT
        self._workload = manifest.workload(self._name, node, self._options)

    @property
    def traits(self) -> Traits:
        return Traits(default_load=self._options.default_load, dynamic=True, warnings=self._warnings())

    async def info(self) -> NodeInfo:
        async with self._cluster() as cluster:
            found = await cluster.get(self._kind, self._name)
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
            found = await cluster.get(self._kind, self._name)
            if found is not None and Workload.read(found).ready > 0:
                return
            with step(sink, "[internal] booting buildkit") as shown:
                want = self._options.replicas if found is None else Workload.read(found).replicas
                if found is None:
                    await self._create(cluster)
                elif want == 0:
                    want = self._options.replicas
                    await cluster.patch(self._kind, self._name, {"spec": {"replicas": want}})
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

    async def remove(
        self, *, keep_state: bool = False, keep_daemon: bool = False, tell: Callable[[str], None] = quiet
    ) -> None:
        if keep_daemon:
            return
        async with self._cluster() as cluster:
            await cluster.delete(self._kind, self._name)
            for name in manifest.file_objects(self._name, self._node, self._options):
                await cluster.delete(CONFIG_MAP, name)
            for item in manifest.secrets(self._name, self._node, self._options):
                await cluster.delete(SECRET, item["metadata"]["name"])
            if self._options.claim and not keep_state:
                await self._remove_claims(cluster, tell)

    async def _remove_claims(self, cluster: Cluster, tell: Callable[[str], None]) -> None:
        """Also the claims of pods that there are no longer. A claim goes when no pod uses it."""
        ours = re.compile(rf"{manifest.CLAIM}-{re.escape(self._name)}-\d+", re.ASCII)
        items, _ = await cluster.list(CLAIM, labels=self._labels())
        for name in sorted(item["metadata"]["name"] for item in items):
            if ours.fullmatch(name):
                tell(f"the volume claim {name} in namespace {cluster.namespace} is deleted with the cache in it")
                await cluster.delete(CLAIM, name)

    def _warnings(self) -> tuple[str, ...]:
        found = gc.doubts(self._node, self._options)
        if self._options.claim and self._options.root_volume_memory:
            found += (f"buildkit-root-volume-memory has no effect beside {CLAIM_OPTION}: leave one of them out",)
        return found

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
        maps = manifest.config_maps(self._name, self._node, self._options)
        secrets = manifest.secrets(self._name, self._node, self._options)
        for kind, items in ((CONFIG_MAP, maps), (SECRET, secrets)):
            for item in items:
                if await cluster.create(item, kind) is None:
                    await cluster.replace(item, kind)
        made = await cluster.create(self._workload, self._kind)
        if made is None:
            return
        generated = [] if gc.CONFIG_FILE in self._node.files else [item for item in maps if _configures(item)]
        for kind, items in ((CONFIG_MAP, generated), (SECRET, secrets)):
            for item in items:
                await self._hand_over(cluster, kind, item["metadata"]["name"], made)

    async def _hand_over(self, cluster: Cluster, kind: Kind, name: str, owner: Object) -> None:
        """Let an object go with the workload, also when buildx, which does not know of it, removes that."""
        reference = {field: owner[field] for field in ("apiVersion", "kind")}
        reference |= {field: owner["metadata"][field] for field in ("name", "uid")}
        try:
            await cluster.patch(kind, name, {"metadata": {"ownerReferences": [reference]}})
        except ClusterError as error:
            if error.status != FORBIDDEN:
                raise

    async def _wait(self, cluster: Cluster, boot: Boot, shown: Step) -> None:
        """Follow workload and pods until they are ready; raises NotReadyError at a timeout or when it is in vain."""
        changed = asyncio.Event()
        changed.set()

        async def follow_workload() -> None:
            async with aclosing(follow(cluster, self._kind, name=self._name)) as states:
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


def _configures(config_map: Mapping[str, Any]) -> bool:
    return gc.CONFIG_FILE in config_map.get("data", {})


def _platforms(pod: Pod) -> tuple[Platform, ...]:
    """What the pod's annotation says; nothing when it says nothing valid."""
    text = pod.annotations.get(PLATFORM_ANNOTATION, "")
    try:
        return tuple(Platform.parse(part) for part in text.split(",") if part)
    except UsageError:
        return ()


if TYPE_CHECKING:
    _: type[Driver] = KubernetesDriver
