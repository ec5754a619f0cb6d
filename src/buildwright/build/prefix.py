"""Tells apart in one display what several nodes report, as buildx does for several targets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from buildwright.model.status import ProgressGroup, StatusSink, StatusUpdate, Vertex


class Prefixed:
    """Passes status on to `sink` with `name` in front of every vertex, and digests that no other node has."""

    def __init__(self, sink: StatusSink, name: str) -> None:
        self._sink = sink
        self._name = name
        self._digests: dict[str, str] = {"": ""}

    def write(self, update: StatusUpdate, /) -> None:
        self._sink.write(
            replace(
                update,
                vertexes=tuple(map(self._vertex, update.vertexes)),
                statuses=tuple(replace(status, vertex=self.digest(status.vertex)) for status in update.statuses),
                logs=tuple(replace(log, vertex=self.digest(log.vertex)) for log in update.logs),
                warnings=tuple(replace(warning, vertex=self.digest(warning.vertex)) for warning in update.warnings),
            )
        )

    def digest(self, digest: str) -> str:
        """What a digest that the node reports has become."""
        found = self._digests.get(digest)
        if found is None:
            found = "sha256:" + hashlib.sha256(f"{self._name}\0{digest}".encode()).hexdigest()
            self._digests[digest] = found
        return found

    def _vertex(self, vertex: Vertex) -> Vertex:
        return replace(
            vertex,
            digest=self.digest(vertex.digest),
            inputs=self._inputs(vertex.inputs),
            name=self._title(vertex.name),
            progress_group=self._group(vertex.progress_group),
        )

    def _inputs(self, digests: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(self.digest, digests))

    def _group(self, group: ProgressGroup | None) -> ProgressGroup | None:
        if group is None:
            return None
        return replace(group, id=self.digest(group.id), name=self._title(group.name) if group.name else "")

    def _title(self, name: str) -> str:
        return f"[{self._name} {name[1:]}" if name.startswith("[") else f"[{self._name}] {name}"
