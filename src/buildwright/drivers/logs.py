"""The seam between nodes and whoever reads what their daemons say."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lines: the last `tail` of each daemon (None: all) and, with `follow`, those to come; `pods` names the
    daemons, empty for all."""

    tail: int | None = None
    pods: Collection[str] = ()
    follow: bool = False


Write = Callable[[str, str], None]
"""Takes a daemon's name, "" where there can be only one, and a line."""
