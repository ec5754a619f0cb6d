"""Calls to the API and watches, against the API server double."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from buildwright.errors import ClusterError, ConnectError
from buildwright.kube import api, failure
from buildwright.kube import follow as following
from buildwright.kube.api import CONFIG_MAP, POD, Cluster
from buildwright.kube.config import ClusterConfig, load
from buildwright.kube.credentials import Authority, Material, User
from buildwright.kube.exec import connect
from buildwright.kube.follow import follow
from buildwright.testing.kube import ApiServer, Refusal

CONFIG = ClusterConfig(
    server="https://c:6443", namespace="n", context="c", origin="k", credentials=Material(Authority(), User())
)
Scenario = Callable[[ApiServer, Cluster], Awaitable[None]]


def run(folder: Path, scenario: Scenario) -> None:
    async def once() -> None:
        async with ApiServer() as server, Cluster(load(str(server.kubeconfig(folder)), environ={})) as cluster:
            await scenario(server, cluster)

    asyncio.run(once())


def config_map(name: str, **data: str) -> api.Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": name}},
        "data": data,
    }


def test_objects_are_created_read_changed_and_deleted(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        assert await cluster.get(CONFIG_MAP, "a") is None
        assert await cluster.create(config_map("a", x="1"), CONFIG_MAP) is not None
        assert await cluster.create(config_map("a", x="2"), CONFIG_MAP) is None
        await cluster.replace(config_map("a", x="3"), CONFIG_MAP)
        await cluster.patch(CONFIG_MAP, "a", {"data": {"y": "4"}})
        found = await cluster.get(CONFIG_MAP, "a")
        assert found is not None
        assert found["data"] == {"x": "3", "y": "4"}
        assert await cluster.delete(CONFIG_MAP, "a") is True
        assert await cluster.delete(CONFIG_MAP, "a") is False

    run(tmp_path, scenario)


def test_objects_are_listed_by_label_and_name(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        for name in ("a", "b"):
            server.put("configmaps", config_map(name))
        server.put("configmaps", config_map("a"), namespace="other")
        assert [item["metadata"]["name"] for item in (await cluster.list(CONFIG_MAP))[0]] == ["a", "b"]
        assert len((await cluster.list(CONFIG_MAP, labels={"app": "b"}))[0]) == 1
        assert len((await cluster.list(CONFIG_MAP, name="a"))[0]) == 1

    run(tmp_path, scenario)


async def names_of(cluster: Cluster, changes: list[Callable[[], object]]) -> list[list[str]]:
    """Follow ConfigMaps; after each state make the next change."""
    states = []
    async with asyncio.timeout(20), aclosing(follow(cluster, CONFIG_MAP)) as following:
        async for items in following:
            states.append([item["metadata"]["name"] for item in items])
            if not changes:
                break
            changes.pop(0)()
    return states


def test_following_shows_every_change(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        changes: list[Callable[[], object]] = [
            lambda: server.put("configmaps", config_map("a")),
            lambda: server.put("configmaps", config_map("b")),
            lambda: server.drop("configmaps", "a"),
        ]
        assert await names_of(cluster, changes) == [[], ["a"], ["a", "b"], ["b"]]

    run(tmp_path, scenario)


def test_a_watch_that_the_server_ends_goes_on_where_it_was(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        def end_and_change() -> None:
            server.end_watches()
            server.put("configmaps", config_map("b"))

        first: Callable[[], object] = lambda: server.put("configmaps", config_map("a"))  # noqa: E731
        states = await names_of(cluster, [first, end_and_change])
        assert states[-1] == ["a", "b"]
        assert server.requests.count(("list", "configmaps", "")) == 1

    run(tmp_path, scenario)


@pytest.mark.parametrize("brief", [60, 0])
def test_a_watch_that_ends_at_once_without_an_event_is_not_asked_for_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brief: float
) -> None:
    monkeypatch.setattr(api, "_BRIEF", brief)

    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        async with asyncio.timeout(20), aclosing(cluster.watch(CONFIG_MAP)) as events:
            first = asyncio.ensure_future(anext(events))
            await server.called("watch", "configmaps")
            server.end_watches()
            if brief:
                with pytest.raises(ConnectError, match="ends a watch as soon as it has begun"):
                    await first
            else:
                server.put("configmaps", config_map("a"))
                assert (await first)[1]["metadata"]["name"] == "a"

    run(tmp_path, scenario)


def test_a_watch_that_is_too_old_or_cut_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_POLL", 0.01)

    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        def grow_old() -> None:
            server.refuse["watch", "configmaps"] = Refusal(410, "Expired", "too old resource version")
            server.end_watches()
            server.put("configmaps", config_map("a"))

        def cut() -> None:
            server.refuse.clear()
            server.cut()
            server.put("configmaps", config_map("b"))

        states = await names_of(cluster, [grow_old, cut])
        assert states[1:] == [["a"], ["a", "b"]]

    run(tmp_path, scenario)


@pytest.mark.parametrize("forbidden", ["", "get"])
def test_an_object_that_has_not_changed_for_long_is_watched_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forbidden: str
) -> None:
    monkeypatch.setattr(following, "_POLL", 60.0)

    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        server.put("configmaps", config_map("a"))
        for _ in range(5):
            server.put("configmaps", config_map("b"))
        server.oldest = 5
        server.refuse[forbidden, "configmaps"] = Refusal(403, "Forbidden", "no")
        async with asyncio.timeout(10), aclosing(follow(cluster, CONFIG_MAP, name="a")) as states:
            assert [item["metadata"]["name"] for item in await anext(states)] == ["a"]
            changed = asyncio.ensure_future(anext(states))
            await server.called("watch", "configmaps")
            server.drop("configmaps", "a")
            assert await changed == ()
        assert server.requests.count(("watch", "configmaps", "")) == 1

    run(tmp_path, scenario)


def test_where_listing_is_forbidden_one_object_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_POLL", 0.01)

    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        server.put("configmaps", config_map("a"))
        server.refuse["list", "configmaps"] = Refusal(403, "Forbidden", "no")
        async with asyncio.timeout(10), aclosing(follow(cluster, CONFIG_MAP, name="a")) as states:
            assert [item["metadata"]["name"] for item in await anext(states)] == ["a"]
            # A watch that begins only now tells nothing of it.
            server.drop("configmaps", "a")
            assert await anext(states) == ()
            server.put("configmaps", config_map("a"))
            while not await anext(states):
                pass
        assert server.requests.count(("list", "configmaps", "")) == 1

    run(tmp_path, scenario)


def test_a_watch_that_outlasts_the_server_s_own_limit_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_WATCH", 0)
    monkeypatch.setattr(api, "_ANSWER", 0.2)
    monkeypatch.setattr(following, "_POLL", 0.01)

    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        async with asyncio.timeout(20), aclosing(follow(cluster, CONFIG_MAP)) as states:
            assert await anext(states) == ()
            server.mute.add(("watch", "configmaps"))
            again = asyncio.ensure_future(anext(states))
            await server.called("watch", "configmaps")
            server.put("configmaps", config_map("a"))
            assert [item["metadata"]["name"] for item in await again] == ["a"]

    run(tmp_path, scenario)


def test_where_watching_is_forbidden_it_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_POLL", 0.01)

    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        said = 'configmaps is forbidden: User "u" cannot watch resource "configmaps" in API group ""'
        server.refuse["watch", "configmaps"] = Refusal(403, "Forbidden", said)
        states = await names_of(cluster, [lambda: server.put("configmaps", config_map("a"))])
        assert states[-1] == ["a"]
        assert server.requests.count(("watch", "configmaps", "")) == 1

    run(tmp_path, scenario)


def test_a_refused_list_is_an_error(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        said = 'pods is forbidden: User "u" cannot list resource "pods" in API group "" in the namespace "default"'
        server.refuse["list", "pods"] = Refusal(403, "Forbidden", said)
        with pytest.raises(ClusterError, match=r'cannot list resource "pods".*Role that allows this') as caught:
            async with aclosing(follow(cluster, POD)) as following:
                await anext(following)
        assert (caught.value.status, caught.value.reason) == (403, "Forbidden")

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Refusal(401, "Unauthorized", "Unauthorized"), 'the user of context "fake" of .*log in to the cluster again'),
        (Refusal(404, "NotFound", 'namespaces "x" not found'), "with kubectl create namespace x$"),
        (Refusal(422, "Invalid", 'ConfigMap "a" is invalid:\n data'), 'refused: ConfigMap "a" is invalid: data'),
        (Refusal(500, "", ""), "HTTP status 500"),
    ],
)
def test_refusals_are_one_sentence(tmp_path: Path, refusal: Refusal, words: str) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        server.refuse["create", "configmaps"] = refusal
        with pytest.raises(ClusterError, match=words) as caught:
            await cluster.create(config_map("a"), CONFIG_MAP)
        assert "\n" not in str(caught.value)
        assert "t0p-secret" not in str(caught.value)

    run(tmp_path, scenario)


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        await server.__aexit__(None, None, None)
        with pytest.raises(ConnectError, match=rf'{server.address} cannot be reached .*context "fake" of {tmp_path}'):
            await cluster.get(CONFIG_MAP, "a")

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("message", "role"),
    [
        ('User "u" cannot list resource "pods" in API group "" in the namespace "n"', "user"),
        ('User "u" cannot create resource "pods/exec" in API group "" in the namespace "n"', "user"),
        ('User "u" cannot get resource "deployments" in API group "apps" in the namespace "n"', "user"),
        ('User "u" cannot delete resource "deployments" in API group "apps" in the namespace "n"', "admin"),
    ],
)
def test_a_missing_right_names_the_role_that_has_it(tmp_path: Path, message: str, role: str) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        server.refuse["list", "pods"] = Refusal(403, "Forbidden", message)
        with pytest.raises(ClusterError, match=f"doctor --rbac {role} prints$"):
            await cluster.list(POD)

    run(tmp_path, scenario)


def test_a_missing_right_that_only_some_builders_need_is_told_as_such() -> None:
    said = 'secrets is forbidden: User "u" cannot list resource "secrets" in API group "" in the namespace "n"'
    error = failure.refusal(CONFIG, 403, "Forbidden", said)
    assert str(error).endswith("which buildwright doctor --rbac admin prints for a builder that has secrets")


def test_who_is_anonymous_is_to_log_in_and_needs_no_role() -> None:
    said = 'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group ""'
    told = str(failure.refusal(CONFIG, 403, "Forbidden", said))
    assert "Role" not in told
    assert told.endswith('log in to the cluster, or check those of the user of context "c" of k')


def test_what_is_no_api_server_is_told_with_who_named_it(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        told = str(failure.refusal(cluster.config, 404, "", ""))
        assert "answered with HTTP status 404 and no Kubernetes status: check that the cluster is up" in told
        assert f'and that context "fake" of {cluster.config.origin} has the address of its API server' in told

    run(tmp_path, scenario)


@pytest.mark.parametrize(("header", "seconds"), [(None, 0), (0, 0), (7, 7), (100_000, 30)])
def test_how_long_a_busy_server_asks_to_wait_is_known(tmp_path: Path, header: int | None, seconds: float) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        busy = Refusal(429, "TooManyRequests", "busy", retry_after=header)
        server.refuse["list", "pods"] = server.refuse["log", "pods"] = server.refuse["exec", "pods"] = busy
        for ask in (
            lambda: cluster.list(POD),
            lambda: anext(cluster.logs("p", "c")),
            lambda: connect(cluster, "p", "c", ("true",)),
        ):
            with pytest.raises(ClusterError, match="busy") as caught:
                await ask()
            assert caught.value.retry_after == seconds

    run(tmp_path, scenario)


def test_a_date_in_the_place_of_seconds_is_none() -> None:
    date = "Fri, 31 Dec 1999 23:59:59 GMT"
    error = failure.refusal(CONFIG, 503, "", "later", retry_after=date)
    assert (error.retriable, error.retry_after) == (True, 0)


def test_following_waits_as_long_as_the_server_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_POLL", 0.01)

    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        server.refuse["list", "configmaps"] = Refusal(503, "ServiceUnavailable", "later", retry_after=1)
        begun = time.monotonic()
        async with aclosing(follow(cluster, CONFIG_MAP)) as states:
            first = asyncio.ensure_future(anext(states))
            await server.called("list", "configmaps")
            server.refuse.clear()
            assert await first == ()
        assert time.monotonic() - begun >= 1

    run(tmp_path, scenario)
