"""Who still answers: the node, the API server, or nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.kubernetes.building import inquiry
from buildwright.drivers.kubernetes.building.inquiry import Answer, inquire
from buildwright.drivers.kubernetes.building.tail import Tail
from buildwright.kube.api import Cluster
from buildwright.kube.config import load
from buildwright.kube.frames import ExecEnd
from buildwright.kube.objects import Pod
from buildwright.testing.kube import ApiServer, Refusal, pod
from buildwright.wire.stream import ByteStream

BUSY = Refusal(429, "TooManyRequests", "too many requests, please try again later")
BACKEND = Refusal(500, "InternalError", "Get https://10.0.0.1:10250/containerLogs: dial tcp: connection refused")
FORBIDDEN = Refusal(403, "Forbidden", "no")


async def fails(_stream: ByteStream) -> int:
    return 126


async def hangs(_stream: ByteStream) -> int:
    await asyncio.Event().wait()
    return 0


def asked(folder: Path, prepare: Callable[[ApiServer], object], limit: float = 1.0) -> tuple[Answer, tuple[str, ...]]:
    """The answer, and the lines of the log that came with it."""

    async def scenario() -> tuple[Answer, tuple[str, ...]]:
        async with ApiServer() as server:
            server.put("pods", pod("p", {"metadata": {}, "spec": {"containers": [{"name": "c"}]}}))
            server.logs["p"] = ["one", "two"]
            prepare(server)
            async with Cluster(load(str(server.kubeconfig(folder)), environ={})) as cluster:
                tail = Tail(cluster, "p", "c")
                answer = await inquire(cluster, Pod(name="p", node="n"), "c", tail, limit=limit)
                return answer, tail.lines

    return asyncio.run(scenario())


def test_a_node_that_has_the_log_lives(tmp_path: Path) -> None:
    assert asked(tmp_path, lambda _: None) == (Answer.NODE, ("one", "two"))


def test_a_node_that_has_no_such_container_lives(tmp_path: Path) -> None:
    assert asked(tmp_path, lambda server: server.logs.clear()) == (Answer.NODE, ())


@pytest.mark.parametrize(
    ("prepare", "answer"),
    [
        (lambda server: server.refuse.update({("log", "pods"): BACKEND}), Answer.SERVER),
        (lambda server: server.mute.add(("log", "pods")), Answer.SERVER),
        (lambda server: server.mute.update({("log", "pods"), ("list", "pods")}), Answer.NOBODY),
        (
            lambda server: server.refuse.update({("log", "pods"): BACKEND, ("list", "pods"): BACKEND}),
            Answer.NOBODY,
        ),
        (
            lambda server: server.refuse.update({("log", "pods"): BACKEND, ("list", "pods"): FORBIDDEN}),
            Answer.SERVER,
        ),
        (lambda server: server.refuse.update({("log", "pods"): BUSY}), Answer.NOBODY),
        (lambda server: server.refuse.update({("log", "pods"): FORBIDDEN, ("exec", "pods"): BUSY}), Answer.NOBODY),
    ],
)
def test_a_node_is_lost_only_to_a_server_that_answers(
    tmp_path: Path, prepare: Callable[[ApiServer], object], answer: Answer
) -> None:
    assert asked(tmp_path, prepare) == (answer, ())


def test_a_server_that_has_gone_is_nobody(tmp_path: Path) -> None:
    assert asked(tmp_path, lambda server: setattr(server, "address", "http://127.0.0.1:1"))[0] is Answer.NOBODY


@pytest.mark.parametrize(("handler", "answer"), [(fails, Answer.NODE), (hangs, Answer.SERVER)])
def test_who_may_not_read_logs_has_a_command_run(
    tmp_path: Path, handler: Callable[[ByteStream], object], answer: Answer
) -> None:
    def prepare(server: ApiServer) -> None:
        server.refuse["log", "pods"] = FORBIDDEN
        server.exec_handler = handler  # type: ignore[assignment]

    assert asked(tmp_path, prepare) == (answer, ())


def test_a_command_that_reached_no_kubelet_proves_no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = 'error sending request: Post "https://10.0.0.1:10250/exec/d/p/c": dial tcp 10.0.0.1:10250: refused'

    async def unreached(*_: object) -> tuple[bytes, ExecEnd]:
        return b"", ExecEnd(success=False, message=f"Internal error occurred: {refused}")

    monkeypatch.setattr(inquiry.pod_exec, "output_of", unreached)
    assert asked(tmp_path, lambda server: server.refuse.update({("log", "pods"): FORBIDDEN}))[0] is Answer.SERVER


def test_a_server_that_answers_at_the_last_moment_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its node has had no time."""

    last = asyncio.Event()
    wait = asyncio.wait

    async def until(tasks: Any, *, timeout: float | None = None) -> Any:
        if timeout == inquiry.GRACE:
            last.set()
        return await wait(tasks, timeout=timeout)

    async def late(_cluster: Cluster, _pod: Pod) -> bool:
        return await last.wait()

    monkeypatch.setattr(inquiry, "GRACE", 0.1)
    monkeypatch.setattr(asyncio, "wait", until)
    monkeypatch.setattr(inquiry, "_server_answers", late)
    assert asked(tmp_path, lambda server: server.mute.add(("log", "pods")), limit=0.3)[0] is Answer.NOBODY
    assert last.is_set()
