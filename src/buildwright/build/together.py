"""Several pieces of work at once, of which all are needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from buildwright.errors import BuildwrightError

T = TypeVar("T")


async def gather(works: Iterable[Awaitable[T]]) -> list[T]:
    """The results in the order of `works`, which run at the same time.

    The first of them to fail with a member of the error tree ends the others, and its error is raised as it is when
    they have ended. A cancelled call ends them as well.
    """
    failures: list[BuildwrightError] = []
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_caught(work)) for work in works]
        pending = set(running)
        while pending and not failures:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            failures = [result for task in done if isinstance(result := task.result(), BuildwrightError)]
        for task in pending:
            task.cancel()
    if failures:
        raise failures[0]
    return [result for task in running if not isinstance(result := task.result(), BuildwrightError)]


async def _caught(work: Awaitable[T]) -> T | BuildwrightError:
    try:
        return await work
    except BuildwrightError as error:
        return error
