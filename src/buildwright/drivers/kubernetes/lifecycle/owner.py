"""The pod that a builder belongs to: when it goes, the cluster's garbage collection takes the builder too.

Owner references (metav1.OwnerReference) hold within one namespace. The workload belongs to the pod and all else to
the workload, so several pods may own one builder: it goes with the last of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from buildwright.drivers.kubernetes.conflicts import despite_others
from buildwright.errors import ClusterError, DriverOptionError
from buildwright.kube import config
from buildwright.kube.api import FORBIDDEN, POD, Cluster, Kind, Object

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Owner:
    """A pod by name; `uid` is "" where only the cluster can say it."""

    option: str
    name: str
    uid: str = ""

    @classmethod
    def of(cls, option: str, namespace: str, environ: Mapping[str, str] | None = None) -> Owner:
        """The owner that an option names for a builder in `namespace`; DriverOptionError when it can be none."""
        if option != AUTO:
            return cls(option, option.partition("/")[2])
        environ = os.environ if environ is None else environ
        name = environ.get("POD_NAME") or environ.get("HOSTNAME", "")
        ours = environ.get("POD_NAMESPACE") or _mounted_namespace()
        if not name or not ours:
            raise _unusable(
                option,
                "it names the pod that this runs in, and this is none (a pod without a service account's token says "
                "POD_NAME and POD_NAMESPACE by the downward API): name one with owner=pod/NAME, or leave it out",
            )
        if ours != namespace:
            raise _unusable(
                option,
                f"this pod is in namespace {ours} and the builder in {namespace}, and no object has an owner in "
                f"another namespace: create the builder with namespace={ours}",
            )
        return cls(option, name, environ.get("POD_UID", ""))

    async def reference(self, cluster: Cluster) -> dict[str, str]:
        """The pod as an owner reference. Needs `list` on pods, or the variable POD_UID."""
        try:
            found, _ = await cluster.list(POD, name=self.name)
        except ClusterError as error:
            if error.status != FORBIDDEN or not self.uid:
                raise
            return {"apiVersion": POD.api_version, "kind": POD.kind, "name": self.name, "uid": self.uid}
        pods = [pod for pod in found if self.uid in ("", pod["metadata"]["uid"])]
        if not pods:
            raise _unusable(
                self.option,
                f"namespace {cluster.namespace} of {cluster.config.server} has no pod {self.name}: check the cluster "
                "and the name (POD_NAME, by the downward API, says it where the host name does not)",
            )
        return reference(POD, pods[0])


def reference(kind: Kind, item: Object) -> dict[str, str]:
    """An object as the owner of others."""
    metadata = item["metadata"]
    return {"apiVersion": kind.api_version, "kind": kind.kind, "name": metadata["name"], "uid": metadata["uid"]}


async def join(cluster: Cluster, kind: Kind, item: Object, owner: Owner) -> None:
    """Make `owner` one more owner of a workload that belongs to pods. One that belongs to nobody is left so."""
    if not _lacks(item, owner):
        return
    name, ours = item["metadata"]["name"], await owner.reference(cluster)

    async def step() -> None:
        found = await cluster.get(kind, name)
        if found is not None and _lacks(found, owner):
            version, owners = found["metadata"]["resourceVersion"], found["metadata"]["ownerReferences"]
            more = {"ownerReferences": [*owners, ours], "resourceVersion": version}
            await cluster.patch(kind, name, {"metadata": more})

    await despite_others(step)


def _lacks(item: Object, owner: Owner) -> bool:
    """Whether an object belongs to pods, and `owner` is none of them."""
    pods = [one for one in item["metadata"].get("ownerReferences") or () if one["kind"] == POD.kind]
    return bool(pods) and not any(one["name"] == owner.name and owner.uid in ("", one["uid"]) for one in pods)


def _mounted_namespace() -> str:
    try:
        return (config.SERVICE_ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _unusable(option: str, why: str) -> DriverOptionError:
    return DriverOptionError(f'driver option owner="{option}" cannot be followed: {why}', option="owner")
