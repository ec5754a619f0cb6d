"""The client's side of a WebSocket (RFC 6455) on a connection that has been upgraded, for binary messages."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections import deque
from collections.abc import Mapping

from buildwright.wire.stream import Buffer

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FINAL, _MASKED, _RESERVED = 0x80, 0x80, 0x70
_NORMAL = (1000).to_bytes(2)
_ACCEPT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LARGEST = 64 << 20
_LARGEST_CONTROL = 125
_PIECE = 1 << 18
_MOST_UNSENT, _LEAST_UNSENT = 1 << 20, 1 << 18
_LITTLE = 32 << 10
"""Bytes up to which masking by Python's integers costs less than loading the library that is faster."""


class EndedError(ConnectionError):
    """The connection is of no use any more; its text says what the peer did."""


def offer(protocols: tuple[str, ...]) -> dict[str, str]:
    """The header fields that ask for an upgrade."""
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": ", ".join(protocols),
    }


def accepted(asked: Mapping[str, str], told: Mapping[str, str]) -> str:
    """The protocol that the server chose, "" for none; `told` has its fields' names in lower case.

    Raises ValueError when what it says is no answer to `asked`.
    """
    options = {option.strip() for option in told.get("connection", "").lower().split(",")}
    switched = "upgrade" in options and told.get("upgrade", "").lower() == "websocket"
    key = hashlib.sha1((asked["Sec-WebSocket-Key"] + _ACCEPT).encode(), usedforsecurity=False).digest()
    if not switched or told.get("sec-websocket-accept") != base64.b64encode(key).decode():
        raise ValueError("it does not know WebSocket")
    if extensions := told.get("sec-websocket-extensions", ""):
        raise ValueError(f"it uses the extension {extensions}, which was not offered")
    chosen = told.get("sec-websocket-protocol", "")
    if chosen and chosen not in asked["Sec-WebSocket-Protocol"].split(", "):
        raise ValueError(f"it chose the protocol {chosen}, which was not asked for")
    return chosen


class WebSocket:
    """One task may receive while others send; the receiver answers pings and hears of pongs.

    `transport` is the connection's. Every failure is an EndedError.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: str = "") -> None:
        self.protocol = protocol
        self.transport = writer.transport
        self.transport.set_write_buffer_limits(_MOST_UNSENT, _LEAST_UNSENT)
        self._reader = reader
        self._writer = writer
        self._frames = Frames()
        self._pings: deque[asyncio.Future[None]] = deque()
        self._closing = False

    async def receive(self) -> bytes:
        """The next message."""
        try:
            while (message := self._next()) is None:
                data = await self._reader.read(_PIECE)
                if not data:
                    raise EndedError("it closed the connection")
                self._frames.feed(data)
            return message
        except EndedError as error:
            self._fail_pings(error)
            raise
        except OSError as error:
            ended = EndedError(_lost(error))
            self._fail_pings(ended)
            raise ended from error

    def _fail_pings(self, error: EndedError) -> None:
        while self._pings:
            if not (waiting := self._pings.popleft()).done():
                waiting.set_exception(error)
                waiting.exception()  # whoever asked may be gone

    def _next(self) -> bytes | None:
        """A message that is there; control frames before it are dealt with."""
        while (frame := self._frames.next()) is not None:
            kind, payload = frame
            if kind == _BINARY:
                return payload
            if kind == _PING and not self._closing:
                self._write(_PONG, payload)
            elif kind == _PONG and self._pings:
                waiting = self._pings.popleft()
                if not waiting.done():
                    waiting.set_result(None)
            elif kind == _CLOSE:
                if not self._closing:
                    self._closing = True
                    self._write(_CLOSE, payload[:2] if len(payload) > 1 else b"")
                said = payload[2:].decode(errors="replace")
                raise EndedError("it ended the stream" + (f": {said}" if said else ""))
        return None

    async def send(self, message: Buffer) -> None:
        """Write one message, and wait while the peer takes too little."""
        self._write(_BINARY, message)
        await self._drain()

    async def ping(self) -> None:
        """Wait for an answer of the peer; a ping and a receiver that hears of it are needed for that."""
        answered = asyncio.get_running_loop().create_future()
        self._pings.append(answered)
        self._write(_PING, b"")
        await self._drain()
        await answered

    async def close(self) -> None:
        """Say goodbye and wait for the peer's; nobody may receive any more. Its end is the caller's `transport`."""
        if not self._closing:
            self._closing = True
            self._write(_CLOSE, _NORMAL)
        try:
            while True:
                await self.receive()
        except EndedError:
            pass

    def _write(self, kind: int, payload: Buffer) -> None:
        if self.transport.is_closing() or (self._closing and kind != _CLOSE):
            raise EndedError("the connection is closed")
        # Not by writelines, which knows no flow control in some releases of Python (CVE-2024-12254).
        for part in frame(kind, payload):
            self._writer.write(part)

    async def _drain(self) -> None:
        try:
            await self._writer.drain()
        except OSError as error:
            raise EndedError(_lost(error)) from error


class Frames:
    """What arrives, as frames; without I/O. Fragments of a message are put together."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._begin = 0
        """Where in `_data` the next frame begins."""
        self._fragments: list[bytes] = []
        self._size = 0
        """Bytes in `_fragments`, and one for each."""

    def feed(self, data: bytes) -> None:
        if self._begin:
            del self._data[: self._begin]
            self._begin = 0
        self._data += data

    def next(self) -> tuple[int, bytes] | None:
        """Opcode and payload of what is complete, None when more is needed; EndedError for what no server sends."""
        while (found := self._frame()) is not None:
            first, payload = found
            kind = first & 0xF
            if kind in (_CLOSE, _PING, _PONG) and first & _FINAL and len(payload) <= _LARGEST_CONTROL:
                return kind, payload
            if kind not in (_BINARY, _TEXT, _CONTINUATION) or (kind == _CONTINUATION) != bool(self._fragments):
                raise EndedError("it sends frames that are no WebSocket's")
            if first & _FINAL and not self._fragments:
                return _BINARY, payload
            self._fragments.append(payload)
            self._size += len(payload) + 1
            if self._size > _LARGEST:
                raise EndedError("it sends a message that is too long")
            if first & _FINAL:
                whole = b"".join(self._fragments)
                self._fragments.clear()
                self._size = 0
                return _BINARY, whole
        return None

    def _frame(self) -> tuple[int, bytes] | None:
        """The first byte and the payload of the next frame."""
        data, at = self._data, self._begin
        if len(data) - at < 2:
            return None
        first, size = data[at], data[at + 1]
        if first & _RESERVED or size & _MASKED:
            raise EndedError("it sends frames that are no WebSocket's")
        at += 2
        if size > 125:
            more = 2 if size == 126 else 8
            if len(data) - at < more:
                return None
            size = int.from_bytes(data[at : at + more])
            at += more
        if size > _LARGEST:
            raise EndedError("it sends a message that is too long")
        if len(data) - at < size:
            return None
        self._begin = at + size
        with memoryview(data) as view:
            return first, bytes(view[at : at + size])


def frame(kind: int, payload: Buffer) -> tuple[bytes, ...]:
    """A whole message, or control frame, as a client sends it; a large one in two parts, to spare a copy."""
    size = len(payload)
    if size < 126:
        length = bytes((_MASKED | size,))
    elif size < 1 << 16:
        length = bytes((_MASKED | 126,)) + size.to_bytes(2)
    else:
        length = bytes((_MASKED | 127,)) + size.to_bytes(8)
    key = os.urandom(4)
    head, masked = b"".join((bytes((_FINAL | kind,)), length, key)), _masked(payload, key)
    return (head, masked) if size > _LITTLE else (head + masked,)


def _masked(data: Buffer, key: bytes) -> bytes:
    size = len(data)
    if size > _LITTLE:
        try:
            from websockets.speedups import apply_mask
        except ImportError:
            from websockets.utils import apply_mask

        return apply_mask(data, key)
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data) ^ int.from_bytes(mask)).to_bytes(size)


def _lost(error: OSError) -> str:
    return error.strerror or " ".join(str(error).split()) or type(error).__name__
