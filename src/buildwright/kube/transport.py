"""How the API server is reached: directly or by a proxy, under its TLS name."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from buildwright.kube import message, proxy
from buildwright.kube.failure import unusable_proxy

if TYPE_CHECKING:
    import ssl

    from buildwright.kube.config import ClusterConfig

_CONNECT = 10.0
_LARGEST_LINE = 1 << 16
_SILENT, _BETWEEN, _PROBES = 15, 5, 3
"""Seconds of silence before the peer's system is asked whether it is there, seconds between, and how often: a cable
that is pulled is noticed after half a minute, also by a reader that bears any silence."""


def proxy_of(config: ClusterConfig) -> str:
    """The address of the proxy to `config`'s server, "" for none; ConfigurationError for one of no use."""
    try:
        return proxy.choose(config.server, config.proxy, os.environ)
    except ValueError as error:
        raise unusable_proxy(config, str(error)) from error


async def dial(
    config: ClusterConfig, by: str, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A new connection to the server, within 10 seconds; by the proxy `by` if it is not "".

    With TLS the proxy is asked for a tunnel; without, it is the proxy itself that takes the requests. Raises OSError.
    """
    server = urlsplit(config.server)
    name = config.server_name or server.hostname if tls is not None else None
    async with asyncio.timeout(_CONNECT):
        if not by:
            return await _connect(server, tls, name)
        reader, writer = await _connect(urlsplit(by), _trust() if by.startswith("https:") else None)
        try:
            if tls is not None:
                await _tunnel(reader, writer, f"{_bracketed(server)}:{port_of(server)}", credentials_of(by))
                await writer.start_tls(tls, server_hostname=name)
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer


def credentials_of(by: str) -> dict[str, str]:
    """The header field that shows a proxy the user in its address."""
    import base64

    parts = urlsplit(by)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def port_of(address: SplitResult) -> int:
    return address.port or (443 if address.scheme == "https" else 80)


async def _connect(
    address: SplitResult, tls: ssl.SSLContext | None, name: str | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LARGEST_LINE, loop=loop)
    protocol = _Abortable(reader, loop=loop)
    try:
        transport, _ = await loop.create_connection(
            lambda: protocol,
            address.hostname or "",
            port_of(address),
            ssl=tls,
            server_hostname=(name or address.hostname) if tls is not None else None,
        )
    except BaseException:
        protocol.abort()
        raise
    _keep_alive(transport.get_extra_info("socket"))
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class _Abortable(asyncio.StreamReaderProtocol):
    """Knows its transport as soon as there is one.

    `loop.create_connection` closes one gently when who waits for it is cancelled in the moment that it is made: it
    then waits for the peer's farewell, after the loop is closed too.
    """

    _made: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._made = transport
        super().connection_made(transport)

    def abort(self) -> None:
        if self._made is not None:
            self._made.abort()


def _keep_alive(connected: socket.socket) -> None:
    """Have the system notice a peer that has gone without a word, as far as it can.

    Not by TCP_USER_TIMEOUT, which would also end a connection whose peer lives and takes nothing for a while.
    """
    with suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _SILENT),
        ("TCP_KEEPALIVE", _SILENT),  # macOS's name of the same
        ("TCP_KEEPINTVL", _BETWEEN),
        ("TCP_KEEPCNT", _PROBES),
    ):
        if (option := getattr(socket, name, None)) is not None:
            with suppress(OSError):
                connected.setsockopt(socket.IPPROTO_TCP, option, value)


def _trust() -> ssl.SSLContext:
    import ssl

    return ssl.create_default_context()


async def _tunnel(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str, shown: dict[str, str]
) -> None:
    writer.write(message.request("CONNECT", target, {"Host": target, **shown}))
    answer = await read_head(reader)
    if not 200 <= answer.status < 300:
        raise ConnectionRefusedError(f"the proxy answered with HTTP status {answer.status}")


def _bracketed(address: SplitResult) -> str:
    host = address.hostname or ""
    return f"[{host}]" if ":" in host else host


async def read_head(reader: asyncio.StreamReader) -> message.Head:
    """The head of an answer; ConnectionResetError when there is none, MessageError for what is none."""
    return message.head(await read_until(reader, b"\r\n\r\n"))


async def read_until(reader: asyncio.StreamReader, end: bytes) -> bytes:
    """All to `end`. The errors are raised outside their handlers: what asyncio says is for nobody to read."""
    try:
        return await reader.readuntil(end)
    except asyncio.IncompleteReadError:
        why: OSError = ConnectionResetError("it closed the connection")
    except asyncio.LimitOverrunError:
        why = message.MessageError("what it answers is no HTTP")
    raise why
