"""What an API server says of itself, and what its containers have said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from buildwright.errors import ClusterError, ConnectError
from buildwright.kube.api import Cluster
from buildwright.kube.config import load
from buildwright.kube.server import greet, release
from buildwright.testing.kube import ApiServer, Refusal


def run(folder: Path, scenario: Callable[[ApiServer, Cluster], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with ApiServer() as server, Cluster(load(str(server.kubeconfig(folder)))) as cluster:
            await scenario(server, cluster)

    asyncio.run(whole())


def test_a_server_tells_its_version_and_its_time(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        server.clock = lambda: time.time() - 600
        seen = await greet(cluster.config)
        assert (seen.version, seen.release) == ("v1.34.0", (1, 34))
        assert seen.skew == pytest.approx(-600, abs=5)

    run(tmp_path, scenario)


def test_a_server_may_keep_its_version_to_itself_but_not_refuse_the_user(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        server.refuse["list", "version"] = Refusal(403, "Forbidden", "no")
        assert (await greet(cluster.config)).version == ""
        server.refuse["list", "version"] = Refusal(401, "Unauthorized", "Unauthorized")
        with pytest.raises(ClusterError, match="log in to the cluster again"):
            await greet(cluster.config)

    run(tmp_path, scenario)


def test_a_server_that_is_not_there_greets_nobody(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        await server.__aexit__(None, None, None)
        with pytest.raises(ConnectError, match="cannot be reached"):
            await greet(cluster.config)

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("version", "numbers"), [("v1.27.3-gke.100", (1, 27)), ("0.29.0", (0, 29)), ("", (0, 0)), ("latest", (0, 0))]
)
def test_a_release_is_a_versions_first_two_numbers(version: str, numbers: tuple[int, int]) -> None:
    assert release(version) == numbers


def test_the_last_lines_of_a_log_are_read(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        server.logs["p"] = ["one", "two", "three"]
        assert [line async for line in cluster.logs("p", "c", tail=2)] == ["two", "three"]
        async with aclosing(cluster.logs("p", "c", follow=True)) as lines:
            assert await anext(lines) == "one"

    run(tmp_path, scenario)


@pytest.mark.parametrize("follow", [False, True])
def test_a_log_that_is_refused_is_one_sentence(tmp_path: Path, follow: bool) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        with pytest.raises(ClusterError, match='container in pod "p" is waiting to start') as caught:
            await anext(cluster.logs("p", "c", follow=follow))
        assert (caught.value.status, caught.value.reason) == (400, "BadRequest")

    run(tmp_path, scenario)
