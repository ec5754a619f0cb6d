"""Following objects: their state now and after every change, with whatever rights there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from buildwright.errors import ClusterError, ConnectError
from buildwright.kube.api import FORBIDDEN, GONE, Cluster, Kind, Object

_POLL = 1.0
"""Seconds between two reads where watching is not allowed, and before a lost watch is taken up again."""
_PATIENCE = 10
"""How many times in a row the server may be lost, unless the caller says otherwise."""


async def follow(
    cluster: Cluster,
    kind: Kind,
    *,
    labels: Mapping[str, str] | None = None,
    name: str = "",
    patience: int = _PATIENCE,
) -> AsyncGenerator[tuple[Object, ...], None]:
    """The objects that have all of `labels`, or the one called `name`: now, and again after every change, for ever.

    Begins anew when a watch is lost or too old. Where `watch` or `list` is not allowed it reads every second instead,
    without `list` by `get` of one named object. Raises ClusterError when neither is, and what the server said
    last (ConnectError when it could not be reached) after it was away, busy or failing more than `patience` times in
    a row, a second apart or as far as it asked.
    """
    following = _Following(cluster, kind, dict(labels or {}), name)
    lost = 0
    while True:
        pause = _POLL
        try:
            objects, version = await following.read()
            yield objects
            lost = 0
            async with aclosing(following.changes(objects, version)) as changes:
                async for changed in changes:
                    yield changed
        except (ConnectError, ClusterError) as error:
            if not (isinstance(error, ClusterError) and error.status == GONE):
                lost += 1
                if not error.retriable or lost > patience:
                    raise
                if isinstance(error, ClusterError):
                    pause = max(pause, error.retry_after)
        await asyncio.sleep(pause)


class _Following:
    """Remembers which rights turned out to be missing."""

    def __init__(self, cluster: Cluster, kind: Kind, labels: dict[str, str], name: str) -> None:
        self._cluster = cluster
        self._kind = kind
        self._labels = labels
        self._name = name
        self._may_list = True
        self._may_watch = True

    async def read(self) -> tuple[tuple[Object, ...], str]:
        """The objects and the version to watch from.

        There is none without `list`. An object's own does not do: the server knows no more of what came after one
        that has not changed for long (Cacher of k8s.io/apiserver). Nor does none at all: nobody would be told of what
        is deleted before the watch has begun.
        """
        if self._may_list:
            try:
                return await self._cluster.list(self._kind, labels=self._labels, name=self._name)
            except ClusterError as error:
                if error.status != FORBIDDEN or not self._name:
                    raise
                self._may_list = False
        found = await self._cluster.get(self._kind, self._name)
        return ((found,) if found else ()), ""

    async def changes(self, objects: tuple[Object, ...], version: str) -> AsyncGenerator[tuple[Object, ...], None]:
        """All objects after each change that a watch tells of; nothing where that is not allowed."""
        current = {item["metadata"]["name"]: item for item in objects}
        if not (self._may_list and self._may_watch):
            return
        try:
            async with aclosing(
                self._cluster.watch(self._kind, version=version, labels=self._labels, name=self._name)
            ) as events:
                async for event, item in events:
                    if event == "DELETED":
                        current.pop(item["metadata"]["name"], None)
                    else:
                        current[item["metadata"]["name"]] = item
                    yield tuple(current.values())
        except ClusterError as error:
            if error.status != FORBIDDEN:
                raise
            self._may_watch = False
