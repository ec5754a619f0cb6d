"""What a running build leaves in the cluster: a Lease that says who builds, a label that protects its pod from
eviction, and when its builder was last used.

All of it begins DELAY seconds after the stream to the daemon, so that a cached build pays nothing, and no failure of
it is a failure of the build. A client that is killed leaves a lease that nobody renews; the next build on the
builder, or `sweep`, takes it away together with the label.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from buildwright.drivers.driver import Explaining
from buildwright.drivers.kubernetes.conflicts import despite_others
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.manifests import drain, manifest
from buildwright.errors import BuildwrightError, ClusterError, SolveError
from buildwright.kube.api import FORBIDDEN, LEASE, NOT_FOUND, POD, Cluster, Object
from buildwright.kube.objects import Pod
from buildwright.wire.stream import Buffer, ByteStream

UNTIL = "buildwright/protects-until"
"""Annotation of a lease: until when its pod is not to be evicted (RFC 3339)."""

DELAY = 1.5
RENEWAL = 20.0
DURATION = 60
"""Seconds for which a lease is valid without being renewed."""
_TOUCH = 60.0
_ROUNDED = 1.0
"""Seconds by which a time stamp of the server's may be off."""
_FAREWELL = 2.0
"""Seconds that the end of a build may wait for its traces to be taken away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One build's claim on a pod (coordination.k8s.io/v1 Lease). Times are seconds since the epoch."""

    name: str
    pod: str
    """The pod's uid."""
    holder: str
    renewed: float
    until: float
    duration: float = DURATION

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Lease:
        metadata, spec = item.get("metadata") or {}, item.get("spec") or {}
        owners = metadata.get("ownerReferences") or [{}]
        return cls(
            name=metadata.get("name", ""),
            pod=owners[0].get("uid", ""),
            holder=spec.get("holderIdentity") or "",
            renewed=max(seconds(spec.get("renewTime")), seconds(metadata.get("creationTimestamp"))),
            until=seconds((metadata.get("annotations") or {}).get(UNTIL)),
            duration=float(spec.get("leaseDurationSeconds") or DURATION),
        )

    def valid(self, now: float) -> bool:
        """Whether its build runs, as far as anybody can tell."""
        return now < self.renewed + self.duration

    def protects(self, now: float) -> bool:
        return self.valid(now) and now < self.until


def seconds(time_of: str | None) -> float:
    """A time of the API (RFC 3339); 0 for none or one that cannot be read."""
    try:
        return datetime.fromisoformat(time_of or "").timestamp()
    except ValueError:
        return 0.0


def written(moment: float) -> str:
    """A time as the API's MicroTime."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def leases(cluster: Cluster, labels: Mapping[str, str]) -> list[Lease]:
    """The leases of a workload whose pods have `labels`, those of killed clients too."""
    items, _ = await cluster.list(LEASE, labels={**labels, manifest.MANAGED_BY: "buildwright"})
    return [Lease.read(item) for item in items]


async def server_time(cluster: Cluster) -> float:
    """The server's time, by which leases are written and judged, in seconds; ours where it does not tell.

    Raises what `greet` does.
    """
    from buildwright.kube.server import greet

    return time.time() + ((await greet(cluster.config)).skew or 0.0)


async def sweep(cluster: Cluster, labels: Mapping[str, str], now: float) -> list[Lease]:
    """Take away expired leases, and the labels of pods that no lease protects; the leases that are valid stay.

    `labels` are those of the workload's pods, `now` is the time in seconds. Returns the leases that stay.
    """
    found = await leases(cluster, labels)
    pods, _ = await cluster.list(POD, labels=labels)
    for pod in pods:
        if drain.LEASE in (pod["metadata"].get("labels") or {}):
            await settle(cluster, labels, pod["metadata"]["name"], now)
    for lease in found:
        if not lease.valid(now):
            await cluster.delete(LEASE, lease.name)
    return [lease for lease in found if lease.valid(now)]


async def settle(cluster: Cluster, labels: Mapping[str, str], pod: str, now: float, over: str = "") -> None:
    """Let a pod's label name a lease that protects it, or take the label away. The lease called `over` does not.

    A build that begins meanwhile sets the label after it has made its lease, so it either is seen here or makes the
    patch a conflict. Raises a ClusterError of CONFLICT when that goes on.
    """

    async def step() -> None:
        items, _ = await cluster.list(POD, name=pod)
        metadata = items[0]["metadata"] if items else {}
        label = (metadata.get("labels") or {}).get(drain.LEASE)
        if label is None:
            return
        try:
            found = await leases(cluster, labels)
        except ClusterError as error:
            # Other builds on the pod, which cannot be seen, set the label again when they renew their leases.
            if error.status != FORBIDDEN or label != over:
                raise
            found = []
        protecting = [
            lease.name
            for lease in found
            if lease.pod == metadata["uid"] and lease.protects(now) and lease.name != over
        ]
        if label in protecting:
            return
        changed = {
            "resourceVersion": metadata["resourceVersion"],
            "labels": {drain.LEASE: next(iter(protecting), None)},
        }
        await cluster.patch(POD, pod, {"metadata": changed})

    await despite_others(step)


class Keeper:
    """Holds the lease of one build on `pod` from soon after it is made until `aclose`.

    The pod is protected for the option `drain`, the lease is renewed for as long as the build takes. `overdue` maps
    the leases of builds that are over to the names of their pods: what cannot be given back is put there, and the
    next that has the same takes it away, as soon as the server is there again.
    """

    def __init__(self, cluster: Cluster, fleet: Fleet, pod: Pod, overdue: dict[str, str]) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._pod = pod
        self._overdue = overdue
        self._name = f"{fleet.name[:46].rstrip('.-')}-{secrets.token_hex(8)}"
        self._ahead = 0.0
        self._until = time.time() + fleet.options.drain
        self._leased = self._labelled = False
        self._touched: float | None = None
        self._task = asyncio.create_task(self._keep(), name=f"lease of pod {pod.name}")

    async def aclose(self) -> None:
        """Take lease and label away, within _FAREWELL seconds; what is not, is `overdue` or expires."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        used = self._leased or self._fleet.options.ttl
        if self._leased or self._labelled:
            self._overdue[self._name] = self._pod.name
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await asyncio.gather(self._give_back(), *([_quietly(self._touch())] if used else []))

    async def _keep(self) -> None:
        await asyncio.sleep(DELAY)
        first = True
        while True:
            await _quietly(self._renew())
            left = self._until - self._now()
            if self._touched is None or time.monotonic() - self._touched >= _TOUCH:
                await _quietly(self._touch())
            await self._give_back()
            if first:
                await _quietly(sweep(self._cluster, self._fleet.labels, self._now()))
            first = False
            await asyncio.sleep(min(RENEWAL, left) if left > 0 else RENEWAL)

    def _now(self) -> float:
        """The server's time, by which all clients of a builder judge each other's leases."""
        return time.time() + self._ahead

    async def _renew(self) -> None:
        if not self._leased or not await self._renewed():
            await self._acquire()
        if self._now() < self._until:
            self._labelled = True
            await self._cluster.patch(POD, self._pod.name, {"metadata": {"labels": {drain.LEASE: self._name}}})
        elif self._labelled:
            await settle(self._cluster, self._fleet.labels, self._pod.name, self._now(), self._name)
            self._labelled = False

    async def _renewed(self) -> bool:
        annotations = {UNTIL: written(self._until)}
        renewal = {"metadata": {"annotations": annotations}, "spec": {"renewTime": written(self._now())}}
        try:
            await self._cluster.patch(LEASE, self._name, renewal)
        except ClusterError as error:
            if error.status != NOT_FOUND:
                raise
            return False
        return True

    async def _acquire(self) -> None:
        self._leased = True
        try:
            made = await self._cluster.create(self._manifest(), LEASE)
        except ClusterError:
            self._leased = False
            raise
        told = seconds(made["metadata"].get("creationTimestamp")) if made else 0.0
        if told and not self._ahead:
            self._ahead = told + 0.5 - time.time()
            self._until += self._ahead
            if abs(self._ahead) > _ROUNDED:
                # Others judge by what is written, which was our own time so far. The next renewal does it too.
                await _quietly(self._renewed())

    def _manifest(self) -> Object:
        fleet, now = self._fleet, written(self._now())
        marks = manifest.marks(fleet.name, fleet.node, fleet.options)
        owner = {"apiVersion": POD.api_version, "kind": POD.kind, "name": self._pod.name, "uid": self._pod.uid}
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {
                "name": self._name,
                "labels": {**marks, manifest.MANAGED_BY: "buildwright"},
                "annotations": {UNTIL: written(self._until)},
                "ownerReferences": [owner],
            },
            "spec": {
                "holderIdentity": holder(),
                "leaseDurationSeconds": DURATION,
                "acquireTime": now,
                "renewTime": now,
            },
        }

    async def _touch(self) -> None:
        self._touched = time.monotonic()
        annotations = {manifest.LAST_USED: written(self._now())}
        await self._cluster.patch(self._fleet.kind, self._fleet.name, {"metadata": {"annotations": annotations}})

    async def _give_back(self) -> None:
        """All that is overdue, the latest first. What is refused for good expires."""
        for name, pod in reversed(list(self._overdue.items())):
            try:
                await self._end(name, pod)
            except BuildwrightError as error:
                if error.retriable:
                    continue
            self._overdue.pop(name, None)

    async def _end(self, name: str, pod: str) -> None:
        try:
            await self._cluster.delete(LEASE, name)
        except ClusterError as error:
            if error.retriable:
                raise
            # What may not be deleted is over nevertheless, also for clients whose clock is behind ours.
            over = {"metadata": {"annotations": {UNTIL: written(0.0)}}, "spec": {"leaseDurationSeconds": 1}}
            await _quietly(self._cluster.patch(LEASE, name, over))
        await settle(self._cluster, self._fleet.labels, pod, self._now(), name)


class LeasedStream:
    """A stream to a daemon during whose life its pod is leased."""

    def __init__(self, stream: ByteStream, keeper: Keeper) -> None:
        self.ping_after: float | None = getattr(stream, "ping_after", None)
        self._stream = stream
        self._keeper = keeper

    async def read(self, limit: int = 1 << 20, /) -> bytes:
        return await self._stream.read(limit)

    async def write(self, data: Buffer, /) -> None:
        await self._stream.write(data)

    async def close_write(self) -> None:
        await self._stream.close_write()

    async def explain(self, error: SolveError, /) -> str:
        return await self._stream.explain(error) if isinstance(self._stream, Explaining) else ""

    async def aclose(self) -> None:
        try:
            await self._keeper.aclose()
        finally:
            await self._stream.aclose()


def holder() -> str:
    """Whom others see as the holder of a lease: user, machine and process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}/{os.getpid()}"


async def _quietly(work: Any) -> None:
    """What is missing or refused is gone without."""
    with suppress(BuildwrightError):
        await work
