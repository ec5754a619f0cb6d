"""Against the `h2` library as the peer of either role, for what happens between frames."""

import asyncio
from contextlib import asynccontextmanager

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest

from buildwright.errors import Code, ConnectionLostError, ProtocolError, RpcError
from buildwright.wire.channel import Channel
from buildwright.wire.http2.frames import Limits
from buildwright.wire.memory import memory_pair
from buildwright.wire.rpc import frame
from buildwright.wire.serve import Server

REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/Echo"),
    (":authority", "localhost"),
    ("content-type", "application/grpc+proto"),
    ("te", "trailers"),
]
RESPONSE = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]


class Peer:
    """An h2 connection on a byte stream."""

    def __init__(self, stream, *, client):
        self.stream = stream
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=client, header_encoding="utf-8"))
        self.events = []

    async def greet(self, **settings):
        if settings:
            self.h2.local_settings = h2.settings.Settings(
                client=self.h2.config.client_side,
                initial_values={getattr(h2.settings.SettingCodes, key): value for key, value in settings.items()},
            )
        self.h2.initiate_connection()
        await self.flush()

    async def flush(self):
        if data := self.h2.data_to_send():
            await self.stream.write(data)

    async def until(self, kind, count=1):
        """The events up to the `count`th of this kind, with acknowledgements sent; fails at the end of the stream."""
        seen = []
        while True:
            while self.events:
                event = self.events.pop(0)
                seen.append(event)
                if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if isinstance(event, kind):
                    count -= 1
                    if not count:
                        await self.flush()
                        return seen
            await self.flush()
            data = await self.stream.read()
            assert data, f"the connection ended without {kind}: {seen}"
            self.events += self.h2.receive_data(data)
            await self.flush()

    async def one(self, kind):
        return (await self.until(kind))[-1]


def data_of(events):
    return b"".join(event.data for event in events if isinstance(event, h2.events.DataReceived))


async def echo(call):
    while (message := await call.receive()) is not None:
        await call.send(message)


async def hang(call):
    await asyncio.get_running_loop().create_future()


@asynccontextmanager
async def our_server(handlers=None, settings=None, **options):
    """An h2 client that has greeted our server."""
    ours, theirs = memory_pair()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        serving = group.create_task(Server(handlers or {"/Echo": echo, "/Hang": hang}, **options).serve(theirs))
        peer = Peer(ours, client=True)
        await peer.greet(**(settings or {}))
        yield peer
        await ours.close_write()
        while await ours.read():
            pass
        await serving


@asynccontextmanager
async def our_client(settings=None, **options):
    """A channel to an h2 server that has greeted."""
    ours, theirs = memory_pair()
    peer = Peer(theirs, client=False)
    await peer.greet(**(settings or {}))
    async with asyncio.timeout(30), Channel(ours, **options) as channel:
        yield channel, peer
        await theirs.aclose()


def path(name):
    return [(":path", name) if key == ":path" else (key, value) for key, value in REQUEST]


def header(event, name):
    return dict(event.headers)[name]


def test_a_request_is_answered_with_headers_data_and_trailers():
    async def scenario():
        async with our_server() as peer:
            peer.h2.send_headers(1, REQUEST)
            peer.h2.send_data(1, frame(b"hello"), end_stream=True)
            await peer.flush()
            events = await peer.until(h2.events.TrailersReceived)
            first = next(event for event in events if isinstance(event, h2.events.ResponseReceived))
            assert header(first, ":status") == "200"
            assert header(first, "content-type") == "application/grpc"
            assert data_of(events) == frame(b"hello")
            assert header(events[-1], "grpc-status") == "0"

    asyncio.run(scenario())


def test_padded_data_and_a_message_in_pieces():
    async def scenario():
        async with our_server() as peer:
            peer.h2.send_headers(1, REQUEST)
            for byte in frame(b"hello"):
                peer.h2.send_data(1, bytes([byte]), pad_length=7)
            peer.h2.end_stream(1)
            await peer.flush()
            assert data_of(await peer.until(h2.events.StreamEnded)) == frame(b"hello")

    asyncio.run(scenario())


def test_large_headers_come_in_continuations():
    async def scenario():
        async def lengths(call):
            await call.send(b"%d" % len(dict(call.metadata)["large"]))

        async with our_server({"/Lengths": lengths}) as peer:
            peer.h2.send_headers(1, [*path("/Lengths"), ("large", "x" * 60_000)], end_stream=True)
            await peer.flush()
            assert data_of(await peer.until(h2.events.StreamEnded)) == frame(b"60000")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("fields", "http", "grpc"),
    [
        ([(":method", "GET"), *REQUEST[1:]], "405", Code.INTERNAL),
        ([*REQUEST[:4], ("content-type", "text/html")], "415", Code.INTERNAL),
        (REQUEST[:4], "415", Code.INTERNAL),
        ([*REQUEST, ("grpc-encoding", "gzip")], "200", Code.UNIMPLEMENTED),
        ([*REQUEST, ("grpc-timeout", "soon")], "200", Code.INTERNAL),
        (path("/Nothing"), "200", Code.UNIMPLEMENTED),
    ],
)
def test_what_is_no_call_of_ours_is_refused(fields, http, grpc):
    async def scenario():
        async with our_server() as peer:
            peer.h2.send_headers(1, fields, end_stream=True)
            await peer.flush()
            answer = await peer.one(h2.events.ResponseReceived)
            assert header(answer, ":status") == http
            assert header(answer, "grpc-status") == str(int(grpc))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("sent", "grpc"),
    [
        (b"\1\0\0\0\1x", Code.UNIMPLEMENTED),
        (b"\0\0\0\0\5cut", Code.INTERNAL),
        (b"\0\xff\xff\xff\xff", Code.RESOURCE_EXHAUSTED),
    ],
)
def test_messages_that_cannot_be_read_end_the_call(sent, grpc):
    async def scenario():
        async with our_server() as peer:
            peer.h2.send_headers(1, REQUEST)
            peer.h2.send_data(1, sent, end_stream=True)
            await peer.flush()
            answer = await peer.one(h2.events.ResponseReceived)
            assert header(answer, "grpc-status") == str(int(grpc))

    asyncio.run(scenario())


def test_an_answer_before_the_end_of_the_request_resets_the_rest():
    async def scenario():
        async with our_server() as peer:
            peer.h2.send_headers(1, path("/Nothing"))
            await peer.flush()
            reset = await peer.one(h2.events.StreamReset)
            assert reset.error_code == h2.errors.ErrorCodes.NO_ERROR

    asyncio.run(scenario())


def test_a_reset_cancels_the_handler_and_the_connection_lives_on():
    ended = asyncio.Event()

    async def hanging(call):
        try:
            await hang(call)
        finally:
            ended.set()

    async def scenario():
        async with our_server({"/Hang": hanging, "/Echo": echo}) as peer:
            peer.h2.send_headers(1, path("/Hang"))
            peer.h2.send_headers(3, REQUEST, end_stream=True)
            await peer.flush()
            await peer.until(h2.events.StreamEnded)
            peer.h2.reset_stream(1, h2.errors.ErrorCodes.CANCEL)
            await peer.flush()
            await ended.wait()
            peer.h2.send_headers(5, REQUEST, end_stream=True)
            await peer.flush()
            await peer.until(h2.events.StreamEnded)

    asyncio.run(scenario())


def test_a_client_that_says_goaway_and_has_no_calls_is_done_with():
    async def scenario():
        ours, theirs = memory_pair()
        peer = Peer(ours, client=True)
        await peer.greet()
        peer.h2.send_headers(1, REQUEST, end_stream=True)
        peer.h2.close_connection()
        await peer.flush()
        await Server({"/Echo": echo}).serve(theirs)

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_the_server_keeps_to_the_clients_windows_and_frame_size():
    async def scenario():
        async def much(call):
            await call.send(bytes(300_000))

        async with our_server({"/Much": much}, {"INITIAL_WINDOW_SIZE": 20_000}) as peer:
            peer.h2.update_settings({h2.settings.SettingCodes.MAX_FRAME_SIZE: 17_000})
            await peer.flush()
            await peer.until(h2.events.SettingsAcknowledged, 2)
            peer.h2.send_headers(1, path("/Much"), end_stream=True)
            await peer.flush()
            # h2 itself raises for a frame or a sum of frames that is too large.
            events = await peer.until(h2.events.StreamEnded)
            assert data_of(events) == frame(bytes(300_000))
            assert max(len(event.data) for event in events if isinstance(event, h2.events.DataReceived)) == 17_000

    asyncio.run(scenario())


def test_a_window_that_shrinks_in_mid_stream_is_respected():
    async def scenario():
        async def much(call):
            await call.receive()
            await call.send(bytes(300_000))

        async with our_server({"/Much": much}) as peer:
            peer.h2.send_headers(1, path("/Much"))
            await peer.flush()
            peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10})
            await peer.until(h2.events.SettingsAcknowledged, 2)
            peer.h2.send_data(1, frame(b""), end_stream=True)
            await peer.flush()
            assert len((await peer.until(h2.events.DataReceived))[-1].data) == 10
            peer.h2.increment_flow_control_window(1 << 20, 1)
            peer.h2.increment_flow_control_window(1 << 20)
            assert len(data_of(await peer.until(h2.events.StreamEnded))) == 300_005 - 10

    asyncio.run(scenario())


def test_the_client_keeps_to_the_servers_windows():
    async def scenario():
        async with our_client({"INITIAL_WINDOW_SIZE": 1000}) as (channel, peer):
            calling = asyncio.create_task(channel.unary("/Large", bytes(50_000)))
            events = await peer.until(h2.events.StreamEnded)
            assert data_of(events) == frame(bytes(50_000))
            peer.h2.send_headers(1, RESPONSE)
            peer.h2.send_data(1, frame(b"thanks"))
            peer.h2.send_headers(1, OK, end_stream=True)
            await peer.flush()
            assert await calling == b"thanks"

    asyncio.run(scenario())


def request_fields(events):
    return next(event for event in events if isinstance(event, h2.events.RequestReceived)).headers


def test_the_request_is_as_grpc_wants_it():
    async def scenario():
        async with our_client(authority="daemon", scheme="https") as (channel, peer):
            calling = asyncio.create_task(channel.unary("/a.B/C", b"", metadata=[("own", "1")], timeout=20))
            fields = request_fields(await peer.until(h2.events.StreamEnded))
            names = [name for name, _ in fields]
            assert names[:4] == [":method", ":scheme", ":path", ":authority"]
            found = dict(fields)
            assert found[":method"] == "POST"
            assert found[":path"] == "/a.B/C"
            assert (found[":authority"], found[":scheme"]) == ("daemon", "https")
            assert (found["content-type"], found["te"], found["own"]) == ("application/grpc", "trailers", "1")
            assert found["grpc-timeout"].endswith("u")
            peer.h2.send_headers(1, [*RESPONSE, ("grpc-status", "16"), ("grpc-message", "who%3F")], end_stream=True)
            await peer.flush()
            with pytest.raises(RpcError, match=r"^who\?$") as caught:
                await calling
            assert caught.value.code is Code.UNAUTHENTICATED

    asyncio.run(scenario())


def failed_by(act):
    """The error of a call to which an h2 server reacts by `act(peer)`."""

    async def scenario():
        async with our_client() as (channel, peer):
            calling = asyncio.create_task(channel.unary("/Any", b""))
            await peer.until(h2.events.StreamEnded)
            await act(peer)
            await peer.flush()
            with pytest.raises((RpcError, ConnectionLostError, ProtocolError)) as caught:
                await calling
            return caught.value

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (h2.errors.ErrorCodes.REFUSED_STREAM, Code.UNAVAILABLE),
        (h2.errors.ErrorCodes.CANCEL, Code.CANCELLED),
        (h2.errors.ErrorCodes.INTERNAL_ERROR, Code.INTERNAL),
        (h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, Code.RESOURCE_EXHAUSTED),
    ],
)
def test_a_reset_by_the_server_becomes_a_status(code, status):
    async def act(peer):
        peer.h2.reset_stream(1, code)

    error = failed_by(act)
    assert (error.code, code.name in str(error)) == (status, True)


def test_a_proxys_answer_becomes_a_status():
    async def act(peer):
        peer.h2.send_headers(1, [(":status", "503"), ("content-type", "text/html")])
        peer.h2.send_data(1, b"<h1>Service unavailable</h1>", end_stream=True)

    error = failed_by(act)
    assert (error.code, "HTTP status 503" in str(error)) == (Code.UNAVAILABLE, True)


def test_an_answer_without_status_is_unknown():
    async def act(peer):
        peer.h2.send_headers(1, RESPONSE)
        peer.h2.send_data(1, frame(b"x"), end_stream=True)

    assert failed_by(act).code is Code.UNKNOWN


def test_a_compressed_answer_is_an_error():
    async def act(peer):
        peer.h2.send_headers(1, [*RESPONSE, ("grpc-encoding", "gzip")])
        peer.h2.send_data(1, b"\1\0\0\0\1x")

    assert failed_by(act).code is Code.INTERNAL


def test_an_answer_cut_in_a_message_is_an_error():
    async def act(peer):
        peer.h2.send_headers(1, RESPONSE)
        peer.h2.send_data(1, b"\0\0\0\0\5cut")
        peer.h2.send_headers(1, OK, end_stream=True)

    error = failed_by(act)
    assert (error.code, "middle of a message" in str(error)) == (Code.INTERNAL, True)


def test_goaway_tells_the_cause():
    async def act(peer):
        peer.h2.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, b"too_many_pings", last_stream_id=0)

    error = failed_by(act)
    assert isinstance(error, ConnectionLostError)
    assert "ENHANCE_YOUR_CALM: too_many_pings" in str(error)


def test_the_end_of_the_connection_is_told():
    async def act(peer):
        await peer.stream.aclose()

    error = failed_by(act)
    assert isinstance(error, ConnectionLostError)
    assert error.retriable


def test_a_goaway_lets_served_calls_end_and_takes_no_new_ones():
    async def scenario():
        async with our_client() as (channel, peer):
            calling = asyncio.create_task(channel.unary("/Any", b""))
            await peer.until(h2.events.StreamEnded)
            # h2 takes no frames after its own GOAWAY, so that one is made by hand.
            await peer.stream.write(b"\0\0\x08\7\0\0\0\0\0\0\0\0\1\0\0\0\0")
            peer.h2.send_headers(1, RESPONSE)
            peer.h2.send_data(1, frame(b"last"))
            peer.h2.send_headers(1, OK, end_stream=True)
            await peer.flush()
            assert await calling == b"last"
            with pytest.raises(ConnectionLostError, match="takes no more calls"):
                await channel.unary("/Any", b"")

    asyncio.run(scenario())


def test_calls_wait_for_the_servers_limit_and_follow_its_changes():
    async def scenario():
        async with our_client({"MAX_CONCURRENT_STREAMS": 1}) as (channel, peer):
            await peer.until(h2.events.SettingsAcknowledged)
            calls = [asyncio.create_task(channel.unary("/Any", b"")) for _ in range(3)]
            await peer.until(h2.events.StreamEnded)
            assert peer.h2.open_inbound_streams == 1
            peer.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 3})
            await peer.until(h2.events.StreamEnded, 2)
            for stream in (1, 3, 5):
                peer.h2.send_headers(stream, RESPONSE)
                peer.h2.send_data(stream, frame(b"x"))
                peer.h2.send_headers(stream, OK, end_stream=True)
            await peer.flush()
            assert await asyncio.gather(*calls) == [b"x"] * 3

    asyncio.run(scenario())


def test_a_peer_that_answers_pings_is_not_silent():
    async def scenario():
        async with our_client(keepalive=0.1) as (channel, peer):
            calling = asyncio.create_task(channel.unary("/Slow", b""))
            await peer.until(h2.events.PingReceived, 3)
            assert not calling.done()
            peer.h2.send_headers(1, RESPONSE)
            peer.h2.send_data(1, frame(b"late"))
            peer.h2.send_headers(1, OK, end_stream=True)
            await peer.flush()
            assert await calling == b"late"

    asyncio.run(scenario())


def test_pings_are_answered():
    async def scenario():
        async with our_server() as peer:
            peer.h2.ping(b"12345678")
            await peer.flush()
            assert (await peer.one(h2.events.PingAckReceived)).ping_data == b"12345678"

    asyncio.run(scenario())


def test_credit_comes_only_for_what_was_taken():
    async def scenario():
        taken = asyncio.Event()

        async def late(call):
            await taken.wait()
            await echo(call)

        async with our_server({"/Echo": late}, limits=Limits(stream_window=100_000)) as peer:
            await peer.until(h2.events.RemoteSettingsChanged)
            peer.h2.send_headers(1, REQUEST)
            assert peer.h2.local_flow_control_window(1) <= 100_000
            message = frame(bytes(80_000 - 5))
            for start in range(0, len(message), 16_000):
                peer.h2.send_data(1, message[start : start + 16_000])
            peer.h2.ping(bytes(8))
            await peer.flush()
            await peer.until(h2.events.PingAckReceived)
            assert peer.h2.local_flow_control_window(1) == 20_000
            taken.set()
            await peer.until(h2.events.WindowUpdated)
            assert peer.h2.local_flow_control_window(1) == 100_000
            peer.h2.end_stream(1)
            await peer.until(h2.events.StreamEnded)

    asyncio.run(scenario())
