"""Build secrets, handed to the daemon when a step mounts them (`moby.buildkit.secrets.v1.Secrets`)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping

from buildwright.client.session.blocking import run_abandonable
from buildwright.client.session.sources import check, from_environment, from_file
from buildwright.errors import BuildwrightError, Code, ContextError, RpcError
from buildwright.model.request import SecretSource
from buildwright.wire.proto import session_pb2
from buildwright.wire.rpc import Handler, ServerCall


class Secrets:
    """Serves the secrets of one build. Sources are checked when this is made and read when a step asks.

    Raises ContextError, when made, for a source that is missing, unreadable or too big; its text names the id and
    the source. `failure` is such an error met later. Values are kept nowhere but where they came from, except what
    came from a pipe, which can be read only once.
    """

    def __init__(self, sources: Iterable[SecretSource], *, environ: Mapping[str, str] = os.environ) -> None:
        self.failure: BuildwrightError | None = None
        self._environ = environ
        self._sources = {source.id: source for source in sources}
        self._from_pipes: dict[str, bytes] = {}
        self._reading = asyncio.Lock()
        check(self._sources.values(), environ)

    def handlers(self) -> Mapping[str, Handler]:
        return {"/moby.buildkit.secrets.v1.Secrets/GetSecret": self._get_secret}

    async def _get_secret(self, call: ServerCall) -> None:
        request = session_pb2.GetSecretRequest.FromString(await call.receive() or b"")
        source = self._sources.get(request.ID)
        if source is None:
            raise RpcError(Code.NOT_FOUND, f"secret {request.ID}: not found")
        try:
            async with self._reading:
                value = await self._read(source)
        except ContextError as error:
            self.failure = error
            raise RpcError(Code.UNKNOWN, str(error)) from error
        await call.send(session_pb2.GetSecretResponse(data=value).SerializeToString())

    async def _read(self, source: SecretSource) -> bytes:
        if source.file is None:
            return from_environment(source, self._environ)
        if source.id in self._from_pipes:
            return self._from_pipes[source.id]
        path = source.file
        value, regular = await run_abandonable(lambda: from_file(source, path))
        if not regular:
            self._from_pipes[source.id] = value
        return value
