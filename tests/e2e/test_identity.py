"""The same context and Dockerfile give the same vertices and the same image as with the real buildx.

A session's id is part of the LLB that names a local context, so our build is run under the id that buildx's had,
which a relay in front of the daemon reads from its Session call.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import hpack
import pytest

from buildwright.build.connection import find_builder
from buildwright.build.run import Host, run
from buildwright.builders.store import Store
from buildwright.model.request import BuildRequest, SecretSource
from buildwright.model.status import StatusUpdate

if TYPE_CHECKING:
    from tests.conftest import Buildkitd

pytestmark = pytest.mark.peers

DOCKERFILE = """\
FROM busybox AS first
ARG WHO=nobody
COPY --chmod=0755 src /src
RUN --mount=type=secret,id=token test -s /run/secrets/token && echo "$WHO" >/who && touch -d @0 /who
FROM busybox
LABEL from=dockerfile
COPY --from=first /src /src
COPY --from=first /who /who
COPY . /all
RUN --network=none ls -l /all >/dev/null
"""


class Relay:
    """Passes bytes between clients and a daemon's socket, and reads the session ids that clients send."""

    def __init__(self, path: Path, target: str) -> None:
        self.path, self._target = path, target
        self.sessions: list[str] = []

    async def serve(self) -> asyncio.Server:
        return await asyncio.start_unix_server(self._relay, self.path)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(self._target)
        headers = _Headers()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pass(reader, upstream_writer, headers))
            tasks.create_task(self._pass(upstream_reader, writer, None))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, headers: _Headers | None) -> None:
        try:
            while data := await source.read(1 << 16):
                if headers is not None:
                    self.sessions += [
                        value for name, value in headers.feed(data) if name == "x-docker-expose-session-uuid"
                    ]
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()


class _Headers:
    """The header fields in one direction of an HTTP/2 connection (no padding, no continuations: grpc-go's)."""

    def __init__(self) -> None:
        self._data = b""
        self._decoder = hpack.Decoder()
        self._started = False

    def feed(self, data: bytes) -> Iterator[tuple[str, str]]:
        self._data += data
        if not self._started and len(self._data) >= 24:
            self._data, self._started = self._data[24:], True
        while self._started and len(self._data) >= 9:
            length, kind = int.from_bytes(self._data[:3]), self._data[3]
            if len(self._data) < 9 + length:
                return
            frame, self._data = self._data[9 : 9 + length], self._data[9 + length :]
            if kind == 1:
                yield from ((str(name), str(value)) for name, value in self._decoder.decode(frame))


@contextmanager
def running(relay: Relay) -> Iterator[None]:
    """Serve the relay in a thread of its own."""
    import threading

    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def main() -> None:
        async with await relay.serve():
            ready.set()
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


class Digests:
    """A sink that keeps the digest of every vertex by name."""

    def __init__(self) -> None:
        self.by_name: dict[str, str] = {}

    def write(self, update: StatusUpdate, /) -> None:
        self.by_name |= {vertex.name: vertex.digest for vertex in update.vertexes}


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "src").mkdir(parents=True)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "src" / "a").write_text("a")
    (folder / "left-out").write_text("x")
    (folder / ".dockerignore").write_text("left-*\n")
    (tmp_path / "token").write_text("hunter2")
    return folder


def test_vertices_and_manifest_are_those_of_buildx(buildkitd: Buildkitd, context: Path, tmp_path: Path) -> None:
    config, socket = tmp_path / "config", tmp_path / "relay.sock"
    environ = {"DOCKER_CONFIG": str(config), "BUILDX_CONFIG": str(config / "buildx"), "HOME": str(config)}
    environ |= {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    relay = Relay(socket, buildkitd.address.removeprefix("unix://"))
    theirs, ours = f"{buildkitd.registry}/identity/theirs:1", f"{buildkitd.registry}/identity/ours:1"
    with running(relay):
        buildkitd.buildx("create", "--name", "relayed", "--driver", "remote", f"unix://{socket}", config=config)
        metadata = tmp_path / "metadata.json"
        shown = buildkitd.buildx(
            "build", "--builder", "relayed", "--progress", "rawjson", "--build-arg", "WHO=me",
            "--secret", f"id=token,src={tmp_path / 'token'}", "--metadata-file", metadata,
            "-t", theirs, "--push", context,
            config=config, SOURCE_DATE_EPOCH="1700000000", BUILDX_NO_DEFAULT_ATTESTATIONS="1",
        ).stderr  # fmt: skip
    expected = Digests().by_name
    for line in shown.splitlines():
        if line.startswith("{"):
            expected |= {v["name"]: v["digest"] for v in json.loads(line).get("vertexes") or ()}

    digests = Digests()

    async def build() -> str:
        builder = await find_builder(buildkitd.address, environ)
        request = BuildRequest(
            context=str(context),
            tags=(ours,),
            push=True,
            build_args={"WHO": "me", "SOURCE_DATE_EPOCH": "1700000000"},
            secrets=(SecretSource(id="token", file=str(tmp_path / "token")),),
        )
        host = Host(environ=environ, node_id=Store(environ).node_id())
        session_id = next(session for session in reversed(relay.sessions) if session)
        return (await run(request, builder, sink=digests, host=host, session_id=session_id)).digest

    digest = asyncio.run(build())
    assert digest == json.loads(metadata.read_text())["containerimage.digest"]
    of_clients = ("[auth]", "exporting", "resolving provenance")
    steps = {name: vertex for name, vertex in expected.items() if not name.startswith(of_clients)}
    assert len(steps) >= 9
    assert {name: digests.by_name.get(name) for name in steps} == steps
