"""No progress at all, for `quiet` and `none`. (What `quiet` prints in the end is the command's to print.)"""

from __future__ import annotations

from buildwright.model.status import StatusUpdate
from buildwright.progress.view import End


class Silent:
    """A view (see view.py) of nothing."""

    def apply(self, update: StatusUpdate, now: int) -> None:
        return

    def draw(self, now: int) -> bytes:
        return b""

    def finish(self, now: int, end: End) -> bytes:
        return b""
