"""A bound on frames that cost us more than they cost the peer: resets, empty frames, frames for dead streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from buildwright.wire.http2.frames import ErrorCode, FaultError

BURST: Final = 1000
PER_SECOND: Final = 100


class Allowance:
    """A bucket of BURST such frames that refills at PER_SECOND."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left = float(BURST)
        self._since = clock()

    def spend(self) -> None:
        now = self._clock()
        self._left = min(float(BURST), self._left + (now - self._since) * PER_SECOND) - 1
        self._since = now
        if self._left < 0:
            raise FaultError(ErrorCode.ENHANCE_YOUR_CALM, "it resets streams or sends empty frames too fast")
