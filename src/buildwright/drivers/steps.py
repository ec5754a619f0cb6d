"""What is done on this side, such as starting a daemon, as vertices of the progress display."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from buildwright.model.status import StatusSink, StatusUpdate, Vertex, VertexLog, VertexStatus

_CANCELED = "context canceled"
"""BuildKit's words."""


class Unseen:
    """A sink for what nobody watches."""

    def write(self, update: StatusUpdate, /) -> None:
        pass


class Step:
    """A vertex that is going on. Made by `step`."""

    def __init__(self, sink: StatusSink, name: str) -> None:
        self._sink = sink
        self._name = name
        self._digest = "sha256:" + os.urandom(32).hex()
        self._started = time.time_ns()

    def vertex(self, *, completed: int | None = None, error: str = "") -> None:
        vertex = Vertex(digest=self._digest, name=self._name, started=self._started, completed=completed, error=error)
        self._sink.write(StatusUpdate(vertexes=(vertex,)))

    def log(self, line: str) -> None:
        """One line of output."""
        log = VertexLog(vertex=self._digest, timestamp=time.time_ns(), stream=1, data=f"{line}\n".encode())
        self._sink.write(StatusUpdate(logs=(log,)))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A named part of the step, complete when the block ends."""
        started = time.time_ns()
        self._part(name, started, None)
        try:
            yield
        finally:
            self._part(name, started, time.time_ns())

    def _part(self, name: str, started: int, completed: int | None) -> None:
        status = VertexStatus(
            id=name, vertex=self._digest, timestamp=time.time_ns(), started=started, completed=completed
        )
        self._sink.write(StatusUpdate(statuses=(status,)))


@contextmanager
def step(sink: StatusSink, name: str) -> Iterator[Step]:
    """Show a vertex called `name` for as long as the block runs; an exception completes it with its text."""
    shown = Step(sink, name)
    shown.vertex()
    try:
        yield shown
    except BaseException as error:
        said = str(error) or type(error).__name__
        shown.vertex(completed=time.time_ns(), error=said if isinstance(error, Exception) else _CANCELED)
        raise
    shown.vertex(completed=time.time_ns())
