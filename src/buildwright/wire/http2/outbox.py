"""What waits to be sent: control frames at once, the streams' data in turn, as far as the peer's windows allow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from buildwright.wire.http2 import frames
from buildwright.wire.http2.fields import Compressor, Fields
from buildwright.wire.http2.frames import ErrorCode, FaultError
from buildwright.wire.http2.stream import Stream
from buildwright.wire.stream import Buffer

TURN: Final = 128 << 10
"""How much one stream sends before the next one has its turn."""
UNSENT_ANSWERS: Final = 2000
"""Answers to SETTINGS, PING and broken streams that may wait; a peer that makes more of them is flooding us."""


class Outbox:
    """Frames in the order in which they go out. `take` is the only exit."""

    def __init__(self) -> None:
        self.window = frames.DEFAULT_WINDOW
        self.initial_window = frames.DEFAULT_WINDOW
        self.largest = frames.DEFAULT_FRAME
        self.compressor = Compressor()
        self.finished: list[Stream] = []
        """Streams whose END_STREAM went out since the connection last looked."""
        self.sent: list[Stream] = []
        """Streams that gave data to the last `take`."""
        self._control: list[Buffer] = []
        self._answers = 0
        self._round: deque[Stream] = deque()

    def put(self, packed: bytes) -> None:
        """A control frame."""
        self._control.append(packed)

    def answer(self, packed: bytes) -> None:
        """A control frame that the peer provoked."""
        self._control.append(packed)
        self._answers += 1
        if self._answers > UNSENT_ANSWERS:
            raise FaultError(ErrorCode.ENHANCE_YOUR_CALM, "it floods us with frames that ask for an answer")

    def headers(self, stream: Stream, fields: Fields, *, end: bool = False) -> None:
        block = self.compressor.encode(fields)
        self._control.append(frames.pack_headers(stream.id, block, end_stream=end, largest=self.largest))
        if end:
            self._finish(stream)

    def data(self, stream: Stream, chunks: Iterable[Buffer]) -> None:
        """Queue chunks as they are; they must not change until they are sent."""
        new = tuple(chunks)
        stream.outgoing.extend(new)
        stream.queued += sum(map(len, new))
        if not stream.ready:
            self.schedule(stream)

    def end(self, stream: Stream, trailers: Fields) -> None:
        """End our side after what is queued, with trailers or (when there are none) with END_STREAM alone."""
        stream.closing = trailers
        if not stream.queued:
            self._emit_end(stream, self._control)

    def drop(self, stream: Stream) -> None:
        """Forget what a stream still wanted to send."""
        stream.outgoing.clear()
        stream.offset = stream.queued = 0

    def schedule(self, stream: Stream) -> None:
        """Give the stream its place in the round if it may send."""
        if stream.queued and stream.send_window > 0 and not stream.ready:
            stream.ready = True
            self._round.append(stream)

    @property
    def pending(self) -> bool:
        """`take` would return something."""
        return bool(self._control) or (self.window > 0 and bool(self._round))

    def take(self, limit: int) -> bytes:
        """Everything that may go out now, up to about `limit` bytes, in one piece."""
        parts = self._control
        self._control = []
        self._answers = 0
        self.sent = []
        size = 0
        while self._round and self.window > 0 and size < limit:
            stream = self._round.popleft()
            stream.ready = False
            if stream.queued and stream.send_window > 0:
                size += self._emit(stream, parts, limit - size)
                self.sent.append(stream)
                self.schedule(stream)
        if len(parts) == 1 and isinstance(parts[0], bytes):
            return parts[0]
        return b"".join(parts)

    def _emit(self, stream: Stream, parts: list[Buffer], limit: int) -> int:
        """DATA frames of one stream's turn, as slices behind headers; returns how many bytes of data they hold."""
        total = min(stream.queued, stream.send_window, self.window, TURN, limit)
        self.window -= total
        stream.send_window -= total
        stream.queued -= total
        outgoing, largest, pack = stream.outgoing, self.largest, frames.HEADER.pack
        ending = stream.closing is not None and not stream.closing and not stream.queued
        offset, left = stream.offset, total
        while left:
            size = min(largest, left)
            left -= size
            flags = frames.END_STREAM if ending and not left else 0
            parts.append(pack(size >> 8, size & 255, frames.DATA, flags, stream.id))
            while size:
                chunk = outgoing[0]
                rest = len(chunk) - offset
                if rest > size:
                    if type(chunk) is not memoryview:
                        chunk = outgoing[0] = memoryview(chunk)
                    parts.append(chunk[offset : offset + size])
                    offset += size
                    break
                parts.append(memoryview(chunk)[offset:] if offset else chunk)
                outgoing.popleft()
                offset = 0
                size -= rest
        stream.offset = offset
        if ending:
            self._finish(stream)
        elif stream.closing is not None and not stream.queued:
            self._emit_end(stream, parts)
        return total

    def _emit_end(self, stream: Stream, parts: list[Buffer]) -> None:
        if stream.closing:
            block = self.compressor.encode(stream.closing)
            parts.append(frames.pack_headers(stream.id, block, end_stream=True, largest=self.largest))
        else:
            parts.append(frames.pack(frames.DATA, frames.END_STREAM, stream.id))
        self._finish(stream)

    def _finish(self, stream: Stream) -> None:
        stream.sent_end = True
        self.finished.append(stream)
