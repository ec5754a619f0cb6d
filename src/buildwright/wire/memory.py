"""Two byte streams joined in memory: what one end writes the other reads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from buildwright.errors import ConnectionLostError
from buildwright.wire.stream import Buffer, ByteStream

CAPACITY: Final = 256 << 10


class Pipe:
    """One direction. At most `capacity` bytes (and the last write) wait in it."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held = bytearray()
        self.ended = False
        self.broken = False
        self._waiters: list[asyncio.Future[None]] = []

    def wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def cut(self) -> None:
        """Neither end can use it any more."""
        self.broken = True
        self.wake()


class MemoryStream:
    """One end of a pair."""

    def __init__(self, incoming: Pipe, outgoing: Pipe) -> None:
        self._in = incoming
        self._out = outgoing
        self._closed = False

    async def read(self, limit: int = 1 << 20, /) -> bytes:
        pipe = self._in
        while not pipe.held:
            self._require_open()
            if pipe.ended:
                return b""
            if pipe.broken:
                raise ConnectionLostError("the other end of the memory stream has been closed")
            await pipe.wait()
        self._require_open()
        data = bytes(pipe.held[:limit])
        del pipe.held[:limit]
        pipe.wake()
        return data

    async def write(self, data: Buffer, /) -> None:
        pipe = self._out
        self._require_open()
        if pipe.ended:
            raise ConnectionLostError("nothing can be written after close_write")
        if not pipe.broken:
            pipe.held += data
            pipe.wake()
        while len(pipe.held) > pipe.capacity and not pipe.broken:
            await pipe.wait()
            self._require_open()
        if pipe.broken:
            raise ConnectionLostError("the other end of the memory stream has been closed")

    async def close_write(self) -> None:
        self._out.ended = True
        self._out.wake()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._out.ended = True
            self._out.wake()
            self._in.cut()

    def _require_open(self) -> None:
        if self._closed:
            raise ConnectionLostError("the memory stream has been closed")


def memory_pair(capacity: int = CAPACITY) -> tuple[MemoryStream, MemoryStream]:
    """Two joined ends. A writer waits while more than `capacity` bytes are unread."""
    there, back = Pipe(capacity), Pipe(capacity)
    return MemoryStream(back, there), MemoryStream(there, back)


if TYPE_CHECKING:
    _: type[ByteStream] = MemoryStream
