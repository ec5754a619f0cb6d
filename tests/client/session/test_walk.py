"""The listing of a folder: order, fields, filters, links, special files, and what happens meanwhile."""

import os
import socket
import stat as posix
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from buildwright.client.session.walk import Filter, walk
from buildwright.client.session.wildcards import PatternError
from buildwright.errors import ContextError
from buildwright.wire import fsutil
from buildwright.wire.fsutil import ListingCheck, Stat


@pytest.fixture
def scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that were looked into, relative to the root."""
    seen: list[str] = []
    real = os.scandir

    def note(path: bytes) -> object:
        relative = os.path.relpath(os.fsdecode(path), tmp_path)
        seen.append("" if relative == "." else relative)
        return real(path)

    monkeypatch.setattr(os, "scandir", note)
    return seen


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a folder unreadable, also for root."""

    def install(folder: Path) -> None:
        real = os.scandir

        def scan(path: bytes) -> object:
            if path == os.fsencode(folder):
                raise PermissionError(13, "Permission denied", path)
            return real(path)

        monkeypatch.setattr(os, "scandir", scan)

    return install


def listed(root: Path, includes: list[str] | None = None, excludes: list[str] | None = None) -> dict[str, Stat]:
    check = ListingCheck()
    found = {}
    for stat in walk(str(root), Filter(includes or (), excludes or ())):
        check.check(stat)
        found[os.fsdecode(stat.path)] = stat
    return found


def make(root: Path, *paths: str) -> None:
    for path in paths:
        target = root / path
        if path.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(os.fsencode(path))


def test_entries_come_parents_first_and_sorted_by_component(tmp_path: Path) -> None:
    make(tmp_path, "a-b", "a/z", "a/b/c", "a.b", "Z", "é", "z")
    assert list(listed(tmp_path)) == ["Z", "a", "a/b", "a/b/c", "a/z", "a-b", "a.b", "z", "é"]


def test_a_stat_has_mode_size_and_time_but_no_owner(tmp_path: Path) -> None:
    make(tmp_path, "d/", "file")
    (tmp_path / "file").chmod(0o4751)
    (tmp_path / "d").chmod(0o1777)
    os.utime(tmp_path / "file", ns=(1, 1_700_000_000_123_456_789))
    os.utime(tmp_path / "d", ns=(1, -5_000_000_000))
    found = listed(tmp_path)
    assert found["file"] == Stat(b"file", fsutil.MODE_SETUID | 0o751, 4, 1_700_000_000_123_456_789)
    assert found["d"] == Stat(b"d", fsutil.MODE_DIR | fsutil.MODE_STICKY | 0o777, 0, -5_000_000_000)


def test_the_owner_is_left_out_whoever_it_is(tmp_path: Path) -> None:
    make(tmp_path, "file")
    if os.geteuid() == 0:
        os.chown(tmp_path / "file", 1234, 5678)
    assert (listed(tmp_path)["file"].uid, listed(tmp_path)["file"].gid) == (0, 0)


def test_symlinks_are_sent_as_they_are(tmp_path: Path) -> None:
    os.symlink("../../etc", tmp_path / "l")
    os.link(tmp_path / "l", tmp_path / "m", follow_symlinks=False)
    found = listed(tmp_path)
    for name in ("l", "m"):
        assert found[name].mode == fsutil.MODE_SYMLINK | 0o777
        assert (found[name].linkname, found[name].size) == (b"../../etc", 9)


def test_the_second_name_of_a_file_is_a_link_to_the_first(tmp_path: Path) -> None:
    make(tmp_path, "b/one")
    os.link(tmp_path / "b/one", tmp_path / "c")
    os.link(tmp_path / "b/one", tmp_path / "a")
    found = listed(tmp_path)
    assert [found[name].linkname for name in ("a", "b/one", "c")] == [b"", b"a", b"a"]
    assert found["c"].size == 5


def test_a_link_whose_first_name_is_filtered_away_is_sent_as_a_file(tmp_path: Path) -> None:
    make(tmp_path, "a")
    os.link(tmp_path / "a", tmp_path / "b")
    os.link(tmp_path / "a", tmp_path / "c")
    found = listed(tmp_path, excludes=["a"])
    assert {name: stat.linkname for name, stat in found.items()} == {"b": b"", "c": b"b"}
    assert found["b"].size == 1


def test_a_pipe_is_listed_and_a_socket_becomes_an_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    found = listed(tmp_path)
    assert found["pipe"].mode == fsutil.MODE_NAMED_PIPE | 0o600
    assert found["socket"].has_content
    assert found["socket"].size == 0


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="making devices needs root")
def test_devices_have_their_numbers(tmp_path: Path) -> None:
    os.mknod(tmp_path / "c", posix.S_IFCHR | 0o600, os.makedev(300, 70000))
    os.mknod(tmp_path / "b", posix.S_IFBLK | 0o600, os.makedev(7, 3))
    found = listed(tmp_path)
    assert found["c"][1:2] + found["c"][7:9] == (fsutil.MODE_DEVICE | fsutil.MODE_CHAR_DEVICE | 0o600, 300, 70000)
    assert found["b"][1:2] + found["b"][7:9] == (fsutil.MODE_DEVICE | 0o600, 7, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are no text, and attributes as Linux has them")
def test_names_are_bytes_and_attributes_go_along(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    make(tmp_path, name)
    os.setxattr(tmp_path / name, "user.note", b"\0v")
    found = listed(tmp_path)[name]
    assert found.path == b"caf\xe9"
    assert found.xattrs["user.note"] == b"\0v"


def test_attributes_of_the_finder_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "file")
    names = ["com.apple.quarantine", "user.kept", "user.gone"]
    monkeypatch.setattr(os, "listxattr", lambda path, follow_symlinks: names, raising=False)

    def read(path: bytes, name: str, follow_symlinks: bool) -> bytes:
        if name == "user.gone":
            raise OSError
        return name.encode()

    monkeypatch.setattr(os, "getxattr", read, raising=False)
    assert dict(listed(tmp_path)["file"].xattrs) == {"user.kept": b"user.kept"}


def test_folders_of_an_included_file_come_just_before_it(tmp_path: Path) -> None:
    make(tmp_path, "a/b/c/keep", "a/b/drop", "a/x/drop", "z/drop")
    assert list(listed(tmp_path, includes=["a/b/c/keep"])) == ["a", "a/b", "a/b/c", "a/b/c/keep"]
    assert list(listed(tmp_path, includes=["**/keep"])) == ["a", "a/b", "a/b/c", "a/b/c/keep"]


def test_excluded_folders_are_looked_into_only_for_an_exception(tmp_path: Path, scanned: list[str]) -> None:
    make(tmp_path, "a/b/keep", "a/c/drop", "d/drop", "e")
    assert list(listed(tmp_path, excludes=["a", "d", "!a/b/keep"])) == ["a", "a/b", "a/b/keep", "e"]
    assert scanned == ["", "a", "a/b"]


def test_an_exception_with_a_wildcard_leads_into_every_folder(tmp_path: Path, scanned: list[str]) -> None:
    make(tmp_path, "a/keep.md", "d/drop")
    assert list(listed(tmp_path, excludes=["*", "!*/*.md"])) == ["a", "a/keep.md"]
    assert scanned == ["", "a", "d"]


def test_folders_that_hold_nothing_included_are_not_looked_into(tmp_path: Path, scanned: list[str]) -> None:
    make(tmp_path, "a/b/keep", "a/c/drop", "d/drop")
    listed(tmp_path, includes=["a/b/**"])
    assert scanned == ["", "a", "a/b"]


def test_an_include_and_an_exclude_pattern_both_count(tmp_path: Path) -> None:
    make(tmp_path, "src/a.go", "src/a_test.go", "doc/a.md")
    assert list(listed(tmp_path, ["src"], ["**/*_test.go"])) == ["src", "src/a.go"]


def test_a_malformed_pattern_is_told(tmp_path: Path) -> None:
    with pytest.raises(PatternError, match=r"syntax error in pattern '\['"):
        Filter(["["])


def test_a_tree_deeper_than_the_interpreters_stack_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depth = sys.getrecursionlimit() + 200
    monkeypatch.chdir(tmp_path)
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    try:
        assert len(listed(tmp_path)) == depth
    finally:
        # pytest's own removal would run out of stack.
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("d")


def test_what_vanishes_is_left_out_and_takes_nobody_with_it(tmp_path: Path) -> None:
    make(tmp_path, "a", "b", "c", "d/x", "e")
    entries = walk(str(tmp_path))
    assert next(entries).path == b"a"
    (tmp_path / "b").unlink()
    (tmp_path / "d/x").unlink()
    (tmp_path / "d").rmdir()
    assert [entry.path for entry in entries] == [b"c", b"e"]


def test_a_folder_that_vanishes_after_it_was_sent_is_empty(tmp_path: Path) -> None:
    make(tmp_path, "a/x", "b")
    entries = walk(str(tmp_path))
    assert next(entries).path == b"a"
    (tmp_path / "a/x").unlink()
    (tmp_path / "a").rmdir()
    assert [entry.path for entry in entries] == [b"b"]


def test_a_folder_that_cannot_be_read_is_named_unless_it_is_excluded(
    tmp_path: Path, refused: Callable[[Path], None]
) -> None:
    make(tmp_path, "a", "shut/x")
    refused(tmp_path / "shut")
    with pytest.raises(ContextError, match=r"cannot read '.*/shut' of the build context: permission denied; make it"):
        listed(tmp_path)
    assert list(listed(tmp_path, excludes=["shut", "!shut/keep"])) == ["a"]
