"""The Python face: connect to a builder, build on it, watch what happens, get a typed result."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from buildwright.build.plan import plan
from buildwright.build.run import run
from buildwright.build.solving import Host
from buildwright.builders.open import driver_for
from buildwright.builders.resolve import resolve
from buildwright.builders.store import Store
from buildwright.drivers.steps import Unseen
from buildwright.model.node import Builder, Node
from buildwright.model.request import BuildRequest
from buildwright.model.status import StatusSink, StatusUpdate

if TYPE_CHECKING:
    from buildwright.client.client import Client
    from buildwright.model.solve import BuildResult
    from buildwright.model.worker import Worker


class Build:
    """One build. Await it for its result, or enter it to watch it:

        result = await connection.build(".", tags=["reg.example.com/app"], push=True)

        async with connection.build(".") as build:
            async for update in build: ...
        result = build.result

    It starts when it is awaited or entered, once. Leaving the `async with` by an error, or with a loop over its
    updates left before its end, cancels the build; leaving it otherwise waits for the result and raises what the
    build raised (members of `buildwright.errors`).
    """

    def __init__(self, start: Callable[[StatusSink], Awaitable[BuildResult]]) -> None:
        self._start = start
        self._updates: deque[StatusUpdate] = deque()
        self._news = asyncio.Event()
        self._task: asyncio.Task[BuildResult] | None = None
        self._started = False
        self._watchers = 0

    @property
    def result(self) -> BuildResult:
        """The result; RuntimeError when there is none."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            raise RuntimeError("the build has no result: leave its `async with` first, and not early")
        return self._task.result()

    def write(self, update: StatusUpdate, /) -> None:
        self._updates.append(update)
        self._news.set()

    def __await__(self) -> Generator[Any, None, BuildResult]:
        return self._run(Unseen()).__await__()

    async def _run(self, sink: StatusSink) -> BuildResult:
        if self._started:
            raise RuntimeError("a build starts once: make another one with connection.build")
        self._started = True
        return await self._start(sink)

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise RuntimeError("a build is entered once: make another one with connection.build")
        self._task = asyncio.create_task(self._run(self))
        self._task.add_done_callback(lambda _: self._news.set())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = self._entered()
        try:
            if error is None and not self._watchers:
                await task
        finally:
            task.cancel()
            await asyncio.wait((task,))
            if not task.cancelled():
                task.exception()

    async def __aiter__(self) -> AsyncIterator[StatusUpdate]:
        """Every status update in order, to the build's end; a failed build ends the loop without raising."""
        task = self._entered()
        self._watchers += 1
        while self._updates or not task.done():
            while self._updates:
                yield self._updates.popleft()
            if not task.done():
                self._news.clear()
                await self._news.wait()
        self._watchers -= 1

    def _entered(self) -> asyncio.Task[BuildResult]:
        if self._task is None:
            raise RuntimeError("enter the build before watching it: async with connection.build(...) as build")
        return self._task


class Connection:
    """A builder whose daemons run. Made by `connect`; usable by several tasks at once."""

    def __init__(self, builder: Builder, host: Host) -> None:
        self.builder = builder
        self._host = host

    def build(self, context: str | BuildRequest, /, **fields: Any) -> Build:
        """Build a folder, an address or "-"; `fields` are those of BuildRequest. Nothing happens before it starts."""
        request = context if isinstance(context, BuildRequest) else BuildRequest(context=context, **fields)
        return Build(lambda sink: run(request, self.builder, sink=sink, host=self._host))

    async def version(self) -> str:
        """BuildKit's version, "" for one before v0.11."""
        async with self._client() as client:
            return await client.info()

    async def workers(self) -> tuple[Worker, ...]:
        async with self._client() as client:
            return await client.workers()

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        from buildwright.build.exchange import KEEPALIVE
        from buildwright.client.client import Client
        from buildwright.wire.channel import Channel

        driver = driver_for(self.builder, plan((), self.builder).nodes[0].node)
        channel = Channel(await driver.open(), authority=driver.traits.authority, keepalive=KEEPALIVE)
        async with channel:
            yield Client(channel)


@asynccontextmanager
async def connect(
    builder: str | None = None, *, environ: Mapping[str, str] | None = None, sink: StatusSink | None = None
) -> AsyncIterator[Connection]:
    """Find a builder, make its daemons run and yield a connection to it.

    `builder` is a builder's name, a daemon's address such as `unix:///run/buildkit/buildkitd.sock`, or None for the
    current builder (as the command line chooses it). `sink` sees how the builder starts. Raises
    BuilderNotFoundError, ConnectError, NotReadyError, ClusterError or ConfigurationError.
    """
    environ = dict(os.environ) if environ is None else environ
    found = await find_builder(builder or "", environ)
    await driver_for(found, plan((), found).nodes[0].node).start(sink or Unseen())
    yield Connection(found, Host(environ=environ, node_id=Store(environ).node_id()))


async def find_builder(name: str, environ: Mapping[str, str]) -> Builder:
    """The builder of that name, an unnamed one for an address, or the current one for ""."""
    if "://" in name:
        return Builder(name=name, driver="remote", nodes=(Node(name="remote0", endpoint=name),))
    return await resolve(name, environ=environ, touch=True)
