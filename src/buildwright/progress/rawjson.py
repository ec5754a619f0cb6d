"""Progress for programs: each status update as one line of JSON, as `--progress rawjson` of buildx writes it.

Field names, their order and the left-out empty fields are those of Go's encoding of BuildKit's client.SolveStatus:
times are RFC 3339 with the nanoseconds that are not zero, bytes are base64, `<`, `>` and `&` are escaped.
"""

from __future__ import annotations

import json
import re
from binascii import b2a_base64
from datetime import datetime, timedelta

from buildwright.model.status import (
    ProgressGroup,
    SourceRange,
    StatusUpdate,
    Vertex,
    VertexLog,
    VertexStatus,
    VertexWarning,
)
from buildwright.progress.units import SECOND
from buildwright.progress.view import End

_EPOCH = datetime(1970, 1, 1)
_FIRST_SECOND = -62_135_596_800
_LAST_SECOND = 253_402_300_799
_ESCAPED = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


class RawJSON:
    """A view (see view.py): what it is given is what it writes, at once."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def apply(self, update: StatusUpdate, now: int) -> None:
        self._lines.append(encode(update))

    def draw(self, now: int) -> bytes:
        text = b"".join(self._lines)
        self._lines.clear()
        return text

    def finish(self, now: int, end: End) -> bytes:
        return self.draw(now)


def encode(update: StatusUpdate) -> bytes:
    """One update as one line, its newline included."""
    value = _filled(
        vertexes=[_vertex(vertex) for vertex in update.vertexes],
        statuses=[_status(status) for status in update.statuses],
        logs=[_log(log) for log in update.logs],
        warnings=[_warning(warning) for warning in update.warnings],
    )
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return (_ESCAPED.sub(_escape, text) + "\n").encode()


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC, with as many digits of the second as are needed."""
    seconds, rest = divmod(nanoseconds, SECOND)
    # Years that RFC 3339 cannot write come only from a broken clock.
    text = (_EPOCH + timedelta(seconds=min(max(seconds, _FIRST_SECOND), _LAST_SECOND))).isoformat()
    return f"{text}.{rest:09d}".rstrip("0") + "Z" if rest else f"{text}Z"


def _vertex(vertex: Vertex) -> dict[str, object]:
    return _filled(
        digest=vertex.digest,
        inputs=list(vertex.inputs),
        name=vertex.name,
        started=_time(vertex.started),
        completed=_time(vertex.completed),
        cached=vertex.cached,
        error=vertex.error,
        progressGroup=None if vertex.progress_group is None else _group(vertex.progress_group),
    )


def _group(group: ProgressGroup) -> dict[str, object]:
    return _filled(id=group.id, name=group.name, weak=group.weak)


def _status(status: VertexStatus) -> dict[str, object]:
    return {
        "id": status.id,
        **_filled(vertex=status.vertex, name=status.name, total=status.total),
        "current": status.current,
        "timestamp": timestamp(status.timestamp or 0),
        **_filled(started=_time(status.started), completed=_time(status.completed)),
    }


def _log(log: VertexLog) -> dict[str, object]:
    return {
        **_filled(vertex=log.vertex, stream=log.stream),
        "data": _base64(log.data),
        "timestamp": timestamp(log.timestamp),
    }


def _warning(warning: VertexWarning) -> dict[str, object]:
    source = None
    if warning.source is not None:
        source = _filled(
            filename=warning.source.filename, data=_base64(warning.source.data), language=warning.source.language
        )
    return _filled(
        vertex=warning.vertex,
        level=warning.level,
        short=_base64(_bytes(warning.short)),
        detail=[_base64(_bytes(line)) for line in warning.detail],
        url=warning.url,
        sourceInfo=source,
        range=[_range(place) for place in warning.ranges],
    )


def _range(place: SourceRange) -> dict[str, object]:
    return {
        "start": _filled(line=place.start_line, character=place.start_character),
        "end": _filled(line=place.end_line, character=place.end_character),
    }


def _filled(**fields: object) -> dict[str, object]:
    """The fields that Go's omitempty keeps: a nested object also when it is empty."""
    return {name: value for name, value in fields.items() if value or isinstance(value, dict)}


def _time(nanoseconds: int | None) -> str | None:
    return None if nanoseconds is None else timestamp(nanoseconds)


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    return r"\ufffd" if "\ud800" <= char <= "\udfff" else f"\\u{ord(char):04x}"
