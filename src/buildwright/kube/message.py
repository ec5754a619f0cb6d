"""Messages of HTTP/1.1 (RFC 9112) as bytes. Pure; how much is read is for the reader to bound."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-5][0-9]{2})(?: .*)?", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,15}", re.ASCII)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_WITHOUT_BODY = (204, 304)


class MessageError(ConnectionError):
    """What is to be written, or was read, is no HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What an answer begins with. The names of `fields` are in lower case; `length` is None for a body that is
    chunked, or ends with the connection."""

    status: int
    fields: Mapping[str, str]
    length: int | None
    chunked: bool
    keeps: bool
    """Whether the connection may carry another request after this answer."""


def request(method: str, target: str, fields: Mapping[str, str | Sequence[str]], body: bytes | None = None) -> bytes:
    """A whole request; a field of several values is written once for each.

    Raises MessageError for a target or field that HTTP cannot carry.
    """
    told = {**fields, **({"Content-Length": str(len(body))} if body is not None else {})}
    lines = [
        f"{method} {target} HTTP/1.1",
        *(f"{name}: {value}" for name, said in told.items() for value in _values(said)),
    ]
    if not all(line.isascii() and line.isprintable() for line in lines):
        raise MessageError("a request holds characters that HTTP does not carry")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (body or b"")


def _values(said: str | Sequence[str]) -> Sequence[str]:
    return (said,) if isinstance(said, str) else said


def head(data: bytes) -> Head:
    """An answer's head, to its empty line; MessageError for what is none."""
    first, *rest = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    line = _STATUS_LINE.fullmatch(first)
    if line is None:
        raise MessageError("what it answers is no HTTP")
    fields: dict[str, str] = {}
    for field in rest:
        name, colon, value = field.partition(":")
        if not colon or not name or name != name.strip():
            raise MessageError("its answer has a malformed header")
        name, value = name.lower(), value.strip()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    status = int(line[2])
    coding = fields.get("transfer-encoding", "").lower()
    if coding not in ("", "chunked"):
        raise MessageError("its answer has an unknown transfer-encoding")
    length = fields.get("content-length", "")
    if length and not _LENGTH.fullmatch(length):
        raise MessageError("its answer has a malformed content-length")
    counted = 0 if status in _WITHOUT_BODY or status < 200 else int(length) if length and not coding else None
    chunked = bool(coding) and counted is None
    options = {option.strip() for option in fields.get("connection", "").lower().split(",")}
    keeps = line[1] == "1" and "close" not in options and (chunked or counted is not None)
    return Head(status=status, fields=fields, length=counted, chunked=chunked, keeps=keeps)


def chunk_size(line: bytes) -> int:
    """The size that a chunk begins with, its line without the end; MessageError for what is none."""
    found = _CHUNK.fullmatch(line)
    if found is None:
        raise MessageError("its answer is wrongly chunked")
    return int(found[1], 16)
