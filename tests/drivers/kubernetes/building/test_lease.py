"""What running builds leave in the cluster, and take away again."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.kubernetes.building import lease
from buildwright.drivers.kubernetes.building.lease import (
    Keeper,
    Lease,
    LeasedStream,
    leases,
    seconds,
    settle,
    sweep,
    written,
)
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.manifests import drain
from buildwright.errors import ClusterError, ConnectError
from buildwright.kube.api import Cluster, Kind
from buildwright.kube.config import load
from buildwright.kube.objects import Pod
from buildwright.model.node import Node
from buildwright.testing.kube import ApiServer, Refusal, pod
from buildwright.wire.memory import memory_pair

NOW = 1_800_000_000.0
LABELS = {"app": "b0"}

Scenario = Callable[[ApiServer, Cluster], Awaitable[None]]


def fleet(**options: str) -> Fleet:
    return Fleet.of(Node(name="b0", endpoint="kubernetes:///b?deployment=b0&kubeconfig=", driver_opts=options))


def run(folder: Path, scenario: Scenario) -> None:
    """With a workload `b0` and its pod `p`."""

    async def once() -> None:
        async with (
            asyncio.timeout(30),
            ApiServer() as server,
            Cluster(load(str(server.kubeconfig(folder)), environ={})) as cluster,
        ):
            server.controller = lambda _: None
            server.put("deployments", {"metadata": {"name": "b0"}, "spec": {"replicas": 1}})
            server.put("pods", pod("p", {"metadata": {"labels": dict(LABELS)}, "spec": {"containers": []}}))
            await scenario(server, cluster)

    asyncio.run(once())


def the_pod(server: ApiServer) -> Pod:
    return Pod.read(server.objects["pods", "default", "p"])


def label(server: ApiServer) -> str | None:
    found: str | None = server.objects["pods", "default", "p"]["metadata"]["labels"].get(drain.LEASE)
    return found


def mark(server: ApiServer, value: str) -> None:
    item = copy.deepcopy(server.objects["pods", "default", "p"])
    item["metadata"]["labels"][drain.LEASE] = value
    server.put("pods", item)


def names(server: ApiServer) -> list[str]:
    return sorted(name for kind, _, name in server.objects if kind == "leases")


def put(server: ApiServer, name: str, *, age: float = 0.0, left: float = 600.0) -> None:
    """A lease on the pod that was renewed `age` seconds ago and protects it for `left` seconds more."""
    metadata = {
        "name": name,
        "labels": {**LABELS, "app.kubernetes.io/managed-by": "buildwright"},
        "annotations": {lease.UNTIL: written(NOW + left)},
        "ownerReferences": [{"uid": the_pod(server).uid}],
    }
    spec = {"holderIdentity": "u@h/1", "leaseDurationSeconds": 60, "renewTime": written(NOW - age)}
    server.put("leases", {"metadata": metadata, "spec": spec})


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No build is too short for a lease, and all are renewed all the time."""
    monkeypatch.setattr(lease, "DELAY", 0.0)
    monkeypatch.setattr(lease, "RENEWAL", 0.01)


# --- times -------------------------------------------------------------------------------------------------------


def test_a_lease_is_valid_until_it_has_not_been_renewed_for_its_duration() -> None:
    item = {"metadata": {"name": "x"}, "spec": {"leaseDurationSeconds": 60, "renewTime": written(NOW)}}
    assert Lease.read(item).valid(NOW + 59)
    assert not Lease.read(item).valid(NOW + 61)


def test_a_lease_protects_no_longer_than_its_bound() -> None:
    item = {
        "metadata": {"name": "x", "annotations": {lease.UNTIL: written(NOW + 10)}},
        "spec": {"leaseDurationSeconds": 60, "renewTime": written(NOW)},
    }
    assert Lease.read(item).protects(NOW + 9)
    assert not Lease.read(item).protects(NOW + 11)
    assert Lease.read(item).valid(NOW + 11)


def test_a_lease_made_just_now_is_valid_whatever_clock_its_client_has() -> None:
    item = {
        "metadata": {"name": "x", "creationTimestamp": written(NOW)},
        "spec": {"leaseDurationSeconds": 60, "renewTime": written(NOW - 3600)},
    }
    assert Lease.read(item).valid(NOW + 30)


@pytest.mark.parametrize("text", ["2027-01-15T08:00:00Z", "2027-01-15T08:00:00.000000Z"])
def test_times_are_read_as_the_api_writes_them(text: str) -> None:
    assert seconds(text) == NOW
    assert written(NOW) == "2027-01-15T08:00:00.000000Z"


@pytest.mark.parametrize("text", [None, "", "yesterday"])
def test_a_time_that_cannot_be_read_was_long_ago(text: str | None) -> None:
    assert seconds(text) == 0.0


def test_a_holder_is_a_user_a_machine_and_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("no such user")

    assert lease.holder().count("@") == 1
    monkeypatch.setattr("getpass.getuser", nobody)
    assert lease.holder().startswith("unknown@")


# --- a build's own ----------------------------------------------------------------------------------------------


def test_a_short_build_leaves_nothing_and_asks_nothing(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        keeper = Keeper(cluster, fleet(), the_pod(server), {})
        await asyncio.sleep(0)
        await keeper.aclose()
        assert server.requests == []

    run(tmp_path, scenario)


def test_a_short_build_counts_as_use_where_unused_builders_are_collected(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        await Keeper(cluster, fleet(ttl="1h"), the_pod(server), {}).aclose()
        assert server.requests == [("patch", "deployments", "b0")]
        assert "buildwright/last-used" in server.objects["deployments", "default", "b0"]["metadata"]["annotations"]

    run(tmp_path, scenario)


def test_a_build_holds_a_lease_and_its_pod_while_it_runs(tmp_path: Path, hasty: None) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        keeper = Keeper(cluster, fleet(), the_pod(server), {})
        await server.until(lambda: label(server))
        assert names(server) == [label(server)]
        (item,) = (item for (kind, *_), item in server.objects.items() if kind == "leases")
        assert item["metadata"]["ownerReferences"] == [
            {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": the_pod(server).uid}
        ]
        assert item["metadata"]["labels"] == {
            "app": "b0", "builder": "b", "app.kubernetes.io/managed-by": "buildwright"
        }  # fmt: skip
        first = item["spec"]["renewTime"]
        await server.until(lambda: server.objects["leases", "default", names(server)[0]]["spec"]["renewTime"] > first)
        await keeper.aclose()
        assert names(server) == []
        assert label(server) is None

    run(tmp_path, scenario)


def test_a_lease_outlasts_the_protection_that_the_option_drain_bounds(tmp_path: Path, hasty: None) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        keeper = Keeper(cluster, fleet(drain="300ms"), the_pod(server), {})
        await server.until(lambda: label(server))
        await server.until(lambda: label(server) is None)
        assert len(names(server)) == 1
        await keeper.aclose()
        assert names(server) == []

    run(tmp_path, scenario)


def test_without_drain_no_pod_is_protected(tmp_path: Path, hasty: None) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        keeper = Keeper(cluster, fleet(drain="0"), the_pod(server), {})
        await server.called("patch", "leases")
        assert not [request for request in server.requests if request[:2] == ("patch", "pods")]
        await keeper.aclose()

    run(tmp_path, scenario)


def test_a_correction_that_fails_does_not_cost_the_protection(
    tmp_path: Path, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEWAL", 20.0)

    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        server.clock = lambda: time.time() + 3600
        server.refuse["patch", "leases"] = Refusal(429, "TooManyRequests", "later")
        keeper = Keeper(cluster, fleet(), the_pod(server), {})
        await server.until(lambda: label(server))
        server.refuse.clear()
        await keeper.aclose()

    run(tmp_path, scenario)


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
def test_a_client_whose_clock_is_off_protects_its_pod_no_less_and_no_longer(
    tmp_path: Path, hasty: None, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    monkeypatch.setattr(lease, "RENEWAL", 20.0)

    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        server.clock = lambda: time.time() + ahead
        keeper = Keeper(cluster, fleet(), the_pod(server), {})
        # The second time is its own sweep's, which takes the label away where nothing protects the pod.
        await server.until(lambda: server.requests.count(("list", "leases", "")) > 1 and label(server))
        assert label(server) in names(server)
        (held,) = await leases(cluster, LABELS)
        now = server.clock()
        assert [held.protects(now + seconds) for seconds in (0, 700)] == [True, False]
        assert [held.valid(now + seconds) for seconds in (0, 70)] == [True, False]
        await keeper.aclose()

    run(tmp_path, scenario)


def test_the_label_stays_for_the_other_builds_on_the_pod(tmp_path: Path, hasty: None) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        keepers = [Keeper(cluster, fleet(), the_pod(server), {}) for _ in range(3)]
        await server.until(lambda: len(names(server)) == 3 and label(server))
        await keepers.pop().aclose()
        assert label(server) in names(server)
        await asyncio.gather(*(keeper.aclose() for keeper in keepers))
        assert names(server) == []
        assert label(server) is None

    run(tmp_path, scenario)


def test_a_lease_and_a_label_that_someone_took_away_are_made_again(tmp_path: Path, hasty: None) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        keeper = Keeper(cluster, fleet(), the_pod(server), {})
        await server.until(lambda: label(server))
        (name,) = names(server)
        server.drop("leases", name)
        mark(server, "other")
        await server.until(lambda: label(server) == name and names(server) == [name])
        await keeper.aclose()

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("refused", "leased", "labelled"),
    [(("create", "leases"), False, False), (("patch", "pods"), True, False), (("patch", "deployments"), True, True)],
)
def test_a_missing_right_is_gone_without(
    tmp_path: Path, hasty: None, refused: tuple[str, str], leased: bool, labelled: bool
) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        server.refuse[refused] = Refusal(403, "Forbidden", "no")
        keeper = Keeper(cluster, fleet(), the_pod(server), {})
        await server.called("patch", "deployments")
        server.requests.clear()
        await server.until(lambda: len([request for request in server.requests if request[1] == "leases"]) > 3)
        assert bool(names(server)) is leased
        assert (label(server) is not None) is labelled
        await keeper.aclose()
        assert names(server) == []
        assert label(server) is None

    run(tmp_path, scenario)


def test_a_server_that_says_nothing_holds_up_no_end(
    tmp_path: Path, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_FAREWELL", 0.05)

    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        async def never(*_: object, **__: object) -> Any:
            await asyncio.Event().wait()

        keeper = Keeper(cluster, fleet(), the_pod(server), {})
        await server.until(lambda: label(server))
        monkeypatch.setattr(cluster, "delete", never)
        await asyncio.wait_for(keeper.aclose(), 5)

    run(tmp_path, scenario)


def test_a_lease_that_could_not_be_given_back_goes_with_the_next_attempt(
    tmp_path: Path, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        overdue: dict[str, str] = {}
        keeper = Keeper(cluster, fleet(), the_pod(server), overdue)
        await server.until(lambda: label(server))
        (former,) = names(server)
        server.refuse["delete", "leases"] = Refusal(503, "ServiceUnavailable", "later")
        await keeper.aclose()
        assert names(server) == [former]
        assert overdue == {former: "p"}
        server.refuse.clear()
        again = Keeper(cluster, fleet(), the_pod(server), overdue)
        await server.until(lambda: label(server) not in (None, former) and former not in names(server))
        await again.aclose()
        assert (names(server), label(server), overdue) == ([], None, {})

    run(tmp_path, scenario)


@pytest.mark.parametrize("refused", [("list", "leases"), ("delete", "leases")])
def test_who_has_not_all_rights_leaves_no_label_and_no_lease_of_the_next(
    tmp_path: Path, hasty: None, refused: tuple[str, str]
) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        server.refuse[refused] = Refusal(403, "Forbidden", "no")
        overdue: dict[str, str] = {}
        for _ in range(2):
            keeper = Keeper(cluster, fleet(), the_pod(server), overdue)
            await server.until(lambda: label(server))
            await keeper.aclose()
            assert (label(server), overdue) == (None, {})
            assert not names(server) or refused[0] == "delete"
            left = [Lease.read(item) for (kind, *_), item in server.objects.items() if kind == "leases"]
            assert not any(held.valid(time.time() + 3) for held in left)

    run(tmp_path, scenario)


def test_one_that_cannot_be_given_back_holds_up_no_other(
    tmp_path: Path, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        overdue = {"former": "p"}
        keeper = Keeper(cluster, fleet(), the_pod(server), overdue)
        await server.until(lambda: names(server))
        delete = cluster.delete

        async def failing(kind: Kind, name: str) -> bool:
            if name == "former":
                raise ConnectError("away")
            return await delete(kind, name)

        monkeypatch.setattr(cluster, "delete", failing)
        await keeper.aclose()
        assert (names(server), overdue) == ([], {"former": "p"})

    run(tmp_path, scenario)


def test_one_that_is_too_short_for_a_lease_gives_back_the_overdue_too(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        put(server, "former")
        mark(server, "former")
        await Keeper(cluster, fleet(), the_pod(server), {"former": "p"}).aclose()
        assert (names(server), label(server)) == ([], None)

    run(tmp_path, scenario)


def test_who_may_not_delete_leases_frees_the_pods_of_killed_clients(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        put(server, "killed", age=600.0)
        mark(server, "killed")
        server.refuse["delete", "leases"] = Refusal(403, "Forbidden", "no")
        with pytest.raises(ClusterError):
            await sweep(cluster, LABELS, NOW)
        assert label(server) is None

    run(tmp_path, scenario)


def test_a_stream_with_a_lease_is_the_same_stream(tmp_path: Path, hasty: None) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        ours, theirs = memory_pair()
        stream = LeasedStream(ours, Keeper(cluster, fleet(), the_pod(server), {}))
        await stream.write(b"there")
        assert await theirs.read() == b"there"
        await theirs.write(b"back")
        assert await stream.read() == b"back"
        await stream.close_write()
        assert await theirs.read() == b""
        await server.until(lambda: label(server))
        await stream.aclose()
        assert label(server) is None

    run(tmp_path, scenario)


# --- what others left -------------------------------------------------------------------------------------------


def test_what_a_killed_client_left_is_swept(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        put(server, "dead", age=61)
        mark(server, "dead")
        assert await sweep(cluster, LABELS, NOW) == []
        assert names(server) == []
        assert label(server) is None

    run(tmp_path, scenario)


def test_what_runs_is_not_swept(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        put(server, "dead", age=61)
        put(server, "unprotecting", left=-1)
        put(server, "alive", age=59)
        mark(server, "dead")
        assert [found.name for found in await sweep(cluster, LABELS, NOW)] == ["unprotecting", "alive"]
        assert names(server) == ["alive", "unprotecting"]
        assert label(server) == "alive"

    run(tmp_path, scenario)


def test_the_next_build_sweeps(tmp_path: Path, hasty: None) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        put(server, "dead", age=10 * 365 * 86400)
        keeper = Keeper(cluster, fleet(), the_pod(server), {})
        await server.until(lambda: names(server) and "dead" not in names(server))
        await keeper.aclose()

    run(tmp_path, scenario)


def test_a_build_that_begins_while_a_label_is_taken_away_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        mark(server, "ended")
        before = lease.leases

        async def overtaken(*args: Any) -> list[Lease]:
            found = await before(*args)
            if label(server) == "ended":
                put(server, "new")
                mark(server, "new")
            return found

        monkeypatch.setattr(lease, "leases", overtaken)
        await settle(cluster, LABELS, "p", NOW)
        assert label(server) == "new"

    run(tmp_path, scenario)


def test_a_label_that_cannot_be_settled_is_told(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        mark(server, "ended")
        server.refuse["patch", "pods"] = Refusal(409, "Conflict", "the object has been modified")
        with pytest.raises(ClusterError, match="modified"):
            await settle(cluster, LABELS, "p", NOW)

    run(tmp_path, scenario)


def test_a_pod_that_is_gone_has_no_label_to_take_away(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, cluster: Cluster) -> None:
        server.drop("pods", "p")
        await settle(cluster, LABELS, "p", NOW)

    run(tmp_path, scenario)
