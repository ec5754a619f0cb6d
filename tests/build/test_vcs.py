"""Facts of a git work tree are read from its files and never hold a password."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from buildwright.build.vcs import find_work_tree, vcs_attributes


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    def git(*argv: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(
            ["git", *identity, *argv], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q", "-b", "main")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_text("x")
    git("add", ".")
    git("commit", "-qm", "one")
    git("remote", "add", "origin", "https://user:hunter2@host/repo.git")
    return tmp_path


def head(tree: Path) -> str:
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tree, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_revision_and_remote_are_those_of_git(tree: Path) -> None:
    attributes = vcs_attributes({"context": str(tree / "sub")}, str(tree / "sub"), {})
    assert attributes == {
        "vcs:revision": head(tree),
        "vcs:source": "https://host/repo.git",
        "vcs:localdir:context": "sub",
    }


def test_packed_refs_and_linked_work_trees_are_followed(tree: Path) -> None:
    subprocess.run(["git", "pack-refs", "--all"], cwd=tree, check=True)
    found = find_work_tree(str(tree))
    assert found is not None
    assert found.revision == head(tree)
    subprocess.run(["git", "worktree", "add", "-q", str(tree / "linked"), "-b", "other"], cwd=tree, check=True)
    linked = find_work_tree(str(tree / "linked"))
    assert linked is not None
    assert linked.revision == head(tree)
    assert linked.remote == "https://host/repo.git"


def test_a_damaged_repository_is_no_error(tree: Path) -> None:
    (tree / ".git" / "HEAD").unlink()
    (tree / ".git" / "config").write_bytes(b"[[[\xff")
    assert vcs_attributes({}, str(tree), {}) == {}


def test_it_can_be_switched_off_and_is_empty_elsewhere(tree: Path) -> None:
    assert vcs_attributes({}, str(tree), {"BUILDX_GIT_INFO": "false"}) == {}
    assert find_work_tree("/") is None
