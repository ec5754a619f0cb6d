"""Standard input as the loop can wait for it: a blocked read must not hold up cancellation or the session."""

from __future__ import annotations

import asyncio
import threading
from typing import BinaryIO

_CHUNK = 1 << 20


class InputReader:
    """Reads a blocking binary file in a daemon thread, so that a cancelled wait leaves nothing to be joined.

    `read` by one task at a time. Bytes of a cancelled read are kept for the next one.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._kept = b""
        self._pending: asyncio.Future[bytes] | None = None

    async def read(self, limit: int = _CHUNK) -> bytes:
        """At least one byte and up to `limit`, b"" at the end; raises OSError as the file does."""
        if not self._kept:
            self._kept = await self._next()
        data, self._kept = self._kept[:limit], self._kept[limit:]
        return data

    async def peek(self, size: int) -> bytes:
        """The first `size` bytes, fewer only when the file is shorter; they stay unread."""
        while len(self._kept) < size:
            more = await self._next()
            if not more:
                break
            self._kept += more
        return self._kept[:size]

    async def read_all(self) -> bytes:
        parts = []
        while part := await self.read():
            parts.append(part)
        return b"".join(parts)

    async def _next(self) -> bytes:
        if self._pending is None:
            self._pending = asyncio.get_running_loop().create_future()
            threading.Thread(target=self._fill, args=(self._pending,), daemon=True, name="stdin").start()
        data = await asyncio.shield(self._pending)
        self._pending = None
        return data

    def _fill(self, future: asyncio.Future[bytes]) -> None:
        read = getattr(self._file, "read1", self._file.read)
        loop = future.get_loop()
        try:
            data = read(_CHUNK)
        except (OSError, ValueError) as error:
            _post(loop, future.set_exception, error if isinstance(error, OSError) else OSError(str(error)))
        else:
            _post(loop, future.set_result, data)


def _post(loop: asyncio.AbstractEventLoop, call: object, value: object) -> None:
    try:
        loop.call_soon_threadsafe(call, value)  # type: ignore[arg-type]
    except RuntimeError:
        pass  # the loop ended while we were reading: nobody waits any more
