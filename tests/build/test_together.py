"""Work that is done at once ends as one: all results, or the first failure."""

from __future__ import annotations

import asyncio

import pytest

from buildwright.build.together import gather
from buildwright.errors import ConnectError, UsageError


def test_results_come_in_the_order_of_the_work() -> None:
    async def main() -> list[int]:
        second_done = asyncio.Event()

        async def first() -> int:
            await second_done.wait()
            return 1

        async def second() -> int:
            second_done.set()
            return 2

        return await gather([first(), second()])

    assert asyncio.run(main()) == [1, 2]


def test_the_first_failure_ends_the_others_and_is_raised_when_they_have_ended() -> None:
    ended = []

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def failing() -> None:
        raise ConnectError("gone")

    with pytest.raises(ConnectError, match="gone"):
        asyncio.run(gather([waiting(), failing(), waiting()]))
    assert ended == [True, True]


def test_what_fails_while_it_is_ended_does_not_hide_the_first_failure() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise UsageError("second")

    async def failing() -> None:
        raise ConnectError("first")

    with pytest.raises(ConnectError, match="first"):
        asyncio.run(gather([stubborn(), failing()]))


def test_cancelling_ends_all() -> None:
    async def main() -> list[str]:
        ended: list[str] = []
        started = asyncio.Event()

        async def waiting(name: str) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(name)

        async with asyncio.TaskGroup() as tasks:
            whole = tasks.create_task(gather([waiting("a"), waiting("b")]))
            await started.wait()
            whole.cancel()
        return ended

    assert sorted(asyncio.run(main())) == ["a", "b"]
