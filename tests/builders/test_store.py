"""The store: its files, its lock, what it does with damaged files and folders it may not write."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.builders import location, lock, names, record
from buildwright.builders.record import GroupRecord, NodeRecord
from buildwright.builders.store import Store, Transaction
from buildwright.errors import StoreError, UsageError
from buildwright.model.platform import Platform

T = TypeVar("T")
GROUP = GroupRecord(name="Alpha", driver="remote", nodes=(NodeRecord(name="alpha0", endpoint="unix:///a"),))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "buildx"


def in_store(root: Path, work: Callable[[Transaction], T]) -> T:
    async def run() -> T:
        async with Store({"BUILDX_CONFIG": str(root)}).transaction() as transaction:
            return work(transaction)

    return asyncio.run(run())


def test_the_store_is_where_the_environment_says() -> None:
    assert location.store_dir({"BUILDX_CONFIG": "/b", "DOCKER_CONFIG": "/d"}) == "/b"
    assert location.store_dir({"DOCKER_CONFIG": "/d", "HOME": "/h"}) == os.path.join("/d", "buildx")
    assert location.store_dir({"HOME": "/h"}) == os.path.join("/h", ".docker", "buildx")


def test_files_are_the_users_alone(root: Path) -> None:
    def use(transaction: Transaction) -> None:
        transaction.save(GROUP)
        transaction.set_current("key", "Alpha", default=True)

    in_store(root, use)
    Store({"BUILDX_CONFIG": str(root)}).node_id()
    modes = {path.relative_to(root).as_posix(): path.stat().st_mode & 0o777 for path in root.rglob("*")}
    assert modes == {
        ".lock": 0o600,
        ".buildNodeID": 0o600,
        "current": 0o600,
        "instances": 0o700,
        "instances/alpha": 0o600,
        "defaults": 0o700,
        "defaults/2c70e12b7a0646f92279": 0o600,
        "activity": 0o700,
        "activity/Alpha": 0o600,
    }
    assert root.stat().st_mode & 0o777 == 0o700


def test_the_id_of_this_machine_lasts(root: Path) -> None:
    store = Store({"BUILDX_CONFIG": str(root)})
    root.mkdir()
    first = store.node_id()
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert store.node_id() == first


def test_saving_notes_when_and_a_name_is_found_in_any_case(root: Path) -> None:
    in_store(root, lambda transaction: transaction.save(GROUP))
    assert in_store(root, lambda transaction: transaction.get("ALPHA")) == GROUP
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", in_store(root, lambda t: t.activity("Alpha")))


def test_removing_leaves_nothing_of_a_name_with_capitals(root: Path) -> None:
    in_store(root, lambda transaction: transaction.save(GROUP))
    for spelling in ("Alpha", "alpha"):
        (root / "refs" / spelling / "alpha0").mkdir(parents=True)
        (root / "refs" / spelling / "alpha0" / "ref").write_text('{"GroupRef":"g"}')
    (root / "refs" / "__group__").mkdir()
    (root / "refs" / "__group__" / "g").write_text('{"Refs":["ref"]}')
    (root / "refs" / "__group__" / "other").write_text('{"Refs":["ref","more"]}')
    in_store(root, lambda transaction: transaction.remove("ALPHA"))
    assert [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()] == [
        ".lock",
        "refs/__group__/other",
    ]


def test_removing_what_is_not_there_is_no_error(root: Path) -> None:
    in_store(root, lambda transaction: transaction.remove("none"))


# --- the current builder -----------------------------------------------------------------------------------------


def saved(*builders: str) -> Callable[[Transaction], None]:
    def work(transaction: Transaction) -> None:
        for name in builders:
            transaction.save(GroupRecord(name=name, driver="remote"))

    return work


def current(root: Path, key: str) -> str | None:
    group = in_store(root, lambda transaction: transaction.current(key))
    return group.name if group else None


def choose(root: Path, key: str, name: str, **how: bool) -> None:
    in_store(root, lambda transaction: transaction.set_current(key, name, **how))


def test_a_choice_holds_for_its_docker_context(root: Path) -> None:
    in_store(root, saved("a", "b"))
    assert current(root, "one") is None
    choose(root, "one", "a")
    assert current(root, "one") == "a"
    assert current(root, "two") is None
    assert current(root, "one") is None, "buildx forgets a choice when it is asked for another context"


def test_a_global_choice_holds_for_all_contexts_until_its_builder_is_gone(root: Path) -> None:
    in_store(root, saved("a", "b"))
    choose(root, "one", "a", everywhere=True)
    assert current(root, "two") == "a"
    in_store(root, lambda transaction: transaction.remove("a"))
    assert current(root, "two") is None


def test_a_default_choice_comes_back_with_its_context(root: Path) -> None:
    in_store(root, saved("a", "b"))
    choose(root, "one", "a", default=True)
    choose(root, "two", "b")
    assert current(root, "one") == "a"
    choose(root, "one", "b")
    assert list((root / "defaults").iterdir()) == []


def test_a_default_that_is_gone_is_not_chosen_again(root: Path) -> None:
    in_store(root, saved("a", "b"))
    choose(root, "one", "a", default=True)
    choose(root, "two", "b")
    in_store(root, lambda transaction: transaction.remove("a"))
    assert current(root, "one") is None
    assert (root / "current").read_text() == '{"Key":"one","Name":"","Global":false}'


# --- damage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b'{"Name":1}',
        b'{"Nodes":{}}',
        b'{"Nodes":[null]}',
        b'{"Nodes":[{"Files":{"a":"%"}}]}',
        b'{"Nodes":[{"Files":{"a":1}}]}',
        b'{"Nodes":[{"Platforms":["x"]}]}',
        b'{"Nodes":[{"Flags":[1]}]}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_named_left_alone_and_concerns_only_its_builder(root: Path, content: bytes) -> None:
    in_store(root, saved("good", "bad"))
    path = root / "instances" / "bad"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"instances/bad is damaged .* rm --keep-daemon bad") as caught:
        in_store(root, lambda transaction: transaction.get("bad"))
    assert "\n" not in str(caught.value)
    found, damaged = in_store(root, Transaction.list)
    assert [group.name for group in found] == ["good"]
    assert [one.name for one in damaged] == ["bad"]
    assert path.read_bytes() == content
    in_store(root, lambda transaction: transaction.remove("bad"))
    assert not path.exists()


def test_files_that_no_builder_can_have_are_left_alone(root: Path) -> None:
    in_store(root, saved("good"))
    for name in ("Capital", ".tmp-x", "with space"):
        (root / "instances" / name).write_text("x")
    found, damaged = in_store(root, Transaction.list)
    assert [group.name for group in found] == ["good"]
    assert damaged == ()
    assert len(list((root / "instances").iterdir())) == 4


def test_a_damaged_current_file_says_how_to_go_on(root: Path) -> None:
    in_store(root, saved("a"))
    (root / "current").write_text("{")
    with pytest.raises(StoreError, match=r'current is damaged: .*"buildwright use"'):
        current(root, "one")
    choose(root, "one", "a")
    assert current(root, "one") == "a"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_store(root, lambda transaction: transaction.save(GROUP))
    before = sorted(root.rglob("*")), (root / "instances" / "alpha").read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        in_store(root, lambda transaction: transaction.save(GROUP))
    assert (sorted(root.rglob("*")), (root / "instances" / "alpha").read_bytes()) == before


def test_a_store_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        in_store(tmp_path / "file" / "buildx", Transaction.list)


def test_a_store_that_may_not_be_written_can_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_store(root, saved("a"))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert current(root, "one") is None
    assert [group.name for group in in_store(root, Transaction.list)[0]] == ["a"]


# --- the lock ----------------------------------------------------------------------------------------------------


def test_the_lock_is_the_one_that_flock_sees(root: Path) -> None:
    def try_elsewhere(_: Transaction) -> None:
        with open(root / ".lock", "rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    in_store(root, try_elsewhere)


def test_a_wait_for_another_process_is_told_once_and_ends_with_its_lock(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_store(root, lambda _: None)
    monkeypatch.setattr(lock, "PATIENCE", 0.02)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    told: list[str] = []

    def release(sentence: str) -> None:
        told.append(sentence)
        holder.communicate(b"\n")

    async def enter() -> None:
        async with Store({"BUILDX_CONFIG": str(root)}, release).transaction() as transaction:
            transaction.save(GROUP)

    asyncio.run(enter())
    assert len(told) == 1
    assert str(root) in told[0]
    assert (root / "instances" / "alpha").exists()


HOLD = """
import fcntl, sys
file = open(sys.argv[1], "rb")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_cancelled_wait_leaves_the_lock_to_its_holder(root: Path) -> None:
    async def run() -> None:
        store = Store({"BUILDX_CONFIG": str(root)})
        started = asyncio.Event()

        async def wait() -> None:
            started.set()
            async with store.transaction():
                raise AssertionError("two hold the lock")

        async with store.transaction():
            waiting = asyncio.create_task(wait())
            await started.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with store.transaction():
            pass

    asyncio.run(run())


def test_many_processes_lose_no_change(root: Path) -> None:
    in_store(root, lambda transaction: transaction.save(GroupRecord(name="count", driver="", nodes=())))
    script = ADD.format(root=str(root))
    workers = [subprocess.Popen([sys.executable, "-c", script, str(number)]) for number in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    group = in_store(root, lambda transaction: transaction.get("count"))
    assert group is not None
    assert len(group.nodes) == 15


ADD = """
import asyncio, dataclasses, sys
from buildwright.builders.record import NodeRecord
from buildwright.builders.store import Store

async def add(name):
    async with Store({{"BUILDX_CONFIG": {root!r}}}).transaction() as transaction:
        group = transaction.get("count")
        nodes = (*group.nodes, NodeRecord(name=name, endpoint=name))
        transaction.save(dataclasses.replace(group, nodes=nodes))

async def main():
    for number in range(5):
        await add(sys.argv[1] + "-" + str(number))

asyncio.run(main())
"""


# --- who owns the files ------------------------------------------------------------------------------------------


def test_under_sudo_files_are_given_to_who_called_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pwd = pytest.importorskip("pwd")
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: type("User", (), {"pw_dir": "/home/u"}) if uid == 1000 else None)
    sudo = {"SUDO_COMMAND": "", "SUDO_UID": "1000", "SUDO_GID": "100", "HOME": "/home/u"}
    assert location.sudo_owner(sudo, "/home/u/.docker/buildx") == location.Owner(1000, 100)
    assert location.sudo_owner(sudo, "/srv/other/.docker/buildx") is None
    assert location.sudo_owner(sudo, "/home/u") is None
    assert location.sudo_owner(sudo | {"HOME": "/root"}, "/home/u/.docker/buildx") is None
    assert location.sudo_owner(sudo | {"SUDO_GID": ""}, "/home/u/.docker/buildx") is None
    del sudo["SUDO_COMMAND"]
    assert location.sudo_owner(sudo, "/home/u/.docker/buildx") is None


# --- records and names -------------------------------------------------------------------------------------------

platforms = st.builds(
    Platform,
    os=st.text(),
    architecture=st.text(),
    variant=st.text(),
    os_version=st.text(),
    os_features=st.lists(st.text(), max_size=2).map(tuple),
)
nodes = st.builds(
    NodeRecord,
    name=st.text(),
    endpoint=st.text(),
    platforms=st.none() | st.lists(platforms, max_size=2).map(tuple),
    driver_opts=st.none() | st.dictionaries(st.text(), st.text(), max_size=3),
    flags=st.none() | st.lists(st.text(), max_size=3).map(tuple),
    files=st.none() | st.dictionaries(st.text(), st.binary(), max_size=3),
)


@given(st.builds(GroupRecord, name=st.text(), driver=st.text(), nodes=st.lists(nodes, max_size=3).map(tuple)))
def test_a_record_reads_back_as_it_was_written(group: GroupRecord) -> None:
    assert record.decode(record.encode(group)) == group


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,NamesDriv01', max_size=60).map(str.encode))
def test_no_file_makes_reading_fail_in_another_way(content: bytes) -> None:
    try:
        record.decode(content)
    except ValueError:
        pass


def test_text_is_escaped_as_go_escapes_it() -> None:
    text = '<&>"\\\n\t\x01\x7fé\u2028\U0001f600'
    assert record.go_json(text).decode() == '"\\u003c\\u0026\\u003e\\"\\\\\\n\\t\\u0001\x7fé\\u2028\U0001f600"'
    assert record.go_json("\udcff") == b'"\\ufffd"'


def test_unknown_keys_are_read_over() -> None:
    files = base64.b64encode(b"x").decode()
    data = f'{{"Name":"a","New":[1],"Nodes":[{{"Name":"n","Files":{{"f":"{files}"}},"More":{{}}}}]}}'.encode()
    assert record.decode(data) == GroupRecord(
        name="a", driver="", nodes=(NodeRecord(name="n", endpoint="", files={"f": b"x"}),)
    )


@pytest.mark.parametrize("name", ["", "1a", "-a", "a b", "a/b", "../a", "ä", "a\n"])
def test_names_that_buildx_refuses_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="starts with a letter"):
        names.check(name)


def test_a_generated_name_is_valid_and_free() -> None:
    tried: list[str] = []

    def taken(name: str) -> bool:
        tried.append(name)
        return len(tried) < 4

    name = names.generate(taken)
    assert names.check(name) == name == tried[-1]
    assert not tried[0][-1].isdigit()
    assert tried[1][-1].isdigit()
    with pytest.raises(StoreError, match="--name"):
        names.generate(lambda _: True)


def test_a_generated_deployment_fits_in_a_label() -> None:
    assert re.fullmatch(r"buildkit-[0-9a-f-]{36}-[0-9a-f]{5}", names.deployment())
    assert len(names.deployment()) <= 63
