"""The stream to a pod's daemon, which ends with its reason as soon as the pod does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import aclosing, suppress

from buildwright.drivers.kubernetes.building.death import Death, cut, death, node_lost, silent
from buildwright.drivers.kubernetes.building.inquiry import Answer, inquire
from buildwright.drivers.kubernetes.building.memory import shortage
from buildwright.drivers.kubernetes.building.tail import Tail
from buildwright.errors import BuildwrightError, ConnectionLostError, NotReadyError, SolveError
from buildwright.kube.api import POD, Cluster
from buildwright.kube.exec import ExecStream
from buildwright.kube.follow import follow
from buildwright.kube.objects import Pod
from buildwright.wire.stream import Buffer

WATCHING = 0.5
"""Seconds after which the pod is watched, unless the stream ends before: a build that is all cached asks less."""
LEAVING = 3.0
"""Seconds that a build may still use a pod that is being deleted: what is about to end, ends well."""
LEARNING = 3.5
"""Seconds to wait, after the stream broke, for the cluster to say why: kubelet reports a dead container late."""
PING_AFTER = 1.8
"""Seconds of silence after which the daemon is asked for a sign of life. grpc-go ends a connection at the fourth ping
since it last said something else; a session's daemon says something every five seconds."""
DOUBT = 2.5
"""Seconds of silence after which the cluster is asked whether the node still lives."""
ASKING = 1.7
"""Seconds that the cluster has for the answer."""
PATIENCE = 30.0
"""Seconds after which a silent stream is given up although its node lives, or nobody can be asked."""
AGAIN = 3.0
"""Seconds between two such questions."""
LAST_WORDS = 1.0
"""Seconds that the daemon's last lines may take once everything else is known."""
_NO_SERVER = "the API server does not answer"

_NO_PROGRAM = re.compile(r'"buildctl": executable file not found|executable file `buildctl` not found')
"""What runc and crun say of a container without it."""


class PodStream:
    """An ExecStream whose pod is watched; owns the cluster connection that it watches with.

    However the daemon is lost, reads and writes raise DaemonLostError, within five seconds of a loss that the
    cluster can tell of, and NotReadyError when its container is none of BuildKit's. Its tasks end with `aclose`.
    """

    ping_after = PING_AFTER

    def __init__(
        self,
        stream: ExecStream,
        cluster: Cluster,
        pod: Pod,
        container: str,
        *,
        on_loss: Callable[[Pod], None] = lambda _: None,
        on_cut: Callable[[], None] = lambda: None,
    ) -> None:
        self._stream = stream
        self._cluster = cluster
        self._pod = pod
        self._container = container
        self._on_loss = on_loss
        self._on_cut = on_cut
        self._tail = Tail(cluster, pod.name, container)
        self._death: Death | None = None
        self._learning: asyncio.Task[Death] | None = None
        self._opened = asyncio.get_running_loop().time()
        self._asked = 0.0
        """When something was first written after what last arrived."""
        self._closed = False
        self._broken = asyncio.Event()
        self._watch = asyncio.create_task(self._follow(), name=f"watch of pod {pod.name}")
        self._reading = asyncio.create_task(self._tail.run(), name=f"log of pod {pod.name}")
        self._tasks = [
            self._watch,
            self._reading,
            asyncio.create_task(self._doubt(), name=f"doubts about pod {pod.name}"),
        ]

    async def read(self, limit: int = 1 << 20, /) -> bytes:
        try:
            return await self._stream.read(limit)
        except ConnectionLostError as error:
            raise await self._explained(error) from error

    async def write(self, data: Buffer, /) -> None:
        if self._asked <= self._stream.heard:
            self._asked = asyncio.get_running_loop().time()
        try:
            await self._stream.write(data)
        except ConnectionLostError as error:
            raise await self._explained(error) from error

    async def explain(self, error: SolveError, /) -> str:
        """See `driver.Explaining`: whether it was for want of memory."""
        since = asyncio.get_running_loop().time() - self._opened
        return await shortage(self._cluster, self._pod, self._container, error, since)

    async def close_write(self) -> None:
        await self._stream.close_write()

    async def aclose(self) -> None:
        self._closed = True
        tasks = [*self._tasks, *([self._learning] if self._learning else [])]
        for task in tasks:
            task.cancel()
        try:
            await self._stream.aclose()
            await asyncio.wait(tasks)
        finally:
            await self._cluster.aclose()

    async def _explained(self, error: ConnectionLostError) -> BuildwrightError:
        if self._closed:
            return error
        if _NO_PROGRAM.search(str(error)):
            return NotReadyError(
                f"container {self._container} of pod {self._pod.name} has no buildctl, so it is no BuildKit daemon: "
                "check the driver options image and labels"
            )
        if self._learning is None:
            self._learning = asyncio.create_task(self._learn(error), name=f"fate of pod {self._pod.name}")
        await asyncio.wait([self._learning])
        if self._closed:
            return error
        return self._learning.result().error(self._pod, self._container, self._tail.lines)

    async def _learn(self, error: ConnectionLostError) -> Death:
        """Why the stream has ended: because we ended it, by what the watch says, else by who still answers."""
        if self._death is None:
            self._death = await self._find_out(error)
        if self._death.reason in ("Deleted", "Exited", "OOMKilled", "Drained"):
            await self._last_words()
        if self._death.reason == "Disconnected":
            self._on_cut()
        else:
            self._on_loss(self._pod)
        return self._death

    async def _find_out(self, error: ConnectionLostError) -> Death:
        self._broken.set()
        asking = asyncio.create_task(self._inquire(), name=f"inquiry about pod {self._pod.name}")
        try:
            async with asyncio.timeout(LEARNING):
                await asyncio.wait((self._watch, asking), return_when=asyncio.FIRST_COMPLETED)
                if self._death is None and await asking is Answer.NODE:
                    await asyncio.wait((self._watch,))
        except TimeoutError:
            pass
        finally:
            asking.cancel()
            await asyncio.wait((asking,))
        if self._death is not None:
            return self._death
        answer = Answer.NODE if asking.cancelled() else asking.result()
        if answer is Answer.SERVER:
            return node_lost(self._pod)
        return cut(self._pod, str(error) if answer is Answer.NODE else _NO_SERVER)

    async def _last_words(self) -> None:
        """Have the tail complete, or fetched if it was not followed yet."""
        try:
            async with asyncio.timeout(LAST_WORDS):
                if not self._tail.lines:
                    await self._tail.fetch()
                elif self._death is not None and self._death.exit_code is not None:
                    await asyncio.wait((self._reading,))
        except (TimeoutError, BuildwrightError):
            pass

    def _lose(self, why: Death) -> None:
        self._death = why
        self._stream.fail(why.error(self._pod, self._container))

    async def _follow(self) -> None:
        """Watch until the pod is dead, then end the stream. A pod that is only leaving gets LEAVING seconds.

        It gets no more when it cannot be watched any longer.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(WATCHING):
                await self._broken.wait()
        try:
            async with asyncio.timeout(None) as patience:
                while True:
                    try:
                        await self._until_dead(patience)
                        break
                    except BuildwrightError as error:
                        if not error.retriable:
                            if self._death is None:
                                return
                            await asyncio.Event().wait()
                    await asyncio.sleep(AGAIN)
        except TimeoutError:
            pass
        if self._death is not None:
            self._lose(self._death)

    async def _until_dead(self, patience: asyncio.Timeout) -> None:
        """Keep `_death` at what the watch says, and let `patience` run while the pod is leaving."""
        last = self._pod
        async with aclosing(follow(self._cluster, POD, name=self._pod.name)) as states:
            async for items in states:
                seen = [Pod.read(item) for item in items]
                found = death(self._pod, seen, self._container, last)
                last = next((pod for pod in seen if pod.uid == self._pod.uid), last)
                if found is None:
                    continue
                self._death = found
                if found.final:
                    return
                if patience.when() is None:
                    patience.reschedule(asyncio.get_running_loop().time() + LEAVING)

    async def _doubt(self) -> None:
        """End the stream when its daemon does not answer any more: at once with its node, else after PATIENCE."""
        clock = asyncio.get_running_loop().time
        while True:
            heard = self._stream.heard
            quiet = clock() - max(heard, self._asked - PING_AFTER) if self._asked > heard else 0.0
            if quiet < DOUBT:
                await asyncio.sleep(max(DOUBT - PING_AFTER, DOUBT - quiet) if quiet else DOUBT - PING_AFTER)
                continue
            answer = await self._inquire()
            if self._stream.heard > heard:
                continue
            if answer is Answer.SERVER:
                return self._lose(node_lost(self._pod))
            if quiet >= PATIENCE:
                deaf = silent(self._pod, quiet) if answer is Answer.NODE else cut(self._pod, _NO_SERVER)
                return self._lose(deaf)
            await asyncio.sleep(AGAIN)

    async def _inquire(self) -> Answer:
        return await inquire(self._cluster, self._pod, self._container, self._tail, limit=ASKING)
