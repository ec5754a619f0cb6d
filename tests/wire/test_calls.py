"""Calls of both roles over a pair of streams in memory, our own two sides against each other."""

import asyncio
import gc
import tracemalloc

import pytest

from buildwright.errors import Code, ConnectionLostError, ContextError, Detail, ProtocolError, RpcError, UsageError
from buildwright.testing.suites.stream import settled
from buildwright.wire import link
from buildwright.wire.calls import HIGH_WATER
from buildwright.wire.channel import Channel
from buildwright.wire.http2.frames import ACK, PING, Limits, pack, pack_settings
from buildwright.wire.memory import memory_pair
from buildwright.wire.rpc import ServerCall, frame
from buildwright.wire.serve import Server

MEGABYTE = 1 << 20


async def echo(call: ServerCall) -> None:
    while (message := await call.receive()) is not None:
        await call.send(message)


def connected(scenario, handlers=None, *, limits=None, **options):
    """Run a scenario with a channel to a server of these handlers."""

    async def run():
        ours, theirs = memory_pair()
        server = Server(handlers or {"/Echo": echo}, limits=limits, **options)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve(theirs))
            async with Channel(ours) as channel:
                await scenario(channel)
            await serving

    asyncio.run(run())


async def failure(awaitable):
    """The status that a call ends with."""
    with pytest.raises(RpcError) as caught:
        await awaitable
    return caught.value


def test_a_unary_call_returns_the_answer():
    async def scenario(channel):
        assert await channel.unary("/Echo", b"hello") == b"hello"

    connected(scenario)


def test_an_error_keeps_its_code_message_and_details():
    async def missing(call):
        raise RpcError(Code.NOT_FOUND, "nö 100 %", details=(Detail("example/kind", b"{}"),))

    async def scenario(channel):
        error = await failure(channel.unary("/Missing", b""))
        assert (error.code, str(error)) == (Code.NOT_FOUND, "nö 100 %")
        assert error.details == (Detail("example/kind", b"{}"),)

    connected(scenario, {"/Missing": missing})


def test_messages_that_arrived_before_an_error_are_received_first():
    async def half(call):
        await call.send(b"one")
        await call.send(b"two")
        raise RpcError(Code.DATA_LOSS, "no more")

    async def scenario(channel):
        async with channel.call("/Half") as call:
            await settled(lambda: 0, 5)
            assert await call.receive() == b"one"
            assert await call.receive() == b"two"
            assert (await failure(call.receive())).code is Code.DATA_LOSS
            assert (await failure(call.receive())).code is Code.DATA_LOSS
            assert (await failure(call.send(b"x"))).code is Code.DATA_LOSS

    connected(scenario, {"/Half": half})


def test_the_sentence_of_a_user_facing_error_reaches_the_peer_and_the_hook():
    reported = []

    async def unreadable(call):
        raise ContextError("cannot read a/b: permission denied")

    async def scenario(channel):
        error = await failure(channel.unary("/Read", b""))
        assert (error.code, str(error)) == (Code.UNKNOWN, "cannot read a/b: permission denied")

    connected(scenario, {"/Read": unreadable}, on_error=lambda path, error: reported.append((path, str(error))))
    assert reported == [("/Read", "cannot read a/b: permission denied")]


def test_a_bug_in_a_handler_goes_to_the_hook_and_not_to_the_peer():
    reported = []

    async def bug(call):
        raise ValueError("token=secret")

    async def scenario(channel):
        assert str(await failure(channel.unary("/Bug", b""))) == "the handler of /Bug failed with ValueError"
        assert (await failure(channel.unary("/Bug", b""))).code is Code.UNKNOWN

    connected(scenario, {"/Bug": bug}, on_error=lambda path, error: reported.append(repr(error)))
    assert reported == ["ValueError('token=secret')"] * 2


@pytest.mark.parametrize(("count", "words"), [(0, "no message"), (2, "more than one message")])
def test_a_unary_call_wants_exactly_one_answer(count, words):
    async def answers(call):
        for _ in range(count):
            await call.send(b"x")

    async def scenario(channel):
        error = await failure(channel.unary("/Some", b""))
        assert error.code is Code.UNIMPLEMENTED
        assert words in str(error)

    connected(scenario, {"/Some": answers})


def test_framed_messages_may_be_spread_over_chunks():
    async def scenario(channel):
        async with channel.call("/Echo") as call:
            whole = frame(b"one") + frame(b"") + frame(b"three" * 10_000)
            await call.send_framed([whole[:2], b"", memoryview(whole)[2:9], whole[9:]])
            await call.half_close()
            got = []
            while messages := await call.receive_many():
                got += messages
            assert got == [b"one", b"", b"three" * 10_000]

    connected(scenario)


def test_a_sent_message_is_a_copy_of_what_may_change():
    async def scenario(channel):
        async with channel.call("/Echo") as call:
            buffer = bytearray(b"first" * 10_000)
            await call.send(buffer)
            buffer[:] = b"other" * 10_000
            assert await call.receive() == b"first" * 10_000

    connected(scenario)


def test_sending_waits_above_the_high_water_mark_and_memory_stays_flat():
    sent = 0
    taken = asyncio.Event()

    async def slow(call):
        await taken.wait()
        while await call.receive() is not None:
            pass

    async def scenario(channel):
        nonlocal sent

        async def flood(call):
            nonlocal sent
            for _ in range(200):
                await call.send(bytes(MEGABYTE))
                sent += 1
            await call.half_close()

        async with channel.call("/Slow") as call, asyncio.TaskGroup() as group:
            tracemalloc.start()
            group.create_task(flood(call))
            await settled(lambda: sent)
            assert sent <= 8
            taken.set()
            assert await call.receive() is None
            gc.collect()
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert sent == 200
            assert peak < 40 * MEGABYTE

    connected(scenario, {"/Slow": slow}, limits=Limits(stream_window=4 * MEGABYTE))


def test_unread_bytes_of_a_slow_reader_are_bounded_by_the_window():
    window = 256 << 10
    call_seen = []

    async def idle(call):
        call_seen.append(call)
        await call.receive()
        await asyncio.get_running_loop().create_future()

    async def scenario(channel):
        async with channel.call("/Idle") as call:
            sending = asyncio.create_task(call.send_framed([frame(bytes(1000))] * 5000))
            await settled(lambda: 0, 100)
            assert not sending.done()
            server_side = call_seen[0]
            held = sum(map(len, server_side._messages)) + len(server_side._stream.received)
            assert held <= window
            call.cancel()
            assert (await failure(sending)).code is Code.CANCELLED

    connected(scenario, {"/Idle": idle}, limits=Limits(stream_window=window))


def test_a_message_larger_than_the_window_arrives():
    async def scenario(channel):
        assert await channel.unary("/Echo", bytes(5 * MEGABYTE)) == bytes(5 * MEGABYTE)

    connected(scenario, limits=Limits(stream_window=1000))


def test_a_slow_call_does_not_hold_up_another():
    async def idle(call):
        await call.receive()
        await asyncio.get_running_loop().create_future()

    async def scenario(channel):
        async with channel.call("/Idle") as call:
            sending = asyncio.create_task(call.send_framed([frame(bytes(1000))] * 5000))
            await settled(lambda: 0, 20)
            assert await channel.unary("/Echo", b"quick") == b"quick"
            sending.cancel()
            await asyncio.wait([sending])

    connected(scenario, {"/Idle": idle, "/Echo": echo}, limits=Limits(stream_window=65_535))


def test_abandoned_calls_give_their_room_back():
    """Unread answers of many calls are more than the connection's window holds."""

    async def chatter(call):
        while True:
            await call.send(bytes(10_000))

    async def scenario(channel):
        for _ in range(30):
            async with channel.call("/Chatter") as call:
                assert len(await call.receive()) == 10_000
                await settled(lambda: 0, 3)

    async def run():
        ours, theirs = memory_pair()
        limits = Limits(stream_window=65_535, connection_window=100_000)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            serving = group.create_task(Server({"/Chatter": chatter}).serve(theirs))
            async with Channel(ours, limits=limits) as channel:
                await scenario(channel)
            await serving

    asyncio.run(run())


def test_a_message_beyond_the_limit_ends_the_call():
    async def scenario(channel):
        error = await failure(channel.unary("/Echo", bytes(1001)))
        assert (error.code, "1001 bytes" in str(error)) == (Code.RESOURCE_EXHAUSTED, True)
        assert await channel.unary("/Echo", bytes(1000)) == bytes(1000)

    connected(scenario, largest_message=1000)


def test_calls_beyond_the_peers_limit_wait_for_their_turn():
    running = most = 0

    async def slow(call):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await call.receive()
        await asyncio.sleep(0)
        running -= 1
        await call.send(b"done")

    async def scenario(channel):
        await channel.unary("/Slow", b"")
        answers = await asyncio.gather(*(channel.unary("/Slow", b"") for _ in range(50)))
        assert answers == [b"done"] * 50
        assert most == 3

    connected(scenario, {"/Slow": slow}, limits=Limits(streams=3))


def test_waiting_for_a_turn_ends_at_the_deadline_and_leaves_nothing_behind():
    async def hang(call):
        await asyncio.get_running_loop().create_future()

    async def scenario(channel):
        await channel.unary("/Echo", b"")
        async with channel.call("/Hang"):
            assert (await failure(channel.unary("/Echo", b"", timeout=0.05))).code is Code.DEADLINE_EXCEEDED
        assert await channel.unary("/Echo", b"free again") == b"free again"

    connected(scenario, {"/Hang": hang, "/Echo": echo}, limits=Limits(streams=1))


def test_leaving_a_call_early_cancels_its_handler():
    cancelled = asyncio.Event()

    async def hang(call):
        try:
            await call.send(b"started")
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    async def scenario(channel):
        async with channel.call("/Hang") as call:
            assert await call.receive() == b"started"
        await cancelled.wait()

    connected(scenario, {"/Hang": hang})


def test_cancel_wakes_whoever_waits():
    async def hang(call):
        await asyncio.get_running_loop().create_future()

    async def scenario(channel):
        async with channel.call("/Hang") as call:
            receiving = asyncio.create_task(call.receive())
            await asyncio.sleep(0)
            call.cancel()
            assert (await failure(receiving)).code is Code.CANCELLED
            assert (await failure(call.send(b"x"))).code is Code.CANCELLED

    connected(scenario, {"/Hang": hang})


def test_a_handler_ends_at_the_deadline_of_its_call():
    ended = asyncio.Event()

    async def hang(call):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    async def scenario(channel):
        error = await failure(channel.unary("/Hang", b"", timeout=0.05))
        assert error.code is Code.DEADLINE_EXCEEDED
        await ended.wait()

    connected(scenario, {"/Hang": hang})


def test_metadata_goes_both_ways():
    async def tell(call):
        await call.send_initial_metadata([("seen", str(dict(call.metadata)["key"]))])
        call.set_trailing_metadata([("last-bin", b"\0\xff")])
        await call.send(b"")

    async def scenario(channel):
        async with channel.call("/Tell", metadata=[("key", "value")]) as call:
            assert dict(await call.initial_metadata())["seen"] == "value"
            assert await call.receive() == b""
            assert await call.receive() is None
            assert dict(call.trailing_metadata)["last-bin"] == b"\0\xff"

    connected(scenario, {"/Tell": tell})


def test_metadata_that_cannot_be_sent_is_refused_before_anything_is():
    async def scenario(channel):
        with pytest.raises(UsageError, match="Bad Key"):
            await channel.unary("/Echo", b"", metadata=[("Bad Key", "x")])

    connected(scenario)


def test_nothing_can_be_sent_after_half_close():
    async def scenario(channel):
        async with channel.call("/Echo") as call:
            await call.half_close()
            await call.half_close()
            assert "half-closed" in str(await failure(call.send(b"x")))

    connected(scenario)


def test_a_handler_may_answer_before_it_has_read_everything():
    async def hasty(call):
        await call.receive()
        await call.send(b"enough")

    async def endless(call):
        while True:
            await call.send(bytes(HIGH_WATER))

    async def scenario(channel):
        async with channel.call("/Hasty") as call:
            with pytest.raises(RpcError, match="the peer has ended the call"):
                await endless(call)
            assert await call.receive() == b"enough"
            assert await call.receive() is None

    connected(scenario, {"/Hasty": hasty})


def test_the_end_of_the_connection_ends_calls_and_handlers():
    ended = []

    async def hang(call):
        try:
            await call.send(b"started")
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(call.path)

    async def scenario():
        ours, theirs = memory_pair()
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(Server({"/Hang": hang}).serve(theirs))
            async with Channel(ours) as channel, channel.call("/Hang") as call:
                assert await call.receive() == b"started"
                await ours.aclose()
                with pytest.raises(ConnectionLostError):
                    await call.receive()
                with pytest.raises(ConnectionLostError):
                    await channel.unary("/Hang", b"")
            await asyncio.wait([serving])
            assert serving.exception() is None or isinstance(serving.exception(), ConnectionLostError)

    asyncio.run(scenario())
    assert ended == ["/Hang"]


def test_stopping_the_server_ends_the_clients_calls():
    async def scenario():
        ours, theirs = memory_pair()

        async def hang(call):
            await call.send(b"started")
            await asyncio.get_running_loop().create_future()

        serving = asyncio.create_task(Server({"/Hang": hang}).serve(theirs))
        async with Channel(ours) as channel, channel.call("/Hang") as call:
            assert await call.receive() == b"started"
            serving.cancel()
            await asyncio.wait([serving])
            assert serving.cancelled()
            with pytest.raises((RpcError, ConnectionLostError)):
                await call.receive()

    asyncio.run(scenario())


def test_cancelling_the_block_of_a_channel_ends_it():
    async def scenario():
        ours, theirs = memory_pair()
        inside = asyncio.Event()

        async def use():
            async with Channel(ours) as channel:
                inside.set()
                await channel.unary("/Hang", b"")

        async def hang(call):
            await asyncio.get_running_loop().create_future()

        async with asyncio.TaskGroup() as group:
            serving = group.create_task(Server({"/Hang": hang}).serve(theirs))
            using = group.create_task(use())
            await inside.wait()
            using.cancel()
            await asyncio.wait([using])
            assert using.cancelled()
            await serving

    asyncio.run(scenario())


def test_an_error_in_the_block_of_a_channel_comes_out_as_it_is():
    async def scenario():
        ours, _theirs = memory_pair()
        with pytest.raises(ZeroDivisionError):
            async with Channel(ours):
                raise ZeroDivisionError

    asyncio.run(scenario())


def test_a_silent_peer_is_lost():
    async def scenario():
        ours, _silent = memory_pair()
        async with Channel(ours, keepalive=0.02) as channel:
            with pytest.raises(ConnectionLostError, match="silent"):
                await channel.unary("/Echo", b"")

    asyncio.run(scenario())


class Pinged:
    """A byte stream that wants to hear from its peer soon, and judges for itself."""

    ping_after = 0.01

    def __init__(self, stream):
        self._stream = stream
        self.pings = 0
        self.read, self.close_write, self.aclose = stream.read, stream.close_write, stream.aclose

    async def write(self, data):
        self.pings += bytes(data).count(b"\0\0\x08\x06\0")
        await self._stream.write(data)


def test_a_stream_that_judges_for_itself_is_pinged_and_never_given_up():
    async def scenario():
        ours, silent = memory_pair()
        stream = Pinged(ours)
        async with Channel(stream, keepalive=0.001) as channel:
            with pytest.raises(RpcError) as caught:
                await channel.unary("/Echo", b"", timeout=0.3)
            assert caught.value.code is Code.DEADLINE_EXCEEDED
        assert stream.pings >= 2
        await silent.aclose()

    asyncio.run(scenario())


def test_a_peer_that_only_answers_pings_is_not_sent_more_than_grpc_go_bears(monkeypatch):
    monkeypatch.setattr(link, "RARELY", 1 << 20)

    async def scenario():
        ours, theirs = memory_pair()
        stream = Pinged(ours)
        answering = asyncio.create_task(answer_pings(theirs))
        async with Channel(stream) as channel:
            with pytest.raises(RpcError):
                await channel.unary("/Echo", b"", timeout=30 * Pinged.ping_after)
        answering.cancel()
        assert stream.pings == link.FREE_PINGS

    async def answer_pings(stream):
        await stream.write(pack_settings([]))
        while data := await stream.read():
            for _ in range(bytes(data).count(b"\0\0\x08\x06\0")):
                await stream.write(pack(PING, ACK, 0, bytes(8)))

    asyncio.run(scenario())


def test_a_silent_client_is_lost():
    async def scenario():
        ours, _silent = memory_pair()
        with pytest.raises(ConnectionLostError, match="silent"):
            await Server({}, keepalive=0.02).serve(ours)

    asyncio.run(scenario())


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100, bytes(range(256)) * 300])
def test_noise_ends_the_server_with_goaway_and_a_protocol_error(noise):
    async def scenario():
        ours, theirs = memory_pair()
        serving = asyncio.create_task(Server({}).serve(theirs))
        await ours.write(noise)
        answer = b""
        while data := await ours.read():
            answer += data
        with pytest.raises(ProtocolError):
            await serving
        assert b"the peer broke HTTP/2" in answer

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_noise_from_the_server_ends_the_calls_with_a_protocol_error():
    async def scenario():
        ours, theirs = memory_pair()
        async with Channel(ours) as channel:
            calling = asyncio.create_task(channel.unary("/Echo", b""))
            await theirs.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            with pytest.raises(ProtocolError, match="it answers in HTTP/1"):
                await calling
            with pytest.raises(ProtocolError):
                await channel.unary("/Echo", b"")

    asyncio.run(scenario())


def test_a_connection_cut_in_a_frame_is_lost():
    async def scenario():
        ours, theirs = memory_pair()
        await ours.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0")
        await ours.close_write()
        with pytest.raises(ConnectionLostError, match="in the middle of a frame"):
            await Server({}).serve(theirs)

    asyncio.run(scenario())
