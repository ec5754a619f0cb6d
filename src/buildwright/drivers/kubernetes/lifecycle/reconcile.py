"""Bringing what a node has in the cluster in line with its options: what that changes, and the change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from buildwright.drivers.kubernetes import quantity
from buildwright.drivers.kubernetes.conflicts import despite_others
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.identity import connect
from buildwright.drivers.kubernetes.lifecycle import claims, fixed, objects, rollout
from buildwright.drivers.kubernetes.lifecycle.difference import difference, marks, merged
from buildwright.drivers.kubernetes.lifecycle.owner import reference
from buildwright.drivers.kubernetes.manifests import manifest
from buildwright.drivers.kubernetes.options import CLAIM as CLAIM_OPTION
from buildwright.drivers.kubernetes.perseverance import outlasting
from buildwright.drivers.steps import step
from buildwright.drivers.update import Update
from buildwright.errors import ClusterError, DriverOptionError
from buildwright.kube.api import (
    CLAIM,
    CONFIG_MAP,
    CONFLICT,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    FORBIDDEN,
    INVALID,
    POD,
    SECRET,
    STATEFUL_SET,
    Cluster,
    Kind,
    Object,
)
from buildwright.model.node import Node
from buildwright.model.status import StatusSink

FILES = "buildwright/files"
"""Annotation of the pod template: another value makes new pods, which read the daemon's files anew."""

_OUTAGE = objects.GOING + 60.0
"""Seconds that the API server may be away once the change has begun, and the former workload takes to go."""
_KEPT = ("labels", "annotations", "ownerReferences")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Write:
    """One object to be made or changed. `body` makes it of what is there, `lines` say what that changes."""

    kind: Kind
    name: str
    body: Callable[[Object | None], Object]
    lines: tuple[str, ...]


class Reconciliation:
    """See `Update`. `before` is the node as its builder has it, `after` as it shall be."""

    def __init__(self, before: Node, after: Node) -> None:
        self._before, self._after = Fleet.of(before), Fleet.of(after)
        fixed.check_options(self._before, self._after)
        self._writes: list[_Write] = []
        self._leftovers: list[tuple[Kind, str]] = []
        self._claims: list[tuple[str, str]] = []
        self._workload: _Write | None = None
        self._recreate = False
        self._anew: Object | None = None
        self._former = rollout.Former()

    async def plan(self) -> tuple[str, ...]:
        async with await connect(self._before) as cluster:
            return await despite_others(partial(self._plan, cluster))

    async def _plan(self, cluster: Cluster) -> tuple[str, ...]:
        self._writes, self._leftovers, self._claims = [], [], []
        self._workload, self._recreate, self._former = None, False, rollout.Former()
        found = await self._find(cluster)
        if found is None:
            return ()
        fixed.check_found(found, self._after)
        stamp = await self._plan_files(cluster, found)
        await self._plan_budget(cluster, found)
        grown = await self._plan_claims(cluster, found)
        self._workload = await self._plan_workload(cluster, found, stamp)
        workload = [self._workload] if self._workload else []
        if any(line.startswith("spec.template") for write in workload for line in write.lines):
            pods, _ = await cluster.list(POD, labels=self._before.labels)
            self._former = rollout.Former.of(found, pods)
        lines = [line for write in (*workload, *self._writes) for line in _told(write.kind, write.name, write.lines)]
        lines += [line for kind, name in self._leftovers for line in _told(kind, name, ("is deleted",))]
        return (*lines, *grown)

    async def apply(self) -> None:
        async with await connect(self._before) as cluster:
            for write in self._writes:
                await _write(cluster, write)
            for name, size in self._claims:
                await cluster.patch(CLAIM, name, _request(size))
            if self._workload is None:
                return
            if self._recreate:
                await self._make_anew(cluster, self._workload)
            else:
                await _write(cluster, self._workload)

    async def follow(self, sink: StatusSink, /) -> None:
        async with await connect(self._after) as cluster:
            await rollout.follow(cluster, self._after, self._former, sink)
            for kind, name in self._leftovers:
                await cluster.delete(kind, name)
            if self._claims and (small := await claims.not_grown(cluster, self._after)):
                told = f"still as large as before: {', '.join(small)}"
                with step(sink, f"[internal] {told}; what provides their volumes enlarges them later, or never"):
                    pass

    # --- what shall be -----------------------------------------------------------------------------------------

    async def _find(self, cluster: Cluster) -> Object | None:
        """The workload that there is, of either kind."""
        for kind in (self._before.kind, *({DEPLOYMENT, STATEFUL_SET} - {self._before.kind})):
            try:
                if (found := await cluster.get(kind, self._before.name)) is not None:
                    return {**found, "kind": kind.kind}
            except ClusterError as error:
                if kind is self._before.kind or error.status != FORBIDDEN:
                    raise
        return None

    async def _plan_files(self, cluster: Cluster, found: Object) -> str:
        """Plan ConfigMaps and Secrets; the stamp of their contents if pods may have read others, else "".

        That may be so where all is as wanted, since somebody was interrupted before it came to the pods. The stamp is
        the same then as the one that was on its way.
        """
        before, after = self._before, self._after
        stamp = hashlib.sha256()
        changed = False
        names = dict.fromkeys(
            name for fleet in (before, after) for name in manifest.file_objects(fleet.name, fleet.node, fleet.options)
        )
        for kind, make in ((CONFIG_MAP, manifest.config_maps), (SECRET, manifest.secrets)):
            formers, wanted = (
                {item["metadata"]["name"]: item for item in make(fleet.name, fleet.node, fleet.options)}
                for fleet in (before, after)
            )
            # Keys that buildx has put into ConfigMaps are looked for there; where there are no keys, no Secret is.
            for name in names if kind is CONFIG_MAP else {**formers, **wanted}:
                live = await cluster.get(kind, name)
                item, former = wanted.get(name), formers.get(name, {})
                if item is None:
                    if live is not None:
                        self._leftovers.append((kind, name))
                        changed = True
                    continue
                await self._plan_write(cluster, kind, name, live, _body(item, former, reference(after.kind, found)))
                contents, was, there = map(_contents, (item, former, live or {}))
                changed |= not contents == was == there
                # Pods may have read what somebody has put there, and it may be put there again.
                version = live["metadata"]["resourceVersion"] if live and there not in (was, contents) else ""
                stamp.update(json.dumps([kind.kind, name, contents, version], sort_keys=True).encode())
        return stamp.hexdigest()[:16] if changed else ""

    async def _plan_budget(self, cluster: Cluster, found: Object) -> None:
        before, after = (
            manifest.budget(fleet.name, fleet.node, fleet.options) for fleet in (self._before, self._after)
        )
        try:
            live = await cluster.get(DISRUPTION_BUDGET, self._after.name)
            if after is not None:
                body = _body(after, before or {}, reference(self._after.kind, found))
                await self._plan_write(cluster, DISRUPTION_BUDGET, self._after.name, live, body)
            elif live is not None and before is not None:
                self._leftovers.append((DISRUPTION_BUDGET, self._after.name))
        except ClusterError as error:
            if error.status != FORBIDDEN:
                raise

    async def _plan_claims(self, cluster: Cluster, found: Object) -> list[str]:
        """Plan larger claims, which the cluster must agree to; lines that say so."""
        size = self._after.options.claim
        if not size or quantity.parse(size) <= quantity.parse(fixed.size_of(fixed.claim_of(found["spec"]))):
            return []
        self._recreate = True
        lines = []
        for item in await claims.of(cluster, self._after):
            name, now = item["metadata"]["name"], fixed.size_of(item["spec"])
            if quantity.parse(now) >= quantity.parse(size):
                continue
            try:
                await cluster.patch(CLAIM, name, _request(size), dry_run=True)
            except ClusterError as error:
                if error.status not in (FORBIDDEN, INVALID):
                    raise
                raise DriverOptionError(
                    f'driver option "{CLAIM_OPTION}" of node {self._after.node.name} cannot be changed, the volume '
                    f"claim {name} does not grow ({error}): create another builder with claims of {size}",
                    option=CLAIM_OPTION,
                ) from error
            self._claims.append((name, size))
            lines += [f"PersistentVolumeClaim {name}", f"  spec.resources.requests.storage: {now} -> {size}"]
        return lines

    async def _plan_workload(self, cluster: Cluster, found: Object, stamp: str) -> _Write | None:
        kind, before = self._after.kind, self._before.workload
        wanted = await objects.accepted(cluster, self._after)

        def body(live: Object | None) -> Object:
            return dict(wanted) if live is None else _workload(live, wanted, before, stamp)

        lines = difference(found, await cluster.replace(body(found), kind, dry_run=True))
        if self._recreate:
            path = "spec.volumeClaimTemplates[buildkitd].spec.resources.requests.storage"
            lines.append(f"{path}: {fixed.size_of(fixed.claim_of(found['spec']))} -> {self._after.options.claim}")
        return _Write(kind=kind, name=self._after.name, body=body, lines=tuple(lines)) if lines else None

    async def _plan_write(
        self, cluster: Cluster, kind: Kind, name: str, live: Object | None, body: Callable[[Object | None], Object]
    ) -> None:
        if live is None:
            shown = await cluster.create(body(None), kind, dry_run=True)
        else:
            shown = await cluster.replace(body(live), kind, dry_run=True)
        if lines := difference(live, shown):
            self._writes.append(_Write(kind=kind, name=name, body=body, lines=tuple(lines)))

    # --- doing it ----------------------------------------------------------------------------------------------

    async def _make_anew(self, cluster: Cluster, write: _Write) -> None:
        """Make the StatefulSet anew around its pods, since the size of its claims is for good."""
        # Pods without a workload are what must not stay.
        await outlasting(partial(despite_others, partial(self._replaced, cluster, write)), _OUTAGE)
        await _write(cluster, write)

    async def _replaced(self, cluster: Cluster, write: _Write) -> None:
        """Raises a ClusterError of CONFLICT when somebody's start has made the former workload again meanwhile."""
        fleet = self._after
        claims_wanted = fleet.workload["spec"]["volumeClaimTemplates"]
        if (found := await cluster.get(fleet.kind, fleet.name)) is not None and not self._is_anew(found):
            made = write.body(found)
            kept = {name: made["metadata"][name] for name in _KEPT if made["metadata"].get(name)}
            self._anew = {
                **made,
                "metadata": {"name": fleet.name, **kept},
                "spec": {**made["spec"], "volumeClaimTemplates": claims_wanted},
            }
            await cluster.delete(fleet.kind, fleet.name, orphan=True, uid=found["metadata"]["uid"])
        await objects.create(cluster, fleet, self._anew)
        now = await cluster.get(fleet.kind, fleet.name)
        if now is None or not self._is_anew(now):
            raise ClusterError(
                f"{fleet.kind.kind} {fleet.name} is made by somebody else, as it was before: try again",
                status=CONFLICT,
            )

    def _is_anew(self, workload: Object) -> bool:
        size = fixed.size_of(fixed.claim_of(workload["spec"]))
        return quantity.parse(size) >= quantity.parse(self._after.options.claim)


def _told(kind: Kind, name: str, lines: Sequence[str]) -> list[str]:
    return [f"{kind.kind} {name}", *(f"  {line}" for line in lines)]


def _body(
    wanted: manifest.Manifest, before: manifest.Manifest, owner: dict[str, str] | None = None
) -> Callable[[Object | None], Object]:
    """What becomes of an object; one that is new belongs to `owner`."""

    def body(live: Object | None) -> Object:
        if live is not None:
            return merged(live, wanted, before)
        owned = {"ownerReferences": [owner]} if owner else {}
        return {**wanted, "metadata": {**wanted["metadata"], **owned}}

    return body


def _contents(item: manifest.Manifest) -> list[dict[str, str]]:
    return [item.get(field) or {} for field in ("data", "binaryData")]


def _workload(live: Object, wanted: Any, before: Any, stamp: str) -> Object:
    """The workload as it shall be: what is for good stays, and so does its number of pods where it was stopped."""
    made = merged(live, wanted, before)
    spec = dict(wanted["spec"])
    template, former = (item["spec"]["template"].get("metadata") or {} for item in (wanted, before))
    marked = marks(live["spec"]["template"].get("metadata") or {}, template, former)
    if stamp:
        marked["annotations"] = marked.get("annotations", {}) | {FILES: stamp}
    spec["template"] = {**spec["template"], "metadata": marked}
    if not live["spec"].get("replicas", 1):
        spec["replicas"] = 0
    for name in ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"):
        if name in live["spec"]:
            spec[name] = live["spec"][name]
    return {**made, "spec": spec}


async def _write(cluster: Cluster, write: _Write) -> None:
    """Do one write; what someone else does to the object meanwhile is taken into account."""

    async def step() -> None:
        live = await cluster.get(write.kind, write.name)
        if live is not None:
            await cluster.replace(write.body(live), write.kind)
        elif await cluster.create(write.body(None), write.kind) is None:
            raise ClusterError(
                f"{write.kind.kind} {write.name} is made and removed by somebody else: try again", status=CONFLICT
            )

    await despite_others(step)


def _request(size: str) -> Object:
    return {"spec": {"resources": {"requests": {"storage": size}}}}


if TYPE_CHECKING:
    _: type[Update] = Reconciliation
