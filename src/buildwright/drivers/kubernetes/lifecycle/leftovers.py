"""Which of our objects in a cluster are left behind. Pure.

Ours is what the label MANAGED_BY says is ours; nothing else is ever looked at. Left behind are builders that no build
has used for longer than their `ttl`, with all that is theirs; parts of builders whose workload is gone; and traces of
builds whose client was killed. A volume claim that was kept on purpose is not left behind, nor is what is being made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from buildwright.drivers.kubernetes.building.lease import Lease, seconds
from buildwright.drivers.kubernetes.lifecycle.claims import KEPT
from buildwright.drivers.kubernetes.manifests import drain
from buildwright.drivers.kubernetes.manifests.manifest import BUILDER, LAST_USED, MANAGED_BY, TTL
from buildwright.drivers.kubernetes.placement import APP_LABEL
from buildwright.drivers.values import spoken
from buildwright.kube.api import (
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    LEASE,
    POD,
    SECRET,
    STATEFUL_SET,
    Kind,
    Object,
)
from buildwright.model import duration

OURS: Mapping[str, str] = {MANAGED_BY: "buildwright"}
WORKLOADS = (DEPLOYMENT, STATEFUL_SET)
PARTS = (CONFIG_MAP, SECRET, CLAIM, DISRUPTION_BUDGET, LEASE, POD)
YOUNG = 120.0
"""Seconds for which a part may be there before its workload is."""

Place: TypeAlias = tuple[str, str]
"""A workload's namespace and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """One object to remove, or a POD to take a lease's label from. Times are seconds since the epoch, 0 unknown."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    builder: str
    workload: str
    """The name of the workload that it is, or was, a part of."""
    made: float
    used: float = 0.0
    why: str
    orphan: bool = False
    """It is left behind because there is no such workload of ours."""


def find(found: Mapping[Kind, Sequence[Object]], now: float) -> list[Leftover]:
    """What of `found` is left behind, by namespace and workload, a workload before its parts.

    The workloads in `found` must have been listed after all else, so that whatever is older than YOUNG and has none
    there has none.
    """
    known = _Known.of(found, now)
    left = [
        known.leftover(kind, item, why)
        for kind in (*WORKLOADS, *PARTS)
        for item in found.get(kind, ())
        if (why := known.why(kind, item))
    ]
    return sorted(left, key=lambda one: (one.namespace, one.workload))


@dataclass(frozen=True, slots=True)
class _Known:
    now: float
    workloads: Mapping[Place, Object]
    expired: Mapping[Place, str]
    """Why the time of a workload is over."""
    protecting: frozenset[tuple[Place, str]]
    """The leases by which pods are protected."""
    alive: frozenset[Place]
    """Workloads that are there or have pods, which a workload that is made again adopts."""

    @classmethod
    def of(cls, found: Mapping[Kind, Sequence[Object]], now: float) -> _Known:
        workloads = {_place(item): item for kind in WORKLOADS for item in found.get(kind, ())}
        leases = [(_place(item), Lease.read(item)) for item in found.get(LEASE, ())]
        busy = {place for place, lease in leases if lease.valid(now)}
        expired = {place: why for place, item in workloads.items() if place not in busy and (why := _over(item, now))}
        protecting = frozenset((place, lease.name) for place, lease in leases if lease.protects(now))
        alive = frozenset(map(_place, found.get(POD, ())))
        return cls(now, workloads, expired, protecting, alive | workloads.keys())

    def why(self, kind: Kind, item: Object) -> str:
        """Why an object is left behind; "" when it is not."""
        place = _place(item)
        if item["metadata"].get("deletionTimestamp"):
            return ""
        if kind is POD:
            label = (item["metadata"].get("labels") or {}).get(drain.LEASE)
            over = label and (place, label) not in self.protecting
            return f"its label {drain.LEASE} is that of a build that is over" if over else ""
        if place in self.expired:
            return self.expired[place] if kind in WORKLOADS else f"goes with {place[1]}"
        if kind is LEASE:
            return "" if Lease.read(item).valid(self.now) else "its build ended without giving it back"
        if kind in WORKLOADS or place in self.alive or not place[1]:
            return ""
        kept = KEPT in (item["metadata"].get("annotations") or {})
        young = self.now - _made(item) <= YOUNG
        return "" if kept or young else f"its workload {place[1]} is gone"

    def leftover(self, kind: Kind, item: Object, why: str) -> Leftover:
        metadata, place = item["metadata"], _place(item)
        workload = self.workloads.get(place)
        return Leftover(
            kind=kind,
            namespace=place[0],
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            builder=(metadata.get("labels") or {}).get(BUILDER, ""),
            workload=place[1],
            made=_made(item),
            used=_used(workload) if workload else 0.0,
            why=why,
            orphan=workload is None and kind not in (LEASE, POD),
        )


def _over(workload: Object, now: float) -> str:
    """Why a workload's time is over; "" when it is not, or has no limit that can be read."""
    try:
        ttl = duration.parse(_annotation(workload, TTL)) / duration.SECOND
    except ValueError:
        return ""
    unused = now - max(_used(workload), _made(workload))
    return f"unused for {spoken(unused)}, its ttl is {spoken(ttl)}" if 0 < ttl < unused else ""


def _place(item: Object) -> Place:
    """The workload that an object is part of; its name is "" when the object does not say."""
    metadata = item["metadata"]
    return metadata.get("namespace", ""), (metadata.get("labels") or {}).get(APP_LABEL, "")


def _made(item: Object) -> float:
    return seconds(item["metadata"].get("creationTimestamp"))


def _used(workload: Object) -> float:
    return seconds(_annotation(workload, LAST_USED))


def _annotation(item: Object, name: str) -> str:
    return str((item["metadata"].get("annotations") or {}).get(name, ""))
