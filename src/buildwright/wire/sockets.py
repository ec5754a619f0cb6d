"""Byte streams over sockets: unix and TCP, connected here or anywhere else.

asyncio's own transports copy what they read into buffers of theirs and write what does not fit into another; a
stream over a bare socket passes each byte once. Where the event loop cannot watch a socket (Windows), the loop's
own socket calls are used instead.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, TypeAlias

from buildwright.errors import ConnectError, ConnectionLostError
from buildwright.wire.stream import Buffer, ByteStream

STAGGER: Final = 0.25
"""Seconds after which the next address is tried beside the one before (RFC 8305, section 5)."""
PIECE: Final = 256 << 10
"""How much one system call reads at most: about what a socket's buffer holds."""


class SocketStream:
    """A byte stream over a connected stream socket, which it owns and makes non-blocking. `name` is for errors."""

    def __init__(self, connected: socket.socket, name: str) -> None:
        connected.setblocking(False)
        self._socket = connected
        self.name = name
        self._closed = False
        self._ended = False
        self._reading: asyncio.Future[None] | None = None
        self._writing: asyncio.Future[None] | None = None

    async def read(self, limit: int = 1 << 20, /) -> bytes:
        while True:
            self._require_open()
            try:
                return self._socket.recv(min(limit, PIECE))
            except (BlockingIOError, InterruptedError):
                await self._readable()
            except OSError as error:
                raise self._lost(error) from error

    async def write(self, data: Buffer, /) -> None:
        if self._ended:
            raise ConnectionLostError(f"nothing can be written to {self.name} after close_write")
        rest = memoryview(data)
        while rest:
            self._require_open()
            try:
                rest = rest[self._socket.send(rest) :]
            except (BlockingIOError, InterruptedError):
                await self._writable()
            except OSError as error:
                raise self._lost(error) from error

    async def close_write(self) -> None:
        if not self._ended and not self._closed:
            self._ended = True
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                # The connection is gone already; the next read says so.
                pass

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            for waiter in (self._reading, self._writing):
                if waiter is not None and not waiter.done():
                    waiter.set_result(None)
            self._unwatch()
            self._socket.close()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        self._reading = ready = loop.create_future()
        loop.add_reader(self._socket, _settle, ready)
        try:
            await ready
        finally:
            self._reading = None
            if not self._closed:
                loop.remove_reader(self._socket)

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        self._writing = ready = loop.create_future()
        loop.add_writer(self._socket, _settle, ready)
        try:
            await ready
        finally:
            self._writing = None
            if not self._closed:
                loop.remove_writer(self._socket)

    def _unwatch(self) -> None:
        loop = asyncio.get_running_loop()
        if self._reading is not None:
            loop.remove_reader(self._socket)
        if self._writing is not None:
            loop.remove_writer(self._socket)

    def _require_open(self) -> None:
        if self._closed:
            raise ConnectionLostError(f"the connection to {self.name} has been closed")

    def _lost(self, error: OSError) -> ConnectionLostError:
        return ConnectionLostError(f"the connection to {self.name} was lost: {_cause(error)}")


class LoopSocketStream(SocketStream):
    """The same through the event loop's socket calls, for loops that cannot watch sockets."""

    def __init__(self, connected: socket.socket, name: str) -> None:
        super().__init__(connected, name)
        self._receiving: asyncio.Task[bytes] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._rest = b""

    async def read(self, limit: int = 1 << 20, /) -> bytes:
        self._require_open()
        if not self._rest:
            if self._receiving is None:
                loop = asyncio.get_running_loop()
                self._receiving = loop.create_task(loop.sock_recv(self._socket, PIECE))
            # The task outlives a cancelled read, so that the next one finds what it received.
            await asyncio.wait([self._receiving])
            self._require_open()
            receiving, self._receiving = self._receiving, None
            try:
                self._rest = receiving.result()
            except OSError as error:
                raise self._lost(error) from error
        data, self._rest = self._rest[:limit], self._rest[limit:]
        return data

    async def write(self, data: Buffer, /) -> None:
        self._require_open()
        if self._ended:
            raise ConnectionLostError(f"nothing can be written to {self.name} after close_write")
        loop = asyncio.get_running_loop()
        self._sending = sending = loop.create_task(loop.sock_sendall(self._socket, data))
        try:
            await asyncio.wait([sending])
            self._require_open()
            sending.result()
        except OSError as error:
            raise self._lost(error) from error
        finally:
            sending.cancel()

    async def aclose(self) -> None:
        self._closed = True
        pending = [task for task in (self._receiving, self._sending) if task is not None and not task.done()]
        for task in pending:
            task.cancel()
        try:
            if pending:
                await asyncio.wait(pending)
        finally:
            self._socket.close()


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def socket_stream(connected: socket.socket, name: str) -> SocketStream:
    """The fitting stream over a connected socket on the running loop."""
    if isinstance(asyncio.get_running_loop(), getattr(asyncio, "ProactorEventLoop", ())):
        return LoopSocketStream(connected, name)
    return SocketStream(connected, name)


async def connect_unix(path: str) -> SocketStream:
    """Connect to a unix socket; ConnectError when nobody answers there."""
    name = f"unix://{path}"
    if not hasattr(socket, "AF_UNIX"):
        raise ConnectError(f"cannot connect to {name}: this system has no unix sockets; use a tcp:// address")
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connected, path)
    except FileNotFoundError:
        connected.close()
        raise ConnectError(f"cannot connect to {name}: there is no such socket; is the daemon running?") from None
    except PermissionError:
        connected.close()
        raise ConnectError(f"cannot connect to {name}: permission denied; is your user in its group?") from None
    except OSError as error:
        connected.close()
        raise ConnectError(f"cannot connect to {name}: {_cause(error)}; is the daemon running?") from error
    except BaseException:
        connected.close()
        raise
    return socket_stream(connected, name)


async def connect_tcp(host: str, port: int) -> SocketStream:
    """Connect to the first address of `host` that answers, several tried beside each other (RFC 8305).

    ConnectError when the name is unknown or no address answers.
    """
    name = f"tcp://{f'[{host}]' if ':' in host else host}:{port}"
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConnectError(f"cannot connect to {name}: the host is unknown ({_cause(error)})") from error
    failures: list[OSError] = []
    connected = await _race(interleave(found), failures)
    if connected is None:
        cause = _cause(failures[0]) if failures else "the host has no address"
        raise ConnectError(f"cannot connect to {name}: {cause}; is the daemon running and the port open?")
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return socket_stream(connected, name)


Address: TypeAlias = tuple[
    socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
]


def interleave(addresses: Sequence[Address]) -> list[Address]:
    """Alternate between families in the order given, so that a dead one costs one try (RFC 8305, section 4)."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    turns = zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]


async def _race(addresses: Sequence[Address], failures: list[OSError]) -> socket.socket | None:
    """The first socket that connects; None when none did, with the reasons in `failures`."""
    won: list[socket.socket] = []
    tasks: list[asyncio.Task[None]] = []

    async def attempt(place: int, address: Address, before: asyncio.Event, failed: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(STAGGER * place):
                await before.wait()
        except TimeoutError:
            pass
        candidate = None
        try:
            # A system without IPv6 may know such addresses and yet has no sockets for them.
            candidate = socket.socket(*address[:3])
            candidate.setblocking(False)
            await asyncio.get_running_loop().sock_connect(candidate, address[4])
        except OSError as error:
            if candidate is not None:
                candidate.close()
            failures.append(error)
            failed.set()
        except BaseException:
            if candidate is not None:
                candidate.close()
            raise
        else:
            won.append(candidate)
            for task in tasks:
                if task is not tasks[place]:
                    task.cancel()

    try:
        async with asyncio.TaskGroup() as group:
            before = asyncio.Event()
            before.set()
            for place, address in enumerate(addresses):
                failed = asyncio.Event()
                tasks.append(group.create_task(attempt(place, address, before, failed)))
                before = failed
    except BaseException:
        for late in won:
            late.close()
        raise
    for late in won[1:]:
        late.close()
    return won[0] if won else None


def _cause(error: OSError | UnicodeError) -> str:
    """The system's words; asyncio puts its own in their place, and the resolver has numbers of its own."""
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno).lower()
    return str(getattr(error, "strerror", None) or error).lower()


if TYPE_CHECKING:
    _: type[ByteStream] = SocketStream
