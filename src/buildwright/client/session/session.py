"""A session: a gRPC server of ours inside a call that we made, through which the daemon asks for what it needs.

The client opens `Control/Session`, a stream of bytes in both directions, and serves HTTP/2 in it; the daemon is the
client of that inner connection. The headers of the call name the session and every method that it serves
(session/grpc.go, session/session.go in BuildKit).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from buildwright.client.identity import new_id
from buildwright.client.session.health import Health
from buildwright.client.session.service import Failing, Service
from buildwright.errors import BuildwrightError, ConnectionLostError, RpcError
from buildwright.wire.channel import Channel
from buildwright.wire.rpc import Handler, Metadata
from buildwright.wire.serve import Server
from buildwright.wire.tunnel import client_tunnel

PATH = "/moby.buildkit.v1.Control/Session"
_NAME = "buildwright"


class Session:
    """What a daemon may ask of one client. Health is always served; `run` may be called once.

    `shared_key` tells daemons that sessions with the same one send the same folder, so that they need only what
    changed since the last. Raises ValueError when two services have a method in common.
    """

    def __init__(self, services: Iterable[Service] = (), *, shared_key: str = "", id: str | None = None) -> None:  # noqa: A002
        self.id = id or new_id()
        self.shared_key = shared_key
        self.opened = asyncio.Event()
        """Set once the daemon was told of the session, so that a Solve sent now finds it, or could not be told."""
        self._services: Sequence[Service] = (*services, Health())
        self._handlers: dict[str, Handler] = {}
        for service in self._services:
            handlers = service.handlers()
            if common := self._handlers.keys() & handlers.keys():
                raise ValueError(f"two services of a session serve {min(common)}")
            self._handlers.update(handlers)

    @property
    def failure(self) -> BuildwrightError | None:
        """The first failure on our side that a service recorded, such as an unreadable file; else None."""
        failures = (service.failure for service in self._services if isinstance(service, Failing))
        return next((failure for failure in failures if failure is not None), None)

    def headers(self) -> Metadata:
        """The metadata of the Session call."""
        return (
            ("x-docker-expose-session-uuid", self.id),
            ("x-docker-expose-session-name", _NAME),
            ("x-docker-expose-session-sharedkey", _printable(self.shared_key)),
            *(("x-docker-expose-session-grpc-method", method) for method in sorted(self._handlers)),
        )

    async def run(self, channel: Channel) -> None:
        """Serve until the daemon ends the session or the caller cancels, which ends it.

        Raises RpcError when the daemon refuses the session, ConnectionLostError when the connection ends.
        """
        try:
            async with channel.call(PATH, metadata=self.headers()) as call:
                self.opened.set()
                await Server(self._handlers, on_error=_log).serve(client_tunnel(call))
        except ConnectionLostError as error:
            # The tunnel says that its call ended; how it ended is the better answer.
            raise error.__cause__ if isinstance(error.__cause__, RpcError) else error from None
        finally:
            self.opened.set()


def _printable(text: str) -> str:
    """`text` as a header can carry it: most folders' names are, and what is not is percent-encoded like in a URL."""
    if text.isascii() and text.isprintable() and text == text.strip():
        return text
    return quote(text.encode(errors="surrogateescape"), safe="/:")


def _log(path: str, error: Exception) -> None:
    """For `--debug`; the daemon is told of the error and says it as its own."""
    logging.getLogger(__name__).debug("%s failed: %s", path, error, exc_info=error)
