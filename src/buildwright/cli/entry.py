"""The console script: from the first moment on, an interrupt ends us with its exit code and without a trace."""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130


def _leave(_number: int, _frame: object) -> None:
    os._exit(INTERRUPTED)


def entry() -> None:
    """Run the program. Until a command runs, which takes signals over, there is nothing to clean up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    from buildwright.cli import main

    main.entry()
