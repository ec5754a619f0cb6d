"""Changing a builder's options: what is asked, what that makes of its record, and the way back."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

import pytest

from buildwright.builders.record import GroupRecord, NodeRecord
from buildwright.builders.store import Store
from buildwright.builders.update import NodeUpdate, UpdateOptions, apply, prepare
from buildwright.errors import (
    BuilderNotFoundError,
    BuildwrightError,
    DriverOptionError,
    NotReadyError,
    StoreError,
    UsageError,
)
from buildwright.model.platform import Platform
from buildwright.model.status import StatusSink
from buildwright.testing.drivers import Sink

AMD, ARM = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")


def group(*nodes: NodeRecord, driver: str = "kubernetes") -> GroupRecord:
    return GroupRecord(name="k", driver=driver, nodes=nodes or (node(),))


def node(name: str = "k0", *, platforms: tuple[Platform, ...] | None = None, **opts: str) -> NodeRecord:
    options = {key.replace("_", "."): value for key, value in opts.items()}
    address = f"kubernetes:///k?deployment={name}"
    return NodeRecord(
        name=name, endpoint=address, platforms=platforms, driver_opts=options, flags=("--debug",), files={"a": b"1"}
    )


def changed(before: NodeRecord, **options: object) -> NodeUpdate:
    (done,) = prepare(group(before), UpdateOptions(**options))  # type: ignore[arg-type]
    return done


def test_what_is_given_replaces_and_all_else_stays() -> None:
    before = node(replicas="2", limits_cpu="1", env_TOKEN="hunter1")
    done = changed(before, driver_opts=["replicas=3,limits.cpu=", "env.TOKEN=hunter2"])
    assert done.after.driver_opts == {"replicas": "3", "env.TOKEN": "hunter2"}
    assert (done.after.flags, done.after.files, done.after.endpoint) == (before.flags, before.files, before.endpoint)
    assert done.changes == (
        "driver-opt env.TOKEN: (values not shown)",
        "driver-opt limits.cpu: 1 -> none",
        "driver-opt replicas: 2 -> 3",
    )
    assert changed(before, driver_opts=["replicas=2", "qemu.image="]).after == before


def test_flags_and_configuration_are_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text("debug = true\n")
    done = changed(node(), daemon_flags="--trace", daemon_config=str(tmp_path / "b.toml"))
    assert done.after.flags == ("--trace", "--allow-insecure-entitlement=network.host")
    assert done.after.files == {"buildkitd.toml": b"debug = true\n"}
    assert changed(node(), daemon_config="").after.files is None


def test_the_way_back_is_a_command() -> None:
    before = node(replicas="2", nodeselector="a=b,c=d", env_TOKEN="hunter1")
    done = changed(before, driver_opts=["replicas=3", "nodeselector=", "env.TOKEN=x", "image=i"], daemon_flags="")
    back = shlex.split(done.way_back("k"))
    assert back[:5] == ["buildwright", "update", "k", "--node", "k0"]
    options = back[back.index("--driver-opt") :]
    assert options == [
        "--driver-opt", "env.TOKEN=FORMER",
        "--driver-opt", "image=",
        "--driver-opt", '"nodeselector=a=b,c=d"',
        "--driver-opt", "replicas=2",
        "--buildkitd-flags", "--debug",
    ]  # fmt: skip
    assert "hunter" not in done.way_back("k")


def test_a_pod_template_may_hold_secrets_and_is_not_shown() -> None:
    patch = '{"metadata":{"annotations":{"token":"hunter1"}}}'
    done = changed(node(podtemplate=patch), driver_opts=["podtemplate="])
    assert done.changes == ("driver-opt podtemplate: (values not shown)",)
    assert shlex.split(done.way_back("k"))[-2:] == ["--driver-opt", "podtemplate=FORMER"]


def test_all_nodes_are_meant_unless_one_is_named() -> None:
    both = group(node("k0", platforms=(AMD,)), node("k1", platforms=(ARM,)))
    assert [done.after.name for done in prepare(both, UpdateOptions(driver_opts=["replicas=2"]))] == ["k0", "k1"]
    assert [done.after.name for done in prepare(both, UpdateOptions(node="K1"))] == ["k1"]
    with pytest.raises(UsageError, match="--node"):
        prepare(both, UpdateOptions(platforms=["linux/386"]))


def test_a_platform_is_taken_from_the_node_that_had_it_which_changes_too() -> None:
    both = group(node("k0", platforms=(AMD, ARM)), node("k1", platforms=()))
    first, second = prepare(both, UpdateOptions(node="k1", platforms=["linux/arm64"]))
    assert (first.after.platforms, second.after.platforms) == ((AMD,), (ARM,))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"node": "other"}, BuilderNotFoundError, "only k0"),
        ({"driver_opts": ["replica=2"]}, DriverOptionError, 'did you mean "replicas"'),
        ({"driver_opts": ["replica="]}, DriverOptionError, 'did you mean "replicas"'),
        ({"driver_opts": ["replicas=x"]}, DriverOptionError, "whole number"),
        ({"driver_opts": ["namespace=other"]}, DriverOptionError, '"namespace" .* create another builder'),
        ({"driver_opts": ["context=other"]}, DriverOptionError, '"context" .* create another builder'),
        ({"driver_opts": ["managed=false,labels=a=b"]}, DriverOptionError, "someone else manages"),
        ({"daemon_config": "/none.toml"}, BuildwrightError, "/none.toml"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_asked(
    options: dict[str, object], error: type[BuildwrightError], words: str
) -> None:
    with pytest.raises(error, match=words):
        changed(node(), **options)


def test_a_daemon_of_someone_else_has_nothing_to_update() -> None:
    remote = NodeRecord(name="r0", endpoint="tcp://h:1")
    with pytest.raises(UsageError, match="run by someone else"):
        prepare(group(remote, driver="remote"), UpdateOptions())


class Script:
    """An Update that goes as it is told, and notes how far it came."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.did: list[str] = []

    async def plan(self) -> tuple[str, ...]:
        return ()

    async def apply(self) -> None:
        await self._do("apply")

    async def follow(self, sink: StatusSink, /) -> None:
        await self._do("follow")

    async def _do(self, what: str) -> None:
        if what == self.failing:
            raise NotReadyError(f"cannot {what}")
        self.did.append(what)


def applied(folder: Path, script: Script) -> tuple[BuildwrightError | None, GroupRecord | None]:
    """What `apply` raises, and what the store has then."""
    before, after = node(replicas="1"), node(replicas="2")

    async def run() -> tuple[BuildwrightError | None, GroupRecord | None]:
        store, failure = Store({"BUILDX_CONFIG": str(folder)}), None
        async with store.transaction() as transaction:
            transaction.save(group(before, node("k1")))
        try:
            await apply(store, "k", NodeUpdate(before=before, after=after, update=script), Sink())
        except BuildwrightError as error:
            failure = error
        async with store.transaction() as transaction:
            return failure, transaction.get("k")

    return asyncio.run(run())


def test_the_store_follows_the_cluster(tmp_path: Path) -> None:
    failure, kept = applied(tmp_path, script := Script())
    assert (failure, script.did) == (None, ["apply", "follow"])
    assert kept == group(node(replicas="2"), node("k1"))


def test_what_the_cluster_refuses_is_not_kept(tmp_path: Path) -> None:
    failure, kept = applied(tmp_path, Script("apply"))
    assert "cannot apply" in str(failure)
    assert kept == group(node(replicas="1"), node("k1"))


def test_what_does_not_become_ready_is_kept_and_the_way_back_told(tmp_path: Path) -> None:
    failure, kept = applied(tmp_path, Script("follow"))
    assert isinstance(failure, NotReadyError)
    assert str(failure).endswith("go back with: buildwright update k --node k0 --driver-opt replicas=1")
    assert kept == group(node(replicas="2"), node("k1"))


def test_a_builder_that_is_removed_meanwhile_is_not_made_again(tmp_path: Path) -> None:
    async def run() -> None:
        store = Store({"BUILDX_CONFIG": str(tmp_path)})
        gone = NodeUpdate(before=node(replicas="1"), after=node(replicas="2"), update=Script())
        with pytest.raises(BuilderNotFoundError, match="removed by somebody else"):
            await apply(store, "k", gone, Sink())
        async with store.transaction() as transaction:
            assert transaction.get("k") is None

    asyncio.run(run())


class Overtaken(Script):
    """An Update during which somebody else changes the same builder."""

    def __init__(self, store: Store, theirs: GroupRecord) -> None:
        super().__init__()
        self.store, self.theirs = store, theirs

    async def apply(self) -> None:
        async with self.store.transaction() as transaction:
            transaction.save(self.theirs)
        await super().apply()


@pytest.mark.parametrize("early", [True, False], ids=["before", "while"])
def test_a_change_by_somebody_else_meanwhile_is_not_reverted(tmp_path: Path, early: bool) -> None:
    before, theirs = node(replicas="1"), group(node(replicas="1", image="i:2"), node("k1"))

    async def run() -> None:
        store = Store({"BUILDX_CONFIG": str(tmp_path)})
        async with store.transaction() as transaction:
            transaction.save(theirs if early else group(before, node("k1")))
        script = Overtaken(store, theirs)
        with pytest.raises(StoreError, match='node "k0" of builder "k" was changed by somebody else meanwhile'):
            await apply(store, "k", NodeUpdate(before=before, after=node(replicas="2"), update=script), Sink())
        assert script.did == ([] if early else ["apply"])
        async with store.transaction() as transaction:
            assert transaction.get("k") == theirs

    asyncio.run(run())


def test_a_change_of_another_node_meanwhile_is_none_of_ours(tmp_path: Path) -> None:
    before, theirs = node(replicas="1"), node("k1", image="i:2")

    async def run() -> None:
        store = Store({"BUILDX_CONFIG": str(tmp_path)})
        async with store.transaction() as transaction:
            transaction.save(group(before, node("k1")))
        script = Overtaken(store, group(before, theirs))
        await apply(store, "k", NodeUpdate(before=before, after=node(replicas="2"), update=script), Sink())
        async with store.transaction() as transaction:
            assert transaction.get("k") == group(node(replicas="2"), theirs)

    asyncio.run(run())
