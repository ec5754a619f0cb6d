"""A client of the API server: requests with the user's proof, on connections that are kept for the next one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from urllib.parse import urlencode, urlsplit

from buildwright.kube import message
from buildwright.kube.credentials import Proof, prove, tls
from buildwright.kube.transport import credentials_of, dial, proxy_of, read_head, read_until

if TYPE_CHECKING:
    import ssl

    from buildwright.kube.config import ClusterConfig

ANSWER = 20.0
"""Seconds that an answer may be silent for."""
_KEPT = 4
_KEPT_FOR = 30.0
_PIECE = 1 << 18
_LARGEST_BODY = 256 << 20
_LARGEST_LINE = 64 << 20
_TRAILERS = 100
_SWITCHING = 101

_NOTHING: Mapping[str, str] = {}

Query: TypeAlias = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """`fields` have names in lower case."""

    status: int
    fields: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Switched:
    """A connection that speaks another protocol from now on. It is whose who asked for that."""

    fields: Mapping[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Client:
    """Paths begin at the server's address. Concurrent requests are fine: each has a connection to itself.

    A proof that is refused is renewed, and the request sent once more. A kept connection that turns out to be closed
    is replaced for what only reads, and for `upgrade`, which may be asked for twice then; a change might have been
    made already. The requests raise ConfigurationError for credentials, and OSError for `failure.translated`.
    """

    def __init__(self, config: ClusterConfig) -> None:
        """Raises ConfigurationError for certificates or a proxy that cannot be used."""
        self._config = config
        self._proxy = proxy_of(config)
        self._kept: list[_Connection] = []
        self._closed = False
        address = urlsplit(config.server)
        self._prefix = address.path
        self._fields = {"Host": address.netloc.rpartition("@")[2], "User-Agent": "buildwright"}
        if tls(config) is None and self._proxy:
            self._prefix = config.server
            self._fields |= credentials_of(self._proxy)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept; one in use goes with its request."""
        self._closed = True
        while self._kept:
            self._kept.pop().abort()

    async def ask(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        form: str = "application/json",
    ) -> Answer:
        """Send a request, with `body` as JSON, and read the whole answer."""
        async with self._exchange(method, path, query, body, form, ANSWER) as answer:
            return Answer(answer.head.status, answer.head.fields, await answer.read())

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], *, silence: float | None
    ) -> AsyncIterator[StreamedAnswer]:
        """An answer that is read as it comes, and may be silent for so many seconds; None is for any time."""
        async with self._exchange("GET", path, query, None, "", silence) as answer:
            yield answer

    async def upgrade(self, path: str, query: Query, fields: Mapping[str, str]) -> Switched | Answer:
        """Ask for the protocol that `fields` name; an Answer is the server's refusal."""
        async with self._exchange("GET", path, query, None, "", ANSWER, fields) as answer:
            if answer.head.status == _SWITCHING:
                return answer.switched()
            return Answer(answer.head.status, answer.head.fields, await answer.read())

    @asynccontextmanager
    async def _exchange(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: Mapping[str, Any] | None,
        form: str,
        silence: float | None,
        more: Mapping[str, str] = _NOTHING,
    ) -> AsyncIterator[StreamedAnswer]:
        target = f"{self._prefix}{path}" + (f"?{urlencode(query)}" if query else "")
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        fields = {
            **self._fields,
            "Accept": "application/json",
            **({"Content-Type": form} if body is not None else {}),
            **more,
        }
        proof = await prove(self._config)
        for last in (False, True):
            data = message.request(method, target, {**fields, **proof.headers}, content)
            connection, head = await self._send(data, proof, silence, again=method == "GET")
            answer = StreamedAnswer(connection, head, silence)
            try:
                if head.status == 401 and not last:
                    renewed = await prove(self._config, refused=proof)
                    if renewed != proof:
                        proof = renewed
                        continue
                yield answer
                return
            finally:
                self._release(answer)

    async def _send(
        self, data: bytes, proof: Proof, silence: float | None, *, again: bool
    ) -> tuple[_Connection, message.Head]:
        """The connection that answers, and the head of the answer."""
        if (kept := self._take(proof.tls)) is not None:
            try:
                return kept, await kept.send(data, silence)
            except ConnectionError:
                if not again:
                    raise
        connection = _Connection(*await dial(self._config, self._proxy, proof.tls), proof.tls)
        return connection, await connection.send(data, silence)

    def _take(self, wanted: ssl.SSLContext | None) -> _Connection | None:
        """A kept connection that shows the same certificate and is open, as far as can be seen."""
        for connection in [connection for connection in self._kept if connection.stale]:
            self._kept.remove(connection)
            connection.abort()
        found = next((connection for connection in reversed(self._kept) if connection.tls is wanted), None)
        if found is not None:
            self._kept.remove(found)
        return found

    def _release(self, answer: StreamedAnswer) -> None:
        connection = answer.connection
        if answer.taken:
            return
        reusable = answer.whole and answer.head.keeps and answer.head.status >= 200
        if reusable and len(self._kept) < _KEPT and not self._closed:
            connection.since = time.monotonic()
            self._kept.append(connection)
        else:
            connection.abort()


class _Connection:
    """Carries one request at a time. `since` is when it became idle."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext | None
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.tls = context
        self.since = 0.0

    @property
    def stale(self) -> bool:
        ended = self.reader.at_eof() or self.reader.exception() is not None or self.writer.is_closing()
        # What came while nothing was asked for, such as a timeout's 408, is no answer. asyncio shows it nowhere else.
        ended = ended or bool(getattr(self.reader, "_buffer", b""))
        return ended or time.monotonic() - self.since > _KEPT_FOR

    def abort(self) -> None:
        self.writer.transport.abort()

    async def send(self, data: bytes, silence: float | None) -> message.Head:
        """The head of the answer to `data`; a connection that fails, or is left, is closed."""
        try:
            async with asyncio.timeout(silence):
                self.writer.write(data)
                await self.writer.drain()
                while (head := await read_head(self.reader)).status < 200 and head.status != _SWITCHING:
                    pass
                return head
        except BaseException:
            self.abort()
            raise


class StreamedAnswer:
    """An answer's head, and its body as it comes. `whole` when all of it has been read, `taken` when its connection
    is no longer the client's."""

    def __init__(self, connection: _Connection, head: message.Head, silence: float | None) -> None:
        self.connection = connection
        self.head = head
        self.whole = False
        self.taken = False
        self._silence = silence

    def switched(self) -> Switched:
        self.taken = True
        return Switched(self.head.fields, self.connection.reader, self.connection.writer)

    async def read(self) -> bytes:
        pieces, size = [], 0
        async with aclosing(self.pieces()) as body:
            async for piece in body:
                pieces.append(piece)
                size += len(piece)
                if size > _LARGEST_BODY:
                    raise message.MessageError("its answer is too long")
        return b"".join(pieces)

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """The body's lines without their ends."""
        begun: list[bytes] = []
        size = 0
        async with aclosing(self.pieces()) as body:
            async for piece in body:
                *ended, rest = piece.split(b"\n")
                for line in ended:
                    yield b"".join((*begun, line)).removesuffix(b"\r")
                    begun, size = [], 0
                begun.append(rest)
                size += len(rest)
                if size > _LARGEST_LINE:
                    raise message.MessageError("its answer has too long a line")
        if size:
            yield b"".join(begun).removesuffix(b"\r")

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives; ConnectionError when it ends too early."""
        if self.head.chunked:
            async with aclosing(self._chunks()) as chunks:
                async for piece in chunks:
                    yield piece
        elif self.head.length is not None:
            left = self.head.length
            while left:
                piece = await self._some(left)
                left -= len(piece)
                yield piece
        else:
            while piece := await self._some(_PIECE, to_the_end=True):
                yield piece
        self.whole = True

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        while left := message.chunk_size(await self._line()):
            while left:
                piece = await self._some(left)
                left -= len(piece)
                yield piece
            if await self._line():
                raise message.MessageError("its answer is wrongly chunked")
        for _ in range(_TRAILERS):
            if not await self._line():
                return
        raise message.MessageError("its answer has too many trailers")

    async def _some(self, limit: int, *, to_the_end: bool = False) -> bytes:
        async with asyncio.timeout(self._silence):
            piece = await self.connection.reader.read(min(limit, _PIECE))
        if not piece and not to_the_end:
            raise ConnectionResetError("it closed the connection in the middle of an answer")
        return piece

    async def _line(self) -> bytes:
        async with asyncio.timeout(self._silence):
            return (await read_until(self.connection.reader, b"\r\n"))[:-2]
