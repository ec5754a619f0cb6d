"""Looking through a cluster for what is left behind, and taking it away."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import groupby

from buildwright.drivers.driver import quiet
from buildwright.drivers.kubernetes.building.lease import server_time, settle
from buildwright.drivers.kubernetes.lifecycle import leftovers
from buildwright.drivers.kubernetes.lifecycle.leftovers import OURS, PARTS, WORKLOADS, Leftover
from buildwright.drivers.kubernetes.placement import APP_LABEL
from buildwright.errors import ClusterError
from buildwright.kube.api import CONFLICT, FORBIDDEN, LEASE, POD, Cluster, Kind, Object


async def look(cluster: Cluster, *, everywhere: bool = False, tell: Callable[[str], None] = quiet) -> list[Leftover]:
    """What is left behind in the cluster's namespace, or in all of them.

    What may not be listed is left out, and `tell` hears of it; workloads, pods and leases have to be, since they say
    what is in use. Objects that somebody else's workload may use, because it has the name of ours, are left alone.
    """
    now = await server_time(cluster)
    found: dict[Kind, Sequence[Object]] = {}
    for kind in (*PARTS, *WORKLOADS):
        try:
            found[kind], _ = await cluster.list(kind, labels=OURS, everywhere=everywhere)
        except ClusterError as error:
            if error.status != FORBIDDEN or kind in (LEASE, POD, *WORKLOADS):
                raise
            tell(f"{kind.plural} are left out: {error}")
    left: list[Leftover] = []
    for (namespace, workload), group in groupby(
        leftovers.find(found, now), lambda one: (one.namespace, one.workload)
    ):
        items = list(group)
        if any(one.orphan for one in items) and await _is_there(cluster, namespace, workload):
            items = [one for one in items if not one.orphan]
        left += items
    return left


async def collect(
    cluster: Cluster, left: Iterable[Leftover], *, everywhere: bool = False
) -> tuple[list[Leftover], list[tuple[Leftover, ClusterError]]]:
    """Remove those of `left` that are so still; what went, and what did not and why.

    What was made anew under a name meanwhile is in neither. Raises ConnectError when the cluster cannot be reached
    any more.
    """
    meant = {(one.kind, one.namespace, one.name, one.uid) for one in left}
    still = [
        one
        for one in await look(cluster, everywhere=everywhere)
        if (one.kind, one.namespace, one.name, one.uid) in meant
    ]
    gone: list[Leftover] = []
    failed: list[tuple[Leftover, ClusterError]] = []
    for namespace, group in groupby(still, lambda one: one.namespace):
        async with _within(cluster, namespace) as there:
            for one in group:
                try:
                    if await _remove(there, one):
                        gone.append(one)
                except ClusterError as error:
                    failed.append((one, error))
    return gone, failed


async def _remove(cluster: Cluster, one: Leftover) -> bool:
    """False when its name is that of another object by now."""
    if one.kind is POD:
        await settle(cluster, {APP_LABEL: one.workload}, one.name, await server_time(cluster))
        return True
    try:
        await cluster.delete(one.kind, one.name, uid=one.uid)
    except ClusterError as error:
        if error.status != CONFLICT:
            raise
        return False
    return True


async def _is_there(cluster: Cluster, namespace: str, workload: str) -> bool:
    async with _within(cluster, namespace) as there:
        return any([await there.get(kind, workload) is not None for kind in WORKLOADS])


@asynccontextmanager
async def _within(cluster: Cluster, namespace: str) -> AsyncGenerator[Cluster, None]:
    if namespace == cluster.namespace:
        yield cluster
    else:
        async with Cluster(cluster.config, namespace=namespace) as there:
            yield there
