"""A daemon for tests of the client: the Control service on a memory stream, each method as a test scripts it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from buildwright.client.client import Client
from buildwright.errors import RpcError
from buildwright.model.status import StatusUpdate
from buildwright.wire.channel import Channel
from buildwright.wire.memory import memory_pair
from buildwright.wire.proto import control_pb2
from buildwright.wire.rpc import ServerCall
from buildwright.wire.serve import Server
from buildwright.wire.tunnel import TunnelStream

CONTROL = "/moby.buildkit.v1.Control/"
Script = Callable[[ServerCall], Awaitable[None]]


async def no_status(call: ServerCall) -> None:
    await call.receive()


@dataclass
class Daemon:
    """`solve` and `status` are scripts; `in_session` is what the daemon asks over a session that was opened."""

    solve: Script = no_status
    status: Script = no_status
    in_session: Callable[[Channel], Awaitable[None]] | None = None
    ends_session: bool = False
    refusal: RpcError | None = None
    events: list[str] = field(default_factory=list)
    session_headers: list[tuple[str, str | bytes]] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with self.connected() as (client, _):
            yield client

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[Client, Callable[[], Awaitable[None]]]]:
        """The client, and a way to cut the connection as a killed daemon does."""
        ours, theirs = memory_pair()
        handlers = {CONTROL + name: self._noted(name) for name in ("Solve", "Status", "Session")}
        serving = asyncio.ensure_future(Server(handlers).serve(theirs))
        try:
            async with Channel(ours) as channel:
                yield Client(channel), theirs.aclose
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    def _noted(self, name: str) -> Script:
        script = {"Solve": self.solve, "Status": self.status, "Session": self._session}[name]

        async def handle(call: ServerCall) -> None:
            self.events.append(f"{name} began")
            try:
                await script(call)
            except asyncio.CancelledError:
                self.events.append(f"{name} was reset")
                raise
            self.events.append(f"{name} ended")

        return handle

    async def _session(self, call: ServerCall) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.session_headers = list(call.metadata)
        async with Channel(TunnelStream(call)) as channel:
            if self.in_session is not None:
                await self.in_session(channel)
            if not self.ends_session:
                await asyncio.Event().wait()


class Sink:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.updates: list[StatusUpdate] = []
        self.heard = asyncio.Event()

    def write(self, update: StatusUpdate, /) -> None:
        self.updates.append(update)
        self.heard.set()

    @property
    def names(self) -> list[str]:
        return [vertex.name for update in self.updates for vertex in update.vertexes]


def message(name: str) -> bytes:
    return control_pb2.StatusResponse(vertexes=[control_pb2.Vertex(digest=name, name=name)]).SerializeToString()


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def daemon() -> type[Daemon]:
    return Daemon


@pytest.fixture
def status_message() -> Callable[[str], bytes]:
    """Encodes a status message with one vertex of that name."""
    return message


@pytest.fixture
def tar_of() -> Callable[..., io.BytesIO]:
    """Makes a tar of texts by file name, such as a context for `Uploads`."""

    def make(**files: str) -> io.BytesIO:
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            for name, text in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text.encode())
                tar.addfile(entry, io.BytesIO(text.encode()))
        made.seek(0)
        return made

    return make
