"""The health service, by which a daemon sees that a session is alive: two unanswered checks end the session."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from buildwright.wire.proto import session_pb2
from buildwright.wire.rpc import Handler, ServerCall

_SERVING = session_pb2.HealthCheckResponse(
    status=session_pb2.HealthCheckResponse.ServingStatus.SERVING
).SerializeToString()


class Health:
    """`grpc.health.v1.Health`: SERVING for every service, as long as the session lasts."""

    def handlers(self) -> Mapping[str, Handler]:
        return {"/grpc.health.v1.Health/Check": self._check, "/grpc.health.v1.Health/Watch": self._watch}

    async def _check(self, call: ServerCall) -> None:
        await call.receive()
        await call.send(_SERVING)

    async def _watch(self, call: ServerCall) -> None:
        await call.receive()
        await call.send(_SERVING)
        # Nothing will change: the stream stays open until the daemon or the session ends it.
        await asyncio.Event().wait()
