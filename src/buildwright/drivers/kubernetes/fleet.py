"""One node of a builder as Kubernetes has it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from buildwright.drivers.kubernetes.manifests import manifest
from buildwright.drivers.kubernetes.name import builder_of, object_name
from buildwright.drivers.kubernetes.options import Options, parse
from buildwright.kube.api import DEPLOYMENT, STATEFUL_SET, Kind, Object
from buildwright.kube.objects import Pod, Workload
from buildwright.model.node import Node


@dataclass(frozen=True, slots=True)
class Fleet:
    """A workload called `name` and its pods. `labels` are those by which the pods are found."""

    node: Node
    options: Options
    name: str
    builder: str
    kind: Kind
    labels: Mapping[str, str]
    workload: Mapping[str, Any]

    @classmethod
    def of(cls, node: Node) -> Fleet:
        """Raises DriverOptionError or UsageError for options or a name that make no workload."""
        options = parse(node.driver_opts)
        name = object_name(node.name, stateful=bool(options.claim))
        return cls(
            node=node,
            options=options,
            name=name,
            builder=builder_of(node.endpoint),
            kind=STATEFUL_SET if options.claim else DEPLOYMENT,
            labels=manifest.labels(name, options) if options.managed else dict(options.labels),
            workload=manifest.workload(name, node, options),
        )

    def own(self, workload: Workload, pods: Sequence[Pod]) -> list[Pod]:
        """Those of `pods`, which all have the labels, that are the workload's.

        Others may have its labels too: pods of a workload of this name that was removed, for as long as the cluster
        takes to follow it, and whatever somebody has labelled so. A Deployment's pods name only their ReplicaSet. One
        that it took over has pods older than itself: they count with a younger one of that ReplicaSet, or when the
        Deployment says that it has more pods than were found else.
        """
        if self.kind is STATEFUL_SET:
            return [pod for pod in pods if pod.controller.uid == workload.uid]
        called = [
            pod
            for pod in pods
            if pod.controller.kind == "ReplicaSet" and pod.controller.name.rpartition("-")[0] == self.name
        ]
        younger = {pod.controller.uid for pod in called if pod.created >= workload.created}
        own = [pod for pod in called if pod.controller.uid in younger]
        # As a ReplicaSet counts them.
        active = [pod for pod in own if not pod.terminating and pod.phase not in ("Failed", "Succeeded")]
        return own if len(active) >= workload.pods else called

    def other_maker(self, item: Object | None) -> str:
        """The builder that has made an object if that is another one, "" where nobody says so."""
        marked = item["metadata"].get("labels") or {} if item else {}
        made_by = str(marked.get(manifest.BUILDER) or "") if marked.get(manifest.MANAGED_BY) == "buildwright" else ""
        ours = manifest.marks(self.name, self.node, self.options).get(manifest.BUILDER)
        return made_by if made_by != ours else ""


@dataclass(slots=True)
class Losses:
    """The pods that this process has lost builds in, so that the next one goes elsewhere.

    Other nodes come first, since a node may be why. A container that has been restarted since is as good as another
    pod; one that goes on as if nothing had happened is taken only when there is none. A pod that only the connection
    was lost to is as good as before.
    """

    _lost: dict[str, int] = field(default_factory=dict)
    """How often the containers of a pod, by uid, had been restarted when it was lost."""
    _nodes: set[str] = field(default_factory=set)
    _cut: bool = False

    def __bool__(self) -> bool:
        return self._cut or bool(self._lost)

    def note_cut(self) -> None:
        self._cut = True

    def note(self, pod: Pod) -> None:
        self._lost[pod.uid] = _restarts(pod)
        self._nodes.add(pod.node)

    def whole(self, pods: Sequence[Pod]) -> list[Pod]:
        """Those of `pods` that should take a build: the best of them that are ready; all when none is."""
        other = [pod for pod in pods if pod.uid not in self._lost]
        elsewhere = [pod for pod in other if pod.node not in self._nodes]
        renewed = [pod for pod in pods if pod.uid in self._lost and _restarts(pod) > self._lost[pod.uid]]
        return next((some for some in (elsewhere, other, renewed) if any(pod.ready for pod in some)), list(pods))


def _restarts(pod: Pod) -> int:
    return sum(container.restarts for container in pod.containers)
