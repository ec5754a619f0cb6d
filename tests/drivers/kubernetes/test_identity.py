"""That a node stays in the cluster in which it was created, against API server doubles."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.kubernetes import identity, perseverance
from buildwright.drivers.kubernetes.driver import KubernetesDriver
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.pins import Pins
from buildwright.errors import BuildwrightError, ClusterError, ConfigurationError, ConnectError
from buildwright.kube.api import CONFIG_MAP, NAMESPACE
from buildwright.model.node import Node
from buildwright.testing.drivers import Sink
from buildwright.testing.kube import ApiServer, Refusal

BUILDX = "kubernetes:///b?deployment=b0&kubeconfig="


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_asked", {})


def serving(server: ApiServer, uid: str) -> ApiServer:
    server.put("namespaces", {"metadata": {"name": "kube-system", "uid": uid}}, "")
    return server


def kubeconfig(folder: Path, contexts: Mapping[str, ApiServer], current: str) -> Path:
    """One file with a context for each server, each with a namespace called as the context."""
    path = folder / "kubeconfig"
    content = {
        "current-context": current,
        "clusters": [{"name": name, "cluster": {"server": server.address}} for name, server in contexts.items()],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": "u", "namespace": name}} for name in contexts
        ],
    }
    path.write_text(json.dumps(content))
    return path


def created(path: Path, **options: str) -> Node:
    """A node as `create` leaves it, before it is identified."""
    node = Node(name="b0", endpoint=Pins(kubeconfig=str(path)).kept_in(BUILDX), driver_opts=options)
    endpoint = identity.settled(node, None, {"KUBECONFIG": str(path)})
    return Node(name="b0", endpoint=endpoint, driver_opts=options)


async def identified(node: Node) -> Node:
    return Node(name="b0", endpoint=await identity.identified(node), driver_opts=node.driver_opts)


async def place(node: Node) -> tuple[str, str]:
    """Where a node's calls go."""
    cluster = await identity.connect(Fleet.of(node))
    await cluster.aclose()
    return cluster.config.server, cluster.namespace


def test_a_switch_of_context_and_namespace_moves_no_builder(tmp_path: Path) -> None:
    async def run() -> None:
        async with ApiServer() as one, ApiServer() as two:
            both = {"a": serving(one, "uid-1"), "b": serving(two, "uid-2")}
            node = await identified(created(kubeconfig(tmp_path, both, "a")))
            pinned = await identified(created(kubeconfig(tmp_path, both, "a"), context="b", namespace="mine"))
            path = kubeconfig(tmp_path, both, "b")
            path.write_text(path.read_text().replace('"namespace": "a"', '"namespace": "other"'))
            assert await place(node) == (one.address, "a")
            assert await place(pinned) == (two.address, "mine")
            kept = Pins.read(node.endpoint)
            assert (kept.cluster, kept.server) == ("uid-1", one.address)
            assert await place(Node(name="b0", endpoint=Pins(kubeconfig=str(path)).kept_in(BUILDX))) == (
                two.address,
                "b",
            )

    asyncio.run(run())


def test_another_cluster_behind_the_same_context_is_refused_for_every_operation(tmp_path: Path) -> None:
    async def run() -> None:
        async with ApiServer() as one, ApiServer() as two:
            serving(one, "uid-1"), serving(two, "uid-2")
            node = await identified(created(kubeconfig(tmp_path, {"a": one}, "a")))
            kubeconfig(tmp_path, {"a": two}, "a")
            before = len(two.requests)
            driver = KubernetesDriver(node)
            for operation in (driver.info(), driver.start(Sink()), driver.open(), driver.stop(), driver.remove()):
                with pytest.raises(ConfigurationError) as caught:
                    await operation
                for words in (f"{one.address} (kube-system uid-1)", f"{two.address} (kube-system uid-2)", "rm"):
                    assert words in str(caught.value)
                assert "\n" not in str(caught.value)
            assert set(two.requests[before:]) == {("get", "namespaces", "kube-system")}

    asyncio.run(run())


def test_a_context_that_has_gone_is_named_with_what_there_is(tmp_path: Path) -> None:
    async def run() -> None:
        async with ApiServer() as one:
            node = created(kubeconfig(tmp_path, {"a": one}, "a"))
            kubeconfig(tmp_path, {"b": one, "c": one}, "b")
            with pytest.raises(ConfigurationError, match='has no context "a": it defines b, c'):
                await place(node)

    asyncio.run(run())


def test_a_cluster_that_does_not_say_who_it_is_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        async with ApiServer() as one:
            path = kubeconfig(tmp_path, {"a": one}, "a")
            nameless = await identified(created(path))
            assert Pins.read(nameless.endpoint).cluster == ""
            node = await identified(created(kubeconfig(tmp_path, {"a": serving(one, "uid-1")}, "a")))
            said = 'namespaces "kube-system" is forbidden'
            one.refuse["get", "namespaces"] = Refusal(403, "Forbidden", said)
            assert (await identified(created(path))).endpoint == nameless.endpoint
            assert await place(node) == await place(nameless) == (one.address, "a")

    asyncio.run(run())


def test_a_process_asks_a_cluster_once_who_it_is(tmp_path: Path) -> None:
    async def run() -> None:
        async with ApiServer() as one:
            node = await identified(created(kubeconfig(tmp_path, {"a": serving(one, "uid-1")}, "a")))
            before = len(one.requests)
            for _ in range(3):
                await place(node)
            assert one.requests[before:] == [("get", "namespaces", "kube-system")]

    asyncio.run(run())


@pytest.mark.parametrize(("status", "reason"), [(500, "InternalError"), (503, "ServiceUnavailable"), (429, "Busy")])
def test_a_cluster_that_fails_to_say_who_it_is_is_not_taken_for_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, reason: str
) -> None:
    monkeypatch.setattr(perseverance, "PAUSES", (0.0, 0.0))

    async def run() -> None:
        async with ApiServer() as one, ApiServer() as two:
            serving(one, "uid-1"), serving(two, "uid-2")
            node = await identified(created(kubeconfig(tmp_path, {"a": one}, "a")))
            kubeconfig(tmp_path, {"a": two}, "a")
            two.refuse["get", "namespaces"] = Refusal(status, reason, "etcdserver: leader changed")
            with pytest.raises(ClusterError, match="leader changed"):
                await KubernetesDriver(node).remove()
            assert {request[1] for request in two.requests} == {"namespaces"}
            two.refuse.clear()
            with pytest.raises(ConfigurationError, match="uid-2"):
                await place(node)

    asyncio.run(run())


def test_a_cluster_that_is_not_there_keeps_no_identity_and_is_no_obstacle_to_creation(tmp_path: Path) -> None:
    async def run() -> None:
        async with ApiServer() as one:
            node = created(kubeconfig(tmp_path, {"a": one}, "a"))
            pinned = await identified(created(kubeconfig(tmp_path, {"a": serving(one, "uid-1")}, "a")))
        assert await identity.identified(node) == node.endpoint
        with pytest.raises(ConnectError):
            await place(pinned)

    asyncio.run(run())


def test_a_mute_cluster_is_waited_for_briefly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_PATIENCE", 0.05)

    async def run() -> None:
        held = asyncio.Event()

        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await held.wait()
            writer.close()

        async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
            one = ApiServer()
            one.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            node = created(kubeconfig(tmp_path, {"a": one}, "a"))
            assert await identity.identified(node) == node.endpoint
            held.set()

    asyncio.run(run())


def docker_context(folder: Path, name: str, **endpoint: Any) -> None:
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"kubernetes": endpoint}}))


def test_an_endpoint_may_be_a_docker_context_and_any_other_is_the_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    async def run() -> None:
        async with ApiServer() as one, ApiServer() as two:
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, {"b": two}, "b")))
            docker_context(tmp_path, "desk", Host=one.address, DefaultNamespace="a", token="t")
            assert await place(Node(name="b0", endpoint="desk")) == (one.address, "a")
            assert await place(Node(name="b0", endpoint="unix:///var/run/docker.sock")) == (two.address, "b")
            with pytest.raises(BuildwrightError, match="leave one of them out"):
                await place(Node(name="b0", endpoint="desk", driver_opts={"context": "b"}))
            cluster = await identity.connect(Fleet.of(Node(name="b0", endpoint="desk")))
            async with cluster:
                await cluster.get(CONFIG_MAP, "a")
                await cluster.get(NAMESPACE, "kube-system")
            assert one.headers[-1]["authorization"] == "Bearer t"

    asyncio.run(run())
