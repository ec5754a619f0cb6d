"""A byte stream inside a gRPC call: BuildKit's Control/Session, each `BytesMessage` a slice of the stream.

moby.buildkit.v1 `message BytesMessage { bytes data = 1; }`. The messages are packed and parsed by hand: a generated
class would copy every byte of a build context once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from buildwright.errors import BuildwrightError, ConnectionLostError, ProtocolError, RpcError
from buildwright.wire.rpc import Call, ClientCall
from buildwright.wire.stream import Buffer, ByteStream

LARGEST: Final = 1 << 20
"""Bytes of data in one message."""
DATA: Final = 0x0A
"""Key of field 1, length-delimited."""


class TunnelStream:
    """A byte stream over an open call of BytesMessages. It does not end the call, except as `close_write` says.

    `half_close` ends our side of the call and `cancel` the whole of it; a server has neither, its handler returns.
    """

    def __init__(
        self,
        call: Call,
        *,
        half_close: Callable[[], Awaitable[None]] | None = None,
        cancel: Callable[[], None] | None = None,
    ) -> None:
        self._call = call
        self._half_close = half_close
        self._cancel = cancel
        self._rest: Buffer = b""
        self._ended = False
        self._closed = False

    async def read(self, limit: int = 1 << 20, /) -> bytes:
        while not self._rest:
            self._require_open()
            try:
                messages = await self._call.receive_many()
            except RpcError as error:
                raise ConnectionLostError(f"the tunnel's call ended: {error}") from error
            if not messages:
                return b""
            self._rest = join(messages)
        self._require_open()
        rest = self._rest
        if len(rest) <= limit:
            self._rest = b""
            return bytes(rest)
        self._rest = memoryview(rest)[limit:]
        return bytes(memoryview(rest)[:limit])

    async def write(self, data: Buffer, /) -> None:
        self._require_open()
        if self._ended:
            raise ConnectionLostError("nothing can be written to a tunnel after close_write")
        if type(data) is not bytes:
            # The call sends the bytes later, when the caller may have written over them.
            data = bytes(data)
        try:
            if len(data) <= LARGEST:
                if data:
                    await self._call.send_framed((head(len(data)), data))
                return
            view = memoryview(data)
            for start in range(0, len(view), LARGEST):
                piece = view[start : start + LARGEST]
                await self._call.send_framed((head(len(piece)), piece))
        except RpcError as error:
            raise ConnectionLostError(f"the tunnel's call ended: {error}") from error

    async def close_write(self) -> None:
        if not self._ended and not self._closed:
            self._ended = True
            if self._half_close is not None:
                try:
                    await self._half_close()
                except BuildwrightError:
                    # The call has ended already; the next read says how.
                    pass

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            if self._cancel is not None:
                self._cancel()

    def _require_open(self) -> None:
        if self._closed:
            raise ConnectionLostError("the tunnel has been closed")


def client_tunnel(call: ClientCall) -> TunnelStream:
    """A tunnel over a call that we opened: `close_write` half-closes the call, `aclose` cancels it."""
    return TunnelStream(call, half_close=call.half_close, cancel=call.cancel)


def head(size: int) -> bytes:
    """What stands before `size` bytes of data: the gRPC prefix, the field's key and its length."""
    length = bytearray()
    rest = size
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    length.append(rest)
    return b"\0" + (size + 1 + len(length)).to_bytes(4, "big") + bytes((DATA,)) + length


def join(messages: Sequence[bytes]) -> bytes:
    """The data of all messages; ProtocolError for one that is no BytesMessage."""
    parts: list[Buffer] = []
    for message in messages:
        size = len(message)
        at = 0
        while at < size:
            key, at = _varint(message, at)
            kind = key & 7
            if kind == 0:
                _, at = _varint(message, at)
                continue
            if kind == 2:
                length, at = _varint(message, at)
            elif kind in (1, 5):
                length = 8 if kind == 1 else 4
            else:
                raise ProtocolError(f"the tunnel's peer sent a message with the wire type {kind}")
            if at + length > size:
                raise ProtocolError("the tunnel's peer sent a message that is cut short")
            if key == DATA:
                parts.append(memoryview(message)[at : at + length])
            at += length
    return b"".join(parts)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if at >= len(message):
            raise ProtocolError("the tunnel's peer sent a message that is cut short")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ProtocolError("the tunnel's peer sent a number of more than ten bytes")


if TYPE_CHECKING:
    _: type[ByteStream] = TunnelStream
