"""BytesMessages by hand, and connections inside of calls."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.errors import ConnectionLostError, ProtocolError
from buildwright.wire import tunnel
from buildwright.wire.channel import Channel
from buildwright.wire.http2.frames import Limits
from buildwright.wire.memory import memory_pair
from buildwright.wire.proto import control_pb2
from buildwright.wire.serve import Server
from buildwright.wire.tunnel import TunnelStream, client_tunnel


@given(st.binary(min_size=1, max_size=300))
def test_the_head_is_that_of_a_bytes_message(data):
    framed = tunnel.head(len(data)) + data
    assert int.from_bytes(framed[1:5], "big") == len(framed) - 5
    assert control_pb2.BytesMessage.FromString(framed[5:]).data == data


@pytest.mark.parametrize("size", [127, 128, 16_383, 16_384, 1 << 20])
def test_the_head_holds_for_every_length(size):
    framed = tunnel.head(size) + bytes(size)
    assert len(control_pb2.BytesMessage.FromString(framed[5:]).data) == size


@given(st.lists(st.binary(max_size=300)))
def test_messages_are_joined_in_order(pieces):
    messages = [control_pb2.BytesMessage(data=piece).SerializeToString() for piece in pieces]
    assert tunnel.join(messages) == b"".join(pieces)


def test_unknown_fields_are_passed_over():
    unknown = b"\x10\x96\x01" + b"\x1a\x02xy" + b"\x21" + bytes(8) + b"\x2d" + bytes(4)
    assert tunnel.join([unknown + b"\x0a\x01a" + unknown + b"\x0a\x01b"]) == b"ab"


@given(st.binary(max_size=60))
def test_noise_is_at_worst_a_protocol_error(noise):
    try:
        tunnel.join([noise])
    except ProtocolError:
        pass


@pytest.mark.parametrize("message", [b"\x0a\x05abc", b"\x0a", b"\x0b", b"\xff" * 11, b"\x21abc"])
def test_what_is_no_message_is_a_protocol_error(message):
    with pytest.raises(ProtocolError):
        tunnel.join([message])


class Session:
    """The daemon's side of a session: it calls us back through the tunnel."""

    def __init__(self, talk, limits=None):
        self._talk = talk
        self._limits = limits

    async def __call__(self, call):
        async with Channel(TunnelStream(call), limits=self._limits) as inner:
            await self._talk(inner)


def with_session(talk, handlers, limits=None):
    """Run `talk` with a channel to `handlers`, nested in a call of another connection."""

    async def scenario():
        ours, theirs = memory_pair()
        daemon = Server({"/Control/Session": Session(talk, limits)}, limits=limits)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            serving = group.create_task(daemon.serve(theirs))
            async with Channel(ours, limits=limits) as channel, channel.call("/Control/Session") as call:
                await Server(handlers, limits=limits).serve(client_tunnel(call))
            await serving

    asyncio.run(scenario())


async def echo(call):
    while (message := await call.receive()) is not None:
        await call.send(message)


def test_the_daemon_calls_back_through_its_session():
    async def talk(inner):
        assert await inner.unary("/Echo", b"hello") == b"hello"

    with_session(talk, {"/Echo": echo})


@pytest.mark.parametrize("window", [1 << 10, 65_535, 1 << 20])
def test_nested_windows_do_not_lock_each_other(window):
    limits = Limits(stream_window=window, connection_window=max(window, 65_535))

    async def talk(inner):
        async def one(number):
            message = bytes([number]) * 300_000
            async with inner.call("/Echo") as call:
                for _ in range(3):
                    await call.send(message)
                    assert await call.receive() == message
                await call.half_close()
                assert await call.receive() is None

        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(one(number))

    with_session(talk, {"/Echo": echo}, limits)


def test_the_end_of_the_session_ends_what_runs_in_it():
    ended = []

    async def talk(inner):
        async with inner.call("/Hang") as call:
            await call.receive()

    async def hang(call):
        try:
            await call.send(b"here")
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(True)

    with_session(talk, {"/Hang": hang})
    assert ended == [True]


def test_a_tunnel_whose_call_failed_is_lost():
    async def scenario():
        ours, theirs = memory_pair()
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(Server({}).serve(theirs))
            async with Channel(ours) as channel, channel.call("/Control/Session") as call:
                with pytest.raises(ConnectionLostError, match="unknown method /Control/Session"):
                    await client_tunnel(call).read()
            await serving

    asyncio.run(scenario())
