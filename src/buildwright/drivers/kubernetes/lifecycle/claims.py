"""A node's volume claims when the node is removed: they go, or are kept for a node of the same name."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime

from buildwright.drivers.kubernetes import quantity
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.manifests import manifest
from buildwright.errors import ClusterError, NotReadyError
from buildwright.kube.api import CLAIM, FORBIDDEN, NOT_FOUND, Cluster, Object
from buildwright.kube.follow import follow

KEPT = "buildwright/kept"
"""The annotation of a claim that is kept on purpose: when that was."""
_PATIENCE = 20.0


async def remove(cluster: Cluster, fleet: Fleet, tell: Callable[[str], None]) -> None:
    """Also the claims of pods that there are no longer; `tell` hears of each. A claim goes when no pod uses it.

    Those stay that another builder has kept, and that are nobody's since.
    """
    for item in await of(cluster, fleet):
        name = item["metadata"]["name"]
        if (other := fleet.other_maker(item)) and KEPT in (item["metadata"].get("annotations") or {}):
            tell(f"the volume claim {name} in namespace {cluster.namespace} stays: builder {other} has kept it")
            continue
        tell(f"the volume claim {name} in namespace {cluster.namespace} is deleted with the cache in it")
        await cluster.delete(CLAIM, name)


async def keep(cluster: Cluster, fleet: Fleet, tell: Callable[[str], None]) -> None:
    """Let the claims outlive their workload, which is still there, and mark them as kept.

    Raises NotReadyError when the cluster does not let go of them in time; nothing has gone then. Without the right
    to mark them they are kept all the same, and `tell` says what that means.
    """
    await _retain(cluster, fleet)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for item in await of(cluster, fleet):
        metadata = item["metadata"]
        others = [one for one in metadata.get("ownerReferences") or () if one["name"] != fleet.name]
        change = {"annotations": {KEPT: now}, "ownerReferences": others or None}
        try:
            await cluster.patch(CLAIM, metadata["name"], {"metadata": change})
        except ClusterError as error:
            if error.status == NOT_FOUND:
                continue
            if error.status != FORBIDDEN or fleet.options.owner:
                raise
            tell(f"the volume claims are kept, but not marked, so buildwright gc takes them for left behind: {error}")
            return


async def use(cluster: Cluster, fleet: Fleet) -> None:
    """Claims that were kept are a workload's again. Without the right to say so they keep their mark."""
    for item in await of(cluster, fleet):
        if KEPT not in (item["metadata"].get("annotations") or {}):
            continue
        try:
            await cluster.patch(CLAIM, item["metadata"]["name"], {"metadata": {"annotations": {KEPT: None}}})
        except ClusterError as error:
            if error.status not in (FORBIDDEN, NOT_FOUND):
                raise


async def _retain(cluster: Cluster, fleet: Fleet) -> None:
    """Turn off that the claims go with the workload, and wait until its controller has seen it."""
    found = await cluster.get(fleet.kind, fleet.name)
    policy = (found or {}).get("spec", {}).get("persistentVolumeClaimRetentionPolicy") or {}
    if found is None or policy.get("whenDeleted", "Retain") == "Retain":
        return
    change = {"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}}
    wanted = (await cluster.patch(fleet.kind, fleet.name, change))["metadata"].get("generation", 0)
    try:
        async with (
            asyncio.timeout(_PATIENCE),
            aclosing(follow(cluster, fleet.kind, name=fleet.name)) as states,
        ):
            async for items in states:
                if all(item.get("status", {}).get("observedGeneration", 0) >= wanted for item in items):
                    return
    except TimeoutError:
        raise NotReadyError(
            f"the volume claims of {fleet.name} would go with it: its controller has not answered for "
            f"{_PATIENCE:.0f} seconds; try again"
        ) from None


async def not_grown(cluster: Cluster, fleet: Fleet) -> list[str]:
    """Names of the node's claims whose volumes are smaller than what is asked for by now."""
    return [
        item["metadata"]["name"]
        for item in await of(cluster, fleet)
        if (now := item.get("status", {}).get("capacity", {}).get("storage"))
        and quantity.parse(now) < quantity.parse(item["spec"]["resources"]["requests"]["storage"])
    ]


async def of(cluster: Cluster, fleet: Fleet) -> list[Object]:
    """The claims of the node's pods, also of those that there are no longer, by name."""
    ours = re.compile(rf"{manifest.CLAIM}-{re.escape(fleet.name)}-\d+", re.ASCII)
    items, _ = await cluster.list(CLAIM, labels=fleet.labels)
    return sorted(
        (item for item in items if ours.fullmatch(item["metadata"]["name"])),
        key=lambda item: item["metadata"]["name"],
    )
