"""What every Driver must do.

class TestMyDriver(DriverSuite):
    @asynccontextmanager
    async def driver(self):
        ...
        yield driver   # its node is as if never used
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from buildwright.drivers.driver import Driver, NodeStatus
from buildwright.errors import BuildwrightError, ConnectionLostError
from buildwright.testing.drivers import CONTROL, Sink
from buildwright.wire.channel import Channel

_ANSWER = 20
_LIMIT = 60
"""Seconds in which `info` and `open` are over, by their contract."""


class DriverSuite:
    """Tests on a driver for a node that nobody else uses."""

    starts = True
    """Whether the driver makes and removes its daemons; otherwise they run all the time."""

    def driver(self) -> AbstractAsyncContextManager[Driver]:
        raise NotImplementedError

    def run(self, scenario: Callable[[Driver], Awaitable[None]]) -> None:
        async def once() -> None:
            async with self.driver() as driver:
                await scenario(driver)

        asyncio.run(once())

    async def ask(self, driver: Driver, affinity: str = "") -> None:
        """Call the daemon."""
        async with Channel(await driver.open(affinity), authority=driver.traits.authority) as channel:
            await channel.unary(f"{CONTROL}ListWorkers", b"", timeout=_ANSWER)

    def test_a_started_node_is_running_and_answers(self) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.start(Sink())
            info = await driver.info()
            assert info.status is NodeStatus.RUNNING
            assert bool(info.instances) == driver.traits.dynamic
            await self.ask(driver)

        self.run(scenario)

    def test_a_node_that_was_never_started_is_inactive_and_cannot_be_opened(self) -> None:
        async def scenario(driver: Driver) -> None:
            if not self.starts:
                return
            async with asyncio.timeout(_LIMIT):
                assert (await driver.info()).status is NodeStatus.INACTIVE
            async with asyncio.timeout(_LIMIT):
                with pytest.raises(BuildwrightError):
                    await driver.open()

        self.run(scenario)

    def test_starting_shows_a_step_once(self) -> None:
        async def scenario(driver: Driver) -> None:
            first, second = Sink(), Sink()
            await driver.start(first)
            await driver.start(second)
            assert len(first.vertexes) == (1 if self.starts else 0)
            assert not second.vertexes, "a running node was started again"
            if first.updates:
                last = first.updates[-1].vertexes[0]
                assert last.started is not None
                assert last.completed is not None
                assert not last.error

        self.run(scenario)

    def test_opening_starts_what_does_not_run_where_that_is_asked_for(self) -> None:
        async def scenario(driver: Driver) -> None:
            first, second = Sink(), Sink()
            for sink in (first, second):
                stream = await driver.open("key", start=sink)
                await stream.aclose()
            assert len(first.vertexes) == (1 if self.starts else 0)
            assert not second.vertexes, "a running node was started again"
            assert (await driver.info()).status is NodeStatus.RUNNING

        self.run(scenario)

    def test_many_streams_are_open_at_once(self) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.start(Sink())
            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(self.ask(driver, "/srv/context"))

        self.run(scenario)

    def test_a_closed_stream_reads_and_writes_no_more_and_closes_again(self) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.start(Sink())
            stream = await driver.open()
            await stream.aclose()
            await stream.aclose()
            with pytest.raises(ConnectionLostError):
                await stream.read()
            with pytest.raises(ConnectionLostError):
                await stream.write(b"x")

        self.run(scenario)

    def test_a_cancelled_read_loses_no_bytes(self) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.start(Sink())
            stream = await driver.open()
            try:
                reading = asyncio.ensure_future(stream.read(9))
                await asyncio.sleep(0)
                reading.cancel()
                await asyncio.wait([reading])
                seen = b"" if reading.cancelled() else reading.result()
                await stream.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
                while len(seen) < 4:
                    seen += await stream.read(9)
                assert seen[3] == 4, "HTTP/2 begins with the peer's SETTINGS"
            finally:
                await stream.aclose()

        self.run(scenario)

    def test_stop_may_be_called_in_any_state(self) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.stop()
            await driver.start(Sink())
            await driver.stop()

        self.run(scenario)

    def test_a_kept_daemon_goes_on(self) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.start(Sink())
            await driver.remove(keep_daemon=True)
            assert (await driver.info()).status is NodeStatus.RUNNING

        self.run(scenario)

    def test_removing_leaves_nothing_and_may_be_repeated(self) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.remove()
            await driver.start(Sink())
            await driver.remove()
            await driver.remove()
            expected = NodeStatus.INACTIVE if self.starts else NodeStatus.RUNNING
            assert (await driver.info()).status is expected

        self.run(scenario)
