"""Flags that several commands have."""

from __future__ import annotations

from buildwright.cli.flags import Flag, Kind
from buildwright.model import duration

TIMEOUT = Flag(
    name="timeout",
    kind=Kind.DURATION,
    default=20 * duration.SECOND,
    help="Override the default timeout for loading builder status",
)
