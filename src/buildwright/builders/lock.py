"""The store's lock, shared with buildx (github.com/gofrs/flock): flock(2), on Windows a lock of the first byte."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from buildwright.errors import StoreError

PATIENCE = 2.0
"""Seconds after which a wait is worth telling."""

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@asynccontextmanager
async def held(path: str, on_wait: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
    """Hold the lock for the block; waits without end, and a cancelled wait holds nothing.

    `on_wait` is called once when the wait is long. Raises StoreError when the file cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600)
    except OSError as error:
        raise StoreError(f"cannot lock the builder store, {path}: {error.strerror}") from error
    try:
        await _wait(descriptor, path, on_wait)
        try:
            yield
        finally:
            _unlock(descriptor)
    finally:
        os.close(descriptor)


async def _wait(descriptor: int, path: str, on_wait: Callable[[], None]) -> None:
    waited, pause = 0.0, 0.005
    while True:
        try:
            return _try_lock(descriptor)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                raise StoreError(f"cannot lock the builder store, {path}: {error.strerror}") from error
        await asyncio.sleep(pause)
        if waited < PATIENCE <= waited + pause:
            on_wait()
        waited, pause = waited + pause, min(pause * 2, 0.1)
