"""No progress at all, for `quiet` and `none`. (What `quiet` prints in the end is the command's to print.)"""

from __future__ import annotations

from buildwright.model.status import StatusUpdate


class Silent:
    """A view (see display.py) of nothing."""

    def apply(self, update: StatusUpdate, now: int) -> None:
        return

    def draw(self, now: int) -> bytes:
        return b""

    def finish(self, now: int, vertex: str = "") -> bytes:
        return b""
