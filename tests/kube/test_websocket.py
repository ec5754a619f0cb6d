"""Our WebSocket against the one of the websockets library, and against what no server may send."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode

from buildwright.kube import message
from buildwright.kube.transport import read_head
from buildwright.kube.websocket import EndedError, Frames, WebSocket, accepted, offer

Handler = Callable[[ServerConnection], Awaitable[None]]
SIZES = (0, 1, 125, 126, 127, 32 << 10, (32 << 10) + 1, 65535, 65536, 300_001)


@asynccontextmanager
async def connected(handler: Handler) -> AsyncIterator[WebSocket]:
    async with serve(handler, "127.0.0.1", 0, subprotocols=["b", "a"], compression=None, max_size=None) as server:  # type: ignore[list-item]
        port = next(iter(server.sockets)).getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        asked = offer(("a", "b"))
        writer.write(message.request("GET", "/", {"Host": "x", **asked}))
        head = await read_head(reader)
        assert head.status == 101
        websocket = WebSocket(reader, writer, accepted(asked, head.fields))
        try:
            yield websocket
        finally:
            websocket.transport.abort()
            await asyncio.sleep(0)


def run(handler: Handler, scenario: Callable[[WebSocket], Awaitable[None]]) -> None:
    async def once() -> None:
        async with asyncio.timeout(20), connected(handler) as websocket:
            await scenario(websocket)

    asyncio.run(once())


async def echo(peer: ServerConnection) -> None:
    async for data in peer:
        await peer.send(data)


def test_messages_of_every_length_come_back_as_they_were() -> None:
    async def scenario(websocket: WebSocket) -> None:
        assert websocket.protocol in ("a", "b")
        for size in SIZES:
            data = random.Random(size).randbytes(size)
            await websocket.send(memoryview(data))
            assert await websocket.receive() == data

    run(echo, scenario)


def test_fragments_are_one_message_and_pings_between_them_are_answered() -> None:
    answered = asyncio.Event()

    async def handler(peer: ServerConnection) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"one "
            await (await peer.ping(b"?"))
            answered.set()
            yield b""
            yield b"message"

        await peer.send(pieces())

    async def scenario(websocket: WebSocket) -> None:
        assert await websocket.receive() == b"one message"
        assert answered.is_set()

    run(handler, scenario)


def test_a_ping_waits_for_its_answer() -> None:
    async def scenario(websocket: WebSocket) -> None:
        asking = asyncio.ensure_future(websocket.ping())
        await asyncio.sleep(0.2)
        assert not asking.done(), "nobody receives yet"
        receiving = asyncio.ensure_future(websocket.receive())
        await asking
        await websocket.ping()
        receiving.cancel()
        await asyncio.wait([receiving])

    run(echo, scenario)


def test_a_ping_ends_with_the_connection() -> None:
    async def handler(peer: ServerConnection) -> None:
        peer.transport.abort()

    async def scenario(websocket: WebSocket) -> None:
        asking = asyncio.ensure_future(websocket.ping())
        await asyncio.sleep(0)
        with pytest.raises(EndedError):
            await websocket.receive()
        with pytest.raises(EndedError):
            await asking

    run(handler, scenario)


def test_the_peer_says_why_it_ends_and_nothing_is_sent_after_that() -> None:
    async def handler(peer: ServerConnection) -> None:
        await peer.send(b"last")
        await peer.close(1011, "out of order")

    async def scenario(websocket: WebSocket) -> None:
        assert await websocket.receive() == b"last"
        with pytest.raises(EndedError, match=r"^it ended the stream: out of order$"):
            await websocket.receive()
        assert not websocket.transport.is_closing()
        with pytest.raises(EndedError):
            await websocket.send(b"more")

    run(handler, scenario)


def test_closing_is_a_goodbye_that_the_peer_hears() -> None:
    ended = asyncio.Event()

    async def handler(peer: ServerConnection) -> None:
        await peer.wait_closed()
        assert peer.close_code == 1000
        ended.set()

    async def scenario(websocket: WebSocket) -> None:
        await websocket.close()
        websocket.transport.close()
        await ended.wait()

    run(handler, scenario)


def test_a_peer_that_takes_nothing_holds_the_sender_up() -> None:
    async def handler(peer: ServerConnection) -> None:
        await peer.wait_closed()

    async def scenario(websocket: WebSocket) -> None:
        async def flood() -> None:
            while True:
                await websocket.send(bytes(1 << 18))

        flooding = asyncio.ensure_future(flood())
        await asyncio.sleep(0.5)
        before = websocket.transport.get_write_buffer_size()
        await asyncio.sleep(0.2)
        assert websocket.transport.get_write_buffer_size() == before > 0
        assert not flooding.done()
        flooding.cancel()
        await asyncio.wait([flooding])

    run(handler, scenario)


def test_frames_are_the_same_however_they_arrive() -> None:
    data = b"".join(Frame(Opcode.BINARY, bytes([size % 251]) * size).serialize(mask=False) for size in SIZES)
    for piece in (1 << 20, 4096, 7):
        frames, sizes = Frames(), []
        for start in range(0, len(data), piece):
            frames.feed(data[start : start + piece])
            while (found := frames.next()) is not None:
                sizes.append(len(found[1]))
        assert tuple(sizes) == SIZES


@pytest.mark.parametrize(
    "data",
    [
        Frame(Opcode.BINARY, b"masked").serialize(mask=True),
        b"\xc2\x01x",
        Frame(Opcode.CONT, b"of nothing").serialize(mask=False),
        Frame(Opcode.BINARY, b"begun", fin=False).serialize(mask=False)
        + Frame(Opcode.BINARY, b"again").serialize(mask=False),
        b"\x83\x00",
        b"\x8b\x00",
        b"\x09\x00",
        b"\x89\x7e" + (126).to_bytes(2) + bytes(126),
        b"\x82\x7f" + (1 << 40).to_bytes(8),
    ],
)
def test_what_no_server_sends_ends_the_connection(data: bytes) -> None:
    frames = Frames()
    frames.feed(data)
    with pytest.raises(EndedError):
        list(iter(frames.next, None))


KEY = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "a, b"}
TOLD = {
    "connection": "Upgrade",
    "upgrade": "WebSocket",
    "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
}


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"sec-websocket-accept": ""}, "does not know WebSocket"),
        ({"sec-websocket-accept": "bm8="}, "does not know WebSocket"),
        ({"upgrade": "tls/1.0"}, "does not know WebSocket"),
        ({"connection": "keep-alive"}, "does not know WebSocket"),
        ({"sec-websocket-protocol": "c"}, "not asked for"),
        ({"sec-websocket-extensions": "permessage-deflate"}, "not offered"),
    ],
)
def test_an_answer_to_something_else_is_refused(told: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        accepted(KEY, TOLD | told)
    assert accepted(KEY, TOLD) == ""
    assert accepted(KEY, TOLD | {"sec-websocket-protocol": "b"}) == "b"
