"""Making and removing a node's objects in the cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from buildwright.drivers.kubernetes import claims, gc, manifest
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.owner import Owner, join, reference
from buildwright.errors import ClusterError
from buildwright.kube.api import CONFIG_MAP, DISRUPTION_BUDGET, FORBIDDEN, NOT_FOUND, SECRET, Cluster, Kind, Object
from buildwright.kube.objects import Workload
from buildwright.kube.server import UNKNOWN, greet


async def create(cluster: Cluster, fleet: Fleet) -> None:
    """Make what is missing. Objects that someone else has made meanwhile are as good as ours."""
    owner = owner_of(cluster, fleet)
    owners = [await owner.reference(cluster)] if owner else []
    maps: Sequence[Mapping[str, Any]] = manifest.config_maps(fleet.name, fleet.node, fleet.options)
    secrets = manifest.secrets(fleet.name, fleet.node, fleet.options)
    for kind, items in ((CONFIG_MAP, maps), (SECRET, secrets)):
        for item in items:
            if await cluster.create(_owned(item, owners), kind) is None:
                await cluster.replace(_owned(item, owners), kind)
    made = await cluster.create(_owned(await _workload(cluster, fleet), owners), fleet.kind)
    if made is None:
        made = await cluster.get(fleet.kind, fleet.name)
        if made is None:
            return
        await adopt(cluster, fleet, made)
    for kind, given in ((CONFIG_MAP, maps if owners else _generated(fleet, maps)), (SECRET, secrets)):
        for item in given:
            await _hand_over(cluster, kind, item["metadata"]["name"], reference(fleet.kind, made))
    await _budget(cluster, fleet, reference(fleet.kind, made))


async def _workload(cluster: Cluster, fleet: Fleet) -> Mapping[str, Any]:
    """The workload as the server's release takes it."""
    if not fleet.options.rootless:
        return fleet.workload
    release = (await greet(cluster.config)).release
    apparmor_field = release == UNKNOWN or release >= manifest.APPARMOR_FIELD
    return manifest.workload(fleet.name, fleet.node, fleet.options, apparmor_field=apparmor_field)


async def _budget(cluster: Cluster, fleet: Fleet, workload: Mapping[str, str]) -> None:
    """Without the right to make one, builds go on unprotected from the beginning of an eviction."""
    item = manifest.budget(fleet.name, fleet.node, fleet.options)
    if item is None:
        return
    try:
        await cluster.create(_owned(item, [workload]), DISRUPTION_BUDGET)
    except ClusterError as error:
        if error.status not in (FORBIDDEN, NOT_FOUND):
            raise


def owner_of(cluster: Cluster, fleet: Fleet) -> Owner | None:
    """The pod that the builder shall belong to; DriverOptionError when it cannot."""
    return Owner.of(fleet.options.owner, cluster.namespace) if fleet.options.owner else None


async def adopt(cluster: Cluster, fleet: Fleet, found: Object) -> None:
    """Let a workload that others have made for their pods go with the last of them and of ours."""
    owner = owner_of(cluster, fleet)
    if owner:
        await join(cluster, fleet.kind, found, owner)


async def wake(cluster: Cluster, fleet: Fleet, found: Object | None) -> int:
    """Make the workload if none was `found`, and let it have pods if it was stopped; how many it shall have."""
    if found is None:
        await create(cluster, fleet)
    elif wanted := Workload.read(found).replicas:
        return wanted
    else:
        await cluster.patch(fleet.kind, fleet.name, {"spec": {"replicas": fleet.options.replicas}})
    return fleet.options.replicas


async def stop(cluster: Cluster, fleet: Fleet) -> None:
    """Let the workload have no pods, and keep all else of it."""
    found = await cluster.get(fleet.kind, fleet.name)
    if found is None or not Workload.read(found).replicas:
        return
    try:
        await cluster.patch(fleet.kind, fleet.name, {"spec": {"replicas": 0}})
    except ClusterError as error:
        if error.status != NOT_FOUND:
            raise


async def remove(cluster: Cluster, fleet: Fleet, *, keep_state: bool, tell: Callable[[str], None]) -> None:
    """Remove all of it; `tell` hears of every claim before it goes, with `keep_state` they stay."""
    if fleet.options.claim and keep_state:
        await claims.keep(cluster, fleet, tell)
    await cluster.delete(fleet.kind, fleet.name)
    for name in manifest.file_objects(fleet.name, fleet.node, fleet.options):
        await cluster.delete(CONFIG_MAP, name)
    for item in manifest.secrets(fleet.name, fleet.node, fleet.options):
        await cluster.delete(SECRET, item["metadata"]["name"])
    if fleet.options.claim and not keep_state:
        await claims.remove(cluster, fleet, tell)


async def _hand_over(cluster: Cluster, kind: Kind, name: str, workload: Mapping[str, str]) -> None:
    """Let an object go with the workload, also when buildx, which does not know of it, removes that."""
    try:
        await cluster.patch(kind, name, {"metadata": {"ownerReferences": [workload]}})
    except ClusterError as error:
        if error.status not in (FORBIDDEN, NOT_FOUND):
            raise


def _owned(item: Mapping[str, Any], owners: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:
    return {**item, "metadata": {**item["metadata"], "ownerReferences": list(owners)}} if owners else item


def _generated(fleet: Fleet, maps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of `maps` that buildx would not make, and so would not remove."""
    return [] if gc.CONFIG_FILE in fleet.node.files else [item for item in maps if _configures(item)]


def _configures(config_map: Mapping[str, Any]) -> bool:
    return gc.CONFIG_FILE in config_map.get("data", {})
