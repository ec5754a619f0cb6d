"""Exec streams, against the API server double."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from buildwright.errors import ClusterError, ConnectError, ConnectionLostError
from buildwright.kube import exec as pod_exec
from buildwright.kube.api import Cluster
from buildwright.kube.config import load
from buildwright.kube.exec import ExecStream
from buildwright.kube.frames import V4, V5, ExecEnd
from buildwright.testing.kube import ApiServer, Refusal, pod
from buildwright.wire.stream import ByteStream

TEMPLATE = {"metadata": {}, "spec": {"containers": [{"name": "c"}]}}
Scenario = Callable[[ApiServer, Cluster], Awaitable[None]]


@asynccontextmanager
async def served(folder: Path, protocols: Sequence[str] = (V5, V4)) -> AsyncIterator[tuple[ApiServer, Cluster]]:
    async with ApiServer(subprotocols=tuple(protocols)) as server:
        server.put("pods", pod("p", TEMPLATE))
        async with Cluster(load(str(server.kubeconfig(folder)), environ={})) as cluster:
            yield server, cluster


def run(folder: Path, scenario: Scenario, protocols: Sequence[str] = (V5, V4)) -> None:
    async def once() -> None:
        async with served(folder, protocols) as (server, cluster):
            await scenario(server, cluster)

    asyncio.run(once())


async def connect(cluster: Cluster, name: str = "p") -> ExecStream:
    return await pod_exec.connect(cluster, name, "c", ("cat",))


def test_what_goes_in_comes_out_and_the_end_follows_the_half_close(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        stream = await connect(cluster)
        data = bytes(range(256)) * 4096

        async def send() -> None:
            await stream.write(memoryview(data))
            await stream.close_write()
            await stream.close_write()

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            received = b""
            while chunk := await stream.read(10_000):
                assert len(chunk) <= 10_000
                received += chunk
        assert received == data
        assert stream.end is not None
        assert stream.end.success
        await stream.aclose()
        assert server.headers[-1]["authorization"] == "Bearer t0p-secret"

    run(tmp_path, scenario)


def test_version_4_carries_data_too(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        stream = await connect(cluster)
        await stream.write(b"hello")
        assert await stream.read() == b"hello"
        await stream.close_write()
        await stream.aclose()

    run(tmp_path, scenario, (V4,))


def test_a_command_that_fails_is_told_with_exit_code_and_last_words(tmp_path: Path) -> None:
    async def fail(stream: ByteStream) -> int:
        return 3

    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        server.exec_handler, server.exec_stderr = fail, b"usage:\nno such socket\n"
        stream = await connect(cluster)
        with pytest.raises(ConnectionLostError, match=r"pod p .*exit code 3 \(no such socket\)"):
            await stream.read()
        await stream.aclose()

    run(tmp_path, scenario)


def test_an_end_before_the_half_close_is_a_loss(tmp_path: Path) -> None:
    async def leave(stream: ByteStream) -> int:
        await stream.write(b"bye")
        return 0

    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        server.exec_handler = leave
        stream = await connect(cluster)
        assert await stream.read() == b"bye"
        with pytest.raises(ConnectionLostError, match="the command in it ended"):
            await stream.read()
        await stream.aclose()

    run(tmp_path, scenario)


def test_a_cut_connection_ends_read_and_write(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        stream = await connect(cluster)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(expect_loss(stream))
            await asyncio.sleep(0)
            server.cut()
        assert "pod p" in reading.result()
        with pytest.raises(ConnectionLostError):
            await stream.write(b"x")
        await stream.aclose()

    async def expect_loss(stream: ExecStream) -> str:
        with pytest.raises(ConnectionLostError) as caught:
            await stream.read()
        return str(caught.value)

    run(tmp_path, scenario)


def test_the_end_of_the_command_is_told_however_late_somebody_asks(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        stream = await connect(cluster)
        stream._output.end = ExecEnd(success=False, exit_code=137)
        stream.fail(ConnectionLostError("the connection has gone silent"))
        with pytest.raises(ConnectionLostError, match="ended with exit code 137"):
            await stream.read()
        await stream.aclose()

    run(tmp_path, scenario)


def test_a_silent_server_is_noticed(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        first = await connect(cluster)
        first._connection.transport.pause_reading()
        for task in first._tasks:
            task.cancel()
        await asyncio.wait(first._tasks)
        stream = ExecStream(first._connection, "p", ping_interval=0.01)
        with pytest.raises(ConnectionLostError, match="gone silent"):
            await stream.read()
        await stream.aclose()
        await first.aclose()

    run(tmp_path, scenario)


class Deaf:
    """A connection whose peer takes nothing and says nothing; pings wait in the buffer behind what is there."""

    protocol = V5

    def __init__(self, failure: Exception | None = None) -> None:
        self.transport = self
        self.failure = failure
        self.waiting = 1 << 20
        self.aborted = asyncio.Event()

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.aborted.set()

    async def ping(self) -> None:
        self.waiting += 10
        await self.aborted.wait()
        raise ConnectionError("aborted")

    async def receive(self) -> bytes:
        if self.failure is not None:
            raise self.failure
        await self.aborted.wait()
        raise ConnectionError("aborted")

    async def close(self) -> None:
        self.aborted.set()


def test_silence_is_noticed_although_the_ping_itself_cannot_be_sent() -> None:
    async def scenario() -> None:
        stream = ExecStream(Deaf(), "p", ping_interval=0.01)  # type: ignore[arg-type]
        with pytest.raises(ConnectionLostError, match="gone silent"):
            async with asyncio.timeout(20):
                await stream.read()
        await stream.aclose()

    asyncio.run(scenario())


def test_whatever_ends_the_receiving_ends_the_read_and_no_task_outlives_the_stream() -> None:
    async def scenario() -> None:
        stream = ExecStream(Deaf(RuntimeError("out of order")), "p")  # type: ignore[arg-type]
        with pytest.raises(ConnectionLostError, match=r"pod p was lost \(out of order\)"):
            async with asyncio.timeout(20):
                await stream.read()
        await stream.aclose()
        assert all(task.done() for task in stream._tasks)
        await stream.aclose()

    asyncio.run(scenario())


def test_a_refusal_is_told_as_the_server_says_it(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        with pytest.raises(ClusterError, match='pods "other" not found') as caught:
            await connect(cluster, "other")
        assert (caught.value.status, caught.value.reason) == (404, "NotFound")
        said = 'pods "p" is forbidden: User "u" cannot get resource "pods/exec" in API group "" in the namespace "n"'
        server.refuse["exec", "pods"] = Refusal(403, "Forbidden", said)
        with pytest.raises(ClusterError, match="ask its administrator for a Role"):
            await connect(cluster)

    run(tmp_path, scenario)


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        address = server.address
        await server.__aexit__(None, None, None)
        with pytest.raises(ConnectError, match=address):
            await connect(cluster)

    run(tmp_path, scenario)
