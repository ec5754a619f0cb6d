"""Follows paths through symlinks inside a root, so that what they lead to is sent along (fsutil's followlinks.go).

BuildKit asks for a few paths, such as a Dockerfile or the sources of a COPY, by `followpaths`. Each becomes an
include pattern, and so does every symlink on its way and what that one points to.
"""

from __future__ import annotations

import os
import stat as posix
from collections.abc import Iterable, Sequence

from buildwright.client.session.patterns import clean
from buildwright.client.session.walk import unreadable
from buildwright.client.session.wildcards import PatternError, has_wildcards, wildcard_matches

_WINDOWS = os.name == "nt"


def follow(root: str, paths: Iterable[str]) -> list[str] | None:
    """The include patterns for `paths`, sorted; None when one of them is the root itself: nothing is filtered.

    Raises ContextError when a folder on the way cannot be read.
    """
    resolved: set[str] = set()
    # A stack, for a chain of symlinks may be longer than Python's.
    waiting = [_relative(path) for path in reversed(list(paths))]
    while waiting:
        waiting.extend(reversed(_resolve(root, waiting.pop(), resolved)))
    return without_inner(sorted(resolved))


def without_inner(paths: Sequence[str]) -> list[str] | None:
    """`paths` without those below the one before them; None when one is the root."""
    kept: list[str] = []
    last = ""
    for path in paths:
        if path == ".":
            return None
        if not path.startswith(last + "/"):
            kept.append(path)
            last = path
    return kept


def _relative(path: str) -> str:
    if _WINDOWS:
        path = path.replace("\\", "/")
        path = path.partition(":")[2] or path
    return clean("./" + path)


def _resolve(root: str, path: str, resolved: set[str]) -> list[str]:
    """Walk `path` up to the first symlink on it or to its end; returns the paths to go on with."""
    current = "."
    rest = path
    while True:
        name, _, rest = rest.partition("/")
        current = clean(f"{current}/{name}")
        targets = _targets(root, current)
        if targets is None and rest:
            continue
        if current in resolved:
            return []
        resolved.add(current)
        return [_relative(f"{target}/{rest}") for target in targets or ()]


def _targets(root: str, path: str) -> list[str] | None:
    """What the symlinks that `path` names point to, seen from the root; None when it names no symlink."""
    parent, _, name = path.rpartition("/")
    if not has_wildcards(name, windows=_WINDOWS):
        target = _read_link(root, path)
        return None if target is None else [target]
    found = []
    for entry in _names(root, parent):
        try:
            if not wildcard_matches(name, entry, windows=_WINDOWS):
                continue
        except PatternError:
            return None
        target = _read_link(root, f"{parent}/{entry}" if parent else entry)
        if target is not None:
            found.append(target)
    return found or None


def _names(root: str, folder: str) -> list[str]:
    if _leaves(folder):
        return []
    try:
        return sorted(os.listdir(f"{root}/{folder}"), key=os.fsencode)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(f"{root}/{folder}", error) from error


def _read_link(root: str, path: str) -> str | None:
    if path == "." or _leaves(path):
        return None
    full = f"{root}/{path}"
    try:
        if not posix.S_ISLNK(os.lstat(full).st_mode):
            return None
        target = os.readlink(full)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(full, error) from error
    if _WINDOWS:
        target = target.replace("\\", "/")
    # An absolute target is one inside the root, and `..` stops there.
    return clean(target if target.startswith("/") else f"/{path.rpartition('/')[0]}/{target}")


def _leaves(path: str) -> bool:
    return path == ".." or path.startswith("../")
