"""A gRPC server on a byte stream.

await Server({"/grpc.health.v1.Health/Check": handler}).serve(stream)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from buildwright.errors import BuildwrightError, Code, ConnectionLostError, RpcError
from buildwright.wire import metadata as metadata_fields
from buildwright.wire import status
from buildwright.wire.calls import LARGEST_MESSAGE, StreamCall
from buildwright.wire.http2.fields import Fields
from buildwright.wire.http2.frames import ErrorCode, Limits
from buildwright.wire.http2.stream import Stream
from buildwright.wire.link import Link
from buildwright.wire.rpc import Handler, Metadata
from buildwright.wire.stream import Buffer, ByteStream

ANSWER: Final = ((":status", "200"), ("content-type", "application/grpc"))
ErrorHook: TypeAlias = Callable[[str, Exception], None]
"""Told of the path and of what a handler raised, RpcError excepted."""


class HandlerCall(StreamCall):
    """A call as its handler sees it; see `rpc.ServerCall`."""

    def __init__(self, link: Link, stream: Stream, largest: int, path: str) -> None:
        super().__init__(link, stream, largest)
        self._path = path
        self._metadata = metadata_fields.decode(stream.headers or ())
        self._answered = False
        self._finished = False
        self.stopped = False
        """The peer or the connection has ended the call."""
        self._trailing: Fields = ()
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def path(self) -> str:
        return self._path

    @property
    def metadata(self) -> Metadata:
        return self._metadata

    async def send_initial_metadata(self, metadata: Metadata = (), /) -> None:
        """Send the first header fields now; a second time is a mistake of the handler's and raises RpcError."""
        if self._answered:
            raise RpcError(Code.INTERNAL, "the initial metadata has been sent already")
        self._answer(metadata)
        self._link.wake()

    def set_trailing_metadata(self, metadata: Metadata, /) -> None:
        self._trailing = metadata_fields.encode(metadata)

    def changed(self) -> None:
        stream = self._stream
        if stream.reset is not None:
            why = stream.fault or "it was cancelled"
            self.stop(RpcError(Code.CANCELLED, f"the peer reset the call: {why}"))
        self._wake()

    def stop(self, error: BuildwrightError) -> None:
        """Nobody waits for the answer any more: end the handler."""
        if not self.stopped:
            self.stopped = True
            self.fail(error)
            self._discard()
            if self.task is not None:
                self.task.cancel()

    def expire(self) -> None:
        """The deadline has passed. A call that has begun to answer can only be reset: its last message may be cut."""
        error = RpcError(Code.DEADLINE_EXCEEDED, "the call's deadline has passed")
        if self._stream.queued:
            self._link.reset(self._stream, ErrorCode.CANCEL)
        else:
            self.finish(error)
        self.stop(error)

    def finish(self, error: RpcError | None) -> None:
        """End the call with a status; no-op when it has ended."""
        if self._finished:
            return
        self._finished = True
        if self.timer is not None:
            self.timer.cancel()
        fields = [*status.trailers(error), *self._trailing]
        if self._answered:
            self._link.connection.send_end(self._stream, fields)
        else:
            self._link.connection.send_headers(self._stream, [*ANSWER, *fields], end=True)
        self.fail(RpcError(Code.CANCELLED, "the call has ended, nothing more can be sent or received"))
        self._discard()
        self._link.wake()

    def _answer(self, metadata: Metadata) -> None:
        self._answered = True
        self._link.connection.send_headers(self._stream, [*ANSWER, *metadata_fields.encode(metadata)])

    def _queue(self, chunks: Sequence[Buffer]) -> None:
        if not self._answered and self._failure is None:
            self._answer(())
        super()._queue(chunks)

    def _refuse_compressed(self, flag: int) -> None:
        self._abort(Code.UNIMPLEMENTED, "compressed messages are not supported")

    def _abort(self, code: Code, message: str) -> None:
        # The handler ends with this error, and so does the call: the peer is told by trailers, not by a reset.
        raise RpcError(code, message)


class Server:
    """Handlers by full method path. One Server may serve any number of streams, one after the other or at once.

    `on_error` is told of every exception that a handler raises and that is no RpcError. The peer learns the
    sentence of a BuildwrightError, and of any other exception only its type. `keepalive` is as in `Channel`.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        keepalive: float | None = None,
        on_error: ErrorHook | None = None,
        largest_message: int = LARGEST_MESSAGE,
        limits: Limits | None = None,
    ) -> None:
        self.handlers = dict(handlers)
        self.keepalive = keepalive
        self.on_error = on_error
        self.largest_message = largest_message
        self.limits = limits or Limits()

    async def serve(self, stream: ByteStream) -> None:
        """Serve one connection until the peer ends it, then cancel what still runs and close the stream.

        Returns when the peer has ended it in order. Raises ProtocolError when the peer broke HTTP/2 and
        ConnectionLostError when the stream failed or ended in the middle of a frame. Cancelling it sends GOAWAY and
        cancels the handlers.
        """
        async with asyncio.TaskGroup() as group:
            serving = Serving(self, stream, group)
            await serving.run()
        if serving.error is not None:
            raise serving.error


class Serving:
    """One connection of a Server; its calls' handlers are tasks of `group`."""

    def __init__(self, server: Server, stream: ByteStream, group: asyncio.TaskGroup) -> None:
        self._server = server
        self._group = group
        self._calls: set[HandlerCall] = set()
        self._link = Link(
            stream, self, client=False, limits=server.limits, keepalive=server.keepalive, peer="the client"
        )

    @property
    def error(self) -> BuildwrightError | None:
        """What ended the connection, when it did not end in order."""
        return None if self._link.clean else self._link.error

    async def run(self) -> None:
        self._link.start(self._group)
        try:
            await self._link.over.wait()
        finally:
            self._stop(ConnectionLostError("the connection is being closed"))
            await self._link.close()

    # What the link says.

    def accepted(self, stream: Stream) -> None:
        fields = dict(stream.headers or ())
        path = fields.get(":path", "")
        timeout = fields.get("grpc-timeout")
        seconds = None if timeout is None else metadata_fields.decode_timeout(timeout)
        handler = self._server.handlers.get(path)
        # A cancelled handler may take a moment to end, which is no fault of a client that keeps to the limit.
        if len(self._calls) >= 2 * self._server.limits.streams:
            self._link.reset(stream, ErrorCode.REFUSED_STREAM)
        elif refusal := _refusal(fields):
            self._refuse(stream, refusal)
        elif timeout is not None and seconds is None:
            self._refuse(stream, _status(Code.INTERNAL, f"malformed grpc-timeout {timeout!r}"))
        elif handler is None:
            self._refuse(stream, _status(Code.UNIMPLEMENTED, f"unknown method {path}"))
        else:
            self._begin(HandlerCall(self._link, stream, self._server.largest_message, path), handler, seconds)

    def advanced(self) -> None:
        if self._link.connection.goaway is not None and not self._calls:
            self._link.clean = True
            self._link.fail(ConnectionLostError("the client has left"))

    def lost(self, error: BuildwrightError) -> None:
        self._stop(error)

    # Calls.

    def _refuse(self, stream: Stream, fields: Fields) -> None:
        self._link.connection.send_headers(stream, fields, end=True)
        self._link.discard(stream)

    def _begin(self, call: HandlerCall, handler: Handler, seconds: float | None) -> None:
        self._calls.add(call)
        call.task = self._group.create_task(self._handle(handler, call))
        call.task.add_done_callback(lambda _: self._ended(call))
        if seconds is not None:
            call.timer = asyncio.get_running_loop().call_later(seconds, call.expire)

    def _ended(self, call: HandlerCall) -> None:
        # A task that is cancelled before its first step never comes to say how its call ended.
        call.finish(RpcError(Code.CANCELLED, "the call was cancelled"))
        self._calls.discard(call)
        self.advanced()

    async def _handle(self, handler: Handler, call: HandlerCall) -> None:
        """Run a handler to its end and say how it ended."""
        try:
            await handler(call)
        except RpcError as error:
            call.finish(error)
        except BuildwrightError as error:
            self._report(call, error)
            call.finish(RpcError(Code.UNKNOWN, str(error)))
        except Exception as error:
            self._report(call, error)
            call.finish(RpcError(Code.UNKNOWN, f"the handler of {call.path} failed with {type(error).__name__}"))
        else:
            call.finish(None)

    def _report(self, call: HandlerCall, error: Exception) -> None:
        # A handler that stumbles over the end of its own call has done nothing wrong.
        if self._server.on_error is not None and not call.stopped:
            self._server.on_error(call.path, error)

    def _stop(self, error: BuildwrightError) -> None:
        for call in list(self._calls):
            call.stop(error)


def _refusal(fields: Mapping[str, str]) -> Fields | None:
    """The answer to what is no gRPC request at all; None for a request."""
    if fields.get(":method") != "POST":
        return [(":status", "405"), ("allow", "POST"), *status.trailers(RpcError(Code.INTERNAL, "use POST"))]
    kind = fields.get("content-type", "")
    if not status.is_grpc(kind):
        error = RpcError(Code.INTERNAL, f"unknown content type {kind!r}")
        return [(":status", "415"), *status.trailers(error)]
    encoding = fields.get("grpc-encoding", "identity")
    if encoding != "identity":
        refusal = _status(Code.UNIMPLEMENTED, f"unknown compression {encoding!r}")
        return [*refusal, ("grpc-accept-encoding", "identity")]
    return None


def _status(code: Code, message: str) -> list[tuple[str, str]]:
    """A response that consists of trailers only."""
    return [*ANSWER, *status.trailers(RpcError(code, message))]
