"""The stream to a pod's daemon, which ends with its reason as soon as the pod does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from buildwright.drivers.kubernetes.death import Death, death
from buildwright.errors import BuildwrightError, ConnectionLostError
from buildwright.kube.api import POD, Cluster
from buildwright.kube.exec import ExecStream
from buildwright.kube.follow import follow
from buildwright.kube.objects import Pod
from buildwright.wire.stream import Buffer

LEAVING = 3.0
"""Seconds that a build may still use a pod that is being deleted: what is about to end, ends well."""
LEARNING = 2.0
"""Seconds to wait, after the stream broke, for the cluster to say why: kubelet reports a dead container late."""


class PodStream:
    """An ExecStream whose pod is watched; owns the cluster connection that it watches with.

    However the daemon is lost, reads and writes raise ConnectionLostError that names the pod and, if the cluster
    tells within LEARNING seconds, the reason.
    """

    def __init__(
        self,
        stream: ExecStream,
        cluster: Cluster,
        pod: Pod,
        container: str,
        *,
        on_loss: Callable[[Pod], None] = lambda _: None,
    ) -> None:
        self._stream = stream
        self._cluster = cluster
        self._pod = pod
        self._container = container
        self._on_loss = on_loss
        self._death: Death | None = None
        self._closed = False
        self._watch = asyncio.create_task(self._follow(), name=f"watch of pod {pod.name}")

    async def read(self, limit: int = 1 << 20, /) -> bytes:
        try:
            return await self._stream.read(limit)
        except ConnectionLostError as error:
            raise await self._explained(error) from error

    async def write(self, data: Buffer, /) -> None:
        try:
            await self._stream.write(data)
        except ConnectionLostError as error:
            raise await self._explained(error) from error

    async def close_write(self) -> None:
        await self._stream.close_write()

    async def aclose(self) -> None:
        self._closed = True
        self._watch.cancel()
        try:
            await self._stream.aclose()
        finally:
            await self._cluster.aclose()

    async def _explained(self, error: ConnectionLostError) -> ConnectionLostError:
        if self._closed:
            return error
        self._on_loss(self._pod)
        await asyncio.wait([self._watch], timeout=LEARNING)
        if self._death is None:
            return ConnectionLostError(f"the builder's daemon was lost: {error}")
        return self._lost(self._death)

    def _lost(self, why: Death) -> ConnectionLostError:
        return ConnectionLostError(f"the builder's daemon was lost: {why.text}")

    async def _follow(self) -> None:
        """Watch until the pod is dead, then end the stream. A pod that is only leaving gets LEAVING seconds."""
        try:
            async with (
                asyncio.timeout(None) as patience,
                aclosing(follow(self._cluster, POD, name=self._pod.name)) as states,
            ):
                async for items in states:
                    self._death = death(self._pod, [Pod.read(item) for item in items], self._container)
                    if self._death is None:
                        patience.reschedule(None)
                        continue
                    if self._death.final:
                        break
                    if patience.when() is None:
                        patience.reschedule(asyncio.get_running_loop().time() + LEAVING)
        except TimeoutError:
            pass
        except BuildwrightError:
            return
        if self._death is not None:
            self._on_loss(self._pod)
            self._stream.fail(self._lost(self._death))
