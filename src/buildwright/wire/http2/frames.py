"""HTTP/2 frames on the wire (RFC 9113, sections 4, 6 and 7): numbers, limits, packing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

from buildwright.errors import ProtocolError

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# Plain integers: an IntEnum member costs more to compare than a whole small frame costs to parse.
DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITIZED: Final = 0x20

HEADER: Final = Struct(">HBBBI")
"""Frame header: length (16 high bits, 8 low bits), type, flags, stream id."""
HEADER_SIZE: Final = 9
U32: Final = Struct(">I")
SETTING: Final = Struct(">HI")

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6

DEFAULT_WINDOW: Final = 65_535
DEFAULT_FRAME: Final = 16_384
LARGEST_FRAME: Final = (1 << 24) - 1
LARGEST_WINDOW: Final = (1 << 31) - 1
LARGEST_STREAM: Final = (1 << 31) - 1


class ErrorCode(IntEnum):
    """RFC 9113, section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class FaultError(ProtocolError):
    """The peer broke a rule that ends the whole connection; `code` is what GOAWAY tells it."""

    def __init__(self, code: ErrorCode, what: str) -> None:
        super().__init__(f"the peer broke HTTP/2: {what} ({code.name})")
        self.code = code


def error_name(code: int) -> str:
    """The name of an error code, or its number when it has none."""
    return ErrorCode(code).name if code in ErrorCode.__members__.values() else f"error {code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a connection offers its peer.

    `stream_window` bounds the bytes of one stream that the application has not taken yet, `connection_window`
    those of all streams. `header_list` is grpc-go's own limit: trailers may hold a whole failed operation.
    """

    stream_window: int = 16 << 20
    connection_window: int = 256 << 20
    frame: int = 256 << 10
    header_list: int = 16 << 20
    streams: int = 1024


def pack(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    size = len(payload)
    return HEADER.pack(size >> 8, size & 255, kind, flags, stream) + payload


def pack_settings(settings: Iterable[tuple[int, int]]) -> bytes:
    return pack(SETTINGS, 0, 0, b"".join(SETTING.pack(key, value) for key, value in settings))


def pack_window_update(stream: int, increment: int) -> bytes:
    return pack(WINDOW_UPDATE, 0, stream, U32.pack(increment))


def pack_reset(stream: int, code: int) -> bytes:
    return pack(RST_STREAM, 0, stream, U32.pack(code))


def pack_goaway(last_stream: int, code: int, debug: bytes = b"") -> bytes:
    return pack(GOAWAY, 0, 0, U32.pack(last_stream) + U32.pack(code) + debug)


def pack_headers(stream: int, block: bytes, *, end_stream: bool, largest: int) -> bytes:
    """HEADERS, and CONTINUATION frames for what is beyond `largest` bytes."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= largest:
        return pack(HEADERS, flags | END_HEADERS, stream, block)
    parts = [pack(HEADERS, flags, stream, block[:largest])]
    for start in range(largest, len(block), largest):
        last = start + largest >= len(block)
        parts.append(pack(CONTINUATION, END_HEADERS if last else 0, stream, block[start : start + largest]))
    return b"".join(parts)
