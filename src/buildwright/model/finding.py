"""What an examination has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """Builds work, and something is worse than it could be."""
    FAILED = "FAILED"
    """A build needs it."""
    UNKNOWN = "unknown"
    """It could not be examined; `text` says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about one `topic`; `advice` says what to do, "" when nothing is to be done."""

    level: Level
    topic: str
    text: str
    advice: str = ""
