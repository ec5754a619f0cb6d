"""Recorded status streams: JSON of buildx back to status updates, and a view played on the times of the recording."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

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
from buildwright.progress.view import End, View

DATA = Path(__file__).parent / "data"
MILLISECOND = 1_000_000


@dataclass(frozen=True)
class Event:
    at: int
    update: StatusUpdate


def load(name: str) -> list[Event]:
    """The events of data/NAME.jsonl, each `{"at": milliseconds, "status": SolveStatus}`."""
    lines = (DATA / f"{name}.jsonl").read_text().splitlines()
    return [Event(event["at"] * MILLISECOND, decode(event["status"])) for event in map(json.loads, lines)]


def play(
    view: View, events: list[Event], *, every: int = 100 * MILLISECOND, idle: int = 150 * MILLISECOND
) -> Iterator[tuple[int, bytes]]:
    """Feed a view as a display does, on a clock of its own; yields what it draws, and when."""
    drawn: int | None = None
    tick = idle
    now = 0
    for event in events:
        now = max(event.at, now)
        while tick <= now:
            yield tick, view.draw(tick)
            tick += idle
        view.apply(event.update, now)
        tick = now + idle
        if drawn is None or now - drawn >= every:
            drawn = now
            yield now, view.draw(now)
    yield now, view.finish(now, End())


def decode(status: dict) -> StatusUpdate:
    """One SolveStatus as JSON."""
    return StatusUpdate(
        vertexes=tuple(map(_vertex, status.get("vertexes", ()))),
        statuses=tuple(map(_status, status.get("statuses", ()))),
        logs=tuple(
            VertexLog(
                vertex=log["vertex"],
                stream=log.get("stream", 0),
                data=base64.b64decode(log["data"] or ""),
                timestamp=_time(log["timestamp"]),
            )
            for log in status.get("logs", ())
        ),
        warnings=tuple(map(_warning, status.get("warnings", ()))),
    )


def _vertex(vertex: dict) -> Vertex:
    group = vertex.get("progressGroup")
    return Vertex(
        digest=vertex["digest"],
        inputs=tuple(vertex.get("inputs", ())),
        name=vertex.get("name", ""),
        cached=vertex.get("cached", False),
        started=_time(vertex.get("started")),
        completed=_time(vertex.get("completed")),
        error=vertex.get("error", ""),
        progress_group=group
        if group is None
        else ProgressGroup(id=group.get("id", ""), name=group.get("name", ""), weak=group.get("weak", False)),
    )


def _status(status: dict) -> VertexStatus:
    return VertexStatus(
        id=status["id"],
        vertex=status.get("vertex", ""),
        name=status.get("name", ""),
        current=status["current"],
        total=status.get("total", 0),
        timestamp=_time(status["timestamp"]),
        started=_time(status.get("started")),
        completed=_time(status.get("completed")),
    )


def _warning(warning: dict) -> VertexWarning:
    source = warning.get("sourceInfo")
    return VertexWarning(
        vertex=warning.get("vertex", ""),
        level=warning.get("level", 0),
        short=base64.b64decode(warning.get("short", "")).decode(),
        detail=tuple(base64.b64decode(line).decode() for line in warning.get("detail", ())),
        url=warning.get("url", ""),
        source=None if source is None else _source(source),
        ranges=tuple(
            SourceRange(
                place["start"].get("line", 0),
                place["start"].get("character", 0),
                place["end"].get("line", 0),
                place["end"].get("character", 0),
            )
            for place in warning.get("range", ())
        ),
    )


def _source(source: dict) -> SourceInfo:
    data = base64.b64decode(source.get("data", ""))
    return SourceInfo(source.get("filename", ""), data, source.get("language", ""))


def _time(text: str | None) -> int | None:
    if text is None:
        return None
    whole, _, rest = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 1_000_000_000 + int(rest.ljust(9, "0") or 0)
