"""What a daemon reports about a running solve (moby.buildkit.v1.StatusResponse), as frozen values.

Times are integer nanoseconds since the Unix epoch; None means that the event has not happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressGroup:
    """Vertices that are shown as one step; a `weak` group only as long as it has several."""

    id: str
    name: str = ""
    weak: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertex:
    """One step of the build graph. A later update with the same digest replaces an earlier one."""

    digest: str
    inputs: tuple[str, ...] = ()
    name: str = ""
    cached: bool = False
    started: int | None = None
    completed: int | None = None
    error: str = ""
    progress_group: ProgressGroup | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VertexStatus:
    """A sub-task of a vertex (a layer being pulled, a context being sent); `total` 0 means unknown."""

    id: str
    vertex: str
    name: str = ""
    current: int = 0
    total: int = 0
    timestamp: int | None = None
    started: int | None = None
    completed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VertexLog:
    """Output of a step; `stream` is 1 for stdout and 2 for stderr. `data` need not end at a line's end."""

    vertex: str
    timestamp: int
    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A source file, such as a Dockerfile, as the frontend read it."""

    filename: str
    data: bytes
    language: str = ""


@dataclass(frozen=True, slots=True)
class SourceRange:
    """Lines and characters of a source, lines 1-based."""

    start_line: int
    start_character: int
    end_line: int
    end_character: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VertexWarning:
    """What a frontend's check has to say of a step; `level` 1 is the most urgent."""

    vertex: str
    level: int
    short: str
    detail: tuple[str, ...] = ()
    url: str = ""
    source: SourceInfo | None = None
    ranges: tuple[SourceRange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusUpdate:
    """One message of a status stream. Updates are folded in order of arrival."""

    vertexes: tuple[Vertex, ...] = ()
    statuses: tuple[VertexStatus, ...] = ()
    logs: tuple[VertexLog, ...] = ()
    warnings: tuple[VertexWarning, ...] = ()


class StatusSink(Protocol):
    """Takes status updates; `write` returns at once and never raises."""

    def write(self, update: StatusUpdate, /) -> None: ...
