"""TLS on any byte stream, through OpenSSL's memory buffers.

asyncio's own TLS needs its own transports, and cannot end one direction alone. `ssl` is imported late: a build on
a unix socket never needs it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from buildwright.errors import ConnectError, ConnectionLostError
from buildwright.wire.sockets import connect_tcp
from buildwright.wire.stream import Buffer, ByteStream

if TYPE_CHECKING:
    from ssl import MemoryBIO, SSLContext, SSLError, SSLObject

PIECE: Final = 256 << 10
"""How much is encrypted before it is written."""


class TlsStream:
    """A byte stream inside TLS; made by `start_tls`. It owns the stream below."""

    def __init__(
        self, below: ByteStream, tls: SSLObject, incoming: MemoryBIO, outgoing: MemoryBIO, name: str
    ) -> None:
        self._below = below
        self._tls = tls
        self._incoming = incoming
        self._outgoing = outgoing
        self.name = name
        self._writing = asyncio.Lock()
        self._answering: asyncio.Task[None] | None = None
        self._ended = False
        self._closed = False

    async def read(self, limit: int = 1 << 20, /) -> bytes:
        import ssl

        while True:
            self._require_open()
            try:
                data = self._decrypt(limit)
            except ssl.SSLWantReadError:
                await self._fill()
            except ssl.SSLEOFError:
                # Many peers end the connection without a closing alert. Calls notice what is missing by themselves.
                return b""
            except ssl.SSLError as error:
                raise ConnectionLostError(f"the connection to {self.name} was lost: {reason(error)}") from error
            else:
                return data

    async def write(self, data: Buffer, /) -> None:
        self._require_open()
        if self._ended:
            raise ConnectionLostError(f"nothing can be written to {self.name} after close_write")
        import ssl

        view = memoryview(data)
        while view:
            try:
                view = view[self._tls.write(view[:PIECE]) :]
            except ssl.SSLError as error:
                raise ConnectionLostError(f"the connection to {self.name} was lost: {reason(error)}") from error
            await self._flush()
            self._require_open()

    async def close_write(self) -> None:
        if self._ended or self._closed:
            return
        self._ended = True
        self._say_goodbye()
        try:
            await self._flush()
            await self._below.close_write()
        except ConnectionLostError:
            # The next read says so.
            pass

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                if self._answering is not None:
                    self._answering.cancel()
                    await asyncio.wait([self._answering])
            finally:
                await self._below.aclose()

    async def handshake(self) -> None:
        """Raises ssl.SSLError as OpenSSL does, and ConnectionLostError when the peer ends the connection."""
        import ssl

        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError:
                # The alert that tells the peer why; whether it arrives changes nothing about the cause.
                with suppress(ConnectionLostError):
                    await self._flush()
                raise
            else:
                await self._flush()
                return

    def _decrypt(self, limit: int) -> bytes:
        """All that can be decrypted now, one record after the other."""
        import ssl

        parts = [self._tls.read(limit)]
        size = len(parts[0])
        while parts[-1] and size < limit:
            try:
                parts.append(self._tls.read(limit - size))
            except ssl.SSLError:
                # Whatever it is, the next read meets it again.
                break
            size += len(parts[-1])
        return b"".join(parts)

    async def _fill(self) -> None:
        if self._outgoing.pending and not self._writing.locked():
            # A task that outlives a cancelled read: a record that is sent in part ends the connection.
            self._answering = asyncio.create_task(self._answer(), name=f"TLS answer to {self.name}")
        data = await self._below.read(PIECE)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _answer(self) -> None:
        """Send what OpenSSL has to say without being asked, such as new keys."""
        with suppress(ConnectionLostError):
            await self._flush()

    async def _flush(self) -> None:
        async with self._writing:
            while self._outgoing.pending:
                await self._below.write(self._outgoing.read())

    def _say_goodbye(self) -> None:
        import ssl

        try:
            self._tls.unwrap()
        except ssl.SSLError:
            # The closing alert is on its way out; OpenSSL would like to wait for the peer's, which `read` does.
            pass

    def _require_open(self) -> None:
        if self._closed:
            raise ConnectionLostError(f"the connection to {self.name} has been closed")


async def start_tls(
    below: ByteStream,
    context: SSLContext,
    *,
    name: str,
    server_hostname: str | None = None,
    server_side: bool = False,
) -> TlsStream:
    """Speak TLS on a byte stream, which is owned from now on and closed when this fails.

    ConnectError when no connection that both sides trust comes about.
    """
    import ssl

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    stream = None
    try:
        tls = context.wrap_bio(incoming, outgoing, server_side=server_side, server_hostname=server_hostname)
        stream = TlsStream(below, tls, incoming, outgoing, name)
        await stream.handshake()
    except BaseException as error:
        await below.aclose()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise ConnectError(
                f"cannot connect to {name}: its certificate is not trusted ({error.verify_message});"
                " check the CA certificate and the server name"
            ) from error
        if isinstance(error, ssl.SSLEOFError | ConnectionLostError):
            raise ConnectError(f"cannot connect to {name}: it ended the TLS handshake; does it speak TLS?") from error
        if isinstance(error, ssl.SSLError | ValueError):
            text = reason(error) if isinstance(error, ssl.SSLError) else str(error)
            raise ConnectError(f"cannot connect to {name}: the TLS handshake failed ({text})") from error
        raise
    return stream


async def connect_tls(host: str, port: int, context: SSLContext, server_hostname: str | None = None) -> TlsStream:
    """Connect to a TLS server; `server_hostname` is the name in its certificate (default: `host`).

    `context` is used as it is. Whoever makes it lets it offer HTTP/2 (`set_alpn_protocols(["h2"])`), without which
    grpc-go servers refuse the connection.
    """
    name = f"tcp://{f'[{host}]' if ':' in host else host}:{port}"
    return await start_tls(await connect_tcp(host, port), context, name=name, server_hostname=server_hostname or host)


def reason(error: SSLError) -> str:
    """OpenSSL's own words, without the names of its source files."""
    return (error.reason or error.strerror or str(error)).lower().replace("_", " ")


if TYPE_CHECKING:
    _: type[ByteStream] = TlsStream
