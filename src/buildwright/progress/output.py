"""Where progress goes: a stream that may be slow, may be closed and must never hold up or break a build."""

from __future__ import annotations

import os
import select
import sys
import time
from typing import IO

_PIECE = 4096
"""A pipe that is ready takes this much without blocking (POSIX: PIPE_BUF)."""
_RETRY = 0.01


class Output:
    """Bytes to a stream, as far as it takes them now; the rest waits for the next call.

    A stream that is broken (closed, its reader gone, its disk full) is noted in `broken` and left alone from then on.
    """

    def __init__(self, stream: IO[str]) -> None:
        self.broken: Exception | None = None
        self._stream = stream
        self._waiting = bytearray()
        self._descriptor = _descriptor(stream)

    @property
    def behind(self) -> bool:
        """True while the stream has not taken all; what can be left out should be."""
        return bool(self._waiting)

    def write(self, data: bytes) -> None:
        """Returns at once on every stream that can tell whether it is ready."""
        if self.broken is None:
            self._waiting += data
            self._guarded(wait=False)

    def finish(self) -> None:
        """Write all that waits, for as long as the stream takes."""
        if self.broken is None:
            self._guarded(wait=True)

    def _guarded(self, *, wait: bool) -> None:
        try:
            self._send(wait=wait)
        except (OSError, ValueError) as error:
            self.broken = error
            self._waiting.clear()

    def _send(self, *, wait: bool) -> None:
        if self._descriptor < 0:
            self._send_through_stream()
            return
        while self._waiting:
            if not _ready(self._descriptor, wait=wait):
                return
            try:
                taken = os.write(self._descriptor, self._waiting[:_PIECE])
            except BlockingIOError:
                # Another program with the same terminal or pipe made it non-blocking; it may want less than was said.
                if not wait:
                    return
                time.sleep(_RETRY)
            else:
                del self._waiting[:taken]

    def _send_through_stream(self) -> None:
        data = bytes(self._waiting)
        self._waiting.clear()
        if not data:
            return
        binary = getattr(self._stream, "buffer", None)
        if binary is None:
            self._stream.write(data.decode("utf-8", "replace"))
        else:
            binary.write(data)
        self._stream.flush()


def _descriptor(stream: IO[str]) -> int:
    """The stream's descriptor when it can be written to directly and asked for readiness, else -1."""
    if sys.platform == "win32":
        return -1
    try:
        stream.flush()
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return -1


def _ready(descriptor: int, *, wait: bool) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(None if wait else 0))
