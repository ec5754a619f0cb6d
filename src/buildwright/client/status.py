"""BuildKit's status messages as the model's frozen values, with the daemon's clock brought to ours."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from buildwright.model.status import (
    ProgressGroup,
    SourceInfo,
    SourceRange,
    StatusUpdate,
    Vertex,
    VertexLog,
    VertexStatus,
    VertexWarning,
)

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from buildwright.wire.proto import control_pb2, pb_pb2

CLOCK_HEADER = "buildkit-current-timestamp"
"""Initial metadata of a Status call: the daemon's time in RFC3339 (control/control.go)."""

_SECOND = 1_000_000_000


def clock_skew(metadata: Iterable[tuple[str, str | bytes]], now: int) -> int:
    """Nanoseconds to add to the daemon's times so that they fit `now`, ours; 0 when the daemon does not say."""
    for key, value in metadata:
        if key == CLOCK_HEADER and isinstance(value, str):
            try:
                daemon = datetime.fromisoformat(value)
            except ValueError:
                return 0
            return 0 if daemon.tzinfo is None else now - _nanoseconds(daemon)
    return 0


def _nanoseconds(moment: datetime) -> int:
    # timestamp() is a float, which is short of digits for nanoseconds; the microseconds are exact.
    return int(moment.replace(microsecond=0).timestamp()) * _SECOND + moment.microsecond * 1000


def status_update(message: control_pb2.StatusResponse, skew: int = 0) -> StatusUpdate:
    """The frozen form of one message; `skew` is what `clock_skew` returned."""
    return StatusUpdate(
        vertexes=tuple([_vertex(v, skew) for v in message.vertexes]),
        statuses=tuple([_vertex_status(s, skew) for s in message.statuses]),
        logs=tuple(
            [
                VertexLog(
                    vertex=log.vertex,
                    timestamp=_time(log.timestamp, skew),
                    stream=log.stream,
                    data=log.msg,
                )
                for log in message.logs
            ]
        ),
        warnings=tuple([_warning(w) for w in message.warnings]),
    )


def _time(stamp: Timestamp, skew: int) -> int:
    return stamp.seconds * _SECOND + stamp.nanos + skew


def _vertex(vertex: control_pb2.Vertex, skew: int) -> Vertex:
    group = None
    if vertex.HasField("progressGroup"):
        told = vertex.progressGroup
        group = ProgressGroup(id=told.id, name=told.name, weak=told.weak)
    return Vertex(
        digest=vertex.digest,
        inputs=tuple(vertex.inputs),
        name=vertex.name,
        cached=vertex.cached,
        started=_time(vertex.started, skew) if vertex.HasField("started") else None,
        completed=_time(vertex.completed, skew) if vertex.HasField("completed") else None,
        error=vertex.error,
        progress_group=group,
    )


def _vertex_status(status: control_pb2.VertexStatus, skew: int) -> VertexStatus:
    return VertexStatus(
        id=status.ID,
        vertex=status.vertex,
        name=status.name,
        current=status.current,
        total=status.total,
        timestamp=_time(status.timestamp, skew) if status.HasField("timestamp") else None,
        started=_time(status.started, skew) if status.HasField("started") else None,
        completed=_time(status.completed, skew) if status.HasField("completed") else None,
    )


def _warning(warning: control_pb2.VertexWarning) -> VertexWarning:
    source = None
    if warning.HasField("info"):
        source = SourceInfo(warning.info.filename, warning.info.data, warning.info.language)
    return VertexWarning(
        vertex=warning.vertex,
        level=warning.level,
        short=warning.short.decode(errors="replace"),
        detail=tuple(line.decode(errors="replace") for line in warning.detail),
        url=warning.url,
        source=source,
        ranges=tuple(_range(r) for r in warning.ranges),
    )


def _range(told: pb_pb2.Range) -> SourceRange:
    return SourceRange(told.start.line, told.start.character, told.end.line, told.end.character)
