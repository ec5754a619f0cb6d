"""What every ByteStream must do.

class TestMyStream(ByteStreamSuite):
    @asynccontextmanager
    async def pair(self):
        ...
        yield one_end, other_end
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from buildwright.errors import ConnectionLostError
from buildwright.wire.stream import ByteStream

MEGABYTE = 1 << 20
STALL = 64 * MEGABYTE
"""More than any stream may take in while nobody reads."""


class ByteStreamSuite:
    """Tests on the two ends of a connection that `pair` makes and closes."""

    half_close = True
    """Whether `close_write` of one end leaves the other direction open."""

    def pair(self) -> AbstractAsyncContextManager[tuple[ByteStream, ByteStream]]:
        raise NotImplementedError

    def run(self, scenario: Callable[[ByteStream, ByteStream], Awaitable[None]]) -> None:
        """Run a scenario on a new pair, in both directions."""

        async def both() -> None:
            async with self.pair() as (one, other):
                await scenario(one, other)
            async with self.pair() as (one, other):
                await scenario(other, one)

        asyncio.run(both())

    def test_bytes_arrive_in_order(self) -> None:
        async def scenario(one: ByteStream, other: ByteStream) -> None:
            await one.write(b"hello ")
            await one.write(bytearray(b"wor"))
            await one.write(memoryview(b"ld"))
            assert await read_exactly(other, 11) == b"hello world"

        self.run(scenario)

    def test_both_directions_run_at_once(self) -> None:
        async def scenario(one: ByteStream, other: ByteStream) -> None:
            data = bytes(range(256)) * (3 * MEGABYTE // 256)
            async with asyncio.TaskGroup() as group:
                there = group.create_task(read_exactly(other, len(data)))
                back = group.create_task(read_exactly(one, len(data)))
                group.create_task(one.write(data))
                group.create_task(other.write(data[::-1]))
            assert there.result() == data
            assert back.result() == data[::-1]

        self.run(scenario)

    def test_read_returns_no_more_than_its_limit(self) -> None:
        async def scenario(one: ByteStream, other: ByteStream) -> None:
            await one.write(b"abcdef")
            assert await other.read(1) == b"a"
            assert await read_exactly(other, 5) == b"bcdef"

        self.run(scenario)

    def test_writing_nothing_sends_nothing(self) -> None:
        async def scenario(one: ByteStream, other: ByteStream) -> None:
            await one.write(b"")
            await one.write(b"x")
            assert await other.read() == b"x"

        self.run(scenario)

    def test_the_writer_may_reuse_its_buffer(self) -> None:
        async def scenario(one: ByteStream, other: ByteStream) -> None:
            buffer = bytearray(b"first")
            await one.write(buffer)
            buffer[:] = b"other"
            assert await read_exactly(other, 5) == b"first"

        self.run(scenario)

    def test_close_write_ends_one_direction(self) -> None:
        async def scenario(one: ByteStream, other: ByteStream) -> None:
            await one.write(b"last words")
            await one.close_write()
            await one.close_write()
            assert await read_exactly(other, 10) == b"last words"
            assert await other.read() == b""
            assert await other.read() == b""
            if self.half_close:
                await other.write(b"answer")
                assert await read_exactly(one, 6) == b"answer"

        self.run(scenario)

    def test_nothing_can_be_written_after_close_write(self) -> None:
        async def scenario(one: ByteStream, other: ByteStream) -> None:
            await one.close_write()
            with pytest.raises(ConnectionLostError):
                await one.write(b"too late")

        self.run(scenario)

    def test_a_cancelled_read_loses_no_bytes(self) -> None:
        async def scenario(one: ByteStream, other: ByteStream) -> None:
            for number in range(20):
                reading = asyncio.create_task(other.read())
                await asyncio.sleep(0)
                sent = bytes([number]) * 3
                await one.write(sent)
                # Somewhere between the arrival of the bytes and the end of the read.
                for _ in range(number % 4):
                    await asyncio.sleep(0)
                reading.cancel()
                try:
                    got = await reading
                except asyncio.CancelledError:
                    got = b""
                assert got + await read_exactly(other, 3 - len(got)) == sent

        self.run(scenario)

    def test_a_slow_reader_slows_the_writer_down(self) -> None:
        async def scenario(one: ByteStream, other: ByteStream) -> None:
            sent = 0

            async def flood() -> None:
                nonlocal sent
                while True:
                    await one.write(bytes(MEGABYTE))
                    sent += MEGABYTE

            flooding = asyncio.create_task(flood())
            await settled(lambda: sent)
            assert sent < STALL
            stalled = sent
            while sent < stalled + 2 * MEGABYTE:
                await other.read()
            flooding.cancel()
            await asyncio.wait([flooding])

        self.run(scenario)

    def test_aclose_can_be_repeated_and_ends_everything(self) -> None:
        async def scenario(one: ByteStream, other: ByteStream) -> None:
            await one.aclose()
            await one.aclose()
            with pytest.raises(ConnectionLostError):
                await one.read()
            with pytest.raises(ConnectionLostError):
                await one.write(b"x")
            await one.close_write()

        self.run(scenario)

    def test_aclose_wakes_a_reader_and_a_writer(self) -> None:
        async def scenario(one: ByteStream, other: ByteStream) -> None:
            async def flood() -> None:
                while True:
                    await one.write(bytes(MEGABYTE))

            reading = asyncio.create_task(one.read())
            writing = asyncio.create_task(flood())
            await settled(lambda: 0)
            await one.aclose()
            for task in (reading, writing):
                with pytest.raises(ConnectionLostError):
                    await asyncio.wait_for(task, 10)

        self.run(scenario)

    def test_the_peer_notices_the_end(self) -> None:
        async def scenario(one: ByteStream, other: ByteStream) -> None:
            await one.aclose()
            try:
                assert await asyncio.wait_for(other.read(), 10) == b""
            except ConnectionLostError:
                pass

            async def flood() -> None:
                while True:
                    await other.write(bytes(MEGABYTE))

            with pytest.raises(ConnectionLostError):
                await asyncio.wait_for(flood(), 10)

        self.run(scenario)


async def read_exactly(stream: ByteStream, size: int) -> bytes:
    """`size` bytes, or fewer when the peer ends its side before."""
    parts: list[bytes] = []
    while size and (data := await stream.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


async def settled(value: Callable[[], int], turns: int = 300) -> None:
    """Let the loop run until `value` has not changed for many turns, other threads and the kernel included."""
    calm, before = 0, value()
    while calm < turns:
        await asyncio.sleep(0.0005)
        calm = calm + 1 if value() == before else 0
        before = value()
