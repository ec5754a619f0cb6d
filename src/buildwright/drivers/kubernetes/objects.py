"""Making and removing a node's objects in the cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from buildwright.drivers.kubernetes import gc, manifest
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.errors import ClusterError
from buildwright.kube.api import CLAIM, CONFIG_MAP, FORBIDDEN, NOT_FOUND, SECRET, Cluster, Kind, Object
from buildwright.kube.objects import Workload


async def create(cluster: Cluster, fleet: Fleet) -> None:
    """Make what is missing. Objects that someone else has made meanwhile are as good as ours."""
    maps = manifest.config_maps(fleet.name, fleet.node, fleet.options)
    secrets = manifest.secrets(fleet.name, fleet.node, fleet.options)
    for kind, items in ((CONFIG_MAP, maps), (SECRET, secrets)):
        for item in items:
            if await cluster.create(item, kind) is None:
                await cluster.replace(item, kind)
    made = await cluster.create(fleet.workload, fleet.kind)
    if made is None:
        return
    generated = [] if gc.CONFIG_FILE in fleet.node.files else [item for item in maps if _configures(item)]
    for kind, items in ((CONFIG_MAP, generated), (SECRET, secrets)):
        for item in items:
            await _hand_over(cluster, kind, item["metadata"]["name"], made)


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
    await cluster.delete(fleet.kind, fleet.name)
    for name in manifest.file_objects(fleet.name, fleet.node, fleet.options):
        await cluster.delete(CONFIG_MAP, name)
    for item in manifest.secrets(fleet.name, fleet.node, fleet.options):
        await cluster.delete(SECRET, item["metadata"]["name"])
    if fleet.options.claim and not keep_state:
        await _remove_claims(cluster, fleet, tell)


async def _remove_claims(cluster: Cluster, fleet: Fleet, tell: Callable[[str], None]) -> None:
    """Also the claims of pods that there are no longer. A claim goes when no pod uses it."""
    ours = re.compile(rf"{manifest.CLAIM}-{re.escape(fleet.name)}-\d+", re.ASCII)
    items, _ = await cluster.list(CLAIM, labels=fleet.labels)
    for name in sorted(item["metadata"]["name"] for item in items):
        if ours.fullmatch(name):
            tell(f"the volume claim {name} in namespace {cluster.namespace} is deleted with the cache in it")
            await cluster.delete(CLAIM, name)


async def _hand_over(cluster: Cluster, kind: Kind, name: str, owner: Object) -> None:
    """Let an object go with the workload, also when buildx, which does not know of it, removes that."""
    reference = {field: owner[field] for field in ("apiVersion", "kind")}
    reference |= {field: owner["metadata"][field] for field in ("name", "uid")}
    try:
        await cluster.patch(kind, name, {"metadata": {"ownerReferences": [reference]}})
    except ClusterError as error:
        if error.status != FORBIDDEN:
            raise


def _configures(config_map: Mapping[str, Any]) -> bool:
    return gc.CONFIG_FILE in config_map.get("data", {})
