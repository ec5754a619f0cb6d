"""Writes a folder that the daemon sends: fsutil's receiver for build results.

Everything is created as the running user's own. Nothing is followed out of the root: a path is only ever created
below folders that the same transfer named and that were checked, here, to be folders and not links; links are made
last, when nothing is written any more. A file appears under its name when it is whole.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat as posix
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

from buildwright.errors import EXIT_CODES, Code, OutputError
from buildwright.wire.fsutil import MODE_CHAR_DEVICE, MODE_DEVICE, MODE_NAMED_PIPE, Stat, permissions
from buildwright.wire.transfer import Content, Entry, Finished, Receiver

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

_SET_XATTR = getattr(os, "setxattr", None)
_OPEN_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_FOLDS_NAMES = os.name == "nt" or sys.platform == "darwin"
_KEEPS_LINK_TIMES = os.utime in os.supports_follow_symlinks


_REMEDIES = {
    errno.ENOSPC: "make room there or choose another destination",
    errno.EDQUOT: "make room there or choose another destination",
    errno.EPIPE: "its reader went away before the end",
}


def unwritable(path: str | bytes, error: OSError) -> OutputError:
    """The one sentence for a destination that cannot be written."""
    reason = (error.strerror or str(error)).lower()
    remedy = _REMEDIES.get(error.errno or 0, "permit it or choose another destination")
    failure = OutputError(f"cannot write {os.fsdecode(path)!r}: {reason}; {remedy}")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        failure.exit_code = EXIT_CODES[Code.RESOURCE_EXHAUSTED]
    return failure


@dataclass(slots=True)
class _File:
    """A file whose content is under way; it has its temporary name from its first bytes on."""

    stat: Stat
    fd: int = -1
    temporary: bytes = b""


class FolderWriter:
    """Takes the sender's messages and writes what they say below `root`, which is made if it is missing.

    With `delete` what the sender does not name is removed at the end. `finished` is set when all is in place and
    the sender knows it. Raises OutputError naming the path that cannot be written, ProtocolError and RpcError when
    the sender breaks the rules or gives up. Call `close` in any case: it removes the files that are not whole.
    """

    def __init__(self, root: str, *, delete: bool = False) -> None:
        self.finished = False
        self._root = os.fsencode(root)
        self._prefix = os.path.join(self._root, b"")
        self._delete = delete
        self._receiver = Receiver()
        self._applied = False
        self._files: dict[int, _File] = {}
        self._folders: list[Stat] = []
        self._links: list[Stat] = []
        self._symlinks: list[Stat] = []
        self._named: set[bytes] = set()
        self._attempt(self._root, _make_folders, self._root)

    def feed(self, message: bytes) -> list[bytes]:
        """Do what the sender's next message says; returns the messages to send back."""
        event = self._receiver.feed(message)
        replies = []
        if isinstance(event, Entry):
            path = self._path(event.stat.path)
            if self._attempt(path, self._create, event, path):
                replies.append(self._receiver.request(event.id))
        elif isinstance(event, Content):
            file = self._files[event.id]
            self._attempt(self._path(file.stat.path), self._write, event, file)
        elif isinstance(event, Finished):
            self.finished = True
        if self._receiver.complete and not self._applied:
            self._applied = True
            self._apply()
            replies.append(self._receiver.finish())
        return replies

    def close(self) -> None:
        """Remove what is not whole. Never raises."""
        for file in self._files.values():
            if file.fd >= 0:
                with suppress(OSError):
                    os.close(file.fd)
            if file.temporary:
                _remove_quietly(file.temporary)
        self._files.clear()

    def _path(self, path: bytes) -> bytes:
        return self._prefix + path

    def _attempt(self, path: bytes, work: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        try:
            return work(*arguments)
        except OSError as error:
            raise unwritable(path, error) from error

    def _create(self, entry: Entry, path: bytes) -> bool:
        """Create what needs no content; True if the content is needed."""
        stat = entry.stat
        if self._delete or _FOLDS_NAMES:
            self._name(stat.path)
        if stat.is_dir:
            _make_folder(path)
            self._folders.append(stat)
        elif stat.is_symlink:
            self._symlinks.append(stat)
        elif stat.linkname:
            self._links.append(stat)
        elif stat.has_content:
            self._files[entry.id] = _File(stat)
            return True
        else:
            _make_special(path, stat)
        return False

    def _name(self, path: bytes) -> None:
        folded = _folded(path)
        # The one would replace the other; and below a folder that a symlink has replaced, links and times would be
        # set outside the root.
        if _FOLDS_NAMES and folded in self._named:
            raise OutputError(
                f"cannot write {os.fsdecode(self._path(path))!r}: this system takes its name for that of another "
                "file of the result; export a tar file instead (type=tar)"
            )
        self._named.add(folded)

    def _write(self, content: Content, file: _File) -> None:
        if file.fd < 0:
            file.temporary = _temporary(self._path(file.stat.path))
            file.fd = os.open(file.temporary, _OPEN_FLAGS, 0o600)
        if content.data:
            write_all(file.fd, content.data)
            return
        fd, file.fd = file.fd, -1
        os.close(fd)
        _set_metadata(file.temporary, file.stat)
        _replace(file.temporary, self._path(file.stat.path))
        del self._files[content.id]

    def _apply(self) -> None:
        for stat in self._links:
            path = self._path(stat.path)
            self._attempt(path, _make_link, path, self._path(stat.linkname))
        for stat in self._symlinks:
            path = self._path(stat.path)
            self._attempt(path, _make_symlink, path, stat)
        if self._delete:
            self._attempt(self._root, self._remove_unnamed, b"")
        # Parents come first in a listing, and a folder's time must be set after all changes in it.
        for stat in reversed(self._folders):
            path = self._path(stat.path)
            self._attempt(path, _finish_folder, path, stat)

    def _remove_unnamed(self, folder: bytes) -> None:
        with os.scandir(self._path(folder)) as entries:
            found = list(entries)
        for entry in found:
            path = folder + b"/" + entry.name if folder else entry.name
            if _folded(path) not in self._named:
                _remove(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                self._remove_unnamed(path)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, however much the system takes at a time."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def _folded(path: bytes) -> bytes:
    """`path` such that names are equal exactly if the file system may take them for the same."""
    if not _FOLDS_NAMES:
        return path
    import unicodedata

    return os.fsencode(unicodedata.normalize("NFC", os.fsdecode(path)).casefold())


def _make_folders(path: bytes) -> None:
    """Make `path` and what is missing above it, for the running user alone."""
    if not os.path.isdir(path):
        parent = os.path.dirname(path)
        if parent:
            _make_folders(parent)
        # `out/` and `out/.` are there as soon as `out` is.
        if not os.path.isdir(path):
            os.mkdir(path, 0o700)


def _make_folder(path: bytes) -> None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        os.mkdir(path, 0o700)
        return
    if not posix.S_ISDIR(status.st_mode):
        os.unlink(path)
        os.mkdir(path, 0o700)
    elif status.st_mode & 0o700 != 0o700:
        # It gets its mode at the end; until then there are files to be made in it.
        os.chmod(path, posix.S_IMODE(status.st_mode) | 0o700)


def _finish_folder(path: bytes, stat: Stat) -> None:
    # Where names fold, a link may have replaced a folder; its target is none of ours.
    if posix.S_ISDIR(os.lstat(path).st_mode):
        _set_metadata(path, stat)


def _make_special(path: bytes, stat: Stat) -> None:
    make = getattr(os, "mknod", None)
    if make is None or not stat.mode & (MODE_DEVICE | MODE_NAMED_PIPE):
        raise OutputError(f"{os.fsdecode(stat.path)!r} is a special file, which cannot be made on this system")
    if stat.mode & MODE_CHAR_DEVICE:
        kind = posix.S_IFCHR
    else:
        kind = posix.S_IFIFO if stat.mode & MODE_NAMED_PIPE else posix.S_IFBLK
    with _put(path) as temporary:
        make(temporary, kind | 0o600, os.makedev(stat.dev_major, stat.dev_minor))
        _set_metadata(temporary, stat)


def _make_link(path: bytes, target: bytes) -> None:
    with _put(path) as temporary:
        os.link(target, temporary)


def _make_symlink(path: bytes, stat: Stat) -> None:
    with _put(path) as temporary:
        os.symlink(stat.linkname, temporary)
        _set_metadata(temporary, stat)


@contextmanager
def _put(path: bytes) -> Iterator[bytes]:
    """A name beside `path` to make something under, which then takes the place of `path`."""
    temporary = _temporary(path)
    try:
        yield temporary
        _replace(temporary, path)
    finally:
        # It is still there after a failure, and when both names were links to one file already.
        _remove_quietly(temporary)


def _set_metadata(path: bytes, stat: Stat) -> None:
    if _SET_XATTR is not None:
        for name, value in stat.xattrs.items():
            try:
                os.setxattr(path, name, value, follow_symlinks=False)
            except OSError:
                pass  # a destination that has no attributes, or none of this kind, is no reason to fail
    if not stat.is_symlink:
        os.chmod(path, permissions(stat.mode))
    if not stat.is_symlink or _KEEPS_LINK_TIMES:
        os.utime(path, ns=(stat.mod_time, stat.mod_time), follow_symlinks=not stat.is_symlink)


def _temporary(path: bytes) -> bytes:
    return os.path.dirname(path) + b"/.buildwright-" + secrets.token_hex(8).encode()


def _replace(temporary: bytes, path: bytes) -> None:
    try:
        os.replace(temporary, path)
    except (IsADirectoryError, PermissionError):
        # Windows denies what POSIX calls a directory. Anything else is denied again.
        if not posix.S_ISDIR(os.lstat(path).st_mode):
            raise
        _remove(path)
        os.replace(temporary, path)


def _remove(path: bytes) -> None:
    if posix.S_ISDIR(os.lstat(path).st_mode):
        import shutil

        shutil.rmtree(path)
    else:
        os.unlink(path)


def _remove_quietly(path: bytes) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
