"""The logs of a builder's daemons: of which pods, in which order, and what comes later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.kubernetes import logs as logs_module
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.logs import logs
from buildwright.drivers.logs import Wanted
from buildwright.errors import BuilderNotFoundError, ClusterError
from buildwright.kube import follow as following
from buildwright.model.node import Node
from buildwright.testing.kube import ApiServer, Refusal, pod


class Heard:
    """What was written and told, with a way to wait for it."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.told: list[str] = []
        self._news = asyncio.Event()

    def write(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self._news.set()

    async def has(self, *line: str) -> None:
        async with asyncio.timeout(20):
            while line not in self.lines:
                self._news.clear()
                await self._news.wait()


Scenario = Callable[[ApiServer, Node, Heard], Awaitable[None]]


def run(folder: Path, scenario: Scenario) -> None:
    async def whole() -> None:
        async with ApiServer() as server:
            endpoint = f"kubernetes:///b?deployment=b0&kubeconfig={server.kubeconfig(folder)}"
            await scenario(server, Node(name="b0", endpoint=endpoint), Heard())

    asyncio.run(whole())


def put(server: ApiServer, node: Node, name: str, *lines: str, restarts: int = 0, **state: Any) -> None:
    """A pod whose daemon has said `lines`, in the state `state`."""
    item = pod(name, Fleet.of(node).workload["spec"]["template"])
    item["metadata"]["uid"] = f"uid-{name}"
    item["status"]["containerStatuses"][0] |= {"restartCount": restarts, "state": state}
    server.logs[name] = list(lines)
    server.put("pods", item)


def test_pods_are_shown_one_after_the_other(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node, heard: Heard) -> None:
        put(server, node, "b", "three")
        put(server, node, "a", "one", "two")
        await logs([node], Wanted(), heard.write, heard.told.append)
        assert heard.lines == [("a", "one"), ("a", "two"), ("b", "three")]
        heard.lines.clear()
        await logs([node], Wanted(tail=1, pods=("a",)), heard.write, heard.told.append)
        assert heard.lines == [("", "two")], "one pod needs no name"

    run(tmp_path, scenario)


def test_a_single_pod_is_shown_without_its_name(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node, heard: Heard) -> None:
        put(server, node, "a", "one")
        await logs([node], Wanted(), heard.write, heard.told.append)
        assert heard.lines == [("", "one")]

    run(tmp_path, scenario)


def test_what_has_no_log_yet_is_told(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node, heard: Heard) -> None:
        await logs([node], Wanted(), heard.write, heard.told.append)
        put(server, node, "a", waiting={"reason": "ImagePullBackOff", "message": "no"})
        await logs([node], Wanted(), heard.write, heard.told.append)
        assert not heard.lines
        assert heard.told[0] == "node b0 has no pods in namespace default"
        assert "pod a has no log yet" in heard.told[1]

    run(tmp_path, scenario)


def test_a_daemon_that_waits_to_be_restarted_has_a_log(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node, heard: Heard) -> None:
        put(server, node, "a", "last words", restarts=3, waiting={"reason": "CrashLoopBackOff"})
        await logs([node], Wanted(), heard.write, heard.told.append)
        assert heard.lines == [("", "last words")]

    run(tmp_path, scenario)


def test_a_pod_that_there_is_not_is_named_with_those_there_are(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node, heard: Heard) -> None:
        put(server, node, "a", "one")
        with pytest.raises(BuilderNotFoundError, match='no pod "c": it has a'):
            await logs([node], Wanted(pods=("c",)), heard.write, heard.told.append)

    run(tmp_path, scenario)


def test_a_log_that_cannot_be_read_is_told_and_the_others_are_shown(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node, heard: Heard) -> None:
        put(server, node, "a", "one")
        put(server, node, "b", "two")
        del server.logs["a"]
        await logs([node], Wanted(), heard.write, heard.told.append)
        assert heard.lines == [("b", "two")]
        (told,) = heard.told
        assert told.startswith("the log of pod a cannot be read: the cluster refused: ")

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (Refusal(404, "NotFound", 'pods "b" not found'), "pod b has gone"),
        (Refusal(500, "InternalError", "Get: connection refused"), "the log of pod b cannot be read: .*refused"),
    ],
)
def test_where_no_log_can_be_read_it_fails(tmp_path: Path, refused: Refusal, words: str) -> None:
    async def scenario(server: ApiServer, node: Node, heard: Heard) -> None:
        put(server, node, "a", "one")
        put(server, node, "b", "two")
        server.refuse["log", "pods"] = refused
        with pytest.raises(ClusterError, match=words):
            await logs([node], Wanted(pods=("b",)), heard.write, heard.told.append)
        assert not heard.told
        with pytest.raises(ClusterError, match=words):
            await logs([node], Wanted(), heard.write, heard.told.append)
        assert len(heard.told) == 1

    run(tmp_path, scenario)


def test_following_takes_in_restarts_and_new_pods_from_their_first_line(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node, heard: Heard) -> None:
        put(server, node, "a", "old", "one")
        async with asyncio.TaskGroup() as group:
            following = group.create_task(logs([node], Wanted(tail=1, follow=True), heard.write, heard.told.append))
            await heard.has("a", "one")
            put(server, node, "a", "two", "three", restarts=1)
            await heard.has("a", "three")
            put(server, node, "b", "four", "five")
            await heard.has("b", "five")
            following.cancel()
        assert heard.lines == [("a", "one"), ("a", "two"), ("a", "three"), ("b", "four"), ("b", "five")]

    run(tmp_path, scenario)


def test_following_goes_on_after_a_server_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "_PAUSE", 0.01)

    async def scenario(server: ApiServer, node: Node, heard: Heard) -> None:
        server.refuse["log", "pods"] = Refusal(503, "ServiceUnavailable", "later")
        put(server, node, "a", "one")
        async with asyncio.TaskGroup() as group:
            following = group.create_task(logs([node], Wanted(follow=True), heard.write, heard.told.append))
            await server.called("log", "pods")
            del server.refuse["log", "pods"]
            put(server, node, "b", "two")
            await heard.has("b", "two")
            following.cancel()

    run(tmp_path, scenario)


def test_a_lost_connection_is_taken_up_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "_PAUSE", 0.01)
    monkeypatch.setattr(following, "_POLL", 0.01)

    async def scenario(server: ApiServer, node: Node, heard: Heard) -> None:
        put(server, node, "a", "old", "one", "two")
        server.endless.add("a")
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(logs([node], Wanted(tail=2, follow=True), heard.write, heard.told.append))
            await heard.has("a", "two")
            server.logs["a"] += ["said meanwhile"]
            server.cut()
            await heard.has("a", "said meanwhile")
            reading.cancel()
        assert heard.lines == [("a", "one"), ("a", "two"), ("a", "said meanwhile")]

    run(tmp_path, scenario)


@pytest.mark.parametrize("said", [["old"], []])
def test_a_connection_that_is_lost_before_the_first_line_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr(logs_module, "_PAUSE", 0.01)
    monkeypatch.setattr(following, "_POLL", 0.01)

    async def scenario(server: ApiServer, node: Node, heard: Heard) -> None:
        put(server, node, "a", *said)
        server.endless.add("a")
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(logs([node], Wanted(tail=0, follow=True), heard.write, heard.told.append))
            async with asyncio.timeout(20):  # one request finds out where it begins, another one follows
                await server.until(lambda: server.requests.count(("log", "pods", "a")) == 2)
            server.logs["a"] += ["one", "two"]
            server.cut()
            await heard.has("a", "two")
            reading.cancel()
        assert heard.lines == [("a", "one"), ("a", "two")]

    run(tmp_path, scenario)


def test_what_a_daemon_said_last_is_read_also_when_another_runs_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs_module, "_PAUSE", 0.01)
    monkeypatch.setattr(following, "_POLL", 0.01)

    async def scenario(server: ApiServer, node: Node, heard: Heard) -> None:
        put(server, node, "a", "one")
        server.endless.add("a")
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(logs([node], Wanted(follow=True), heard.write, heard.told.append))
            await heard.has("a", "one")
            server.former_logs["a"] = ["one", "last words"]
            put(server, node, "a", "two", restarts=1)
            server.cut()
            await heard.has("a", "last words")
            await heard.has("a", "two")
            reading.cancel()
        assert sorted(heard.lines) == [("a", "last words"), ("a", "one"), ("a", "two")]

    run(tmp_path, scenario)


@pytest.mark.parametrize("follow", [False, True])
def test_a_missing_right_ends_it(tmp_path: Path, follow: bool) -> None:
    async def scenario(server: ApiServer, node: Node, heard: Heard) -> None:
        said = 'pods "a" is forbidden: User "u" cannot get resource "pods/log" in API group "" in the namespace "d"'
        server.refuse["log", "pods"] = Refusal(403, "Forbidden", said)
        put(server, node, "a", "one")
        with pytest.raises(ClusterError, match='cannot get resource "pods/log"'):
            await logs([node], Wanted(follow=follow), heard.write, heard.told.append)

    run(tmp_path, scenario)
