"""Making and removing a node's objects in the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from buildwright.drivers.kubernetes.building.lease import leases, server_time
from buildwright.drivers.kubernetes.conflicts import despite_others
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.lifecycle import claims
from buildwright.drivers.kubernetes.lifecycle.owner import Owner, join, reference
from buildwright.drivers.kubernetes.manifests import manifest
from buildwright.drivers.kubernetes.startup import refusal
from buildwright.drivers.values import spoken
from buildwright.errors import BuildwrightError, ClusterError, NotReadyError
from buildwright.kube.api import (
    CONFIG_MAP,
    DISRUPTION_BUDGET,
    FORBIDDEN,
    NOT_FOUND,
    SECRET,
    Cluster,
    Kind,
    Object,
)
from buildwright.kube.objects import Workload
from buildwright.kube.server import UNKNOWN, greet

_CONTENTS = ("data", "binaryData")
GOING = 60.0
"""Seconds for which a workload that is being deleted is waited for."""
_POLL = 0.25


async def create(cluster: Cluster, fleet: Fleet, anew: Object | None = None) -> None:
    """Make what is missing. Objects that someone else has made meanwhile are as good as ours.

    Others may make, remove and change the same at any moment. NotReadyError when what is being removed is not gone
    in time. `anew` is a workload in the place of the fleet's own, which belongs to whom it says.
    """
    workload = await accepted(cluster, fleet) if anew is None else anew
    owner = owner_of(cluster, fleet) if anew is None else None
    owners = [await owner.reference(cluster)] if owner else workload["metadata"].get("ownerReferences", [])
    maps: Sequence[Mapping[str, Any]] = manifest.config_maps(fleet.name, fleet.node, fleet.options)
    secrets = manifest.secrets(fleet.name, fleet.node, fleet.options)
    with _advised(cluster, fleet):
        if maps or secrets:
            # A workload that is refused shall leave no files behind.
            await cluster.create(_owned(workload, owners), fleet.kind, dry_run=True)
        for kind, items in ((CONFIG_MAP, maps), (SECRET, secrets)):
            for item in items:
                await _place(cluster, kind, _owned(item, owners))
        made = await _make(cluster, fleet, _owned(workload, owners))
    # A removal that was under way may have taken some of them along.
    await _restore(cluster, fleet, owners)
    for kind, items in ((CONFIG_MAP, maps), (SECRET, secrets)):
        for item in items:
            await _hand_over(cluster, kind, item["metadata"]["name"], reference(fleet.kind, made))
    await _budget(cluster, fleet, reference(fleet.kind, made))
    if fleet.options.claim:
        await claims.use(cluster, fleet)


@contextmanager
def _advised(cluster: Cluster, fleet: Fleet) -> Iterator[None]:
    """Say what to do when quotas, policies or webhooks refuse an object."""
    try:
        yield
    except ClusterError as error:
        if remedy := refusal.remedy(str(error), fleet.options, cluster.namespace):
            error.args = (f"{error}: {remedy}", *error.args[1:])
        raise


async def _place(cluster: Cluster, kind: Kind, item: Mapping[str, Any]) -> None:
    """Make a file object, or change one that has other files; to whom that belongs stays."""
    name = item["metadata"]["name"]

    async def step() -> None:
        if await cluster.create(item, kind) is not None:
            return
        found = await _read(cluster, kind, name)
        if found is not None and all(item.get(field) == found.get(field) for field in _CONTENTS):
            return
        owners = (found or {}).get("metadata", {}).get("ownerReferences", ())
        await cluster.replace(_owned(item, owners), kind)

    await despite_others(step)


async def _read(cluster: Cluster, kind: Kind, name: str) -> Object | None:
    """The object, None also where it may be changed but not read."""
    try:
        return await cluster.get(kind, name)
    except ClusterError as error:
        if error.status != FORBIDDEN:
            raise
        return None


async def _make(cluster: Cluster, fleet: Fleet, item: Mapping[str, Any]) -> Object:
    """Make the workload, or join those who have made it."""
    try:
        async with asyncio.timeout(GOING):
            while (made := await cluster.create(item, fleet.kind)) is None:
                found = await cluster.get(fleet.kind, fleet.name)
                if found is not None and not leaving(found):
                    await adopt(cluster, fleet, found)
                    return found
                await asyncio.sleep(_POLL)
            return made
    except TimeoutError:
        raise NotReadyError(
            f"{fleet.kind.kind} {fleet.name} in namespace {cluster.namespace} is being deleted and is not gone after "
            f"{GOING:.0f} seconds: see its finalizers, or try again later"
        ) from None


async def _restore(cluster: Cluster, fleet: Fleet, owners: Sequence[Mapping[str, str]]) -> None:
    """Make the file objects that are missing, since pods wait for them for ever. Who may not, leaves it to others."""
    for kind, make in ((CONFIG_MAP, manifest.config_maps), (SECRET, manifest.secrets)):
        for item in make(fleet.name, fleet.node, fleet.options):
            try:
                await cluster.create(_owned(item, owners), kind)
            except ClusterError as error:
                if error.status != FORBIDDEN:
                    raise


def leaving(item: Object) -> bool:
    return bool(item["metadata"].get("deletionTimestamp"))


async def accepted(cluster: Cluster, fleet: Fleet) -> Mapping[str, Any]:
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
        if await cluster.create(_owned(item, [workload]), DISRUPTION_BUDGET) is not None:
            return
    except ClusterError as error:
        if error.status not in (FORBIDDEN, NOT_FOUND):
            raise
        return
    # The one of a workload before is about to go with that.
    await _hand_over(cluster, DISRUPTION_BUDGET, fleet.name, workload)


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
    if found is None or leaving(found):
        await create(cluster, fleet)
        return fleet.options.replicas
    await _restore(cluster, fleet, [reference(fleet.kind, found)])
    if wanted := Workload.read(found).replicas:
        return wanted
    try:
        await cluster.patch(fleet.kind, fleet.name, {"spec": {"replicas": fleet.options.replicas}})
    except ClusterError as error:
        if error.status != NOT_FOUND:
            raise
        await create(cluster, fleet)
    return fleet.options.replicas


async def stop(cluster: Cluster, fleet: Fleet, tell: Callable[[str], None]) -> None:
    """Let the workload have no pods, and keep all else of it; `tell` hears of builds that run on meanwhile.

    One that another builder has made runs on, which `tell` hears of.
    """
    found = await cluster.get(fleet.kind, fleet.name)
    if found is None or not Workload.read(found).replicas:
        return
    if other := fleet.other_maker(found):
        tell(f"{fleet.kind.kind} {fleet.name} in namespace {cluster.namespace} runs on: builder {other} has made it")
        return
    try:
        await cluster.patch(fleet.kind, fleet.name, {"spec": {"replicas": 0}})
    except ClusterError as error:
        if error.status != NOT_FOUND:
            raise
        return
    await _tell_builds(cluster, fleet, "stopped", tell)


async def _tell_builds(cluster: Cluster, fleet: Fleet, what: str, tell: Callable[[str], None]) -> None:
    """Say who builds on the pods that are about to end; nothing where that cannot be found out."""
    try:
        found = await leases(cluster, fleet.labels)
        now = await server_time(cluster) if found else 0.0
    except BuildwrightError:
        return
    holders = sorted(lease.holder for lease in found if lease.valid(now))
    if holders:
        bound = f"go on for up to {spoken(fleet.options.drain)}" if fleet.options.drain else "are lost"
        tell(f"node {fleet.node.name} is {what} while it builds: the builds of {', '.join(holders)} {bound}")


async def remove(cluster: Cluster, fleet: Fleet, *, keep_state: bool, tell: Callable[[str], None]) -> None:
    """Remove all of it; `tell` hears of builds that run on, and of every claim before it goes unless `keep_state`.

    What another builder has made for a node of the same name is left to that one, which `tell` hears of.
    """
    if other := fleet.other_maker(await _read(cluster, fleet.kind, fleet.name)):
        tell(_left(cluster, fleet.kind, fleet.name, other))
        return
    if fleet.options.claim and keep_state:
        await claims.keep(cluster, fleet, tell)
    if await _delete(cluster, fleet, fleet.kind, fleet.name, tell):
        await _tell_builds(cluster, fleet, "removed", tell)
    for name in manifest.file_objects(fleet.name, fleet.node, fleet.options):
        await _delete(cluster, fleet, CONFIG_MAP, name, tell)
    for item in manifest.secrets(fleet.name, fleet.node, fleet.options):
        await _delete(cluster, fleet, SECRET, item["metadata"]["name"], tell)
    if fleet.options.claim and not keep_state:
        await claims.remove(cluster, fleet, tell)


async def _delete(cluster: Cluster, fleet: Fleet, kind: Kind, name: str, tell: Callable[[str], None]) -> bool:
    """Delete an object unless another builder has made it; whether that was done."""

    async def step() -> bool:
        found = await _read(cluster, kind, name)
        if other := fleet.other_maker(found):
            tell(_left(cluster, kind, name, other))
            return False
        return await cluster.delete(kind, name, uid=found["metadata"]["uid"] if found else "")

    return await despite_others(step)


def _left(cluster: Cluster, kind: Kind, name: str, other: str) -> str:
    return f"{kind.kind} {name} in namespace {cluster.namespace} stays: builder {other} has made it, and removes it"


async def _hand_over(cluster: Cluster, kind: Kind, name: str, workload: Mapping[str, str]) -> None:
    """Let an object go with the workload, also when buildx, which does not know of it, removes that."""
    try:
        await cluster.patch(kind, name, {"metadata": {"ownerReferences": [workload]}})
    except ClusterError as error:
        if error.status not in (FORBIDDEN, NOT_FOUND):
            raise


def _owned(item: Mapping[str, Any], owners: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:
    return {**item, "metadata": {**item["metadata"], "ownerReferences": list(owners)}} if owners else item
