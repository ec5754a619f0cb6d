"""Where the bytes of one exported file go: a file that appears when it is whole, or a stream such as stdout."""

from __future__ import annotations

import io
import os
import secrets
import stat as posix
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import BinaryIO, Protocol

from buildwright.client.session.blocking import run_abandonable
from buildwright.client.session.receive import unwritable, write_all
from buildwright.errors import OutputError

_BINARY = getattr(os, "O_BINARY", 0)


class Sink(Protocol):
    """Takes one file. Its methods raise OutputError; after a failure or cancellation only `abort` may follow."""

    async def write(self, chunks: Sequence[bytes], /) -> None: ...

    async def commit(self) -> None:
        """All has been written: make it last."""
        ...

    def abort(self) -> None:
        """Forget what was written, as far as that can be. Never raises; does nothing after `commit`."""
        ...


async def file_sink(path: str) -> Sink:
    """A sink for the file `path`, or for the device or pipe that is there. Raises OutputError."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return _NewFile(path, None)
    except OSError as error:
        raise unwritable(path, error) from error
    if posix.S_ISDIR(status.st_mode):
        raise OutputError(f"cannot write {path!r}: a folder is there; choose another destination")
    if posix.S_ISREG(status.st_mode):
        return _NewFile(path, posix.S_IMODE(status.st_mode))
    try:
        # Opening a pipe waits for its reader.
        return _Descriptor(await run_abandonable(lambda: os.open(path, os.O_WRONLY | _BINARY)), path)
    except OSError as error:
        raise unwritable(path, error) from error


def stream_sink(stream: BinaryIO, name: str) -> Sink:
    """A sink for an open stream, which stays open; `name` is what errors call it."""
    try:
        stream.flush()
        return _Descriptor(stream.fileno(), name, owned=False)
    except io.UnsupportedOperation:
        return _Object(stream, name)
    except OSError as error:
        raise unwritable(name, error) from error
    except ValueError as error:
        raise OutputError(f"cannot write {name!r}: it is closed; choose another destination") from error


def is_stream(sink: Sink) -> bool:
    """Whether what was written is gone for good: a pipe, a device or an open stream."""
    return isinstance(sink, _Blocking)


class _NewFile:
    """A regular file under a temporary name beside `path`, which it takes over at the end.

    Writes are done in the loop: they end in the page cache. A symlink at `path` stays and its target is replaced;
    an existing file's mode is kept.
    """

    def __init__(self, path: str, mode: int | None) -> None:
        self._path = path
        self._final = os.path.realpath(path)
        self._mode = mode
        self._temporary = os.path.join(os.path.dirname(self._final), f".buildwright-{secrets.token_hex(8)}")
        try:
            os.makedirs(os.path.dirname(self._final), exist_ok=True)
            self._fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        except OSError as error:
            raise unwritable(path, error) from error

    async def write(self, chunks: Sequence[bytes], /) -> None:
        try:
            for chunk in chunks:
                write_all(self._fd, chunk)
        except OSError as error:
            raise unwritable(self._path, error) from error

    async def commit(self) -> None:
        try:
            # Some file systems tell only now that there was no room.
            fd, self._fd = self._fd, -1
            os.close(fd)
            if self._mode is not None:
                os.chmod(self._temporary, self._mode)
            os.replace(self._temporary, self._final)
            self._temporary = ""
        except OSError as error:
            raise unwritable(self._path, error) from error

    def abort(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            _close_quietly(fd)
        temporary, self._temporary = self._temporary, ""
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)


def _close_quietly(fd: int) -> None:
    with suppress(OSError):
        os.close(fd)


class _Blocking:
    """Writes that may wait without end for a reader go through a thread that a cancelled build leaves behind."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def _run(self, work: Callable[[], None]) -> None:
        try:
            await run_abandonable(work)
        except OSError as error:
            raise unwritable(self._name, error) from error


class _Descriptor(_Blocking):
    def __init__(self, fd: int, name: str, *, owned: bool = True) -> None:
        super().__init__(name)
        self._fd = fd
        self._owned = owned
        self._lock = threading.Lock()
        self._writing = False
        self._aborted = False

    async def write(self, chunks: Sequence[bytes], /) -> None:
        def write() -> None:
            try:
                for chunk in chunks:
                    write_all(self._fd, chunk)
            finally:
                self._written()

        self._writing = True
        await self._run(write)

    def _written(self) -> None:
        with self._lock:
            self._writing = False
            if self._aborted and self._owned:
                _close_quietly(self._fd)

    async def commit(self) -> None:
        if self._owned:
            self._owned = False
            await self._run(lambda: os.close(self._fd))

    def abort(self) -> None:
        # A thread that still writes closes it: its number may be another file's as soon as it is closed.
        with self._lock:
            if self._owned and not self._aborted and not self._writing:
                _close_quietly(self._fd)
            self._aborted = True


class _Object(_Blocking):
    def __init__(self, stream: BinaryIO, name: str) -> None:
        super().__init__(name)
        self._stream = stream

    async def write(self, chunks: Sequence[bytes], /) -> None:
        await self._run(lambda: self._stream.writelines(chunks))

    async def commit(self) -> None:
        await self._run(self._stream.flush)

    def abort(self) -> None:
        pass
