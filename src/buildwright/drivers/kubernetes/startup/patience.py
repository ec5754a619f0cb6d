"""How long a state has lasted that is only sometimes worth waiting for. Pure, with the clock given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Patience:
    """Ask by `over` inside `asked`, as often as states are looked at; what is not asked for is forgotten."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}
        self._until: dict[str, float] = {}

    @contextmanager
    def asked(self) -> Iterator[None]:
        self._until = {}
        yield
        self._since = {key: since for key, since in self._since.items() if key in self._until}

    def over(self, key: str, seconds: float) -> bool:
        """Whether the state called `key` has lasted that long."""
        since = self._since.setdefault(key, self._clock())
        self._until[key] = since + seconds
        return self._clock() >= self._until[key]

    @property
    def due(self) -> float | None:
        """Seconds until an answer may be another one; None when none will."""
        waiting = [until - self._clock() for until in self._until.values() if until > self._clock()]
        return min(waiting, default=None)
