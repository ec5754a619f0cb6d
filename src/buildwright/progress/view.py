"""What a display draws with: a view folds updates and makes bytes; it does no I/O and asks no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from buildwright.model.status import StatusUpdate


@dataclass(frozen=True, slots=True)
class End:
    """How a build ended: `vertex` is the digest of the step that failed it, "" when none did or it is unknown."""

    vertex: str = ""
    canceled: bool = False


class View(Protocol):
    """`now` is in nanoseconds of a clock that only moves forward. `draw` gives what is new since the last call."""

    def apply(self, update: StatusUpdate, now: int, /) -> None: ...
    def draw(self, now: int, /) -> bytes: ...
    def finish(self, now: int, end: End, /) -> bytes: ...
