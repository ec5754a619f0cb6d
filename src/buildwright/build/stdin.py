"""Standard input: looked at, read whole as a Dockerfile, or handed on as an archive. Waiting can be cancelled."""

from __future__ import annotations

from typing import BinaryIO

from buildwright.client.session.blocking import run_abandonable
from buildwright.errors import ContextError

_CHUNK = 1 << 20


class InputReader:
    """A binary file whose first bytes can be looked at. Use one method at a time; raises ContextError.

    Its reads are done in threads that a cancelled caller leaves behind: give it an unbuffered file, since the
    interpreter cannot end while a thread is inside a buffered one.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
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
        return self._file.read(limit)

    async def _read_more(self) -> bytes:
        try:
            return await run_abandonable(lambda: self._file.read(_CHUNK))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is closed"
            raise ContextError(f"cannot read stdin: {reason}: pipe in a tar archive or a Dockerfile") from error
