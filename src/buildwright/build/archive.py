"""A tar archive on stdin, which gives its bytes once, for sessions that each want all of it."""

from __future__ import annotations

import errno
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from buildwright.client.session.upload import Reader


class Archive:
    """Hands out readers of `source`. With a `file` to keep it in, each of them gives the whole archive.

    Readers may be used from several threads at once, and one that is left behind in the middle of a read takes
    nothing away from the others. Without a file, or when it has no room any more, the first reader alone is served.
    """

    def __init__(self, source: Reader, file: IO[bytes] | None = None) -> None:
        self._source = source
        self._file = file
        self._size = 0
        self._taking = threading.Lock()
        self._keeping = threading.Lock()

    @property
    def repeatable(self) -> bool:
        """Whether a new reader gives all of it."""
        return self._file is not None or not self._size

    def reader(self) -> Reader:
        return _Reader(self)

    def read_at(self, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes, b"" at the end. Blocks as the source does, and raises its OSError."""
        if offset == self._size:
            with self._taking:
                if offset == self._size:
                    return self._take(limit)
        with self._keeping:
            if self._file is None:
                raise OSError(errno.ENOSPC, "what was read of stdin before could not be kept")
            self._file.seek(offset)
            return self._file.read(limit)

    def _take(self, limit: int) -> bytes:
        chunk = self._source.read(limit) or b""
        with self._keeping:
            if self._file is not None:
                try:
                    self._file.seek(self._size)
                    self._file.write(chunk)
                    self._file.flush()
                except OSError:
                    file, self._file = self._file, None
                    with suppress(OSError):
                        file.close()
            self._size += len(chunk)
        return chunk


class _Reader:
    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._offset = 0

    def read(self, limit: int, /) -> bytes:
        chunk = self._archive.read_at(self._offset, limit)
        self._offset += len(chunk)
        return chunk
