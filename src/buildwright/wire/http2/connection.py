"""One end of an HTTP/2 connection: reads the peer's frames, keeps the streams, answers what needs an answer.

Nothing here does I/O. `receive` takes bytes and marks the streams that they changed; the owner of the connection
collects those with `take_changed`, lets their owners look at them, and writes what `take_output` returns. A
stream's data lies in `Stream.received` until its owner takes it and says so with `consume`: only then is the peer
given room for more, so unread bytes never exceed the windows in `Limits`.

A broken rule that concerns one stream resets that stream (`Stream.fault` says which rule). One that concerns the
connection queues GOAWAY and raises FaultError; after that the connection only has its last output to give.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from buildwright.wire.http2 import frames
from buildwright.wire.http2.allowance import Allowance
from buildwright.wire.http2.fields import (
    REQUEST,
    REQUIRED,
    RESPONSE,
    TRAILERS,
    Decompressor,
    Fields,
    flaw,
)
from buildwright.wire.http2.frames import ErrorCode, FaultError, Limits
from buildwright.wire.http2.outbox import Outbox
from buildwright.wire.http2.reader import FrameReader
from buildwright.wire.http2.stream import Stream
from buildwright.wire.stream import Buffer

WRITE: Final = 1 << 20
"""How much one `take_output` returns at most, about."""
CREDIT: Final = 1 << 20
"""Windows are given back in steps of this size (half the window when that is less)."""
REMEMBERED_RESETS: Final = 4096


@dataclass(frozen=True, slots=True)
class Goaway:
    """The peer takes no more streams; those above `last_stream` were not served."""

    last_stream: int
    code: int
    debug: str


class Connection:
    """Both roles; `client` says which. Output is ready at once: the preface and our settings."""

    def __init__(
        self, *, client: bool, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.client = client
        self.limits = limits = limits or Limits()
        self.streams: dict[int, Stream] = {}
        self.goaway: Goaway | None = None
        self.peer_streams = frames.LARGEST_STREAM
        """How many streams the peer lets us have open."""
        self.answers = 0
        """How many of our pings the peer has answered."""
        self._out = Outbox()
        self._fields = Decompressor(limits.header_list)
        self._allowance = Allowance(clock)
        self._reader = FrameReader(limits, b"" if client else frames.PREFACE)
        self._changed: list[Stream] = []
        self._next = 1 if client else 2
        self._highest = 0
        self._resets: dict[int, None] = {}
        self._broken = False
        self._leaving = False
        # Until the peer acknowledges our settings it may send by the protocol's own defaults.
        self._allowed_window = max(limits.stream_window, frames.DEFAULT_WINDOW)
        self._stream_step = max(1, min(CREDIT, limits.stream_window // 2))
        self._step = max(1, min(CREDIT, limits.connection_window // 2))
        self._window = max(limits.connection_window, frames.DEFAULT_WINDOW)
        self._credit = 0
        self._greet()

    def _greet(self) -> None:
        if self.client:
            self._out.put(frames.PREFACE)
        ours = [
            (frames.INITIAL_WINDOW_SIZE, self.limits.stream_window),
            (frames.MAX_FRAME_SIZE, self.limits.frame),
            (frames.MAX_HEADER_LIST_SIZE, self.limits.header_list),
        ]
        ours.append((frames.ENABLE_PUSH, 0) if self.client else (frames.MAX_CONCURRENT_STREAMS, self.limits.streams))
        self._out.put(frames.pack_settings(ours))
        if self.limits.connection_window > frames.DEFAULT_WINDOW:
            self._out.put(frames.pack_window_update(0, self.limits.connection_window - frames.DEFAULT_WINDOW))

    # What the owner does.

    @property
    def midway(self) -> bool:
        """A frame, a header block or the preface has arrived in part."""
        return self._reader.midway

    @property
    def settled(self) -> bool:
        """The peer's first SETTINGS have arrived."""
        return self._reader.settled

    @property
    def has_output(self) -> bool:
        return self._out.pending

    def take_output(self, limit: int = WRITE) -> bytes:
        """What to write now; b"" when there is nothing or the peer's windows are shut."""
        data = self._out.take(limit)
        self._reap()
        return data

    def take_sent(self) -> Sequence[Stream]:
        """The streams that gave data to the last `take_output`."""
        return self._out.sent

    def take_changed(self) -> Sequence[Stream]:
        """The streams that changed since the last call, those that the peer opened among them."""
        changed, self._changed = self._changed, []
        for stream in changed:
            stream.marked = False
        return changed

    def open(self, fields: Fields) -> Stream:
        """Start a stream (client only). FaultError never; the caller checks `can_open` before."""
        stream = self._add(self._next)
        self._next += 2
        self._out.headers(stream, fields)
        return stream

    @property
    def can_open(self) -> bool:
        """The peer would take one more stream now."""
        return len(self.streams) < self.peer_streams

    @property
    def exhausted(self) -> bool:
        """No stream can be opened any more on this connection."""
        return self.goaway is not None or self._leaving or self._broken or self._next > frames.LARGEST_STREAM

    # On a stream that has ended meanwhile these do nothing.

    def send_headers(self, stream: Stream, fields: Fields, *, end: bool = False) -> None:
        if stream.id in self.streams:
            self._out.headers(stream, fields, end=end)
            self._reap()

    def send_data(self, stream: Stream, chunks: Iterable[Buffer]) -> None:
        """Queue chunks as they are; they must not change until they are sent."""
        if stream.id in self.streams:
            self._out.data(stream, chunks)

    def send_end(self, stream: Stream, trailers: Fields = ()) -> None:
        """End our side after what is queued."""
        if stream.id in self.streams:
            self._out.end(stream, trailers)
            self._reap()

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """End a stream at once in both directions; no-op when it has ended already."""
        if stream.id in self.streams:
            stream.reset = code
            self._forget(stream, code)

    def consume(self, stream: Stream, size: int) -> None:
        """The application has taken `size` bytes of the stream: the peer may send as many more."""
        self._return(size)
        if stream.ended or stream.reset is not None:
            return
        stream.credit += size
        if stream.credit >= self._stream_step:
            self._out.put(frames.pack_window_update(stream.id, stream.credit))
            stream.receive_window += stream.credit
            stream.credit = 0

    def ping(self) -> None:
        self._out.put(frames.pack(frames.PING, 0, 0, bytes(8)))

    def leave(self, code: ErrorCode = ErrorCode.NO_ERROR, debug: str = "") -> None:
        """Tell the peer that no more streams are taken."""
        if not self._leaving or code:
            self._leaving = True
            self._out.put(frames.pack_goaway(0 if self.client else self._highest, code, debug.encode()))

    def receive(self, data: bytes) -> None:
        """Take in what the peer sent, in whatever pieces it arrived.

        Raises FaultError for a rule that ends the connection; what came before it still counts.
        """
        if self._broken:
            return
        try:
            self._take_in(data)
        except FaultError as fault:
            self._broken = True
            self.leave(fault.code, str(fault))
            raise

    # Frames.

    def _take_in(self, data: bytes) -> None:
        streams = self.streams
        for kind, flags, number, payload, flow in self._reader.feed(data):
            if kind == frames.DATA:
                stream = streams.get(number)
                if stream is not None and flow == len(payload) and flow and not stream.ended:
                    self._data(stream, payload, flow, flags)
                else:
                    self._odd_data(stream, number, payload, flow, flags)
            else:
                HANDLERS[kind](self, flags, number, payload)

    def _data(self, stream: Stream, payload: memoryview, flow: int, flags: int) -> None:
        """`flow` counts for the windows: the payload with its padding."""
        stream.receive_window -= flow
        self._window -= flow
        if self._window < 0:
            raise FaultError(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window")
        if stream.receive_window < 0:
            self._return(flow)
            self._break(stream, ErrorCode.FLOW_CONTROL_ERROR, "more data than the stream's window")
            return
        if stream.headers is None:
            self._return(flow)
            self._break(stream, ErrorCode.PROTOCOL_ERROR, "data before the headers")
            return
        stream.received += payload
        if flags & frames.END_STREAM:
            stream.ended = True
            self._settle(stream)
        if not stream.marked:
            stream.marked = True
            self._changed.append(stream)

    def _odd_data(self, stream: Stream | None, number: int, payload: memoryview, flow: int, flags: int) -> None:
        """DATA that is empty, padded or late."""
        if stream is None:
            self._require_known(number, "DATA")
            self._pass_over(flow)
            self._stray(number)
        elif stream.ended:
            self._pass_over(flow)
            self._break(stream, ErrorCode.STREAM_CLOSED, "data after the end of the stream")
        else:
            if not payload and not flags & frames.END_STREAM:
                self._allowance.spend()
            self._data(stream, payload, flow, flags)
            if stream.reset is None:
                # Padding takes room in the windows, which nobody but us can give back.
                self.consume(stream, flow - len(payload))

    def _on_headers(self, flags: int, number: int, payload: memoryview) -> None:
        # A block must be decoded whatever becomes of it: the state of the compression is the connection's.
        fields = self._fields.decode(bytes(payload))
        end = bool(flags & frames.END_STREAM)
        stream = self.streams.get(number)
        if stream is None and not self.client and number > self._highest:
            self._accept(number, fields, end)
        elif stream is None:
            self._require_known(number, "HEADERS")
            self._stray(number)
        elif stream.ended:
            self._break(stream, ErrorCode.STREAM_CLOSED, "headers after the end of the stream")
        elif stream.headers is None:
            self._answered(stream, fields, end)
        elif not end:
            self._break(stream, ErrorCode.PROTOCOL_ERROR, "trailers that do not end the stream")
        elif reason := flaw(fields, TRAILERS, TRAILERS):
            self._break(stream, ErrorCode.PROTOCOL_ERROR, reason)
        else:
            stream.trailers = fields
            stream.ended = True
            self._settle(stream)
            self._mark(stream)

    def _accept(self, number: int, fields: Fields, end: bool) -> None:
        """A request opens a stream."""
        if not number & 1:
            raise FaultError(ErrorCode.PROTOCOL_ERROR, f"a client opened stream {number}")
        self._highest = number
        if self._leaving:
            self._remember(number)
            return
        stream = self._add(number)
        if len(self.streams) > self.limits.streams:
            self._break(stream, ErrorCode.REFUSED_STREAM, "too many streams at once")
        elif reason := flaw(fields, REQUEST, REQUIRED):
            self._break(stream, ErrorCode.PROTOCOL_ERROR, reason)
        else:
            stream.headers = fields
            stream.ended = end
            self._mark(stream)

    def _answered(self, stream: Stream, fields: Fields, end: bool) -> None:
        """The response's headers; informational ones (1xx) are passed over."""
        if reason := flaw(fields, RESPONSE, RESPONSE):
            self._break(stream, ErrorCode.PROTOCOL_ERROR, reason)
            return
        if fields[0][1].startswith("1") and not end:
            return
        stream.headers = fields
        if end:
            stream.ended = True
            self._settle(stream)
        self._mark(stream)

    def _on_reset(self, flags: int, number: int, payload: memoryview) -> None:
        stream = self.streams.get(number)
        if stream is None:
            self._require_known(number, "RST_STREAM")
            return
        if not self.client:
            self._allowance.spend()
        stream.reset = frames.U32.unpack(payload)[0]
        self._forget(stream, None)
        self._mark(stream)

    def _on_settings(self, flags: int, number: int, payload: memoryview) -> None:
        if flags & frames.ACK:
            if payload:
                raise FaultError(ErrorCode.FRAME_SIZE_ERROR, "a SETTINGS acknowledgement with content")
            self._narrow()
            return
        for key, value in frames.SETTING.iter_unpack(payload):
            low, high, code = RANGES.get(key, ANY_VALUE)
            if not low <= value <= high or (self.client and key == frames.ENABLE_PUSH and value):
                raise FaultError(code, f"the setting {key} is {value}")
            if key == frames.HEADER_TABLE_SIZE:
                self._out.compressor.resize(value)
            elif key == frames.MAX_CONCURRENT_STREAMS:
                self.peer_streams = value
            elif key == frames.MAX_FRAME_SIZE:
                self._out.largest = value
            elif key == frames.INITIAL_WINDOW_SIZE:
                self._change_windows(value)
        self._out.answer(frames.pack(frames.SETTINGS, frames.ACK, 0))

    def _narrow(self) -> None:
        """The peer now keeps to our own stream window, which may be less than the protocol's default."""
        change = self.limits.stream_window - self._allowed_window
        self._allowed_window = self.limits.stream_window
        for stream in self.streams.values():
            stream.receive_window += change

    def _change_windows(self, value: int) -> None:
        """The peer's stream window, of open streams too: theirs may become negative (RFC 9113, 6.9.2)."""
        change = value - self._out.initial_window
        self._out.initial_window = value
        for stream in self.streams.values():
            stream.send_window += change
            if stream.send_window > frames.LARGEST_WINDOW:
                raise FaultError(ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS overflow a stream's window")
            self._out.schedule(stream)

    def _on_ping(self, flags: int, number: int, payload: memoryview) -> None:
        if flags & frames.ACK:
            self.answers += 1
        else:
            self._out.answer(frames.pack(frames.PING, frames.ACK, 0, bytes(payload)))

    def _on_goaway(self, flags: int, number: int, payload: memoryview) -> None:
        last = frames.U32.unpack_from(payload)[0] & frames.LARGEST_STREAM
        code = frames.U32.unpack_from(payload, 4)[0]
        self.goaway = Goaway(last, code, bytes(payload[8:]).decode("utf-8", "replace"))
        if self.client:
            for stream in [s for s in self.streams.values() if s.id > last]:
                stream.reset = ErrorCode.REFUSED_STREAM
                self._forget(stream, None)
                self._mark(stream)

    def _on_window_update(self, flags: int, number: int, payload: memoryview) -> None:
        increment = frames.U32.unpack(payload)[0] & frames.LARGEST_WINDOW
        if not number:
            self._out.window += increment
            if not increment or self._out.window > frames.LARGEST_WINDOW:
                code = ErrorCode.FLOW_CONTROL_ERROR if increment else ErrorCode.PROTOCOL_ERROR
                raise FaultError(code, f"WINDOW_UPDATE by {increment} on the connection")
            return
        stream = self.streams.get(number)
        if stream is None:
            self._require_known(number, "WINDOW_UPDATE")
        elif not increment:
            self._break(stream, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
        else:
            stream.send_window += increment
            if stream.send_window > frames.LARGEST_WINDOW:
                self._break(stream, ErrorCode.FLOW_CONTROL_ERROR, "WINDOW_UPDATE overflows the window")
            else:
                self._out.schedule(stream)

    def _on_push(self, flags: int, number: int, payload: memoryview) -> None:
        raise FaultError(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE, which we have switched off")

    def _on_priority(self, flags: int, number: int, payload: memoryview) -> None:
        """Deprecated (RFC 9113, 5.3.2): its size is checked, its content means nothing."""

    # Streams.

    def _add(self, number: int) -> Stream:
        stream = Stream(number, send_window=self._out.initial_window, receive_window=self._allowed_window)
        self.streams[number] = stream
        return stream

    def _mark(self, stream: Stream) -> None:
        if not stream.marked:
            stream.marked = True
            self._changed.append(stream)

    def _settle(self, stream: Stream) -> None:
        """The peer has ended its side. A client has no more to say then; a server may still answer."""
        if stream.sent_end:
            self.streams.pop(stream.id, None)
        elif self.client:
            self._forget(stream, ErrorCode.NO_ERROR)

    def _reap(self) -> None:
        """Our side of some streams has ended. Once a server has answered, the rest of the request is not wanted."""
        while self._out.finished:
            stream = self._out.finished.pop()
            if stream.id not in self.streams:
                continue
            if stream.ended:
                del self.streams[stream.id]
            elif not self.client:
                self._forget(stream, ErrorCode.NO_ERROR)

    def _forget(self, stream: Stream, code: ErrorCode | None) -> None:
        """Drop a stream; with a code, tell the peer so. What it received stays for its owner to take."""
        self._out.drop(stream)
        self.streams.pop(stream.id, None)
        if code is not None:
            self._remember(stream.id)
            self._out.put(frames.pack_reset(stream.id, code))

    def _remember(self, number: int) -> None:
        """Frames that were on their way to a stream when we reset it are no fault of the peer's."""
        self._resets[number] = None
        if len(self._resets) > REMEMBERED_RESETS:
            del self._resets[next(iter(self._resets))]

    def _break(self, stream: Stream, code: ErrorCode, reason: str) -> None:
        """The peer broke a rule that concerns one stream only."""
        self._allowance.spend()
        stream.reset = code
        stream.fault = reason
        self._out.drop(stream)
        self.streams.pop(stream.id, None)
        self._remember(stream.id)
        self._out.answer(frames.pack_reset(stream.id, code))
        self._mark(stream)

    def _require_known(self, number: int, what: str) -> None:
        """A frame for a stream that is not open: fine when it was open once, a fault when it is idle."""
        ours = bool(number & 1) == self.client
        if not ours and self.client:
            raise FaultError(ErrorCode.PROTOCOL_ERROR, f"{what} on stream {number}, which a server cannot open")
        known = number < self._next if ours else number <= self._highest
        if not known:
            raise FaultError(ErrorCode.PROTOCOL_ERROR, f"{what} on idle stream {number}")

    def _stray(self, number: int) -> None:
        """DATA or HEADERS for a closed stream."""
        if number not in self._resets:
            self._allowance.spend()
            self._remember(number)
            self._out.answer(frames.pack_reset(number, ErrorCode.STREAM_CLOSED))

    def _return(self, size: int) -> None:
        """Room in the connection's window."""
        self._credit += size
        if self._credit >= self._step:
            self._out.put(frames.pack_window_update(0, self._credit))
            self._window += self._credit
            self._credit = 0

    def _pass_over(self, size: int) -> None:
        """Data that nobody will take: it counts against the connection's window all the same."""
        self._window -= size
        if self._window < 0:
            raise FaultError(ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window")
        self._return(size)


HANDLERS: Final[dict[int, Callable[[Connection, int, int, memoryview], None]]] = {
    frames.HEADERS: Connection._on_headers,
    frames.PRIORITY: Connection._on_priority,
    frames.RST_STREAM: Connection._on_reset,
    frames.SETTINGS: Connection._on_settings,
    frames.PUSH_PROMISE: Connection._on_push,
    frames.PING: Connection._on_ping,
    frames.GOAWAY: Connection._on_goaway,
    frames.WINDOW_UPDATE: Connection._on_window_update,
}
ANY_VALUE: Final = (0, (1 << 32) - 1, ErrorCode.PROTOCOL_ERROR)
RANGES: Final = {
    frames.ENABLE_PUSH: (0, 1, ErrorCode.PROTOCOL_ERROR),
    frames.INITIAL_WINDOW_SIZE: (0, frames.LARGEST_WINDOW, ErrorCode.FLOW_CONTROL_ERROR),
    frames.MAX_FRAME_SIZE: (frames.DEFAULT_FRAME, frames.LARGEST_FRAME, ErrorCode.PROTOCOL_ERROR),
}
"""What a setting may be, and the error when it is not (RFC 9113, 6.5.2)."""
