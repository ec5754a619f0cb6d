"""The remote driver: a daemon that someone else runs, at a unix socket or a TCP address, with TLS or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from buildwright.drivers import mutual_tls, values
from buildwright.drivers.driver import Driver, NodeInfo, NodeStatus, Traits, quiet
from buildwright.drivers.steps import step
from buildwright.errors import (
    BuildwrightError,
    Code,
    ConnectError,
    ConnectionLostError,
    NotReadyError,
    RpcError,
    UsageError,
)
from buildwright.model.node import Node
from buildwright.model.status import StatusSink
from buildwright.wire.stream import ByteStream

_CONNECT = 10.0
PATIENCE = 20.0
"""Seconds that `start` waits for the daemon to answer."""
_ANSWER = 20.0
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 1.0

_OPTIONS = ("cacert", "cert", "default-load", "key", "servername")
_ELSEWHERE = ("docker-container", "kube-pod", "npipe", "ssh")
_LIST_WORKERS = "/moby.buildkit.v1.Control/ListWorkers"
_INFO = "/moby.buildkit.v1.Control/Info"
_ABSENT = frozenset((Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the daemon listens: a socket's `path`, or a host and port."""

    text: str
    path: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, endpoint: str) -> Address:
        """Read `unix:///path` or `tcp://host:port`; raises UsageError for anything else."""
        if not endpoint:
            raise UsageError("the remote driver needs an endpoint: unix:///path/to/buildkitd.sock or tcp://host:1234")
        try:
            parts = urlsplit(endpoint)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise UsageError(f'endpoint "{endpoint}" is malformed ({error}): write tcp://host:1234') from error
        if parts.scheme == "unix":
            path = endpoint.removeprefix("unix:").removeprefix("//")
            if not path.startswith(("/", "@")):
                raise UsageError(f'endpoint "{endpoint}" has no absolute path: write unix:///path/to/buildkitd.sock')
            return cls(text=endpoint, path=path)
        if parts.scheme == "tcp":
            if not host or port is None:
                raise UsageError(f'endpoint "{endpoint}" has no host or no port: write tcp://host:1234')
            return cls(text=endpoint, host=host, port=port)
        if parts.scheme in _ELSEWHERE:
            raise UsageError(
                f'endpoint "{endpoint}": {parts.scheme}:// is not available in this version, use unix:// or tcp://'
            )
        raise UsageError(f'endpoint "{endpoint}" has an unknown scheme: write unix:///path or tcp://host:1234')


class RemoteDriver:
    """One daemon at one address. It is neither started nor removed."""

    def __init__(self, node: Node) -> None:
        for option in node.driver_opts:
            if option not in _OPTIONS:
                raise values.unknown(option, "remote", _OPTIONS)
        if node.files or node.flags:
            given = "a daemon configuration" if node.files else "daemon flags"
            raise UsageError(f"the remote driver does not start its daemon, so {given} cannot be given: leave it out")
        self._address = Address.parse(node.endpoint)
        self._tls = mutual_tls.parse(node.driver_opts, self._address.host)
        self._default_load = values.boolean("default-load", node.driver_opts.get("default-load", "false"))

    @property
    def traits(self) -> Traits:
        name = self._tls.servername if self._tls else self._address.host
        return Traits(authority=name or "localhost", default_load=self._default_load)

    async def info(self) -> NodeInfo:
        try:
            await self._ask(_LIST_WORKERS)
        except (ConnectError, ConnectionLostError):
            return NodeInfo(status=NodeStatus.INACTIVE)
        except RpcError as error:
            if error.code in _ABSENT:
                return NodeInfo(status=NodeStatus.INACTIVE)
            raise
        return NodeInfo(status=NodeStatus.RUNNING)

    async def start(self, sink: StatusSink, /) -> None:
        failure = await self._absence()
        if failure is None:
            return
        with step(sink, "[internal] waiting for connection"):
            delay = _FIRST_DELAY
            try:
                async with asyncio.timeout(PATIENCE):
                    while failure is not None:
                        await asyncio.sleep(delay)
                        delay = min(2 * delay, _LONGEST_DELAY)
                        failure = await self._absence()
            except TimeoutError:
                raise NotReadyError(
                    f"no daemon answered at {self._address.text} within {PATIENCE:.0f} seconds: {failure}"
                ) from failure

    async def open(self, affinity: str = "", /, *, start: StatusSink | None = None) -> ByteStream:
        from buildwright.wire.sockets import connect_tcp, connect_unix

        if start is not None:
            await self.start(start)
        address = self._address
        try:
            async with asyncio.timeout(_CONNECT):
                stream: ByteStream = await (
                    connect_unix(address.path) if address.path else connect_tcp(address.host, address.port)
                )
                if self._tls is None:
                    return stream
                return await mutual_tls.secured(stream, self._tls, address.text)
        except TimeoutError:
            raise ConnectError(
                f"{address.text} did not answer within {_CONNECT:.0f} seconds: check the address, and that a daemon "
                "is behind it"
            ) from None

    async def stop(self, *, tell: Callable[[str], None] = quiet) -> None:
        """The daemon is not ours to stop."""

    async def remove(
        self, *, keep_state: bool = False, keep_daemon: bool = False, tell: Callable[[str], None] = quiet
    ) -> None:
        """The daemon is not ours to remove."""

    async def _ask(self, method: str) -> None:
        """Call a method whose request is empty."""
        from buildwright.wire.channel import Channel

        async with Channel(await self.open(), authority=self.traits.authority) as channel:
            await channel.unary(method, b"", timeout=_ANSWER)

    async def _absence(self) -> BuildwrightError | None:
        """Why the daemon does not answer; None when it does."""
        try:
            await self._ask(_INFO)
        except (ConnectError, ConnectionLostError) as error:
            return error
        except RpcError as error:
            if error.code in _ABSENT:
                return error
            # Daemons before v0.11 lack the method, which is an answer too.
            if error.code is not Code.UNIMPLEMENTED:
                raise
        return None


if TYPE_CHECKING:
    _: type[Driver] = RemoteDriver
