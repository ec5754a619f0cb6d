"""The last lines of a daemon's log, kept at hand for when they can no longer be asked for."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing

from buildwright.drivers.kubernetes.run_log import RunLog
from buildwright.errors import BuildwrightError, ClusterError
from buildwright.kube.api import Cluster

LINES = 20
LATER = 1.0
"""Seconds before the log is followed, so that short builds do not pay for it."""
AGAIN = 1.0
"""Seconds before a log whose connection was lost is followed again."""


class Tail:
    """Follows the log of one container in `run`; `lines` are its last ones so far, oldest first."""

    def __init__(self, cluster: Cluster, pod: str, container: str) -> None:
        self._cluster = cluster
        self._pod = pod
        self._container = container
        self._lines: deque[str] = deque(maxlen=LINES)
        self._fetched = False

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)

    async def run(self) -> None:
        """Follow until the log ends, cannot be read (no right, no container) or the caller cancels. Never raises.

        It is followed again when only its connection is lost, as by a proxy that ends what is idle. What another run
        says by then comes after the last words of the run before.
        """
        log = RunLog(self._cluster, self._pod, self._container, LINES)
        pause = LATER
        while True:
            await asyncio.sleep(pause)
            try:
                async with aclosing(log.follow()) as lines:
                    async for line in lines:
                        if self._fetched:
                            self._lines.clear()
                            self._fetched = False
                        self._lines.append(line)
                return
            except BuildwrightError as error:
                if not error.retriable:
                    return
                pause = max(AGAIN, error.retry_after if isinstance(error, ClusterError) else 0.0)

    async def fetch(self) -> None:
        """Read the last lines anew, now. Raises what `Cluster.logs` does; `lines` then are what they were."""
        async with aclosing(self._cluster.logs(self._pod, self._container, tail=LINES)) as lines:
            fetched = [line async for line in lines]
        # Of a container that has just been started anew it is another log, and what the old one said counts.
        if not self._lines:
            self._lines.extend(fetched)
            self._fetched = True
