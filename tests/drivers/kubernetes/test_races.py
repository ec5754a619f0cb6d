"""Many make one builder at the same moment, and others remove it: all of them end with a builder, or none hangs."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.driver import Driver, NodeStatus
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.lifecycle import objects
from buildwright.drivers.table import make
from buildwright.errors import NotReadyError
from buildwright.kube.api import Cluster
from buildwright.kube.config import load
from buildwright.model.node import Node
from buildwright.testing.drivers import Sink, serve_daemon
from buildwright.testing.kube import ApiServer, Refusal, pod

FILES = {"buildkitd.toml": b"debug = true\n", "certs/r.io/key.pem": b"-----BEGIN PRIVATE KEY-----\n"}
Scenario = Callable[[ApiServer, Callable[[], Driver]], Awaitable[None]]


def run(folder: Path, scenario: Scenario) -> None:
    async def once() -> None:
        async with ApiServer() as server:
            server.exec_handler = serve_daemon
            endpoint = f"kubernetes:///b?deployment=b0&kubeconfig={server.kubeconfig(folder)}"
            node = Node(name="b0", endpoint=endpoint, files=FILES)
            await scenario(server, lambda: make("kubernetes", node))

    asyncio.run(once())


async def together(drivers: list[Driver]) -> None:
    async with asyncio.TaskGroup() as group:
        for driver in drivers:
            group.create_task(driver.start(Sink()))


def test_fifty_starts_make_one_of_everything(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Callable[[], Driver]) -> None:
        await together([driver() for _ in range(50)])
        made = [
            (plural, name) for plural, _, name in server.objects if plural not in ("pods", "poddisruptionbudgets")
        ]
        assert sorted(made) == [("configmaps", "b0-config"), ("deployments", "b0"), ("secrets", "b0-config-1")]
        for plural, name in (("configmaps", "b0-config"), ("secrets", "b0-config-1")):
            assert ("update", plural, name) not in server.requests
        assert (await driver().info()).status is NodeStatus.RUNNING

    run(tmp_path, scenario)


def test_a_workload_that_is_being_deleted_is_waited_for(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Callable[[], Driver]) -> None:
        going = {"metadata": {"name": "b0", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"replicas": 1}}
        server.put("deployments", going)
        starting = asyncio.ensure_future(driver().start(Sink()))
        await server.called("create", "deployments")
        server.drop("deployments", "b0")
        await starting
        assert "deletionTimestamp" not in server.objects["deployments", "default", "b0"]["metadata"]

    run(tmp_path, scenario)


def test_one_that_never_goes_ends_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: ApiServer, driver: Callable[[], Driver]) -> None:
        going = {"metadata": {"name": "b0", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"replicas": 1}}
        server.put("deployments", going)
        with pytest.raises(NotReadyError, match=r"Deployment b0 in namespace default is being deleted .* finalizers"):
            await driver().start(Sink())

    monkeypatch.setattr(objects, "GOING", 0.02)
    monkeypatch.setattr(objects, "_POLL", 0.01)
    run(tmp_path, scenario)


def never_ready(workload: Any) -> None:
    """A controller that has not begun yet."""


@pytest.mark.parametrize("owner", ["", "pod/job"])
def test_a_builder_that_is_removed_while_it_starts_is_made_again_only_for_another_owner(
    tmp_path: Path, owner: str
) -> None:
    async def scenario(server: ApiServer, _driver: Callable[[], Driver]) -> None:
        endpoint = f"kubernetes:///b?deployment=b0&kubeconfig={tmp_path / 'kubeconfig'}"
        node = Node(name="b0", endpoint=endpoint, driver_opts={"owner": owner}, files=FILES)
        server.put("pods", pod("job", {"metadata": {}, "spec": {"containers": []}}))
        ready, server.controller = server.controller, never_ready
        starting = asyncio.ensure_future(make("kubernetes", node).start(Sink()))
        await server.called("watch", "deployments")
        server.controller = ready
        server.drop("configmaps", "b0-config")
        server.drop("deployments", "b0")
        if owner:
            await starting
        else:
            with pytest.raises(NotReadyError, match="node b0 was removed while it started: create it again"):
                await starting
        for plural, name in (("deployments", "b0"), ("configmaps", "b0-config")):
            assert ((plural, "default", name) in server.objects) == bool(owner)

    run(tmp_path, scenario)


def test_what_is_left_of_a_former_builder_is_no_builder(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Callable[[], Driver]) -> None:
        await driver().start(Sink())
        former = copy.deepcopy(server.objects["pods", "default", "b0-0"])
        former["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
        server.drop("deployments", "b0")
        server.put("pods", former)
        ready, server.controller = server.controller, never_ready
        starting = asyncio.ensure_future(driver().start(Sink()))
        await server.called("create", "deployments")
        await asyncio.sleep(0.2)
        assert not starting.done()
        assert (await driver().info()).status is NodeStatus.STOPPED
        ready(server.objects["deployments", "default", "b0"])
        await starting

    run(tmp_path, scenario)


def test_a_workload_that_is_made_anew_while_it_starts_is_waited_for(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Callable[[], Driver]) -> None:
        ready, server.controller = server.controller, never_ready
        starting = asyncio.ensure_future(driver().start(Sink()))
        await server.called("watch", "deployments")
        anew = copy.deepcopy(server.objects["deployments", "default", "b0"])
        del anew["metadata"]["uid"]
        server.drop("deployments", "b0")
        server.put("deployments", anew)
        ready(anew)
        await starting

    run(tmp_path, scenario)


def test_a_builder_that_is_stopped_while_it_starts_says_so_at_once(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Callable[[], Driver]) -> None:
        server.controller = never_ready
        starting = asyncio.ensure_future(driver().start(Sink()))
        await server.called("watch", "deployments")
        await driver().stop()
        with pytest.raises(NotReadyError, match="node b0 was stopped while it started: start it again with"):
            await starting

    run(tmp_path, scenario)


def test_files_that_a_removal_took_along_are_restored(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Callable[[], Driver]) -> None:
        ready = server.controller

        def with_a_removal(workload: Any) -> None:
            server.drop("configmaps", "b0-config")
            ready(workload)

        server.controller = with_a_removal
        await driver().start(Sink())
        assert ("configmaps", "default", "b0-config") in server.objects

    run(tmp_path, scenario)


def test_other_files_replace_those_that_are_there_and_go_with_the_workload(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Callable[[], Driver]) -> None:
        owners = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "b0", "uid": "u"}]
        server.put("configmaps", {"metadata": {"name": "b0-config", "ownerReferences": owners}, "data": {"old": "x"}})
        await driver().start(Sink())
        found = server.objects["configmaps", "default", "b0-config"]
        assert found["data"] == {"buildkitd.toml": "debug = true\n"}
        (owner,) = found["metadata"]["ownerReferences"]
        assert owner["uid"] == server.objects["deployments", "default", "b0"]["metadata"]["uid"]

    run(tmp_path, scenario)


def test_a_builder_that_is_removed_while_it_is_woken_is_made_anew(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Callable[[], Driver]) -> None:
        node = Node(name="b0", endpoint="kubernetes:///b?deployment=b0", driver_opts={"replicas": "2"}, files=FILES)
        await driver().start(Sink())
        await driver().stop()
        found = server.objects["deployments", "default", "b0"]
        for plural, name in (("deployments", "b0"), ("configmaps", "b0-config")):
            server.drop(plural, name)
        async with Cluster(load(str(tmp_path / "kubeconfig"), environ={})) as cluster:
            assert await objects.wake(cluster, Fleet.of(node), found) == 2
        made = server.objects["deployments", "default", "b0"]
        (owner,) = server.objects["configmaps", "default", "b0-config"]["metadata"]["ownerReferences"]
        assert owner["uid"] == made["metadata"]["uid"] != found["metadata"]["uid"]

    run(tmp_path, scenario)


def test_files_that_may_be_replaced_but_not_read_are_replaced(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Callable[[], Driver]) -> None:
        server.put("configmaps", {"metadata": {"name": "b0-config"}, "data": {"old": "x"}})
        server.refuse["get", "configmaps"] = Refusal(403, "Forbidden", "cannot get")
        await driver().start(Sink())
        assert server.objects["configmaps", "default", "b0-config"]["data"] == {"buildkitd.toml": "debug = true\n"}

    run(tmp_path, scenario)
