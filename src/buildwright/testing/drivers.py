"""Doubles for what drivers lead to: a daemon that answers what drivers ask, and a driver that leads to one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from buildwright.drivers.driver import Driver, NodeInfo, NodeStatus, Traits, quiet
from buildwright.drivers.steps import step
from buildwright.errors import BuildwrightError, ConnectError
from buildwright.model.status import StatusSink, StatusUpdate
from buildwright.wire.memory import MemoryStream, memory_pair
from buildwright.wire.rpc import ServerCall
from buildwright.wire.serve import Server
from buildwright.wire.stream import ByteStream

CONTROL = "/moby.buildkit.v1.Control/"


class Sink:
    """A StatusSink that keeps what it is given."""

    def __init__(self) -> None:
        self.updates: list[StatusUpdate] = []

    def write(self, update: StatusUpdate, /) -> None:
        self.updates.append(update)

    @property
    def vertexes(self) -> list[str]:
        """Names of the vertices, each once, in order."""
        return list(dict.fromkeys(vertex.name for update in self.updates for vertex in update.vertexes))

    @property
    def lines(self) -> list[str]:
        """All log lines."""
        return [line for update in self.updates for log in update.logs for line in log.data.decode().splitlines()]


async def _empty_answer(call: ServerCall) -> None:
    await call.receive()
    await call.send(b"")


async def serve_daemon(stream: ByteStream) -> int:
    """Answer ListWorkers and Info on a stream until the client ends it; an exit code, 1 when it broke off."""
    try:
        await Server({f"{CONTROL}ListWorkers": _empty_answer, f"{CONTROL}Info": _empty_answer}).serve(stream)
    except BuildwrightError:
        return 1
    return 0


class MemoryDriver:
    """A Driver whose daemon lives in this process from `start` to `remove`. Use it in `async with`."""

    def __init__(self) -> None:
        self._running = False
        self._group = asyncio.TaskGroup()
        self._streams: list[MemoryStream] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.remove()
        await self._group.__aexit__(None, None, None)

    @property
    def traits(self) -> Traits:
        return Traits()

    async def info(self) -> NodeInfo:
        return NodeInfo(status=NodeStatus.RUNNING if self._running else NodeStatus.INACTIVE)

    async def start(self, sink: StatusSink, /) -> None:
        if not self._running:
            with step(sink, "[internal] booting buildkit"):
                self._running = True

    async def open(self, affinity: str = "", /, *, start: StatusSink | None = None) -> ByteStream:
        if start is not None:
            await self.start(start)
        if not self._running:
            raise ConnectError("the daemon in memory does not run: start it")
        ours, theirs = memory_pair()
        self._streams.append(theirs)
        self._group.create_task(serve_daemon(theirs))
        return ours

    async def stop(self, *, tell: Callable[[str], None] = quiet) -> None:
        """Nothing to stop."""

    async def remove(
        self, *, keep_state: bool = False, keep_daemon: bool = False, tell: Callable[[str], None] = quiet
    ) -> None:
        if not keep_daemon:
            self._running = False
            for stream in self._streams:
                await stream.aclose()


_: type[Driver] = MemoryDriver
