"""The memory pair as users of the library get it."""

import asyncio
from contextlib import asynccontextmanager

from buildwright.testing.streams import memory_pair
from buildwright.testing.suites.stream import ByteStreamSuite, settled


class TestMemoryPair(ByteStreamSuite):
    @asynccontextmanager
    async def pair(self):
        yield memory_pair(capacity=1000)


def test_a_writer_waits_while_more_than_the_capacity_is_unread():
    async def scenario():
        one, other = memory_pair(capacity=10)
        await one.write(bytes(10))
        writing = asyncio.create_task(one.write(b"x"))
        await settled(lambda: 0, 5)
        assert not writing.done()
        assert await other.read(1) == b"\0"
        await writing

    asyncio.run(scenario())
