"""Against grpcio, in both roles, over real sockets."""

import asyncio
import socket
import threading
import time
from concurrent import futures
from contextlib import asynccontextmanager, contextmanager, suppress

import grpc
import pytest

from buildwright.errors import Code, ConnectionLostError, Detail, RpcError
from buildwright.wire.channel import Channel
from buildwright.wire.proto import rpc_status_pb2
from buildwright.wire.serve import Server
from buildwright.wire.sockets import SocketStream, connect_tcp

LARGE = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
BINARY = bytes(range(256))


# grpcio as the server.


class Service(grpc.GenericRpcHandler):
    def __init__(self):
        self.hanging = threading.Event()
        self.cancelled = threading.Event()
        self.remaining = None
        self.seen = []

    def service(self, details):
        return getattr(self, details.method.rsplit("/", 1)[1], None)

    @property
    def Echo(self):  # noqa: N802
        return grpc.unary_unary_rpc_method_handler(self._echo)

    @property
    def Chat(self):  # noqa: N802
        return grpc.stream_stream_rpc_method_handler(lambda messages, _: messages)

    @property
    def Fail(self):  # noqa: N802
        return grpc.unary_unary_rpc_method_handler(self._fail)

    @property
    def Hang(self):  # noqa: N802
        return grpc.unary_unary_rpc_method_handler(self._hang)

    @property
    def Count(self):  # noqa: N802
        return grpc.stream_unary_rpc_method_handler(self._count)

    @property
    def Flood(self):  # noqa: N802
        return grpc.unary_stream_rpc_method_handler(lambda request, _: (bytes(1 << 16) for _ in range(int(request))))

    def _echo(self, request, context):
        self.seen = context.invocation_metadata()
        self.remaining = context.time_remaining()
        context.send_initial_metadata((("first", "1"), ("first-bin", BINARY)))
        context.set_trailing_metadata((("last", "2"), ("last-bin", BINARY)))
        return request

    def _fail(self, request, context):
        packed = rpc_status_pb2.Status(code=9, message="smörgås 100 %")
        packed.details.add(type_url="example/kind", value=b"{}")
        context.set_trailing_metadata((("grpc-status-details-bin", packed.SerializeToString()),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "smörgås 100 %\n")

    def _hang(self, request, context):
        over = threading.Event()
        context.add_callback(over.set)
        self.hanging.set()
        if over.wait(20):
            self.cancelled.set()
        return b""

    def _count(self, messages, context):
        return b"%d" % sum(len(message) for message in messages)


@contextmanager
def grpc_server(service):
    server = grpc.server(futures.ThreadPoolExecutor(8), handlers=(service,), options=LARGE)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def with_server(scenario):
    """Run a scenario with a channel to a grpcio server."""
    service = Service()

    async def run(port):
        async with Channel(await connect_tcp("127.0.0.1", port), largest_message=64 << 20) as channel:
            async with asyncio.timeout(60):
                await scenario(channel, service)

    with grpc_server(service) as port:
        asyncio.run(run(port))


def test_unary_calls_with_metadata_in_all_directions():
    async def scenario(channel, service):
        metadata = [("key", "one"), ("key", "two"), ("data-bin", BINARY)]
        async with channel.call("/s/Echo", metadata=metadata) as call:
            await call.send(b"hello")
            await call.half_close()
            assert {("first", "1"), ("first-bin", BINARY)} <= set(await call.initial_metadata())
            assert await call.receive() == b"hello"
            assert await call.receive() is None
            assert {("last", "2"), ("last-bin", BINARY)} <= set(call.trailing_metadata)
        seen = [(key, value) for key, value in service.seen if key != "user-agent"]
        assert seen == metadata
        assert dict(service.seen)["user-agent"].startswith("buildwright/")

    with_server(scenario)


def test_a_status_with_details_arrives():
    async def scenario(channel, service):
        with pytest.raises(RpcError) as caught:
            await channel.unary("/s/Fail", b"")
        assert caught.value.code is Code.FAILED_PRECONDITION
        assert caught.value.message == "smörgås 100 %\n"
        assert caught.value.details == (Detail("example/kind", b"{}"),)

    with_server(scenario)


def test_an_unknown_method_is_unimplemented():
    async def scenario(channel, service):
        with pytest.raises(RpcError) as caught:
            await channel.unary("/s/Nothing", b"")
        assert caught.value.code is Code.UNIMPLEMENTED

    with_server(scenario)


def test_a_deadline_is_sent_and_kept():
    async def scenario(channel, service):
        assert await channel.unary("/s/Echo", b"", timeout=50) == b""
        assert 0 < service.remaining <= 50
        with pytest.raises(RpcError) as caught:
            await channel.unary("/s/Hang", b"", timeout=0.1)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        assert await asyncio.to_thread(service.cancelled.wait, 20)

    with_server(scenario)


def test_cancelling_the_task_cancels_the_call():
    async def scenario(channel, service):
        task = asyncio.create_task(channel.unary("/s/Hang", b""))
        assert await asyncio.to_thread(service.hanging.wait, 20)
        task.cancel()
        await asyncio.wait([task])
        assert await asyncio.to_thread(service.cancelled.wait, 20)
        assert await channel.unary("/s/Echo", b"still usable") == b"still usable"

    with_server(scenario)


def test_messages_larger_than_any_window_cross_both_ways():
    async def scenario(channel, service):
        message = bytes(range(256)) * (40 << 12)
        assert await channel.unary("/s/Echo", message) == message

    with_server(scenario)


def test_a_conversation_in_turns():
    async def scenario(channel, service):
        async with channel.call("/s/Chat") as call:
            for number in range(100):
                await call.send(b"%d" % number)
                assert await call.receive() == b"%d" % number
            await call.half_close()
            assert await call.receive() is None

    with_server(scenario)


def test_many_streams_at_once():
    async def scenario(channel, service):
        answers = await asyncio.gather(*(channel.unary("/s/Echo", b"%d" % n * 1000) for n in range(300)))
        assert answers == [b"%d" % n * 1000 for n in range(300)]

    with_server(scenario)


def test_a_client_stream_is_counted():
    async def scenario(channel, service):
        async with channel.call("/s/Count") as call:
            for _ in range(200):
                await call.send(bytes(100_000))
            await call.half_close()
            assert await call.receive() == b"20000000"

    with_server(scenario)


def test_a_server_stream_is_taken_in_batches():
    async def scenario(channel, service):
        async with channel.call("/s/Flood") as call:
            await call.send(b"1000")
            await call.half_close()
            count = 0
            while messages := await call.receive_many():
                count += len(messages)
            assert count == 1000

    with_server(scenario)


# grpcio as the client.


async def echo(call):
    await call.send_initial_metadata([("first", "1"), ("first-bin", BINARY)])
    call.set_trailing_metadata([("last", "2"), ("last-bin", BINARY), *dict.fromkeys(call.metadata)][:3])
    while (message := await call.receive()) is not None:
        await call.send(message)


async def fail(call):
    raise RpcError(Code.NOT_FOUND, "smörgås 100 %\n", details=(Detail("example/kind", b"{}"),))


async def bug(call):
    raise KeyError("a secret")


class Hanging:
    def __init__(self):
        self.hanging = threading.Event()
        self.cancelled = threading.Event()

    async def __call__(self, call):
        try:
            await call.receive()
            await asyncio.get_running_loop().create_future()
        finally:
            self.cancelled.set()


async def count(call):
    total = 0
    while messages := await call.receive_many():
        total += sum(map(len, messages))
    await call.send(b"%d" % total)


async def flood(call):
    for _ in range(int(await call.receive() or b"")):
        await call.send(bytes(1 << 16))


@asynccontextmanager
async def served(server):
    """A port on which each connection is served by `server`."""

    async def serve(connected):
        # A channel that is closed with something unread, an answer or a window, resets its connection.
        with suppress(ConnectionLostError):
            await server.serve(SocketStream(connected, "grpcio"))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        async def accept(group):
            while True:
                connected, _ = await asyncio.get_running_loop().sock_accept(listener)
                group.create_task(serve(connected))

        async with asyncio.TaskGroup() as group:
            accepting = group.create_task(accept(group))
            yield listener.getsockname()[1]
            accepting.cancel()


def with_client(scenario, **handlers):
    """Run a scenario in a thread with a grpcio channel to our server."""

    def in_thread(port):
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=LARGE) as channel:
            return scenario(channel)

    async def run():
        server = Server({f"/s/{name}": handler for name, handler in handlers.items()}, largest_message=48 << 20)
        async with asyncio.timeout(60), served(server) as port:
            await asyncio.to_thread(in_thread, port)

    asyncio.run(run())


def test_a_grpcio_client_gets_its_answer_and_metadata():
    def scenario(channel):
        answer, call = channel.unary_unary("/s/Echo").with_call(b"hello", metadata=[("own-bin", BINARY)])
        assert answer == b"hello"
        assert {("first", "1"), ("first-bin", BINARY)} <= set(call.initial_metadata())
        assert {("last", "2"), ("last-bin", BINARY), ("own-bin", BINARY)} <= set(call.trailing_metadata())

    with_client(scenario, Echo=echo)


def test_a_grpcio_client_gets_a_status_with_details():
    def scenario(channel):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/s/Fail")(b"")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert caught.value.details() == "smörgås 100 %\n"
        packed = rpc_status_pb2.Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"])
        assert (packed.code, packed.details[0].type_url, packed.details[0].value) == (5, "example/kind", b"{}")

    with_client(scenario, Fail=fail)


def test_a_failing_handler_tells_the_peer_no_more_than_its_kind():
    def scenario(channel):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/s/Bug")(b"")
        assert caught.value.code() is grpc.StatusCode.UNKNOWN
        assert caught.value.details() == "the handler of /s/Bug failed with KeyError"

    with_client(scenario, Bug=bug)


def test_a_grpcio_client_learns_that_a_method_is_unknown():
    def scenario(channel):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/s/Nothing")(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    with_client(scenario)


def test_a_handler_is_cancelled_with_its_call():
    hang = Hanging()

    def scenario(channel):
        call = channel.unary_unary("/s/Hang").future(b"")
        assert channel.unary_unary("/s/Echo")(b"x") == b"x"
        call.cancel()
        assert hang.cancelled.wait(20)

    with_client(scenario, Hang=hang, Echo=echo)


def test_a_handler_is_cancelled_at_its_deadline():
    hang = Hanging()

    def scenario(channel):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/s/Hang")(b"", timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert hang.cancelled.wait(20)

    with_client(scenario, Hang=hang)


def test_a_grpcio_client_sends_and_gets_messages_larger_than_any_window():
    message = bytes(range(256)) * (40 << 12)

    def scenario(channel):
        assert channel.unary_unary("/s/Echo")(message) == message

    with_client(scenario, Echo=echo)


def test_a_grpcio_client_talks_in_turns_and_half_closes():
    def scenario(channel):
        turn = threading.Semaphore()

        def requests():
            for number in range(100):
                assert turn.acquire(timeout=20)
                yield b"%d" % number

        answers = []
        for answer in channel.stream_stream("/s/Echo")(requests()):
            answers.append(answer)
            turn.release()
        assert answers == [b"%d" % number for number in range(100)]

    with_client(scenario, Echo=echo)


def test_a_grpcio_client_has_many_calls_at_once():
    def scenario(channel):
        calls = [channel.unary_unary("/s/Echo").future(b"%d" % n) for n in range(300)]
        assert [call.result(timeout=20) for call in calls] == [b"%d" % n for n in range(300)]

    with_client(scenario, Echo=echo)


def test_a_grpcio_client_streams_in_either_direction():
    def scenario(channel):
        assert channel.stream_unary("/s/Count")(bytes(100_000) for _ in range(200)) == b"20000000"
        assert sum(1 for _ in channel.unary_stream("/s/Flood")(b"1000")) == 1000

    with_client(scenario, Count=count, Flood=flood)


def test_a_grpcio_client_that_stops_reading_slows_the_handler_down():
    sent = 0

    async def endless(call):
        nonlocal sent
        while True:
            await call.send(bytes(1 << 16))
            sent += 1 << 16

    def scenario(channel):
        call = channel.unary_stream("/s/Endless")(b"")
        next(call)
        before, calm = -1, 0
        while calm < 20:
            calm = calm + 1 if sent == before else 0
            before = sent
            time.sleep(0.01)
        assert sent < 32 << 20
        call.cancel()

    with_client(scenario, Endless=endless)


def test_a_compressed_request_is_refused():
    def scenario(channel):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/s/Echo")(bytes(10_000), compression=grpc.Compression.Gzip)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    with_client(scenario, Echo=echo)


def test_a_message_beyond_the_limit_is_refused():
    def scenario(channel):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/s/Echo")(bytes((48 << 20) + 1))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    with_client(scenario, Echo=echo)
