"""The last lines of a daemon's log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from buildwright.drivers.kubernetes.building import tail as module
from buildwright.drivers.kubernetes.building.tail import LINES, Tail
from buildwright.errors import ClusterError
from buildwright.kube.api import Cluster
from buildwright.kube.config import load
from buildwright.testing.kube import ApiServer, Refusal

LAST = tuple(f"line {number}" for number in range(30))[-LINES:]


def run(folder: Path, scenario: Callable[[ApiServer, Tail], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with ApiServer() as server:
            server.logs["p"] = [f"line {number}" for number in range(30)]
            async with Cluster(load(str(server.kubeconfig(folder)), environ={})) as cluster:
                await scenario(server, Tail(cluster, "p", "c"))

    asyncio.run(whole())


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LATER", 0.0)
    monkeypatch.setattr(module, "AGAIN", 0.0)


def test_a_followed_log_leaves_its_last_lines(tmp_path: Path) -> None:
    async def scenario(_server: ApiServer, tail: Tail) -> None:
        assert tail.lines == ()
        await tail.run()
        assert tail.lines == LAST

    run(tmp_path, scenario)


def test_a_log_that_may_not_be_read_leaves_none(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, tail: Tail) -> None:
        server.refuse["log", "pods"] = Refusal(403, "Forbidden", "no")
        await tail.run()
        with pytest.raises(ClusterError):
            await tail.fetch()
        assert tail.lines == ()

    run(tmp_path, scenario)


def test_lines_are_fetched_when_none_were_followed(tmp_path: Path) -> None:
    async def scenario(_server: ApiServer, tail: Tail) -> None:
        await tail.fetch()
        assert tail.lines == LAST

    run(tmp_path, scenario)


def test_lines_that_were_fetched_are_not_told_twice(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, tail: Tail) -> None:
        server.logs["p"] = ["one", "two"]
        await tail.fetch()
        await tail.run()
        assert tail.lines == ("one", "two")

    run(tmp_path, scenario)


def test_what_was_followed_is_kept_when_the_container_has_another_log(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, tail: Tail) -> None:
        await tail.run()
        server.logs["p"] = ["a new life"]
        await tail.fetch()
        assert tail.lines == LAST

    run(tmp_path, scenario)


def test_a_log_whose_connection_is_lost_is_followed_again(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, tail: Tail) -> None:
        server.endless.add("p")
        running = asyncio.create_task(tail.run())
        async with asyncio.timeout(20):
            await server.called("log", "pods")
            await asyncio.sleep(0.1)
            assert tail.lines == LAST
            server.logs["p"].append("panic: the reason")
            server.endless.clear()
            server.cut()
            await running
        assert tail.lines == (*LAST[1:], "panic: the reason")

    run(tmp_path, scenario)


def test_the_last_words_of_a_run_stay_before_those_of_the_next(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, tail: Tail) -> None:
        server.logs["p"] = ["panic: the reason"]
        server.endless.add("p")
        running = asyncio.create_task(tail.run())
        async with asyncio.timeout(20):
            await server.called("log", "pods")
            await asyncio.sleep(0.1)
            server.logs["p"] = ["", "the next run"]
            server.endless.clear()
            server.cut()
            await running
        assert tail.lines == ("panic: the reason", "the next run")

    run(tmp_path, scenario)


def test_a_busy_server_is_asked_for_the_log_when_it_says(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, tail: Tail) -> None:
        server.refuse["log", "pods"] = Refusal(429, "TooManyRequests", "later", retry_after=60)
        running = asyncio.create_task(tail.run())
        await server.called("log", "pods")
        await asyncio.sleep(0.2)
        assert server.requests.count(("log", "pods", "p")) == 1
        running.cancel()
        await asyncio.wait((running,))

    run(tmp_path, scenario)
