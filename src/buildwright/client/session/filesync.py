"""`moby.filesync.v1.FileSync`: sends the folders that a build was given to the daemon that asks for them.

One call is one folder under one set of patterns. Its listing goes out in slices while the walk goes on, and so
does the content of what the daemon asks for; a slice is a bounded piece of blocking work, after which everything
else in the loop has its turn, the daemon's health checks above all. Memory holds one slice of content.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from buildwright.client.grouped import most_telling
from buildwright.client.session.followpaths import follow, without_inner
from buildwright.client.session.walk import Filter, unreadable, walk
from buildwright.client.session.wildcards import PatternError
from buildwright.errors import BuildwrightError, Code, ContextError, ProtocolError, RpcError
from buildwright.model import boolean
from buildwright.wire.fsutil import ContentFraming, Stat
from buildwright.wire.rpc import Handler, Metadata, ServerCall
from buildwright.wire.stream import Buffer
from buildwright.wire.transfer import END_OF_LISTING, FIN, Requested, Sender, framed_error

DIFF_COPY = "/moby.filesync.v1.FileSync/DiffCopy"

_ENTRIES_PER_SLICE = 512
_FILES_PER_SLICE = 256
_BYTES_PER_SLICE = 512 << 10
_PIECES_PER_SLICE = 32
_CHUNK = 256 << 10

# O_NONBLOCK: a named pipe that has taken the place of a file must not hang the build.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)

# A file that is gone by now, and a socket, are sent empty, as every BuildKit client does.
_SENT_EMPTY = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ENXIO))


@dataclass(frozen=True, slots=True)
class LocalDir:
    """A folder of this machine that the daemon may read."""

    path: str


class FileSync:
    """Serves `dirs` by the names that the build uses for them, such as `context` and `dockerfile`.

    `failure` is the first error of this side (a file that cannot be read); it says more than what the daemon makes
    of it. `files_sent` and `bytes_sent` count content over all calls.
    """

    def __init__(self, dirs: Mapping[str, LocalDir]) -> None:
        self._dirs = dict(dirs)
        self.failure: BuildwrightError | None = None
        self.files_sent = 0
        self.bytes_sent = 0

    def handlers(self) -> Mapping[str, Handler]:
        return {DIFF_COPY: self._diff_copy}

    async def _diff_copy(self, call: ServerCall) -> None:
        request = _Request.of(call.metadata)
        directory = self._dirs.get(request.name)
        if directory is None:
            raise RpcError(Code.NOT_FOUND, f'no access allowed to dir "{request.name}"')
        try:
            root = _root(directory.path)
            transfer = _Transfer(self, call, root, walk(root, request.filter(root)))
            await transfer.run()
        except (ContextError, PatternError) as error:
            failure = error if isinstance(error, ContextError) else ContextError(f"{error}; correct .dockerignore")
            self.failure = self.failure or failure
            await call.send_framed([framed_error(str(failure))])
            raise RpcError(Code.UNKNOWN, str(failure)) from error


def _root(path: str) -> str:
    root = os.path.realpath(path)
    if not os.path.isdir(root):
        raise ContextError(f"the folder {path!r} of the build context is not there; check the path")
    return root


@dataclass(frozen=True, slots=True)
class _Request:
    """What the daemon asks for, from the metadata of its call (buildkit: session/filesync/filesync.go)."""

    name: str
    includes: tuple[str, ...]
    excludes: tuple[str, ...]
    followed: tuple[str, ...]

    @classmethod
    def of(cls, metadata: Metadata) -> _Request:
        names = _values(metadata, "dir-name")
        return cls(
            name=names[0] if names else "",
            includes=_values(metadata, "include-patterns"),
            excludes=_values(metadata, "exclude-patterns"),
            followed=_values(metadata, "followpaths"),
        )

    def filter(self, root: str) -> Filter:
        includes = list(self.includes)
        if self.followed:
            targets = follow(root, self.followed)
            if targets is not None:
                includes = without_inner(includes + targets) or []
        return Filter(includes, self.excludes)


def _values(metadata: Metadata, key: str) -> tuple[str, ...]:
    """The values of `key`, decoded if the daemon had to escape them to make them header fields."""
    values = tuple(value for name, value in metadata if name == key and isinstance(value, str))
    encoded = next((value for name, value in metadata if name == f"{key}-encoded"), "")
    if not isinstance(encoded, str) or not boolean.is_true(encoded):
        return values
    from urllib.parse import unquote_plus

    return tuple(unquote_plus(value, errors="surrogateescape") for value in values)


class _Transfer:
    """One folder on its way. Two tasks: one takes in what the daemon says, this one lists and reads."""

    def __init__(self, service: FileSync, call: ServerCall, root: str, entries: Iterator[Stat]) -> None:
        self._service = service
        self._call = call
        self._prefix = os.fsencode(root) + b"/"
        self._entries = entries
        self._listed = False
        self._sender = Sender()
        self._requests: deque[Requested] = deque()
        self._reading: _Reading | None = None
        self._wake = asyncio.Event()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                receiving = tasks.create_task(self._receive())
                await self._send()
                receiving.cancel()
        except BaseExceptionGroup as group:
            raise most_telling(group) from None
        finally:
            if self._reading is not None:
                self._reading.close()

    async def _receive(self) -> None:
        while not self._sender.finished:
            messages = await self._call.receive_many()
            if not messages:
                raise ProtocolError("the daemon ended a file transfer before it was complete")
            self._requests.extend(self._sender.feed(messages))
            self._wake.set()

    async def _send(self) -> None:
        while not self._sender.finished:
            self._wake.clear()
            chunks: list[Buffer] = []
            self._list(chunks)
            self._read(chunks)
            if chunks:
                # To join many small pieces once costs less than to carry each through the layers below.
                joined = [b"".join(chunks)] if len(chunks) > _PIECES_PER_SLICE else chunks
                await self._call.send_framed(joined)
                await asyncio.sleep(0)
            else:
                await self._wake.wait()
        await self._call.send_framed([FIN])

    def _list(self, chunks: list[Buffer]) -> None:
        if self._listed:
            return
        before = len(chunks)
        chunks.extend(map(self._sender.stat, islice(self._entries, _ENTRIES_PER_SLICE)))
        if len(chunks) - before < _ENTRIES_PER_SLICE:
            self._listed = True
            chunks.append(END_OF_LISTING)

    def _read(self, chunks: list[Buffer]) -> None:
        """Add up to a slice of the content that was asked for."""
        budget = _BYTES_PER_SLICE
        for _ in range(_FILES_PER_SLICE):
            reading = self._reading
            if reading is None:
                if not self._requests:
                    return
                reading = self._reading = _Reading(self._requests.popleft(), self._prefix)
            while not reading.done:
                if budget <= 0:
                    return
                data = reading.next(min(_CHUNK, budget))
                if data:
                    chunks += reading.framing.header(len(data)), data
                    budget -= len(data)
                    self._service.bytes_sent += len(data)
            chunks.append(reading.framing.end)
            self._service.files_sent += 1
            self._reading = None


class _Reading:
    """An open file of the context on its way out. It closes itself when `done`."""

    __slots__ = ("_fd", "_left", "_path", "done", "framing")

    def __init__(self, request: Requested, prefix: bytes) -> None:
        self.framing = ContentFraming(request.id)
        self.done = False
        self._path = prefix + request.path
        self._left = request.size
        try:
            self._fd = os.open(self._path, _OPEN_FLAGS)
        except OSError as error:
            if error.errno not in _SENT_EMPTY:
                raise unreadable(self._path, error) from error
            self._fd = -1
            self.done = True

    def next(self, limit: int) -> bytes:
        """Up to `limit` bytes; b"" at the end."""
        # One byte more than is expected: if it does not come, the end is known without another read.
        wanted = min(limit, self._left + 1) if self._left >= 0 else limit
        try:
            data = os.read(self._fd, wanted)
        except OSError as error:
            raise unreadable(self._path, error) from error
        self._left -= len(data)
        if not data or (self._left == 0 and len(data) < wanted):
            self.close()
        return data

    def close(self) -> None:
        self.done = True
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
