"""Facts about the git work tree that a context lies in, for provenance and history, read without running git."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class WorkTree:
    """`root` is the top folder; `revision` a commit id or "" before the first; `remote` an address without its
    password, or ""."""

    root: str
    revision: str = ""
    remote: str = ""


def find_work_tree(folder: str) -> WorkTree | None:
    """The work tree that holds `folder`. Damaged or foreign metadata is read as far as it goes, never an error."""
    path = os.path.realpath(folder)
    while True:
        dot_git = os.path.join(path, ".git")
        if os.path.exists(dot_git):
            git_dir = _git_dir(dot_git)
            common = _common_dir(git_dir)
            return WorkTree(path, _revision(git_dir, common), _remote(common))
        parent = os.path.dirname(path)
        if parent == path:
            return None
        path = parent


def vcs_attributes(local_dirs: Mapping[str, str], context: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The `vcs:` frontend attributes of buildx (build/git.go); none outside a work tree or if BUILDX_GIT_INFO=0."""
    if environ.get("BUILDX_GIT_INFO", "1").lower() in ("0", "f", "false"):
        return {}
    tree = find_work_tree(context)
    if tree is None:
        return {}
    attributes = {"vcs:revision": tree.revision, "vcs:source": tree.remote}
    for name, folder in local_dirs.items():
        relative = os.path.relpath(os.path.realpath(folder), tree.root)
        if not relative.startswith(".."):
            attributes[f"vcs:localdir:{name}"] = relative.replace(os.sep, "/")
    return {key: value for key, value in attributes.items() if value}


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except OSError:
        return ""


def _git_dir(dot_git: str) -> str:
    if os.path.isdir(dot_git):
        return dot_git
    target = _read(dot_git).partition("gitdir:")[2].strip()
    return os.path.join(os.path.dirname(dot_git), target)


def _common_dir(git_dir: str) -> str:
    common = _read(os.path.join(git_dir, "commondir")).strip()
    return os.path.join(git_dir, common) if common else git_dir


def _revision(git_dir: str, common: str) -> str:
    head = _read(os.path.join(git_dir, "HEAD")).strip()
    if not head.startswith("ref:"):
        return head
    ref = head.removeprefix("ref:").strip()
    loose = _read(os.path.join(common, ref)).strip()
    if loose:
        return loose
    for line in _read(os.path.join(common, "packed-refs")).splitlines():
        commit, _, name = line.partition(" ")
        if name == ref:
            return commit
    return ""


def _remote(common: str) -> str:
    """The address of `origin`. Only the plain form that git itself writes is understood."""
    section = ""
    for line in map(str.strip, _read(os.path.join(common, "config")).splitlines()):
        if line.startswith("["):
            section = line
        key, separator, value = line.partition("=")
        if section == '[remote "origin"]' and separator and key.strip().lower() == "url":
            return _without_password(value.strip())
    return ""


def _without_password(address: str) -> str:
    parts = urlsplit(address) if "://" in address else None
    if parts is None or "@" not in parts.netloc or parts.scheme == "ssh":
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
