"""Build secrets, handed to the daemon when a step mounts them (`moby.buildkit.secrets.v1.Secrets`)."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterable, Mapping

from buildwright.client.session.blocking import run_abandonable
from buildwright.errors import BuildwrightError, Code, ContextError, RpcError
from buildwright.model.request import SecretSource
from buildwright.wire.proto import session_pb2
from buildwright.wire.rpc import Handler, ServerCall

LIMIT = 500 * 1024
"""The largest secret that BuildKit's own client takes, in bytes (secretsprovider.MaxSecretSize)."""


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
        for source in self._sources.values():
            _check(source, environ)

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
            return _from_environment(source, self._environ)
        if source.id in self._from_pipes:
            return self._from_pipes[source.id]
        path = source.file
        value, regular = await run_abandonable(lambda: _from_file(source, path))
        if not regular:
            self._from_pipes[source.id] = value
        return value


def _check(source: SecretSource, environ: Mapping[str, str]) -> None:
    if source.file is None:
        _from_environment(source, environ)
        return
    try:
        state = os.stat(source.file)
        if stat.S_ISREG(state.st_mode):
            with open(source.file, "rb"):
                pass
    except OSError as error:
        raise _unreadable(source, error) from error
    if stat.S_ISDIR(state.st_mode):
        raise ContextError(f'secret "{source.id}": {source.file} is a folder; name a file')
    if state.st_size > LIMIT:
        raise _too_big(source)


def _from_environment(source: SecretSource, environ: Mapping[str, str]) -> bytes:
    value = environ.get(source.env or "")
    if value is None:
        raise ContextError(f'secret "{source.id}": the environment variable {source.env} is not set; set it')
    encoded = os.fsencode(value)
    if len(encoded) > LIMIT:
        raise _too_big(source)
    return encoded


def _from_file(source: SecretSource, path: str) -> tuple[bytes, bool]:
    """The file's content, and whether it can be read again."""
    try:
        with open(path, "rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            value = file.read(LIMIT + 1)
    except OSError as error:
        raise _unreadable(source, error) from error
    if len(value) > LIMIT:
        raise _too_big(source)
    return value, regular


def _unreadable(source: SecretSource, error: OSError) -> ContextError:
    return ContextError(f'secret "{source.id}": cannot read {source.file}: {error.strerror}; correct its src')


def _too_big(source: SecretSource) -> ContextError:
    origin = source.file or f"the environment variable {source.env}"
    return ContextError(
        f'secret "{source.id}": {origin} holds more than {LIMIT // 1024} KiB, the most that a secret may'
    )
