"""The client on a real buildkitd: what it says of itself, a solve, its cancellation, and the daemon's death."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from buildwright.client.client import Client
from buildwright.client.identity import new_id
from buildwright.client.session.secret import Secrets
from buildwright.client.session.session import Session
from buildwright.client.session.upload import Uploads
from buildwright.errors import ConnectionLostError, SolveError
from buildwright.model.request import SecretSource
from buildwright.model.solve import Exporter, SolveRequest
from buildwright.model.status import StatusUpdate
from buildwright.wire.channel import Channel
from buildwright.wire.sockets import connect_unix

pytestmark = pytest.mark.peers


class Sink:
    """Keeps the output and the last state of each step; `running` is set when a step has said `ticking`."""

    def __init__(self) -> None:
        self.output = b""
        self.errors: dict[str, str] = {}
        self.running = asyncio.Event()

    def write(self, update: StatusUpdate, /) -> None:
        self.output += b"".join(log.data for log in update.logs)
        self.errors |= {vertex.name: vertex.error for vertex in update.vertexes if vertex.completed}
        if b"ticking" in self.output:
            self.running.set()


@contextlib.asynccontextmanager
async def client_of(daemon: Any) -> AsyncIterator[Client]:
    async with Channel(await connect_unix(daemon.address.removeprefix("unix://"))) as channel:
        yield Client(channel)


@pytest.fixture
def dockerfile(tar_of: Callable[..., Any]) -> Callable[..., tuple[SolveRequest, Session]]:
    """A request to build a Dockerfile, and the session that has it."""

    def make(text: str, *, secrets: tuple[SecretSource, ...] = (), **more: Any) -> tuple[SolveRequest, Session]:
        uploads = Uploads()
        attrs = {"context": uploads.add(tar_of(Dockerfile=text)), "no-cache": ""}
        request = SolveRequest(ref=new_id(), frontend="dockerfile.v0", frontend_attrs=attrs, **more)
        return request, Session([uploads, Secrets(secrets)])

    return make


ENDLESS = "FROM busybox\nRUN echo ticking && sleep 1000\n"


def test_the_daemon_tells_its_version_and_workers(buildkitd: Any) -> None:
    async def run() -> None:
        async with client_of(buildkitd) as client:
            assert (await client.info()).startswith("v0.")
            (worker,) = await client.workers()
            assert worker.id in buildkitd.buildctl("debug", "workers").stdout
            assert "linux/amd64" in map(str, worker.platforms)
            assert worker.labels["org.mobyproject.buildkit.worker.executor"] == "oci"

    asyncio.run(run())


def test_a_solve_answers_the_image_and_hands_a_secret_to_its_step(buildkitd: Any, dockerfile: Any) -> None:
    text = "FROM busybox\nRUN --mount=type=secret,id=t,required=true echo got $(wc -c < /run/secrets/t)\n"
    sink = Sink()

    async def run() -> None:
        secrets = (SecretSource(id="t", env="HOME"),)
        request, session = dockerfile(text, secrets=secrets, exporters=(Exporter(type="image"),))
        async with client_of(buildkitd) as client:
            result = await client.solve(request, session=session, sink=sink)
        assert result.exporter_response["containerimage.digest"].startswith("sha256:")

    asyncio.run(run())
    assert b"got " in sink.output
    assert sink.errors
    assert set(sink.errors.values()) == {""}


def test_a_step_that_fails_tells_its_exit_code_and_lines(buildkitd: Any, dockerfile: Any) -> None:
    async def run() -> None:
        request, session = dockerfile("FROM busybox\n\nRUN echo why; exit 9\n")
        async with client_of(buildkitd) as client:
            await client.solve(request, session=session, sink=sink)

    sink = Sink()
    with pytest.raises(SolveError) as caught:
        asyncio.run(run())
    assert caught.value.process_exit_code == 9
    assert caught.value.sources[0].ranges == ((3, 3),)
    assert sink.output == b"why\n"


def test_a_secret_that_a_step_requires_and_nobody_has_is_named(buildkitd: Any, dockerfile: Any) -> None:
    async def run() -> None:
        request, session = dockerfile("FROM busybox\nRUN --mount=type=secret,id=nobodys,required=true true\n")
        async with client_of(buildkitd) as client:
            await client.solve(request, session=session, sink=Sink())

    with pytest.raises(SolveError, match="secret nobodys: not found"):
        asyncio.run(run())


def test_a_refused_solve_is_told_though_it_has_no_status(buildkitd: Any, dockerfile: Any) -> None:
    async def run() -> None:
        request, session = dockerfile("FROM busybox\n", exporters=(Exporter(type="nosuch"),))
        async with client_of(buildkitd) as client:
            await client.solve(request, session=session, sink=Sink())

    with pytest.raises(SolveError, match='exporter "nosuch" could not be found'):
        asyncio.run(run())


def test_cancelling_stops_the_step_in_the_daemon(buildkitd: Any, dockerfile: Any) -> None:
    async def run() -> dict[str, str]:
        request, session = dockerfile(ENDLESS)
        sink, seen_by_another = Sink(), Sink()
        async with client_of(buildkitd) as client, client_of(buildkitd) as another:
            solving = asyncio.ensure_future(client.solve(request, session=session, sink=sink))
            await sink.running.wait()
            solving.cancel()
            # The daemon ends a status when every step has ended.
            async for update in another.status(request.ref):
                seen_by_another.write(update)
            with pytest.raises(asyncio.CancelledError):
                await solving
        return seen_by_another.errors

    (error,) = [error for name, error in asyncio.run(run()).items() if "ticking" in name]
    assert "cancel" in error


def test_a_daemon_that_is_killed_ends_the_solve_in_one_sentence(private_buildkitd: Any, dockerfile: Any) -> None:
    async def run() -> None:
        request, session = dockerfile(ENDLESS)
        sink = Sink()
        async with client_of(private_buildkitd) as client:
            solving = asyncio.ensure_future(client.solve(request, session=session, sink=sink))
            await sink.running.wait()
            await asyncio.to_thread(private_buildkitd.kill)
            await solving

    with pytest.raises(ConnectionLostError, match="the daemon went away before the build was done") as caught:
        asyncio.run(run())
    assert caught.value.retriable
