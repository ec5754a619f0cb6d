"""Standard input: looked at, read whole as a Dockerfile, or handed on as an archive. Waiting can be cancelled."""

from __future__ import annotations

import errno
import select
import sys
from collections.abc import Callable
from typing import BinaryIO

from buildwright.client.session.blocking import run_abandonable
from buildwright.errors import ContextError

_CHUNK = 1 << 20


def standard_input() -> BinaryIO:
    """The process's stdin as bytes, without a buffer; OSError or ValueError when it is closed."""
    return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)


class InputReader:
    """A binary file whose first bytes can be looked at. Use one method at a time; raises ContextError.

    `opener` is called when the first byte is needed. Reads are done in threads that a cancelled caller leaves behind:
    let it open an unbuffered file, since the interpreter cannot end while a thread is inside a buffered one.
    """

    def __init__(self, opener: Callable[[], BinaryIO]) -> None:
        self._open = opener
        self._opened: BinaryIO | None = None
        self._head = b""

    async def peek(self, size: int) -> bytes:
        """The first `size` bytes, fewer only when the file is shorter; they stay unread."""
        while len(self._head) < size:
            more = await self._read_more()
            if not more:
                break
            self._head += more
        return self._head[:size]

    async def read_all(self) -> bytes:
        parts = [self._head]
        self._head = b""
        while more := await self._read_more():
            parts.append(more)
        return b"".join(parts)

    def read(self, limit: int, /) -> bytes:
        """Up to `limit` bytes, b"" at the end. It blocks, and raises OSError as the file does."""
        if self._head:
            data, self._head = self._head[:limit], self._head[limit:]
            return data
        return self._read(limit)

    def _read(self, limit: int) -> bytes:
        try:
            if self._opened is None:
                self._opened = self._open()
            while True:
                data: bytes | None = self._opened.read(limit)
                if data is not None:
                    return data
                # Somebody made the descriptor non-blocking, and there is nothing to read just now.
                select.select([self._opened], [], [])
        except (ValueError, AttributeError) as error:
            raise OSError(errno.EBADF, "it is closed") from error

    async def _read_more(self) -> bytes:
        try:
            return await run_abandonable(lambda: self._read(_CHUNK))
        except OSError as error:
            raise ContextError(
                f"cannot read stdin: {error.strerror}: pipe in a tar archive or a Dockerfile"
            ) from error
