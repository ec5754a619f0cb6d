"""Calls to one BuildKit daemon: what it is, and solves with their status and session."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError

from buildwright.client.failure import redact, solve_error
from buildwright.client.grouped import most_telling
from buildwright.client.session.session import Session
from buildwright.client.solve import encode
from buildwright.client.status import clock_skew, status_update
from buildwright.errors import BuildwrightError, Code, ConnectionLostError, DaemonLostError, ProtocolError, RpcError
from buildwright.model.solve import SolveRequest, SolveResult
from buildwright.model.status import StatusSink, StatusUpdate
from buildwright.wire.channel import Channel
from buildwright.wire.proto import control_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from buildwright.model.worker import Worker

T = TypeVar("T")
M = TypeVar("M", bound="Message")

_CONTROL = "/moby.buildkit.v1.Control/"
STATUS_GRACE = 5.0
"""Seconds after a solve's end in which the rest of its status may still come."""
SILENT_GRACE = 0.5
"""The same for a solve that failed before any status came: most of these were refused and will have none."""


class Client:
    """A daemon behind an open channel. The channel stays the caller's, and so does its keepalive."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def info(self, *, timeout: float | None = None) -> str:
        """The daemon's version, such as `v0.29.0`; "" from one that is too old to say (before v0.11)."""
        try:
            answer = await self._channel.unary(_CONTROL + "Info", b"", timeout=timeout)
        except RpcError as error:
            if error.code is Code.UNIMPLEMENTED:
                return ""
            raise
        return _decoded(control_pb2.InfoResponse, answer).buildkitVersion.version

    async def workers(self, *, timeout: float | None = None) -> tuple[Worker, ...]:
        """The daemon's workers, the default one first."""
        from buildwright.client.workers import decode_worker

        answer = await self._channel.unary(_CONTROL + "ListWorkers", b"", timeout=timeout)
        return tuple(decode_worker(record) for record in _decoded(control_pb2.ListWorkersResponse, answer).record)

    async def status(self, ref: str) -> AsyncGenerator[StatusUpdate, None]:
        """What happens in the solve `ref` from its start to its end, in our clock's time.

        Leaving it early needs `aclose`. Raises RpcError when the daemon hears of no such solve for some seconds,
        ConnectionLostError when the connection ends.
        """
        async with self._channel.call(_CONTROL + "Status") as call:
            await call.send(control_pb2.StatusRequest(Ref=ref).SerializeToString())
            await call.half_close()
            skew = clock_skew(await call.initial_metadata(), time.time_ns())
            while messages := await call.receive_many():
                for message in messages:
                    yield status_update(_decoded(control_pb2.StatusResponse, message), skew)

    async def solve(self, request: SolveRequest, *, session: Session | None, sink: StatusSink) -> SolveResult:
        """Run one solve to its end and write its status to `sink` meanwhile.

        Cancelling resets the solve at once, whereupon the daemon stops every step that no other solve needs. When
        this returns or raises, the solve and its status have ended, and after them the session.

        Raises SolveError when the build failed; a service's own error when it failed because of that
        (`Session.failure`); ConnectionLostError when the daemon, the session or the connection went away;
        ProtocolError when the daemon answers nonsense. What `sink` raises against its contract ends the solve and is
        raised as it is.
        """
        try:
            outcome = await self._in_session(request, session, sink)
        except BaseExceptionGroup as group:
            raise most_telling(group) from None
        if isinstance(outcome, BuildwrightError):
            raise outcome
        response = _decoded(control_pb2.SolveResponse, outcome).ExporterResponse
        return SolveResult(ref=request.ref, exporter_response=dict(response))

    async def _in_session(
        self, request: SolveRequest, session: Session | None, sink: StatusSink
    ) -> bytes | BuildwrightError:
        async with asyncio.TaskGroup() as tasks:
            serving = None
            if session is not None:
                serving = tasks.create_task(_caught(session.run(self._channel)))
                await session.opened.wait()
            # A group of its own: when we are cancelled, it has ended before the session is cancelled.
            outcome = await self._solve(request, session.id if session else "", serving, sink)
            if isinstance(outcome, BuildwrightError):
                outcome = _reason(outcome, session)
            if serving is not None:
                serving.cancel()
        return outcome

    async def _solve(
        self,
        request: SolveRequest,
        session: str,
        serving: asyncio.Task[BuildwrightError | None] | None,
        sink: StatusSink,
    ) -> bytes | BuildwrightError:
        async with asyncio.TaskGroup() as tasks:
            watch = _Watch(sink)
            watching = tasks.create_task(_caught(watch.follow(self.status(request.ref))))
            solving = tasks.create_task(_caught(self._channel.unary(_CONTROL + "Solve", encode(request, session))))
            outcome = await _outcome(solving, serving)
            silent = isinstance(outcome, BuildwrightError) and not watch.heard
            await asyncio.wait((watching,), timeout=SILENT_GRACE if silent else STATUS_GRACE)
            watching.cancel()
            solving.cancel()
        return outcome


class _Watch:
    """Passes status on; `heard` says whether any came. What becomes of a build is not its status stream's to say."""

    def __init__(self, sink: StatusSink) -> None:
        self.heard = False
        self._sink = sink

    async def follow(self, updates: AsyncGenerator[StatusUpdate, None]) -> None:
        async with contextlib.aclosing(updates):
            async for update in updates:
                self.heard = True
                self._sink.write(update)


def _decoded(kind: type[M], message: bytes) -> M:
    try:
        return kind.FromString(message)
    except DecodeError as error:
        name = kind.DESCRIPTOR.name
        raise ProtocolError(f"the daemon answered with an unreadable {name}; see whether it is a BuildKit") from error


async def _caught(work: Awaitable[T]) -> T | BuildwrightError:
    """The result of `work`, or the error that it raised: one that is looked at later and ends no task group."""
    try:
        return await work
    except BuildwrightError as error:
        return error


async def _outcome(
    solving: asyncio.Task[bytes | BuildwrightError], serving: asyncio.Task[BuildwrightError | None] | None
) -> bytes | BuildwrightError:
    """What the solve ended with, or what ended the session before it.

    A daemon waits without end for a session that it has refused, ended or lost, so a session's end ends the solve;
    unless both end for one reason, when the solve's own words are the better ones and come at once.
    """
    if serving is not None:
        await asyncio.wait((solving, serving), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await asyncio.wait((solving,), timeout=SILENT_GRACE)
            if not solving.done():
                return serving.result() or ConnectionLostError("the daemon ended the session")
    return await solving


def _reason(error: BuildwrightError, session: Session | None) -> BuildwrightError:
    if isinstance(error, ConnectionLostError):
        return _lost(error)
    if not isinstance(error, RpcError):
        return error
    told = solve_error(error)
    local = session.failure if session else None
    # What we could not do comes back as the daemon's failure; a process that failed is the daemon's own.
    if local is not None and told.process_exit_code is None:
        local.__cause__ = told
        return local
    # A build is cancelled by us alone, and then nobody looks at how the call ended.
    return _lost(told) if error.code is Code.CANCELLED else told


def _lost(error: BuildwrightError) -> ConnectionLostError:
    if isinstance(error, DaemonLostError):
        return error
    why = redact(str(error))
    lost = ConnectionLostError(f"the daemon went away before the build was done ({why}); see to it and build again")
    lost.__cause__ = error
    return lost
