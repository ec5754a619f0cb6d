"""SIGINT, SIGTERM and SIGHUP while a command runs: one cancels it, two hurry its clean-up, three end us."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from buildwright.cli.command import Context, Run
from buildwright.cli.flags import Values


def signals() -> tuple[signal.Signals, ...]:
    """Those that end a command; a hang-up is none where nohup has it ignored."""
    ending = (signal.SIGINT, signal.SIGTERM)
    if sys.platform == "win32" or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return ending
    return (*ending, signal.SIGHUP)


class Interrupted(Exception):  # noqa: N818 - not a failure
    """The user ended the command; the argument names the signal."""


class _Threads(ThreadPoolExecutor):
    """Blocking calls. It does not wait for those that still run at the end: a read of stdin may never return."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=True)


async def supervised(run: Run, values: Values, context: Context) -> int:
    """Run a command; raises Interrupted when a signal ended it, whatever it made of being cancelled."""
    asyncio.get_running_loop().set_default_executor(_Threads(thread_name_prefix="buildwright"))
    received: list[signal.Signals] = []
    with _caught(received):
        try:
            return await run(values, context)
        except BaseException:
            if received:
                raise Interrupted(received[0].name) from None
            raise


@contextmanager
def _caught(received: list[signal.Signals]) -> Iterator[None]:
    """Cancel the current task on a signal while the block runs.

    The handlers are the interpreter's, not the loop's: they run while the loop is held up, say by a pager that does
    not read, which is when a user gives the third signal.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def on_signal(number: int, _frame: object) -> None:
        received.append(signal.Signals(number))
        if len(received) > 2:
            os._exit(1)
        loop.call_soon_threadsafe(task.cancel)

    before: dict[signal.Signals, object] = {}
    try:
        for number in signals():
            before[number] = signal.signal(number, on_signal)
    except ValueError:
        pass  # signals belong to the main thread; in another one the caller cancels
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
