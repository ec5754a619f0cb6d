"""What lost its daemon begins anew on another one; what failed does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from buildwright.drivers.driver import Driver
from buildwright.drivers.steps import step
from buildwright.errors import (
    BuildwrightError,
    ClusterError,
    ConnectError,
    ConnectionLostError,
    DaemonLostError,
    NotReadyError,
)
from buildwright.model.status import StatusSink, StatusUpdate, Vertex

T = TypeVar("T")

_CUT = "Disconnected"
"""The reason of a loss of which the pod knows nothing."""
_STAYS = (_CUT, "Silent", "Exited", "OOMKilled")
"""Reasons of losses after which the same pod may take the build again."""
_REFUSALS = (ConnectError, ClusterError)
PAUSE = 1.0
"""Seconds before what was refused is tried again."""


class Unfinished:
    """Passes status on to `sink` and knows the vertices that run."""

    def __init__(self, sink: StatusSink) -> None:
        self._sink = sink
        self._running: dict[str, Vertex] = {}

    def write(self, update: StatusUpdate, /) -> None:
        for vertex in update.vertexes:
            if vertex.started is not None and vertex.completed is None:
                self._running[vertex.digest] = vertex
            else:
                self._running.pop(vertex.digest, None)
        self._sink.write(update)

    def end(self) -> None:
        """Report what runs as cancelled: its daemon, which would, is gone."""
        now = time.time_ns()
        ended = tuple(
            replace(vertex, completed=max(now, vertex.started or 0), error="context canceled")
            for vertex in self._running.values()
        )
        if ended:
            self.write(StatusUpdate(vertexes=ended))


@dataclass(slots=True)
class Attempt:
    """One of the times that something is begun. `number` counts from 0.

    `spent` is set by the work to say what of it cannot be taken back, so that it must not begin anew.
    """

    number: int
    sink: Unfinished
    spent: str = field(default="")


async def persist(
    work: Callable[[Attempt], Awaitable[T]],
    driver: Driver,
    *,
    retries: int,
    sink: StatusSink,
    tell: Callable[[str], None] = lambda _: None,
) -> T:
    """The result of `work`, begun anew up to `retries` times when a daemon or the connection to it was lost.

    So is what a cluster refused for the moment. That needs a driver with other daemons to turn to. Every loss is
    shown on `sink` and given to `tell` as one sentence. Raises what the work raised; a loss, when it was not the
    first, names those before it.
    """
    losses: list[BuildwrightError] = []
    while True:
        attempt = Attempt(len(losses), Unfinished(sink))
        try:
            return await work(attempt)
        except (ConnectError, ConnectionLostError) as error:
            losses.append(error)
        except (NotReadyError, ClusterError) as error:
            if not error.retriable:
                if not losses:
                    raise
                raise _in_vain(losses, error) from error
            losses.append(error)
        attempt.sink.end()
        if len(losses) > retries or not driver.traits.dynamic:
            raise _final(losses)
        if attempt.spent:
            raise _final(losses, attempt.spent)
        sentence = f"{_told(losses[-1])}; {_remedy(losses[-1])} (retry {len(losses)} of {retries})"
        with step(sink, sentence) as shown:
            _detail(losses[-1], shown.log)
        tell(sentence)
        if isinstance(losses[-1], _REFUSALS):
            await asyncio.sleep(PAUSE)


def _told(error: BuildwrightError) -> str:
    if not isinstance(error, DaemonLostError) or not error.pod:
        return str(error)
    pod = f"pod {error.pod}" + (f" on node {error.node}" if error.node else "")
    return f"the connection to {pod} was lost" if error.reason == _CUT else f"{pod} was lost ({error.reason})"


def _remedy(error: BuildwrightError) -> str:
    if isinstance(error, _REFUSALS):
        return "connecting again"
    gone = isinstance(error, DaemonLostError) and error.reason not in _STAYS
    return "building again" + (" on another pod" if gone else "")


def _detail(error: BuildwrightError, log: Callable[[str], None]) -> None:
    """What the daemon said last tells something only when it ended by itself."""
    if isinstance(error, DaemonLostError):
        log(str(error))
        for line in error.log if error.process_exit_code is not None else ():
            log(line)


def _final(losses: Sequence[BuildwrightError], spent: str = "") -> BuildwrightError:
    """The last loss, with what else there is to say about it."""
    *earlier, last = losses
    if isinstance(last, _REFUSALS) and earlier and isinstance(earlier[-1], ConnectionLostError):
        return _in_vain(earlier, last)
    before = [told for told in dict.fromkeys(map(_told, earlier)) if told != str(last)]
    if spent:
        _reword(last, f"{last} (it did not begin again by itself, since {spent})")
    if before:
        _reword(last, f"{last}; before that, {'; '.join(before)}")
    return last


def _in_vain(losses: Sequence[BuildwrightError], error: BuildwrightError) -> BuildwrightError:
    """The loss after which there was no other daemon."""
    _reword(losses[-1], f"{_told(losses[-1])}, and the build could not begin again: {error}")
    return _final(losses)


def _reword(error: BuildwrightError, text: str) -> None:
    error.args = (text, *error.args[1:])
