"""Bytes to whole frames: the preface, sizes, padding, header blocks in one piece (RFC 9113, sections 3.4 and 4 to 6).

What a frame means is `connection`'s matter; here is all that can be judged by looking at frames alone.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from buildwright.wire.http2 import frames
from buildwright.wire.http2.frames import ErrorCode, FaultError, Limits

Frame: TypeAlias = tuple[int, int, int, memoryview, int]
"""Type, flags, stream, payload without padding and priority, and the size that counts for flow control."""

ANY: Final = range(frames.LARGEST_FRAME + 1)
ON_STREAM: Final = frozenset(
    {frames.DATA, frames.HEADERS, frames.PRIORITY, frames.RST_STREAM, frames.PUSH_PROMISE, frames.CONTINUATION}
)
ON_CONNECTION: Final = frozenset({frames.SETTINGS, frames.PING, frames.GOAWAY})
SIZES: Final[dict[int, Container[int]]] = {
    frames.DATA: ANY,
    frames.HEADERS: ANY,
    frames.PRIORITY: (5,),
    frames.RST_STREAM: (4,),
    frames.SETTINGS: range(0, frames.LARGEST_FRAME, 6),
    frames.PUSH_PROMISE: ANY,
    frames.PING: (8,),
    frames.GOAWAY: range(8, frames.LARGEST_FRAME + 1),
    frames.WINDOW_UPDATE: (4,),
    frames.CONTINUATION: ANY,
}
"""The types that exist, with the sizes that they may have. Frames of any other type are passed over."""


@dataclass(slots=True)
class HeaderBlock:
    """A header block whose CONTINUATION frames are still to come."""

    flags: int
    stream: int
    fragments: bytearray
    frames: int = 1


class FrameReader:
    """Cuts what arrives, in whatever pieces, into frames. After a FaultError it is of no more use."""

    def __init__(self, limits: Limits, preface: bytes) -> None:
        self.settled = False
        """The first frame, which must be SETTINGS, has arrived."""
        self._limits = limits
        self._preface = preface
        self._buffer = bytearray()
        self._needed = 0
        """How many bytes `_buffer` must hold before its first frame is whole."""
        self._block: HeaderBlock | None = None

    @property
    def midway(self) -> bool:
        """A frame, a header block or the preface has arrived in part."""
        return bool(self._buffer) or self._block is not None

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes; to be exhausted before the next call. FaultError for what is none."""
        buffer = self._buffer
        if buffer or self._preface:
            buffer += data
            if self._preface and not self._take_preface():
                return
            if len(buffer) < self._needed:
                return
            data = bytes(buffer)
            buffer.clear()
        self._needed = 0
        view, position, end = memoryview(data), 0, len(data)
        unpack, largest = frames.HEADER.unpack_from, self._limits.frame
        while end - position >= frames.HEADER_SIZE:
            high, low, kind, flags, number = unpack(data, position)
            size = high << 8 | low
            if size > largest:
                raise FaultError(ErrorCode.FRAME_SIZE_ERROR, _too_large(size, largest, data))
            start = position + frames.HEADER_SIZE
            if start + size > end:
                self._needed = start + size - position
                break
            position = start + size
            number &= frames.LARGEST_STREAM
            payload = view[start:position]
            if kind == frames.DATA and number and not flags & frames.PADDED and self._block is None and self.settled:
                yield kind, flags, number, payload, size
            else:
                frame = self._check(kind, flags, number, payload)
                if frame is not None:
                    yield frame
        if position < end:
            buffer += view[position:]

    def _take_preface(self) -> bool:
        buffer, preface = self._buffer, self._preface
        if not preface.startswith(buffer[: len(preface)]):
            raise FaultError(ErrorCode.PROTOCOL_ERROR, "it does not begin with the connection preface")
        if len(buffer) < len(preface):
            return False
        del buffer[: len(preface)]
        self._preface = b""
        return True

    def _check(self, kind: int, flags: int, number: int, payload: memoryview) -> Frame | None:
        """The frame as the connection shall see it; None when there is nothing for it to see (yet)."""
        if self._block is not None and (kind != frames.CONTINUATION or number != self._block.stream):
            raise FaultError(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted by another frame")
        if not self.settled:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise FaultError(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self.settled = True
        sizes = SIZES.get(kind)
        if sizes is None:
            return None
        if kind in (ON_CONNECTION if number else ON_STREAM):
            raise FaultError(ErrorCode.PROTOCOL_ERROR, f"frame type {kind} on stream {number}")
        size = len(payload)
        if size not in sizes:
            raise FaultError(ErrorCode.FRAME_SIZE_ERROR, f"frame type {kind} of {size} bytes")
        if kind == frames.CONTINUATION:
            return self._continue(flags, payload)
        if flags & frames.PADDED and kind in (frames.DATA, frames.HEADERS):
            if not payload or payload[0] >= size:
                raise FaultError(ErrorCode.PROTOCOL_ERROR, "padding longer than its frame")
            payload = payload[1 : size - payload[0]]
        if kind == frames.HEADERS:
            return self._begin(flags, number, payload)
        return kind, flags, number, payload, size

    def _begin(self, flags: int, number: int, payload: memoryview) -> Frame | None:
        if flags & frames.PRIORITIZED:
            if len(payload) < 5:
                raise FaultError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
            payload = payload[5:]
        if flags & frames.END_HEADERS:
            return frames.HEADERS, flags, number, payload, 0
        self._block = HeaderBlock(flags, number, bytearray(payload))
        return None

    def _continue(self, flags: int, payload: memoryview) -> Frame | None:
        block = self._block
        if block is None:
            raise FaultError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        block.fragments += payload
        block.frames += 1
        largest = self._limits.header_list
        if len(block.fragments) > largest or block.frames > 64 + largest // 4096:
            raise FaultError(ErrorCode.ENHANCE_YOUR_CALM, "a header block is larger than our limit")
        if not flags & frames.END_HEADERS:
            return None
        self._block = None
        return frames.HEADERS, block.flags, block.stream, memoryview(bytes(block.fragments)), 0


def _too_large(size: int, largest: int, data: bytes) -> str:
    """A peer that speaks something else is best told by its first bytes."""
    if data[:5] == b"HTTP/":
        return "it answers in HTTP/1"
    if data[:2] in (b"\x15\x03", b"\x16\x03"):
        return "it speaks TLS"
    return f"a frame of {size} bytes where {largest} are allowed"
