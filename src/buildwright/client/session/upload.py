"""Streams that the daemon fetches as if by HTTP, such as a context on stdin (`moby.upload.v1.Upload`)."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Protocol

from buildwright.client.identity import new_id
from buildwright.client.session.blocking import run_abandonable
from buildwright.errors import BuildwrightError, Code, ContextError, RpcError
from buildwright.wire.proto import control_pb2
from buildwright.wire.rpc import Handler, ServerCall

_CHUNK = 1 << 20


class Reader(Protocol):
    """A blocking source of bytes, such as an unbuffered file."""

    def read(self, limit: int, /) -> bytes | None: ...


class Uploads:
    """Serves streams under addresses of the session's own. Each can be fetched once; the caller closes its readers.

    A read is done in a thread that a cancelled build leaves behind: give it an unbuffered stdin, since the
    interpreter cannot end while a thread is inside a buffered one. `failure` is the ContextError of a failed read.
    """

    def __init__(self) -> None:
        self.failure: BuildwrightError | None = None
        self._readers: dict[str, Reader] = {}

    def add(self, reader: Reader) -> str:
        """The address to build from, which the daemon understands inside this session only."""
        name = new_id()
        self._readers[name] = reader
        return f"http://buildkit-session/{name}"

    def handlers(self) -> Mapping[str, Handler]:
        return {"/moby.upload.v1.Upload/Pull": self._pull}

    async def _pull(self, call: ServerCall) -> None:
        path = next((value for key, value in call.metadata if key == "urlpath" and isinstance(value, str)), "")
        reader = self._readers.pop(posixpath.basename(path), None)
        if reader is None:
            raise RpcError(Code.NOT_FOUND, f"no stream of this session is at {path}, or it was fetched before")
        try:
            while chunk := await run_abandonable(lambda: reader.read(_CHUNK)):
                await call.send(control_pb2.BytesMessage(data=chunk).SerializeToString())
        except OSError as error:
            self.failure = ContextError(f"cannot read the build context: {error.strerror}; send it again")
            raise RpcError(Code.UNKNOWN, str(self.failure)) from error
