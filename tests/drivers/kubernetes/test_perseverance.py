"""Calls that are made again: how often, and how long after each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from buildwright.drivers.kubernetes import perseverance
from buildwright.drivers.kubernetes.perseverance import outlasting, repeated
from buildwright.errors import ClusterError, ConnectError


class Busy:
    """Work that is refused so many times, each time with a word on how long to wait."""

    def __init__(self, times: int, retry_after: float = 0.0, status: int = 429) -> None:
        self.left = times
        self.calls = 0
        self._error = ClusterError("busy", status=status, retry_after=retry_after)

    async def __call__(self) -> str:
        self.calls += 1
        self.left -= 1
        if self.left >= 0:
            raise self._error
        return "done"


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, which take no time."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def instead(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(perseverance.asyncio, "sleep", instead)  # type: ignore[attr-defined]
    return pauses


def test_a_server_that_says_how_long_to_wait_is_taken_at_its_word(slept: list[float]) -> None:
    work = Busy(9, retry_after=3.0)
    assert asyncio.run(repeated(work)) == "done"
    assert slept == [3.0] * 9


def test_one_that_does_not_say_is_asked_a_few_times(slept: list[float]) -> None:
    work = Busy(9)
    with pytest.raises(ClusterError):
        asyncio.run(repeated(work))
    assert slept == list(perseverance.PAUSES)


@pytest.mark.parametrize(("retry_after", "calls"), [(1.0, 10), (25.0, 3)])
def test_a_server_that_stays_busy_is_given_up(slept: list[float], retry_after: float, calls: int) -> None:
    work = Busy(99, retry_after=retry_after)
    with pytest.raises(ClusterError, match="busy"):
        asyncio.run(repeated(work))
    assert work.calls == calls


@pytest.mark.parametrize("again", [repeated, lambda work: outlasting(work, 9)])
def test_what_is_refused_for_good_is_told_at_once(
    slept: list[float], again: Callable[[Callable[[], Awaitable[str]]], Awaitable[str]]
) -> None:
    async def once() -> None:
        with pytest.raises(ClusterError):
            await again(Busy(1, retry_after=3.0, status=403))

    asyncio.run(once())
    assert not slept


@pytest.mark.parametrize(("retry_after", "pause"), [(0.0, perseverance.POLL), (4.0, 4.0)])
def test_after_a_loss_its_word_counts_too(slept: list[float], retry_after: float, pause: float) -> None:
    assert asyncio.run(outlasting(Busy(2, retry_after), 60)) == "done"
    assert slept == [pause, pause]


def test_after_a_loss_waiting_ends_with_its_time() -> None:
    with pytest.raises(ConnectError, match="away for 0 s: busy"):
        asyncio.run(outlasting(Busy(99, retry_after=30.0), 0.05))
