"""A command in a pod as a ByteStream: stdin and stdout of `pods/exec` over WebSocket.

The connection counts as dead when nothing at all has moved on it for SILENCE seconds although it was asked to answer
(a WebSocket ping). Progress in either direction counts, so a slow link with full buffers is not taken for dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from buildwright.errors import BuildwrightError, ConnectionLostError
from buildwright.kube.frames import STDIN, V4, V5, ExecEnd, ExecOutput, closing, split
from buildwright.wire.stream import Buffer

if TYPE_CHECKING:
    from buildwright.kube.api import Cluster
    from buildwright.kube.websocket import WebSocket

PING_INTERVAL = 15.0
SILENCE = 30.0
READ_AHEAD = 1 << 20
UNREACHED = "error sending request"
"""How a command ends when the API server could not connect to the node's kubelet (client-go, transport/spdy)."""
_CLOSE_TIMEOUT = 0.5


async def connect(cluster: Cluster, pod: str, container: str, command: Sequence[str]) -> ExecStream:
    """Run `command` in a container of `pod` and return its stdin and stdout.

    Raises ClusterError when the server refuses, ConnectError when it cannot be reached, ProtocolError when it does
    not offer WebSocket, and ConfigurationError for certificates and credentials. It may run twice when the connection
    breaks before the server has answered. That the command could not be started shows at the first read.
    """
    return ExecStream(await cluster.exec(pod, container, command, (V5, V4)), pod)


async def output_of(cluster: Cluster, pod: str, container: str, command: Sequence[str]) -> tuple[bytes, ExecEnd]:
    """Run a short command in a container to its end: what it wrote to stdout, and how it ended.

    Raises as `connect` does, and ConnectionLostError when the connection ends before the command.
    """
    stream = await connect(cluster, pod, container, command)
    try:
        pieces = []
        try:
            await stream.close_write()
            while piece := await stream.read():
                pieces.append(piece)
        except ConnectionLostError:
            if stream.end is None:
                raise
        return b"".join(pieces), stream.end or ExecEnd(success=True)
    finally:
        await stream.aclose()


class ExecStream:
    """ByteStream on one exec connection. `end` is set once the command's end is known.

    The command's clean end is the stream's end only after `close_write`; before, it is a ConnectionLostError, as is
    every other end. What arrived before the end is read first. Two tasks belong to the stream and end with `aclose`.
    """

    def __init__(self, connection: WebSocket, pod: str, *, ping_interval: float = PING_INTERVAL) -> None:
        self._connection = connection
        self._pod = pod
        self._protocol = connection.protocol or V4
        self._output = ExecOutput()
        self._arrived: list[bytes] = []
        self._unread = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._half_closed = False
        self._closed = False
        self._failure: BuildwrightError | None = None
        self._moved = 0
        self._heard = asyncio.get_running_loop().time()
        self._tasks = (
            asyncio.create_task(self._receive(), name=f"receiver of {pod}"),
            asyncio.create_task(self._watch_silence(ping_interval), name=f"keepalive of {pod}"),
        )

    @property
    def end(self) -> ExecEnd | None:
        return self._output.end

    @property
    def heard(self) -> float:
        """When the loop's clock showed what last arrived, or the stream's beginning."""
        return self._heard

    def last_words(self) -> str:
        """The last line of the command's stderr."""
        return self._output.last_words()

    async def read(self, limit: int = 1 << 20, /) -> bytes:
        while self._closed or not self._arrived:
            if self._output.end is not None and not self._closed:
                return self._ended(self._output.end)
            if self._failure is not None:
                raise self._failure
            if self._output.stdout_closed:
                return b""
            self._news.clear()
            await self._news.wait()
        data = self._arrived[0] if len(self._arrived) == 1 else b"".join(self._arrived)
        self._arrived.clear()
        if len(data) > limit:
            self._arrived.append(data[limit:])
            data = data[:limit]
        self._unread -= len(data)
        if self._unread <= READ_AHEAD:
            self._room.set()
        return data

    async def _receive(self) -> None:
        """Take messages in until the end, at most READ_AHEAD bytes (and one message) before they are read."""
        try:
            while self._output.end is None:
                data = self._output.feed(await self._connection.receive())
                self._moved += 1
                self._heard = asyncio.get_running_loop().time()
                self._news.set()
                if data:
                    self._arrived.append(data)
                    self._unread += len(data)
                    if self._unread > READ_AHEAD:
                        self._room.clear()
                        await self._room.wait()
        except BuildwrightError as error:
            self.fail(error)
        except Exception as error:
            # Whatever it is, nothing more will arrive, and a read must not wait for it.
            self.fail(ConnectionLostError(f"the connection to pod {self._pod} was lost ({_why(error)})"))
        finally:
            self._news.set()

    def _ended(self, end: ExecEnd) -> bytes:
        if self._half_closed and end.success:
            return b""
        raise ConnectionLostError(self.describe_end())

    def describe_end(self) -> str:
        """Why the command is over, as far as the stream itself tells."""
        end, words = self._output.end, self._output.last_words()
        if end is None or end.success:
            why = "the command in it ended"
        elif end.exit_code is not None:
            why = f"the command in it ended with exit code {end.exit_code}"
        else:
            said = " ".join(end.message.split()).replace("Internal error occurred: ", "")
            why = said or end.reason or "the command in it could not be run"
        return f"the stream to pod {self._pod} ended: {why}" + (f" ({words})" if words else "")

    async def write(self, data: Buffer, /) -> None:
        if self._failure is not None:
            raise self._failure
        if self._output.end is not None:
            raise ConnectionLostError(self.describe_end())
        if self._half_closed:
            raise ConnectionLostError(f"nothing can be written to pod {self._pod} after close_write")
        try:
            for message in split(STDIN, data):
                await self._connection.send(message)
                self._moved += 1
        except ConnectionError as error:
            if self._failure is not None:
                raise self._failure from error
            if self._output.end is not None:
                raise ConnectionLostError(self.describe_end()) from error
            raise ConnectionLostError(f"the connection to pod {self._pod} was lost ({_why(error)})") from error

    async def close_write(self) -> None:
        if self._half_closed:
            return
        self._half_closed = True
        message = closing(STDIN, self._protocol)
        if message is not None:
            try:
                await self._connection.send(message)
            except ConnectionError:
                pass

    def fail(self, error: BuildwrightError) -> None:
        """End the stream now: a pending read or write, and every later one, raises `error`."""
        if self._failure is None:
            self._failure = error
            self._news.set()
            self._connection.transport.abort()

    async def aclose(self) -> None:
        self._closed = True
        self._failure = self._failure or ConnectionLostError(f"the stream to pod {self._pod} has been closed")
        for task in self._tasks:
            task.cancel()
        self._news.set()
        try:
            await asyncio.wait(self._tasks)
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._connection.close()
        except (TimeoutError, ConnectionError):
            pass
        finally:
            self._connection.transport.abort()

    async def _watch_silence(self, interval: float) -> None:
        """Ping when a whole interval was silent; without any progress in the time after it, the stream is dead."""
        try:
            while self._output.end is None:
                before = self._progress()
                await asyncio.sleep(interval)
                if self._moved_since(before):
                    continue
                before = self._progress()
                try:
                    # Sending the ping waits too, while what was written before it is not taken.
                    async with asyncio.timeout(SILENCE * interval / PING_INTERVAL):
                        await self._connection.ping()
                except TimeoutError:
                    if not self._moved_since(before) and self._unread <= READ_AHEAD:
                        self.fail(ConnectionLostError(f"the connection to pod {self._pod} has gone silent"))
                        return
        except ConnectionError:
            return

    def _progress(self) -> tuple[int, int]:
        return self._moved, self._connection.transport.get_write_buffer_size()

    def _moved_since(self, before: tuple[int, int]) -> bool:
        """A buffer that only grows is no progress: our own pings wait in it as well."""
        moved, waiting = self._progress()
        return moved != before[0] or waiting < before[1]


def _why(error: BaseException) -> str:
    return " ".join(str(error).split())
