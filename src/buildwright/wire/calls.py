"""What calls have in common on both sides: messages out of a stream's bytes, messages into them, back-pressure."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final

from buildwright.errors import BuildwrightError, Code, RpcError
from buildwright.wire.http2.frames import ErrorCode
from buildwright.wire.http2.stream import Stream
from buildwright.wire.link import Link
from buildwright.wire.rpc import PREFIX
from buildwright.wire.stream import Buffer

HIGH_WATER: Final = 512 << 10
"""Unsent bytes of one call above which `send` waits."""
LARGEST_MESSAGE: Final = 16 << 20
"""What BuildKit's own clients and servers take."""
SMALL: Final = 8 << 10
"""A message up to this size is joined with its prefix: one piece costs less than the copy."""
HEAD: Final = Struct(">BI")


class StreamCall:
    """One call on one HTTP/2 stream. Its two sides are `channel.ChannelCall` and `serve.HandlerCall`."""

    def __init__(self, link: Link, stream: Stream, largest: int) -> None:
        self._link = link
        self._stream = stream
        self._largest = largest
        self._messages: deque[bytes] = deque()
        self._waiters: list[asyncio.Future[None]] = []
        self._failure: BuildwrightError | None = None
        self._prepaid = 0
        """Bytes of an incomplete message that the peer has been given room for already."""
        stream.owner = self

    # What the link says.

    def changed(self) -> None:
        self._wake()

    def drained(self) -> None:
        if self._waiters and self._stream.queued <= HIGH_WATER:
            self._wake()

    def fail(self, error: BuildwrightError) -> None:
        """The call is over. Messages that arrived before can still be received."""
        if self._failure is None:
            self._failure = error
        self._wake()

    # What the application does.

    async def receive(self) -> bytes | None:
        messages = self._messages
        if not messages and not await self._arrived():
            return None
        message = messages.popleft()
        self._take(len(message) + PREFIX)
        return message

    async def receive_many(self) -> Sequence[bytes]:
        if not self._messages and not await self._arrived():
            return ()
        messages = tuple(self._messages)
        self._messages.clear()
        self._take(sum(map(len, messages)) + PREFIX * len(messages))
        return messages

    async def send(self, message: Buffer, /) -> None:
        data = message if type(message) is bytes else bytes(message)
        head = HEAD.pack(0, len(data))
        self._queue((head + data,) if len(data) <= SMALL else (head, data))
        if self._stream.queued > HIGH_WATER:
            await self._drain()

    async def send_framed(self, chunks: Iterable[Buffer], /) -> None:
        self._queue([_as_bytes(chunk) for chunk in chunks])
        if self._stream.queued > HIGH_WATER:
            await self._drain()

    # Underneath.

    def _queue(self, chunks: Sequence[Buffer]) -> None:
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        self._link.connection.send_data(self._stream, chunks)
        self._link.wake()

    async def _drain(self) -> None:
        while self._stream.queued > HIGH_WATER and self._failure is None:
            await self._wait()
        if self._failure is not None:
            raise self._failure.with_traceback(None)

    async def _arrived(self) -> bool:
        """Wait for a message; False when the peer has ended its side well."""
        while True:
            self._split()
            if self._messages:
                return True
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            if self._over():
                return False
            self._prepay()
            await self._wait()

    def _over(self) -> bool:
        """The peer has ended its side well; raises when it has not ended well."""
        if self._stream.ended and self._stream.received:
            self._abort(Code.INTERNAL, "the peer ended the call in the middle of a message")
        return self._stream.ended

    def _split(self) -> None:
        """Cut whole messages out of what has arrived."""
        received = self._stream.received
        size = len(received)
        if size < PREFIX:
            return
        at, unpack, append = 0, HEAD.unpack_from, self._messages.append
        with memoryview(received) as view:
            while size - at >= PREFIX:
                compressed, length = unpack(received, at)
                if compressed or length > self._largest:
                    break
                stop = at + PREFIX + length
                if stop > size:
                    break
                append(bytes(view[at + PREFIX : stop]))
                at = stop
        if at:
            del received[:at]
        elif compressed:
            self._refuse_compressed(compressed)
        elif length > self._largest:
            self._abort(
                Code.RESOURCE_EXHAUSTED,
                f"the peer sent a message of {length} bytes where {self._largest} are allowed",
            )

    def _refuse_compressed(self, flag: int) -> None:
        self._abort(Code.INTERNAL, "the peer sent a compressed message although none was agreed on")

    def _abort(self, code: Code, message: str) -> None:
        """End the call because of what the peer sent, and raise that."""
        self.fail(RpcError(code, message))
        self._link.reset(self._stream, ErrorCode.CANCEL)
        raise RpcError(code, message)

    def _prepay(self) -> None:
        """Somebody waits for a message that has arrived in part, which may be larger than the window."""
        more = len(self._stream.received) - self._prepaid
        if more > 0:
            self._prepaid += more
            self._link.connection.consume(self._stream, more)
            self._link.wake()

    def _take(self, size: int) -> None:
        paid = min(size, self._prepaid)
        self._prepaid -= paid
        if size > paid:
            self._link.connection.consume(self._stream, size - paid)
            if self._link.connection.has_output:
                self._link.wake()

    def _discard(self) -> None:
        """Nobody will receive any more."""
        unread = sum(map(len, self._messages)) + PREFIX * len(self._messages) + len(self._stream.received)
        self._messages.clear()
        self._stream.received.clear()
        self._take(unread)

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

    def _wake(self) -> None:
        waiters = self._waiters
        if waiters:
            self._waiters = []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)


def _as_bytes(chunk: Buffer) -> Buffer:
    if type(chunk) is memoryview and chunk.itemsize != 1:
        return chunk.cast("B")
    return chunk
