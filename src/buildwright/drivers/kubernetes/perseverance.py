"""Calls that are made again when the API server fails or refuses them for the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from buildwright.errors import ClusterError, ConnectError

T = TypeVar("T")

PAUSES = (0.5, 1.0, 2.0)
"""Seconds before each further try of what was refused."""
POLL = 1.0
"""Seconds between two tries while the server is away."""


async def repeated(work: Callable[[], Awaitable[T]]) -> T:
    """The result of `work`, begun anew a few times when the server is busy or fails; then raises what that raised."""
    for pause in PAUSES:
        try:
            return await work()
        except ClusterError as error:
            if not error.retriable:
                raise
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
                await asyncio.sleep(POLL)
    except TimeoutError:
        why = f": {last}" if last is not None else ", it does not answer: check that the cluster is up"
        raise ConnectError(f"the API server was away for {seconds:.0f} s{why}") from last
