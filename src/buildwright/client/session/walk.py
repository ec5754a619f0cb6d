"""Lists a local folder the way fsutil does: in its order, filtered, hard links and special files told apart.

Entries come one by one while the walk goes on, so that a large context is on its way before it has been read.
Which entries come, and each field of them, are what fsutil's filter.go, fs.go, stat_unix.go and hardlinks.go make
of the same folder; only accidents that lose files are not copied (an entry that vanishes takes nobody with it,
and inode numbers of different file systems are not mixed up).
"""

from __future__ import annotations

import os
import stat as posix
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from buildwright.client.session.patterns import MatchInfo, PatternMatcher
from buildwright.errors import ContextError
from buildwright.wire.fsutil import MODE_SOCKET, Stat, file_mode

_NO_XATTRS: Mapping[str, bytes] = MappingProxyType({})
_LIST_XATTRS = getattr(os, "listxattr", None)
_WINDOWS = os.name == "nt"
_WILDCARDS = frozenset("*[]?^" if _WINDOWS else "*[]?^\\")


def unreadable(path: str | bytes, error: OSError) -> ContextError:
    """The one sentence for a file or folder of the context that is there and cannot be read."""
    reason = (error.strerror or str(error)).lower()
    name = os.fsdecode(path)
    return ContextError(
        f"cannot read {name!r} of the build context: {reason}; make it readable or exclude it in .dockerignore"
    )


class Filter:
    """Which entries are listed: those that some include pattern matches, if there are any, and no exclude pattern.

    Raises PatternError when a pattern is malformed.
    """

    def __init__(self, includes: Sequence[str] = (), excludes: Sequence[str] = ()) -> None:
        self.includes = PatternMatcher(includes, windows=_WINDOWS) if includes else None
        self.excludes = PatternMatcher(excludes, windows=_WINDOWS) if excludes else None
        # What lies below a folder can be told from its name alone only while these patterns are plain.
        self._inner_includes = _plain_prefixes(self.includes, exceptions=False)
        self._inner_exceptions = _plain_prefixes(self.excludes, exceptions=True)

    def __bool__(self) -> bool:
        return self.includes is not None or self.excludes is not None

    def may_include_below(self, path: str) -> bool:
        """Whether a folder that no include pattern matches has to be looked into all the same."""
        return _any_below(self._inner_includes, path)

    def may_except_below(self, path: str) -> bool:
        """Whether a folder that is excluded has to be looked into all the same."""
        return _any_below(self._inner_exceptions, path)


def _plain_prefixes(matcher: PatternMatcher | None, *, exceptions: bool) -> tuple[str, ...] | None:
    """The patterns (or the exceptions among them) without trailing wildcards; None if others remain."""
    if matcher is None:
        return ()
    prefixes = tuple(p.fixed_prefix for p in matcher.patterns if p.exception is exceptions)
    return None if any(_WILDCARDS.intersection(prefix) for prefix in prefixes) else prefixes


def _any_below(prefixes: tuple[str, ...] | None, path: str) -> bool:
    if prefixes is None:
        return True
    folder = path + "/"
    return any((prefix + "/").startswith(folder) for prefix in prefixes)


class _Folder:
    """A folder while its entries are listed; `unsent` is its own entry until something in it is sent."""

    __slots__ = ("entries", "excluded", "included", "prefix", "unsent")

    def __init__(
        self,
        entries: Iterator[os.DirEntry[bytes]],
        prefix: bytes,
        included: MatchInfo | None = None,
        excluded: MatchInfo | None = None,
        unsent: os.DirEntry[bytes] | None = None,
    ) -> None:
        self.entries = entries
        self.prefix = prefix
        self.included = included
        self.excluded = excluded
        self.unsent = unsent


def walk(root: str, select: Filter | None = None) -> Iterator[Stat]:
    """The entries below `root` in fsutil's order, all owned by 0:0, without the root itself.

    What vanishes during the walk is left out. Raises ContextError naming what is there and cannot be read, and
    PatternError.
    """
    return _Walk(os.fsencode(root), select or None).run()


class _Walk:
    def __init__(self, root: bytes, select: Filter | None) -> None:
        self._root = root
        self._select = select
        self._folders: list[_Folder] = []
        # The path that was sent first of each file that has several, by device and inode.
        self._links: dict[tuple[int, int], bytes] = {}

    def run(self) -> Iterator[Stat]:
        self._folders.append(_Folder(iter(self._scan(self._root, tolerant=False)), b""))
        while self._folders:
            folder = self._folders[-1]
            for entry in folder.entries:
                path = folder.prefix + entry.name
                is_dir = _is_dir(entry)
                if self._select is not None:
                    chosen, descend, inner = self._choose(path, is_dir, folder, self._select)
                else:
                    chosen, descend, inner = True, is_dir, (None, None)
                if chosen:
                    stat = self._stat(entry, path)
                    if stat is None:
                        continue
                    if self._select is not None:
                        yield from self._unsent_parents()
                    yield stat
                if descend:
                    entries = self._scan(entry.path, tolerant=not chosen)
                    self._folders.append(_Folder(iter(entries), path + b"/", *inner, None if chosen else entry))
                    break
            else:
                self._folders.pop()

    def _choose(
        self, path: bytes, is_dir: bool, folder: _Folder, select: Filter
    ) -> tuple[bool, bool, tuple[MatchInfo | None, MatchInfo | None]]:
        """Whether the entry is sent, whether it is a folder to look into, and its match results."""
        name = os.fsdecode(path)
        chosen = descend = True
        included = excluded = None
        if select.includes is not None:
            chosen, included = select.includes.match(name, folder.included)
            descend = chosen or (is_dir and select.may_include_below(name))
        if descend and select.excludes is not None:
            matched, excluded = select.excludes.match(name, folder.excluded)
            if matched:
                chosen = False
                descend = is_dir and select.may_except_below(name)
        return chosen, is_dir and descend, (included, excluded)

    def _unsent_parents(self) -> Iterator[Stat]:
        for folder in self._folders:
            if folder.unsent is not None:
                stat = self._stat(folder.unsent, folder.prefix[:-1])
                folder.unsent = None
                if stat is not None:
                    yield stat

    def _scan(self, path: bytes, *, tolerant: bool) -> list[os.DirEntry[bytes]]:
        try:
            with os.scandir(path) as entries:
                return sorted(entries, key=_name)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            if tolerant and isinstance(error, PermissionError):
                return []
            raise unreadable(path, error) from error

    def _stat(self, entry: os.DirEntry[bytes], path: bytes) -> Stat | None:
        try:
            return self._make_stat(entry, path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreadable(entry.path, error) from error

    def _make_stat(self, entry: os.DirEntry[bytes], path: bytes) -> Stat:
        status = entry.stat(follow_symlinks=False)
        mode = file_mode(status.st_mode)
        size = status.st_size
        link = b""
        major = minor = 0
        if not posix.S_ISREG(status.st_mode):
            if posix.S_ISDIR(status.st_mode):
                size = 0
            elif posix.S_ISLNK(status.st_mode):
                link = os.readlink(entry.path)
            elif posix.S_ISBLK(status.st_mode) or posix.S_ISCHR(status.st_mode):
                major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
            # A socket travels as an empty regular file.
            mode &= ~MODE_SOCKET
        if status.st_nlink > 1 and not link and not posix.S_ISDIR(status.st_mode):
            key = (status.st_dev, status.st_ino)
            link = self._links.setdefault(key, path)
            if link is path:
                link = b""
        if _WINDOWS:
            mode = mode & ~0o777 | (mode & 0o777 | 0o111) & 0o755
            link = link.replace(b"\\", b"/")
        xattrs = _read_xattrs(entry.path) if _LIST_XATTRS is not None else _NO_XATTRS
        return Stat(path, mode, size, status.st_mtime_ns, link, 0, 0, major, minor, xattrs)


def _name(entry: os.DirEntry[bytes]) -> bytes:
    return entry.name


def _is_dir(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError as error:
        raise unreadable(entry.path, error) from error


def _read_xattrs(path: bytes) -> Mapping[str, bytes]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError:
        return _NO_XATTRS
    if not names:
        return _NO_XATTRS
    found = {}
    for name in names:
        if not name.startswith("com.apple."):
            try:
                found[name] = os.getxattr(path, name, follow_symlinks=False)
            except OSError:
                pass
    return found
