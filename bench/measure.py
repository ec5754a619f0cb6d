"""What one run of a program costs, and the median of several."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of processor (user and system) and of the clock, MiB of resident memory at most."""

    cpu: float
    wall: float
    peak: float


class RunError(Exception):
    """The program failed or took too long; the text shows the end of its output."""


def run(argv: Sequence[str | Path], env: Mapping[str, str], limit: float = 120) -> Cost:
    """Run a program to its end and say what it and its children cost.

    The peak cannot be less than what this process has itself: the kernel counts the moment before the exec.
    """
    with open(os.devnull, "rb") as nothing, Output() as output:
        begin = time.monotonic()
        # wait4 is the only way to the cost of one child, so Popen must not reap it
        process = subprocess.Popen(
            [str(word) for word in argv], env=dict(env), stdin=nothing, stdout=output.file, stderr=output.file
        )
        timer = signal.setitimer(signal.ITIMER_REAL, limit)
        handler = signal.signal(signal.SIGALRM, lambda *_: process.kill())
        try:
            _, status, used = os.wait4(process.pid, 0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, *timer)
            signal.signal(signal.SIGALRM, handler)
        wall = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            why = (
                f"took over {limit:.0f} s" if process.returncode == -signal.SIGKILL else f"exit {process.returncode}"
            )
            raise RunError(f"{' '.join(map(str, argv))}: {why}\n{output.tail()}")
    return Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024)


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.cpu for cost in costs),
        statistics.median(cost.wall for cost in costs),
        max(cost.peak for cost in costs),
    )


class Output:
    """Where a program writes: a file without a name, which is no pipe that could hold it up."""

    def __enter__(self) -> Self:
        self.file = os.fdopen(os.memfd_create("output"), "w+b")
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def tail(self) -> str:
        self.file.seek(0)
        return self.file.read().decode(errors="replace")[-2000:]
