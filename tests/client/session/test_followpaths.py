"""Paths followed through symlinks inside a root."""

import os
from pathlib import Path

import pytest

from buildwright.client.session.followpaths import follow, without_inner
from buildwright.errors import ContextError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "d/file").write_text("")
    (tmp_path / "d/e/deep").write_text("")
    for name, target in {
        "plain": "d/file",
        "absolute": "/d/e",
        "d/up": "../d/e",
        "out": "../../etc/passwd",
        "loop": "loop2",
        "loop2": "loop",
        "growing": "growing/x",
        "broken": "nowhere",
        "to-root": ".",
        "d/link1": "e",
        "d/link2": "file",
    }.items():
        os.symlink(target, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("paths", "patterns"),
    [
        (["Dockerfile"], ["Dockerfile"]),
        (["d/file"], ["d/file"]),
        (["plain"], ["d/file", "plain"]),
        (["/plain"], ["d/file", "plain"]),
        (["./d/../plain"], ["d/file", "plain"]),
        (["absolute/deep"], ["absolute", "d/e/deep"]),
        (["d/up/deep"], ["d/e/deep", "d/up"]),
        (["out"], ["etc/passwd", "out"]),
        (["../out"], ["../out"]),
        (["loop"], ["loop", "loop2"]),
        (["growing"], ["growing"]),
        (["broken"], ["broken", "nowhere"]),
        (["to-root"], None),
        (["to-root/d/file"], ["d/file", "to-root"]),
        (["d/link*"], ["d/e", "d/file", "d/link*"]),
        (["d/link?/deep"], ["d/e/deep", "d/file/deep", "d/link?"]),
        (["d/no*"], ["d/no*"]),
        (["nowhere/*"], ["nowhere/*"]),
        (["d/file/*"], ["d/file/*"]),
        (["d/[link1"], ["d/[link1"]),
        (["d", "d/file"], ["d"]),
        (["."], None),
        (["plain", "."], None),
        ([""], None),
    ],
)
def test_a_path_becomes_the_patterns_of_all_that_it_leads_to(
    tree: Path, paths: list[str], patterns: list[str] | None
) -> None:
    assert follow(str(tree), paths) == patterns


def test_a_long_chain_of_symlinks_is_followed(tmp_path: Path) -> None:
    for number in range(2000):
        os.symlink(str(number + 1), tmp_path / str(number))
    assert len(follow(str(tmp_path), ["0"]) or ()) == 2001


def test_what_lies_outside_the_root_is_never_looked_at(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: (seen.append(os.fspath(path)), real(path))[1])
    follow(str(tree / "d"), ["../plain", "up/../../x", "e/../../../plain", "../*", "up/deep"])
    assert seen
    assert all(path.startswith(f"{tree}/d/") and "/../" not in path for path in seen)


def test_a_folder_that_cannot_be_read_is_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(ContextError, match=r"cannot read '.*/d' of the build context: permission denied"):
        follow(str(tree), ["d/*"])


def test_paths_below_another_are_left_out() -> None:
    assert without_inner(["a", "a/b", "a/b/c", "ab"]) == ["a", "ab"]
    assert without_inner(["a", "."]) is None
