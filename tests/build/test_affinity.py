"""The same project has the same key from every checkout, and other projects have others."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildwright.build.affinity import project_key, repository_of
from buildwright.model.request import BuildRequest


def checkout(folder: Path, remote: str) -> Path:
    """A work tree as far as its remote tells."""
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config").write_text(f'[core]\n\tbare = false\n[remote "origin"]\n\turl = {remote}\n')
    (folder / "app").mkdir()
    return folder


def key(context: Path | str, dockerfile: Path | str | None = None, target: str = "") -> str:
    return project_key(
        BuildRequest(context=str(context), dockerfile=None if dockerfile is None else str(dockerfile), target=target)
    )


def test_checkouts_of_one_repository_have_one_key(tmp_path: Path) -> None:
    first = checkout(tmp_path / "job1", "https://ci:t0ken-1@git.example.com/team/app.git")
    second = checkout(tmp_path / "job2", "git@git.example.com:team/app.git")
    assert key(first) == key(second)
    assert key(first / "app") == key(second / "app") != key(first)
    assert key(first, first / "other.Dockerfile") == key(second, second / "other.Dockerfile") != key(first)
    assert key(first, first / "Dockerfile") == key(first)
    assert key(first, target="test") == key(second, target="test") != key(first)
    assert "t0ken" not in key(first)


def test_linked_work_trees_and_submodules_are_known_by_their_own_remote(tmp_path: Path) -> None:
    main = checkout(tmp_path / "main", "https://git.example.com/app.git")
    linked = tmp_path / "linked"
    (main / ".git" / "worktrees" / "linked").mkdir(parents=True)
    (main / ".git" / "worktrees" / "linked" / "commondir").write_text("../..\n")
    linked.mkdir()
    (linked / ".git").write_text(f"gitdir: {main}/.git/worktrees/linked\n")
    assert key(linked) == key(main)
    module = main / "app"
    (main / ".git" / "modules" / "app").mkdir(parents=True)
    (main / ".git" / "modules" / "app" / "config").write_text(
        '[remote "origin"]\nurl = https://git.example.com/lib\n'
    )
    (module / ".git").write_text("gitdir: ../.git/modules/app\n")
    assert key(module) == key(checkout(tmp_path / "lib", "https://git.example.com/lib"))


def test_without_a_remote_the_folder_is_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert key(tmp_path / "a") != key(tmp_path / "b")
    monkeypatch.chdir(tmp_path / "a")
    assert key(".") == key(tmp_path / "a") == key(tmp_path / "b" / ".." / "a")
    assert key("-") == key(".")
    assert key(".", "-") != key(".")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://git.example.com/app.git#main", "https://ci:t0ken@git.example.com/app.git#v2"),
        ("https://git.example.com/app.git#main:sub", "https://git.example.com/app.git?ref=v2&subdir=sub"),
        ("git@git.example.com:team/app.git", "ssh://git@git.example.com:22/team/app.git#main"),
        ("github.com/team/app", "https://GitHub.com/team/app.git"),
        ("https://files.example.com/a.tar?signature=1", "https://files.example.com/a.tar?signature=2"),
    ],
)
def test_addresses_of_one_repository_have_one_key(one: str, other: str) -> None:
    assert key(one) == key(other)
    assert "t0ken" not in key(other)


def test_addresses_of_other_folders_files_and_hosts_have_others() -> None:
    address = "https://git.example.com/app.git"
    keys = {
        key(address),
        key(f"{address}#main:sub"),
        key(address, "other"),
        key(address, target="test"),
        key("https://git.example.com:8443/app.git"),
        key("https://git.example.com/app.tar"),
        key(address, "https://files.example.com/Dockerfile"),
    }
    assert len(keys) == 7


def test_an_odd_address_is_only_itself() -> None:
    assert repository_of("https://[odd/app.git") == "https://[odd/app.git"
    assert repository_of("/srv/git/app.git/") == "/srv/git/app"
