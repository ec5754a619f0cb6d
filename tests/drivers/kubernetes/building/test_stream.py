"""A pod's stream follows its pod for as long as it is open, and ends with what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from buildwright.drivers.kubernetes.building import inquiry, tail
from buildwright.drivers.kubernetes.building import stream as pod_stream
from buildwright.drivers.kubernetes.building.stream import PodStream
from buildwright.errors import ConnectionLostError, DaemonLostError
from buildwright.kube import exec as pod_exec
from buildwright.kube.api import Cluster
from buildwright.kube.config import load
from buildwright.kube.objects import Pod
from buildwright.testing.kube import ApiServer, Object, Refusal, pod
from buildwright.wire.stream import ByteStream

LIMITED = {"name": "c", "resources": {"limits": {"memory": "150Mi"}}}
TEMPLATE: Object = {"metadata": {}, "spec": {"containers": [LIMITED]}}
ECHO = ("cat",)

Scenario = Callable[[ApiServer, PodStream], Awaitable[None]]


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waits, in much less time."""
    for name in ("LEAVING", "LEARNING", "LAST_WORDS", "PING_AFTER", "DOUBT", "ASKING", "PATIENCE", "AGAIN"):
        monkeypatch.setattr(pod_stream, name, getattr(pod_stream, name) / 5)
    monkeypatch.setattr(pod_stream, "PATIENCE", 1.0)
    monkeypatch.setattr(inquiry, "GRACE", inquiry.GRACE / 5)
    monkeypatch.setattr(tail, "LATER", 0.0)


def run(folder: Path, scenario: Scenario, lost: list[str] | None = None) -> None:
    """A scenario with an open stream, which is closed after it; no task outlives it."""

    async def whole() -> None:
        async with ApiServer() as server, asyncio.timeout(30):
            item = pod("p", TEMPLATE)
            item["spec"]["containers"] = [LIMITED]
            server.put("pods", item)
            server.logs["p"] = [f"line {number}" for number in range(30)]
            cluster = Cluster(load(str(server.kubeconfig(folder)), environ={}))
            before = asyncio.all_tasks()
            chosen = Pod.read(server.objects["pods", "default", "p"])
            stream = PodStream(
                await pod_exec.connect(cluster, "p", "c", ECHO),
                cluster,
                chosen,
                "c",
                on_loss=lambda pod: (lost if lost is not None else []).append(pod.name),
            )
            try:
                await scenario(server, stream)
            finally:
                await stream.aclose()
            left = {task.get_name() for task in asyncio.all_tasks() - before}
            assert not {name for name in left if name.endswith((" p", "node1", "API server"))}

    asyncio.run(whole())


async def loss(stream: PodStream) -> DaemonLostError:
    try:
        while await stream.read():
            pass
    except DaemonLostError as error:
        return error
    raise AssertionError("the stream has ended well")


def test_a_loss_has_all_that_is_known_and_is_noted(tmp_path: Path) -> None:
    lost: list[str] = []

    async def scenario(server: ApiServer, stream: PodStream) -> None:
        await server.called("watch", "pods")
        await server.called("log", "pods")
        ended = {"exitCode": 137, "reason": "OOMKilled"}
        statuses = [{"name": "c", "restartCount": 1, "state": {"running": {}}, "lastState": {"terminated": ended}}]
        server.update_pod("p", containerStatuses=statuses)
        error = await loss(stream)
        assert (error.pod, error.node, error.reason) == ("p", "node1", "OOMKilled")
        assert (error.process_exit_code, error.memory_limit) == (137, "150Mi")
        assert error.log == tuple(f"line {number}" for number in range(10, 30))
        assert await loss(stream) is not None

    run(tmp_path, scenario, lost)
    assert set(lost) == {"p"}


def test_reads_and_writes_end_with_the_same_loss(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, stream: PodStream) -> None:
        await server.called("watch", "pods")
        server.drop("pods", "p")
        assert (await loss(stream)).reason == "Deleted"
        with pytest.raises(DaemonLostError, match="was deleted"):
            await stream.write(b"x")

    run(tmp_path, scenario)


def test_a_pod_that_is_leaving_has_some_seconds(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, stream: PodStream) -> None:
        await server.called("watch", "pods")
        leaving = server.objects["pods", "default", "p"]
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        server.put("pods", leaving)
        await stream.write(b"still")
        assert await stream.read() == b"still"
        assert (await loss(stream)).reason == "Deleted"

    run(tmp_path, scenario)


def test_without_the_right_to_logs_there_are_no_lines(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, stream: PodStream) -> None:
        server.refuse["log", "pods"] = Refusal(403, "Forbidden", "no")
        await server.called("watch", "pods")
        server.drop("pods", "p")
        error = await loss(stream)
        assert (error.reason, error.log) == ("Deleted", ())

    run(tmp_path, scenario)


def test_a_stream_that_is_cut_from_a_pod_that_lives_says_so_and_leaves_the_pod_usable(tmp_path: Path) -> None:
    lost: list[str] = []

    async def scenario(server: ApiServer, stream: PodStream) -> None:
        error = await loss(stream)
        assert error.reason == "Disconnected"
        assert "exit code 3" in str(error)
        assert error.log

    async def whole(server: ApiServer, stream: PodStream) -> None:
        server.exec_handler = ends
        again = await pod_exec.connect(stream._cluster, "p", "c", ECHO)
        other = PodStream(
            again, Cluster(stream._cluster.config), stream._pod, "c", on_loss=lambda pod: lost.append(pod.name)
        )
        try:
            await scenario(server, other)
        finally:
            await other.aclose()

    run(tmp_path, whole)
    assert not lost


def test_a_stream_that_is_cut_by_a_server_that_stays_away_does_not_wait_for_it(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, stream: PodStream) -> None:
        await server.called("watch", "pods")
        server.mute |= {("list", "pods"), ("log", "pods"), ("get", "pods")}
        server.cut()
        error = await loss(stream)
        assert error.reason == "Disconnected"
        assert "the API server does not answer" in str(error)

    run(tmp_path, scenario)


def test_a_stream_that_is_cut_with_its_node_is_the_nodes_loss(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, stream: PodStream) -> None:
        await server.called("watch", "pods")
        server.refuse["log", "pods"] = Refusal(500, "InternalError", "dial tcp: connection refused")
        server.cut()
        assert (await loss(stream)).reason == "NodeLost"

    run(tmp_path, scenario)


async def ends(_stream: ByteStream) -> int:
    return 3


async def deaf(_stream: ByteStream) -> int:
    await asyncio.Event().wait()
    return 0


async def unanswered(server: ApiServer, stream: PodStream) -> PodStream:
    """A stream to a daemon that says nothing, on which something has been asked."""
    server.exec_handler = deaf
    again = await pod_exec.connect(stream._cluster, "p", "c", ECHO)
    other = PodStream(again, Cluster(stream._cluster.config), stream._pod, "c")
    await other.write(b"are you there?")
    return other


@pytest.mark.parametrize("answer", ["nothing", "an error"])
def test_a_silent_stream_whose_node_does_not_answer_is_the_nodes_loss(tmp_path: Path, answer: str) -> None:
    async def scenario(server: ApiServer, stream: PodStream) -> None:
        if answer == "nothing":
            server.mute.add(("log", "pods"))
        else:
            server.refuse["log", "pods"] = Refusal(500, "InternalError", "dial tcp 10.0.0.1:10250: no route to host")
        other = await unanswered(server, stream)
        try:
            assert (await loss(other)).reason == "NodeLost"
        finally:
            await other.aclose()

    run(tmp_path, scenario)


@pytest.mark.parametrize("readable", [True, False])
def test_a_silent_stream_whose_node_lives_is_given_time(tmp_path: Path, readable: bool) -> None:
    async def scenario(server: ApiServer, stream: PodStream) -> None:
        if not readable:
            server.refuse["log", "pods"] = Refusal(403, "Forbidden", "no")
        server.exec_handler = deaf
        again = await pod_exec.connect(stream._cluster, "p", "c", ECHO)
        server.exec_handler = ends
        other = PodStream(again, Cluster(stream._cluster.config), stream._pod, "c")
        try:
            await other.write(b"are you there?")
            assert (await loss(other)).reason == "Silent"
            asked = [request for request in server.requests if request[0] == ("log" if readable else "exec")]
            assert len(asked) > 2
        finally:
            await other.aclose()

    run(tmp_path, scenario)


def test_a_silent_stream_without_an_api_server_is_given_time_too(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, stream: PodStream) -> None:
        other = await unanswered(server, stream)
        server.mute |= {("list", "pods"), ("log", "pods"), ("get", "pods")}
        try:
            error = await loss(other)
            assert error.reason == "Disconnected"
            assert "the API server does not answer" in str(error)
        finally:
            await other.aclose()

    run(tmp_path, scenario)


def test_a_lost_watch_is_taken_up_again_and_the_build_goes_on(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, stream: PodStream) -> None:
        await server.called("watch", "pods")
        server.end_watches()
        await stream.write(b"still")
        assert await stream.read() == b"still"
        server.drop("pods", "p")
        assert (await loss(stream)).reason == "Deleted"

    run(tmp_path, scenario)


@pytest.mark.parametrize("status", [403, 429])
def test_a_pod_that_is_leaving_has_no_more_time_when_it_cannot_be_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("buildwright.kube.follow._POLL", 0.05)

    async def scenario(server: ApiServer, stream: PodStream) -> None:
        await server.called("watch", "pods")
        item = server.objects["pods", "default", "p"]
        item["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        server.put("pods", item)
        server.refuse.update({(verb, "pods"): Refusal(status, "No", "no") for verb in ("get", "list", "watch")})
        server.end_watches()
        async with asyncio.timeout(10):
            assert (await loss(stream)).reason == "Deleted"

    run(tmp_path, scenario)


def test_a_watch_that_was_refused_for_the_moment_goes_on(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, stream: PodStream) -> None:
        await server.called("watch", "pods")
        server.refuse["watch", "pods"] = Refusal(429, "TooManyRequests", "later")
        server.requests.clear()
        server.end_watches()
        await server.called("watch", "pods")
        server.refuse.clear()
        server.requests.clear()
        await server.called("watch", "pods")
        server.drop("pods", "p")
        assert (await loss(stream)).reason == "Deleted"

    run(tmp_path, scenario)


def test_nobody_is_asked_while_nothing_was_said_or_all_is_answered(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, stream: PodStream) -> None:
        await stream.write(b"x")
        assert await stream.read() == b"x"
        await server.called("watch", "pods")
        await server.called("log", "pods")
        before = len(server.requests)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.until(lambda: len(server.requests) > before), 2 * pod_stream.DOUBT)

    run(tmp_path, scenario)


def test_no_watch_outlives_its_stream(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, stream: PodStream) -> None:
        await server.called("watch", "pods")
        reading = asyncio.create_task(stream.read())
        await stream.aclose()
        with pytest.raises(ConnectionLostError, match="has been closed"):
            await reading
        assert all(task.done() for task in stream._tasks)

    run(tmp_path, scenario)


def test_a_stream_that_is_closed_at_once_leaves_nothing(tmp_path: Path) -> None:
    async def scenario(_server: ApiServer, stream: PodStream) -> None:
        await stream.aclose()
        await stream.aclose()

    run(tmp_path, scenario)
