"""A gRPC client on a byte stream.

async with Channel(stream, authority="localhost") as channel:
    answer = await channel.unary("/grpc.health.v1.Health/Check", request, timeout=5)
    async with channel.call("/moby.buildkit.v1.Control/Status") as call: ...
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

from buildwright.errors import BuildwrightError, Code, ConnectionLostError, RpcError
from buildwright.wire import metadata as metadata_fields
from buildwright.wire import status
from buildwright.wire.calls import HEAD, LARGEST_MESSAGE, StreamCall
from buildwright.wire.http2.frames import ErrorCode, Limits
from buildwright.wire.http2.stream import Stream
from buildwright.wire.link import Link
from buildwright.wire.rpc import ClientCall, Metadata
from buildwright.wire.stream import Buffer, ByteStream

UNSETTLED_STREAMS: Final = 100
"""How many calls may be open before the peer has said how many it takes (RFC 9113, 6.5.2)."""


class ChannelCall(StreamCall):
    """A call as its caller sees it; see `rpc.ClientCall`."""

    def __init__(self, link: Link, stream: Stream, largest: int, timeout: float | None) -> None:
        super().__init__(link, stream, largest)
        self._judged = False
        self._done = False
        self._half_closed = False
        self._timer: asyncio.TimerHandle | None = None
        if timeout is not None:
            self._timer = asyncio.get_running_loop().call_later(timeout, self._expire, timeout)

    async def half_close(self) -> None:
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        if not self._half_closed:
            self._half_closed = True
            self._link.connection.send_end(self._stream)
            self._link.wake()

    async def initial_metadata(self) -> Metadata:
        while self._stream.headers is None:
            if self._failure is not None:
                raise self._failure.with_traceback(None)
            await self._wait()
        only_trailers = "grpc-status" in dict(self._stream.headers)
        return () if only_trailers else metadata_fields.decode(self._stream.headers)

    @property
    def trailing_metadata(self) -> Metadata:
        """The trailers; empty before the call has ended."""
        if self._stream.trailers is not None:
            return metadata_fields.decode(self._stream.trailers)
        if self._stream.ended and self._stream.headers is not None:
            return metadata_fields.decode(self._stream.headers)
        return ()

    def cancel(self) -> None:
        self._end(RpcError(Code.CANCELLED, "the call was cancelled"))

    def finish(self) -> None:
        """The caller leaves: whatever is still going on is not wanted."""
        if not self._done:
            self.cancel()
        self._discard()

    def changed(self) -> None:
        """Judge what arrived: the first fields once, the end when it comes."""
        stream = self._stream
        if stream.headers is not None and not self._judged:
            self._judged = True
            if flaw := status.of_response(stream.headers):
                self._end(flaw)
                return
        if stream.reset is not None and not self._done:
            self._done = True
            if stream.fault:
                self.fail(RpcError(Code.INTERNAL, f"the peer broke HTTP/2: {stream.fault}"))
            else:
                self.fail(self._link.refused(stream) or status.of_reset(stream.reset))
        elif stream.ended and not self._done:
            self._done = True
            if error := status.of_trailers(stream.trailers or stream.headers or ()):
                self.fail(error)
        if self._done and self._timer is not None:
            self._timer.cancel()
        self._wake()

    def lost(self, error: BuildwrightError) -> None:
        """The connection is gone."""
        if not self._done:
            self._done = True
            self.fail(error)
            if self._timer is not None:
                self._timer.cancel()

    def _queue(self, chunks: Sequence[Buffer]) -> None:
        if self._failure is None and (self._done or self._half_closed):
            ended = "the caller has half-closed" if self._half_closed else "the peer has ended"
            raise RpcError(Code.CANCELLED, f"nothing more can be sent: {ended} the call")
        super()._queue(chunks)

    def _expire(self, timeout: float) -> None:
        self._end(RpcError(Code.DEADLINE_EXCEEDED, f"the call was not answered within {timeout:g} s"))

    def _end(self, error: RpcError) -> None:
        """End the call from our side."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._done:
            self._done = True
            self._link.connection.reset(self._stream, ErrorCode.CANCEL)
            self._discard()
            self._link.wake()
            self.fail(error)

    def _abort(self, code: Code, message: str) -> None:
        self._end(RpcError(code, message))
        raise RpcError(code, message)


class Channel:
    """A gRPC client on one byte stream, which it owns from `__aenter__` on and closes in `__aexit__`.

    Calls made while the peer's limit of streams is reached wait for their turn. When the connection ends, pending
    calls raise ConnectionLostError (ProtocolError when the peer broke HTTP/2) and so does every later one.

    `keepalive` (seconds) pings a peer that has been silent for so long and gives it as long again to answer, so a
    call on a dead connection ends after twice that time. grpc-go servers (buildkitd) end a connection that is
    pinged more often than every five minutes while they themselves send nothing; an open session, where the daemon
    asks for our health every five seconds, is safe with ten seconds and more.
    """

    def __init__(
        self,
        stream: ByteStream,
        authority: str = "localhost",
        scheme: str = "http",
        keepalive: float | None = None,
        *,
        largest_message: int = LARGEST_MESSAGE,
        limits: Limits | None = None,
    ) -> None:
        from buildwright import __version__

        self._group = asyncio.TaskGroup()
        peer = getattr(stream, "name", "") or f"the peer {authority!r}"
        self._link = Link(stream, self, client=True, limits=limits or Limits(), keepalive=keepalive, peer=peer)
        self._authority = authority
        self._scheme = scheme
        self._largest = largest_message
        self._agent = f"buildwright/{__version__}"
        self._turns: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._link.start(self._group)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for stream in list(self._link.connection.streams.values()):
                if isinstance(stream.owner, ChannelCall):
                    stream.owner.cancel()
            await self._link.close()
        finally:
            # The block's own error is not the group's: it must not come out as an exception group.
            cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
            await (
                self._group.__aexit__(kind, error, trace) if cancelled else self._group.__aexit__(None, None, None)
            )

    async def unary(
        self, path: str, request: bytes, *, metadata: Metadata = (), timeout: float | None = None
    ) -> bytes:
        """Send one message and return the one that answers it.

        Raises RpcError for any status but OK (DEADLINE_EXCEEDED after `timeout` seconds), ConnectionLostError when
        the connection ends first. Cancelling the awaiting task resets the call.
        """
        async with self.call(path, metadata=metadata, timeout=timeout) as call:
            await call.send_framed((HEAD.pack(0, len(request)), request))
            await call.half_close()
            answer = await call.receive()
            if answer is None or await call.receive() is not None:
                count = "no message" if answer is None else "more than one message"
                raise RpcError(Code.UNIMPLEMENTED, f"the peer answered {path} with {count} where one was expected")
            return answer

    @asynccontextmanager
    async def call(
        self, path: str, *, metadata: Metadata = (), timeout: float | None = None
    ) -> AsyncIterator[ClientCall]:
        """Open a call of any kind. Leaving the block before its end cancels it (RST_STREAM CANCEL)."""
        fields = [
            (":method", "POST"),
            (":scheme", self._scheme),
            (":path", path),
            (":authority", self._authority),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("user-agent", self._agent),
        ]
        fields += metadata_fields.encode(metadata)
        if timeout is not None:
            deadline = asyncio.get_running_loop().time() + timeout
            await self._turn(timeout)
            timeout = deadline - asyncio.get_running_loop().time()
            fields.insert(4, ("grpc-timeout", metadata_fields.encode_timeout(timeout)))
        else:
            await self._turn(None)
        call = ChannelCall(self._link, self._link.connection.open(fields), self._largest, timeout)
        self._link.wake()
        try:
            yield call
        finally:
            call.finish()
            self.advanced()

    async def _turn(self, timeout: float | None) -> None:
        """Wait until the peer takes one more stream."""
        if not self._turns and self._admits():
            return
        try:
            async with asyncio.timeout(timeout):
                admitted = False
                while not admitted:
                    turn = asyncio.get_running_loop().create_future()
                    self._turns.append(turn)
                    try:
                        await turn
                    finally:
                        if turn in self._turns:
                            self._turns.remove(turn)
                    admitted = self._admits()
        except TimeoutError:
            raise RpcError(Code.DEADLINE_EXCEEDED, f"the call could not begin within {timeout:g} s") from None

    def _admits(self) -> bool:
        link = self._link
        if link.error is not None:
            raise link.error.with_traceback(None)
        if link.connection.exhausted:
            raise ConnectionLostError(f"the connection takes no more calls ({link.farewell()}); open a new one")
        if not link.connection.settled and len(link.connection.streams) >= UNSETTLED_STREAMS:
            return False
        return link.connection.can_open

    # What the link says.

    def accepted(self, stream: Stream) -> None:
        """A server opens no streams; the connection refuses them before they come here."""

    def advanced(self) -> None:
        connection = self._link.connection
        room = connection.peer_streams - len(connection.streams)
        while self._turns and (room > 0 or connection.exhausted):
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                room -= 1

    def lost(self, error: BuildwrightError) -> None:
        for stream in list(self._link.connection.streams.values()):
            if isinstance(stream.owner, ChannelCall):
                stream.owner.lost(error)
        for turn in self._turns:
            if not turn.done():
                turn.set_result(None)
