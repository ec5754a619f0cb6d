"""Blocking reads of things that may never answer: a terminal, a pipe whose writer waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def run_abandonable(function: Callable[[], T], /) -> T:
    """Call `function` in a thread of its own and return what it returns or raise what it raises.

    A cancelled caller returns at once and leaves the thread behind; its result is dropped. The thread keeps neither
    the loop nor the process from ending, which a thread of the loop's executor would.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as failure:
            error = failure
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            pass  # the loop was closed in the meantime: nobody waits any more

    threading.Thread(target=work, daemon=True).start()
    return await done
