"""Calls that are made again when the API server fails or refuses them for the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from buildwright.errors import ClusterError, ConnectError

T = TypeVar("T")

PAUSES = (0.5, 1.0, 2.0)
"""Seconds before each further try of what was refused, when the server does not say how long to wait."""
TRIES = 10
"""How often a server is asked at most that says each time when to come back, as client-go does it,"""
PATIENCE = 60.0
"""and for how many seconds in all."""
POLL = 1.0
"""Seconds between two tries while the server is away, when it does not say either."""


async def repeated(work: Callable[[], Awaitable[T]]) -> T:
    """The result of `work`, begun anew a few times when the server is busy or fails; then raises what that raised.

    A server that says how long to wait is taken at its word, for a minute at most.
    """
    waited = 0.0
    for tried in range(TRIES - 1):
        try:
            return await work()
        except ClusterError as error:
            if not error.retriable or not (error.retry_after or tried < len(PAUSES)):
                raise
            pause = error.retry_after or PAUSES[tried]
            if waited + pause > PATIENCE:
                raise
        waited += pause
        await asyncio.sleep(pause)
    return await work()


async def outlasting(work: Callable[[], Awaitable[T]], seconds: float) -> T:
    """The result of `work`, begun anew for as long as the server is away, busy or fails.

    Raises ConnectError once that has taken `seconds`, whether the server says no or nothing.
    """
    last: Exception | None = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await work()
                except (ConnectError, ClusterError) as error:
                    if not error.retriable:
                        raise
                    last = error
                    pause = max(POLL, error.retry_after if isinstance(error, ClusterError) else 0.0)
                await asyncio.sleep(pause)
    except TimeoutError:
        why = f": {last}" if last is not None else ", it does not answer: check that the cluster is up"
        raise ConnectError(f"the API server was away for {seconds:.0f} s{why}") from last
