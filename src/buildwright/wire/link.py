"""An HTTP/2 connection on a byte stream: one task reads, one task writes, and calls hang on its streams.

A turn of the loop: the reader takes in all that the byte stream has, the calls that it concerns wake up and answer,
and the writer sends all their answers in one write. No task and no timer belongs to a single frame or message.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Final, Protocol

from buildwright.errors import BuildwrightError, ConnectionLostError
from buildwright.wire.http2.connection import Connection
from buildwright.wire.http2.frames import ErrorCode, FaultError, Limits, error_name
from buildwright.wire.http2.stream import Stream
from buildwright.wire.stream import ByteStream

READ: Final = 1 << 20
FAREWELL: Final = 1.0
"""Seconds that the last frames may take to go out when a link is closed."""
FREE_PINGS: Final = 3
"""How many pings grpc-go takes between two things that it says (its maxPingStrikes, and one); it ends the connection
at the next that comes within minutes."""
RARELY: Final = 12
"""How many times the usual interval passes before a ping that may be one too many."""


@cache
def steady_heap() -> None:
    """Have the C library keep memory that buffers free, once per process.

    Every write is a new buffer of about 1 MiB. glibc maps and unmaps blocks of that size, or trims its heap after
    each: up to a hundred thousand page faults for 1 GiB, as much time as all our own code takes. It raises both
    limits when it frees one larger mapped block; nothing ever touches the pages of this one.
    """
    bytes(16 << 20)


class Side(Protocol):
    """What the two roles do differently when something happens on the link."""

    def accepted(self, stream: Stream) -> None:
        """The peer opened a stream."""
        ...

    def advanced(self) -> None:
        """The peer's frames have been taken in; limits may have changed, streams may have ended."""
        ...

    def lost(self, error: BuildwrightError) -> None:
        """The connection is over; said once."""
        ...


class Link:
    """Runs one `http2.Connection` on one ByteStream, which it closes in the end.

    `error` is None while the connection lives, then what ended it, and `over` is set. An orderly end by the peer is
    a ConnectionLostError too; `clean` tells it apart.
    """

    def __init__(
        self, stream: ByteStream, side: Side, *, client: bool, limits: Limits, keepalive: float | None, peer: str
    ) -> None:
        self.connection = Connection(client=client, limits=limits)
        self.error: BuildwrightError | None = None
        self.clean = False
        self.over = asyncio.Event()
        self._stream = stream
        self._side = side
        self._keepalive = keepalive
        self._ping_after: float | None = getattr(stream, "ping_after", None)
        self._peer = peer
        self._asleep: asyncio.Future[None] | None = None
        self._closing = False
        self._heard = 0.0
        self._pings = 0
        """How many there were since the peer last said anything but that it lives."""
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, group: asyncio.TaskGroup) -> None:
        """Run the link's tasks in `group`; they end with `close` and never fail."""
        steady_heap()
        self._tasks = [group.create_task(self._read()), group.create_task(self._write())]
        if self._ping_after is not None:
            self._tasks.append(group.create_task(self._ask(self._ping_after)))
        elif self._keepalive is not None:
            self._tasks.append(group.create_task(self._watch(self._keepalive)))

    def wake(self) -> None:
        """There is something to write."""
        if self._asleep is not None and not self._asleep.done():
            self._asleep.set_result(None)

    def fail(self, error: BuildwrightError) -> None:
        """The connection is over: every call on it ends with `error`."""
        if self.error is None:
            self.error = error
            self.over.set()
            self._side.lost(error)

    async def close(self) -> None:
        """Say good-bye as far as the peer takes it, then release everything. Never raises."""
        self.connection.leave()
        self._closing = True
        self.wake()
        try:
            writer = self._tasks[1:2]
            if writer and not writer[0].done():
                await asyncio.wait(writer, timeout=FAREWELL)
        finally:
            self.fail(ConnectionLostError(f"the connection to {self._peer} has been closed"))
            for task in self._tasks:
                task.cancel()
            await self._stream.aclose()

    async def _read(self) -> None:
        connection, stream = self.connection, self._stream
        clock = asyncio.get_running_loop().time
        try:
            while data := await stream.read(READ):
                self._heard = clock()
                answers = connection.answers
                try:
                    connection.receive(data)
                finally:
                    self._deliver()
                if connection.answers == answers:
                    self._pings = 0
                # Whoever has just been woken takes its messages before the next ones come in.
                await asyncio.sleep(0)
            self.clean = not connection.midway
            self.fail(self._ended())
        except FaultError as fault:
            self.fail(fault)
            self._closing = True
        except BuildwrightError as error:
            self.fail(error)
        self.wake()

    def _deliver(self) -> None:
        for stream in self.connection.take_changed():
            if stream.owner is not None:
                stream.owner.changed()
            elif stream.headers is not None and stream.reset is None:
                self._side.accepted(stream)
            else:
                self.discard(stream)
        self._side.advanced()
        if self.connection.has_output:
            self.wake()

    def _ended(self) -> ConnectionLostError:
        away = self.connection.goaway
        if away is not None and (away.code or away.debug):
            return ConnectionLostError(f"the connection has ended ({self.farewell()})")
        if self.connection.midway:
            return ConnectionLostError(f"the connection to {self._peer} ended in the middle of a frame")
        return ConnectionLostError(f"{self._peer} ended the connection")

    def farewell(self) -> str:
        """What the peer's GOAWAY said."""
        away = self.connection.goaway
        if away is None:
            return "it is closing"
        return f"{self._peer} said {error_name(away.code)}" + (f": {away.debug}" if away.debug else "")

    def refused(self, stream: Stream) -> ConnectionLostError | None:
        """The error of a stream that the peer's GOAWAY left unserved; None when another reason ended the stream."""
        away = self.connection.goaway
        if away is None or stream.id <= away.last_stream:
            return None
        return ConnectionLostError(f"the call was not served, the connection is ending ({self.farewell()})")

    async def _write(self) -> None:
        connection, stream = self.connection, self._stream
        loop = asyncio.get_running_loop()
        try:
            while True:
                data = connection.take_output()
                for sender in connection.take_sent():
                    if sender.owner is not None:
                        sender.owner.drained()
                if data:
                    await stream.write(data)
                elif self._closing or self.error is not None:
                    break
                else:
                    self._asleep = loop.create_future()
                    await self._asleep
            await stream.close_write()
        except BuildwrightError as error:
            # What the peer said last tells more than a broken pipe; a reader that hears nothing is of no use.
            await asyncio.wait(self._tasks[:1], timeout=FAREWELL)
            self.fail(error)
            self._tasks[0].cancel()

    async def _watch(self, interval: float) -> None:
        """Ping a silent peer; a peer that stays silent is lost."""
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        while self.error is None:
            quiet = loop.time() - self._heard
            if quiet < interval:
                await asyncio.sleep(interval - quiet)
                continue
            before = self._heard
            self.connection.ping()
            self.wake()
            await asyncio.sleep(interval)
            if self._heard == before:
                quiet = loop.time() - before
                self.fail(ConnectionLostError(f"{self._peer} has been silent for {quiet:.3g} s, also when asked"))
                self._tasks[0].cancel()
                self._tasks[1].cancel()

    async def _ask(self, interval: float) -> None:
        """Ping a silent peer, so that the byte stream can tell whether it still lives."""
        clock = asyncio.get_running_loop().time
        self._heard = clock()
        asked = 0.0
        while self.error is None:
            pause = interval if self._pings < FREE_PINGS else interval * RARELY
            rest = max(self._heard, asked) + pause - clock()
            if rest > 0:
                await asyncio.sleep(min(rest, interval))
                continue
            self._pings += 1
            asked = clock()
            self.connection.ping()
            self.wake()

    def reset(self, stream: Stream, code: ErrorCode) -> None:
        """Reset a stream and throw away what it had received."""
        self.connection.reset(stream, code)
        self.discard(stream)
        self.wake()

    def discard(self, stream: Stream) -> None:
        """Nobody will take what the stream has received."""
        if stream.received:
            self.connection.consume(stream, len(stream.received))
            stream.received.clear()
