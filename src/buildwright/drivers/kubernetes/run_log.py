"""The log of one run of a daemon, read on over lost connections."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

from buildwright.kube.api import Cluster

_TIMED = re.compile(r"(\d{4}-\d\d-\d\dT\S+) (.*)", re.DOTALL)


class RunLog:
    """What a container says, each line once: from its last `tail` lines on, from the first with None."""

    def __init__(self, cluster: Cluster, pod: str, container: str, tail: int | None = None) -> None:
        self._cluster = cluster
        self._pod = pod
        self._container = container
        self._tail = tail
        self._last = ""
        """The time of the last line; kubelet writes them all with nine digits, so that they compare as text."""

    async def follow(self, *, ended: bool = False) -> AsyncGenerator[str, None]:
        """All that comes after what was read before; of a run that has `ended`, and another has begun, the rest.

        Raises what `Cluster.logs` does.
        """
        if self._tail == 0:
            await self._skip(ended)
        before = self._last
        async with aclosing(
            self._cluster.logs(
                self._pod,
                self._container,
                follow=not ended,
                tail=None if before else self._tail,
                previous=ended,
                timed=True,
                since=before,
            )
        ) as lines:
            async for line in lines:
                found = _TIMED.fullmatch(line)
                if found is None:
                    yield line  # kubelet's own word
                elif found[1] > before:
                    self._last = found[1]
                    yield found[2]

    async def _skip(self, ended: bool) -> None:
        """Count all that was said until now as read, so that a connection lost before the first line loses none.

        The time of the last line tells where that is, since the clock of the pod's machine may differ from ours.
        """
        async with aclosing(
            self._cluster.logs(self._pod, self._container, tail=1, previous=ended, timed=True)
        ) as lines:
            async for line in lines:
                if found := _TIMED.fullmatch(line):
                    self._last = found[1]
        self._tail = None
