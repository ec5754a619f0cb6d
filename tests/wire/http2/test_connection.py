"""The HTTP/2 connection, frame by frame, without I/O."""

import struct

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildwright.errors import ProtocolError
from buildwright.wire.http2 import frames
from buildwright.wire.http2.connection import Connection
from buildwright.wire.http2.frames import ErrorCode, FaultError, Limits, pack

REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a.B/C"),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]
RESPONSE = [(":status", "200"), ("content-type", "application/grpc")]
EMPTY_SETTINGS = pack(frames.SETTINGS, 0, 0)
GREETING = frames.PREFACE + EMPTY_SETTINGS


class Pair:
    """A client and a server joined without I/O."""

    def __init__(self, client=None, server=None):
        self.client = Connection(client=True, limits=client)
        self.server = Connection(client=False, limits=server)

    def exchange(self):
        """Carry bytes both ways until both sides are silent."""
        moved = True
        while moved:
            moved = False
            for one, other in ((self.client, self.server), (self.server, self.client)):
                while data := one.take_output():
                    other.receive(data)
                    moved = True

    def open(self):
        """A stream, as both sides see it."""
        ours = self.client.open(REQUEST)
        self.exchange()
        return ours, self.server.streams[ours.id]


def request_block(extra=(), fields=None):
    return hpack.Encoder().encode((fields or REQUEST) + list(extra))


def server(*received, limits=None, clock=lambda: 0.0):
    """A server that has greeted and received these frames."""
    connection = Connection(client=False, limits=limits, clock=clock)
    connection.receive(GREETING + b"".join(received))
    return connection


def sent_frames(connection):
    """(type, flags, stream, payload) of everything that the connection wants to send."""
    data = b""
    while piece := connection.take_output():
        data += piece
    data = data.removeprefix(frames.PREFACE)
    found = []
    while data:
        high, low, kind, flags, number = frames.HEADER.unpack_from(data)
        size = high << 8 | low
        found.append((kind, flags, number, data[9 : 9 + size]))
        data = data[9 + size :]
    return found


def resets(connection):
    return {
        number: ErrorCode(struct.unpack(">I", payload)[0])
        for kind, _, number, payload in sent_frames(connection)
        if kind == frames.RST_STREAM
    }


def headers(stream=1, flags=frames.END_HEADERS, block=None):
    return pack(frames.HEADERS, flags, stream, request_block() if block is None else block)


def test_a_request_and_its_answer_cross():
    pair = Pair()
    ours, theirs = pair.open()
    assert theirs.headers == REQUEST
    pair.client.send_data(ours, [b"hello"])
    pair.client.send_end(ours)
    pair.exchange()
    assert bytes(theirs.received) == b"hello"
    assert theirs.ended
    pair.server.send_headers(theirs, RESPONSE)
    pair.server.send_data(theirs, [b"wor", memoryview(b"ld")])
    pair.server.send_end(theirs, [("grpc-status", "0")])
    pair.exchange()
    assert ours.headers == RESPONSE
    assert bytes(ours.received) == b"world"
    assert ours.trailers == [("grpc-status", "0")]
    assert not pair.client.streams
    assert not pair.server.streams


@given(
    chunks=st.lists(st.binary(max_size=70_000), max_size=8),
    cuts=st.lists(st.integers(1, 40_000), min_size=1, max_size=5),
)
@settings(deadline=None)
def test_data_arrives_whole_however_it_is_cut(chunks, cuts):
    pair = Pair()
    ours, theirs = pair.open()
    pair.client.send_data(ours, chunks)
    pair.client.send_end(ours)
    turn = 0
    while data := pair.client.take_output():
        while data:
            size = cuts[turn % len(cuts)]
            turn += 1
            pair.server.receive(data[:size])
            data = data[size:]
    assert bytes(theirs.received) == b"".join(chunks)
    assert theirs.ended


@given(
    sizes=st.lists(st.integers(0, 30_000), min_size=1, max_size=8),
    window=st.integers(2_000, 100_000),
    connection_window=st.integers(65_535, 200_000),
    frame=st.integers(16_384, 100_000),
)
@settings(deadline=None)
def test_no_window_is_ever_overrun_and_everything_arrives(sizes, window, connection_window, frame):
    pair = Pair(server=Limits(stream_window=window, connection_window=connection_window, frame=frame))
    sides = [pair.open() for _ in range(3)]
    for ours, _ in sides:
        for number, size in enumerate(sizes):
            pair.client.send_data(ours, [bytes([number]) * size])
        pair.client.send_end(ours)
    got = [bytearray() for _ in sides]
    for _ in range(100_000):
        pair.exchange()
        if all(theirs.ended and not theirs.received for _, theirs in sides):
            break
        for place, (_, theirs) in enumerate(sides):
            assert len(theirs.received) <= window
            got[place] += theirs.received
            pair.server.consume(theirs, len(theirs.received))
            theirs.received.clear()
    assert all(bytes(one) == b"".join(bytes([n]) * s for n, s in enumerate(sizes)) for one in got)


def test_unread_data_stops_the_sender_at_the_window():
    pair = Pair(server=Limits(stream_window=100_000))
    ours, theirs = pair.open()
    pair.client.send_data(ours, [bytes(1_000_000)])
    pair.exchange()
    assert len(theirs.received) == 100_000
    assert ours.queued == 900_000
    theirs.received.clear()
    pair.server.consume(theirs, 100_000)
    pair.exchange()
    assert len(theirs.received) == 100_000


def test_credit_is_given_in_steps_and_not_by_the_frame():
    pair = Pair()
    ours, theirs = pair.open()
    pair.client.send_data(ours, [bytes(3 << 20)])
    pair.exchange()
    for _ in range(3 * 64):
        pair.server.consume(theirs, 16 << 10)
    updates = [frame for frame in sent_frames(pair.server) if frame[0] == frames.WINDOW_UPDATE]
    assert [number for _, _, number, _ in updates] == [0, 1] * 3


def test_a_stream_whose_window_is_shut_does_not_hold_up_another():
    pair = Pair(server=Limits(stream_window=65_535))
    (slow, _), (fast, theirs) = pair.open(), pair.open()
    pair.client.send_data(slow, [bytes(1 << 20)])
    pair.client.send_data(fast, [b"quick"])
    pair.exchange()
    assert bytes(theirs.received) == b"quick"


def test_streams_take_turns():
    pair = Pair()
    first, _ = pair.open()
    second, _ = pair.open()
    pair.client.send_data(first, [bytes(4 << 20)])
    pair.client.send_data(second, [bytes(4 << 20)])
    pair.server.receive(pair.client.take_output())
    sizes = [len(pair.server.streams[stream.id].received) for stream in (first, second)]
    assert sizes == [1 << 19, 1 << 19]


def test_control_frames_overtake_data():
    pair = Pair()
    ours, _ = pair.open()
    pair.client.send_data(ours, [bytes(4 << 20)])
    pair.client.take_output(1 << 16)
    pair.client.ping()
    assert sent_frames(pair.client)[0][0] == frames.PING


def test_a_write_is_about_as_large_as_asked_for():
    pair = Pair()
    ours, _ = pair.open()
    pair.client.send_data(ours, [bytes(4 << 20)])
    assert 1 << 20 <= len(pair.client.take_output(1 << 20)) < (1 << 20) + (1 << 12)


def test_a_smaller_initial_window_may_turn_a_window_negative():
    pair = Pair(server=Limits(stream_window=50_000))
    ours, theirs = pair.open()
    pair.client.send_data(ours, [bytes(60_000)])
    pair.exchange()
    assert ours.send_window == 0
    pair.client.receive(frames.pack_settings([(frames.INITIAL_WINDOW_SIZE, 10_000)]))
    assert ours.send_window == -40_000
    pair.client.receive(frames.pack_window_update(ours.id, 40_000))
    assert pair.client.take_output() == pack(frames.SETTINGS, frames.ACK, 0)
    pair.client.receive(frames.pack_window_update(ours.id, 7))
    assert [(kind, len(payload)) for kind, _, _, payload in sent_frames(pair.client)] == [(frames.DATA, 7)]
    assert len(theirs.received) == 50_000


def test_a_larger_initial_window_lets_waiting_data_go():
    pair = Pair(server=Limits(stream_window=10))
    ours, _ = pair.open()
    pair.client.send_data(ours, [bytes(30)])
    pair.exchange()
    pair.client.receive(frames.pack_settings([(frames.INITIAL_WINDOW_SIZE, 25)]))
    assert sum(len(payload) for kind, _, _, payload in sent_frames(pair.client) if kind == frames.DATA) == 15


def test_frames_follow_the_peers_largest_size():
    pair = Pair(server=Limits(frame=20_000))
    ours, _ = pair.open()
    pair.client.send_data(ours, [bytes(50_000)])
    sizes = [len(payload) for kind, _, _, payload in sent_frames(pair.client) if kind == frames.DATA]
    assert sizes == [20_000, 20_000, 10_000]


def test_large_headers_are_continued():
    pair = Pair(server=Limits(frame=16_384))
    ours = pair.client.open([*REQUEST, ("x", "y" * 100_000)])
    pair.exchange()
    theirs = pair.server.streams[ours.id]
    assert dict(theirs.headers)["x"] == "y" * 100_000


def test_padding_is_dropped_and_its_room_given_back():
    connection = server(
        headers(flags=frames.END_HEADERS | frames.PADDED, block=b"\x03" + request_block() + bytes(3)),
        pack(frames.DATA, frames.PADDED, 1, b"\x04data" + bytes(4)),
    )
    stream = connection.streams[1]
    assert stream.headers == REQUEST
    assert bytes(stream.received) == b"data"
    assert stream.credit == 5


def test_padding_of_a_broken_stream_is_given_back_once():
    data = pack(frames.DATA, frames.PADDED, 1, b"\x04data" + bytes(4))
    connection = Connection(client=True)
    connection.open(REQUEST)
    connection.receive(EMPTY_SETTINGS + data)
    assert resets(connection) == {1: ErrorCode.PROTOCOL_ERROR}
    assert connection._credit == 9


def test_priority_is_ignored():
    connection = server(
        headers(flags=frames.END_HEADERS | frames.PRIORITIZED, block=bytes(5) + request_block()),
        pack(frames.PRIORITY, 0, 1, bytes(5)),
        pack(frames.PRIORITY, 0, 77, bytes(5)),
        pack(0xAB, 0xFF, 5, b"unknown type"),
    )
    assert connection.streams[1].headers == REQUEST


def test_pings_are_answered_with_their_content():
    connection = server(pack(frames.PING, 0, 0, b"12345678"))
    assert (frames.PING, frames.ACK, 0, b"12345678") in sent_frames(connection)


def test_settings_are_acknowledged():
    assert (frames.SETTINGS, frames.ACK, 0, b"") in sent_frames(server())


def test_early_answers_end_the_request_without_blame():
    pair = Pair()
    ours, theirs = pair.open()
    pair.client.send_data(ours, [bytes(1000)])
    pair.server.send_headers(theirs, [*RESPONSE, ("grpc-status", "0")], end=True)
    pair.exchange()
    assert ours.ended
    assert not pair.client.streams
    assert not pair.server.streams


def test_informational_responses_are_passed_over():
    client = Connection(client=True)
    stream = client.open(REQUEST)
    encoder = hpack.Encoder()
    early = pack(frames.HEADERS, frames.END_HEADERS, 1, encoder.encode([(":status", "103")]))
    client.receive(EMPTY_SETTINGS + early)
    assert stream.headers is None
    client.receive(pack(frames.HEADERS, frames.END_HEADERS, 1, encoder.encode(RESPONSE)))
    assert stream.headers == RESPONSE


def test_frames_that_were_on_their_way_to_a_reset_stream_do_no_harm():
    pair = Pair()
    ours, theirs = pair.open()
    pair.client.send_data(ours, [bytes(100)])
    late = pair.client.take_output()
    pair.server.reset(theirs, ErrorCode.CANCEL)
    pair.server.receive(late)
    pair.exchange()
    assert ours.reset == ErrorCode.CANCEL


def test_goaway_ends_the_streams_that_were_not_served():
    client = Connection(client=True)
    first, second = client.open(REQUEST), client.open(REQUEST)
    client.receive(EMPTY_SETTINGS + frames.pack_goaway(1, ErrorCode.NO_ERROR, b"bye"))
    assert first.reset is None
    assert second.reset == ErrorCode.REFUSED_STREAM
    assert client.exhausted
    assert client.goaway.debug == "bye"


def test_a_server_that_leaves_takes_no_more_streams():
    connection = server(headers(1))
    connection.leave()
    connection.receive(headers(3))
    assert list(connection.streams) == [1]
    goaway = next(payload for kind, _, _, payload in sent_frames(connection) if kind == frames.GOAWAY)
    assert goaway == struct.pack(">II", 1, ErrorCode.NO_ERROR)


def test_too_many_streams_are_refused_one_by_one():
    connection = server(headers(1), headers(3), headers(5), limits=Limits(streams=2))
    assert list(connection.streams) == [1, 3]
    assert resets(connection) == {5: ErrorCode.REFUSED_STREAM}


U32 = struct.Struct(">I").pack
BAD_REQUESTS = {
    "upper case": [*REQUEST, ("Key", "v")],
    "pseudo after regular": [*REQUEST[:3], ("a", "b"), REQUEST[3]],
    "unknown pseudo": [*REQUEST[:3], (":status", "200")],
    "pseudo twice": [REQUEST[0], *REQUEST],
    "no path": [field for field in REQUEST if field[0] != ":path"],
    "connection": [*REQUEST, ("connection", "close")],
    "te": [*REQUEST, ("te", "gzip")],
}
STREAM_ERRORS = {
    **{
        name: (pack(frames.HEADERS, frames.END_HEADERS, 1, request_block(fields=fields)), ErrorCode.PROTOCOL_ERROR)
        for name, fields in BAD_REQUESTS.items()
    },
    "data after the end": (
        headers(flags=frames.END_HEADERS | frames.END_STREAM) + pack(frames.DATA, 0, 1, b"x"),
        ErrorCode.STREAM_CLOSED,
    ),
    "headers after the end": (
        headers(flags=frames.END_HEADERS | frames.END_STREAM) + headers(),
        ErrorCode.STREAM_CLOSED,
    ),
    "trailers that do not end": (headers() + headers(block=b""), ErrorCode.PROTOCOL_ERROR),
    "pseudo-fields in trailers": (
        headers() + headers(flags=frames.END_HEADERS | frames.END_STREAM),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "no increment": (headers() + frames.pack_window_update(1, 0), ErrorCode.PROTOCOL_ERROR),
    "window overflow": (
        headers() + frames.pack_window_update(1, frames.LARGEST_WINDOW),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "more than the window": (headers() + pack(frames.DATA, 0, 1, bytes(65_536)), ErrorCode.FLOW_CONTROL_ERROR),
}


@pytest.mark.parametrize("name", STREAM_ERRORS)
def test_a_stream_error_resets_that_stream_only(name):
    received, code = STREAM_ERRORS[name]
    connection = server(received, limits=Limits(stream_window=100))
    assert resets(connection) == {1: code}
    connection.receive(headers(3))
    assert list(connection.streams) == [3]


CONNECTION_ERRORS = {
    "too large": (struct.pack(">HBBBI", 0x4001, 0, 0, 0, 1), ErrorCode.FRAME_SIZE_ERROR),
    "data on idle": (pack(frames.DATA, 0, 1, b"x"), ErrorCode.PROTOCOL_ERROR),
    "data on 0": (pack(frames.DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
    "headers on 0": (headers(0), ErrorCode.PROTOCOL_ERROR),
    "headers on even": (headers(2), ErrorCode.PROTOCOL_ERROR),
    "data on even idle": (pack(frames.DATA, 0, 2, b"x"), ErrorCode.PROTOCOL_ERROR),
    "reset on idle": (frames.pack_reset(1, 8), ErrorCode.PROTOCOL_ERROR),
    "reset on 0": (frames.pack_reset(0, 8), ErrorCode.PROTOCOL_ERROR),
    "short reset": (headers() + pack(frames.RST_STREAM, 0, 1, b"abc"), ErrorCode.FRAME_SIZE_ERROR),
    "window update on idle": (frames.pack_window_update(5, 1), ErrorCode.PROTOCOL_ERROR),
    "short window update": (pack(frames.WINDOW_UPDATE, 0, 0, b"abc"), ErrorCode.FRAME_SIZE_ERROR),
    "no increment": (frames.pack_window_update(0, 0), ErrorCode.PROTOCOL_ERROR),
    "window overflow": (frames.pack_window_update(0, frames.LARGEST_WINDOW), ErrorCode.FLOW_CONTROL_ERROR),
    "settings on stream": (pack(frames.SETTINGS, 0, 1), ErrorCode.PROTOCOL_ERROR),
    "settings of odd size": (pack(frames.SETTINGS, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    "ack with content": (pack(frames.SETTINGS, frames.ACK, 0, bytes(6)), ErrorCode.FRAME_SIZE_ERROR),
    "push": (frames.pack_settings([(frames.ENABLE_PUSH, 2)]), ErrorCode.PROTOCOL_ERROR),
    "window setting": (frames.pack_settings([(frames.INITIAL_WINDOW_SIZE, 1 << 31)]), ErrorCode.FLOW_CONTROL_ERROR),
    "small frames": (frames.pack_settings([(frames.MAX_FRAME_SIZE, 16_383)]), ErrorCode.PROTOCOL_ERROR),
    "large frames": (frames.pack_settings([(frames.MAX_FRAME_SIZE, 1 << 24)]), ErrorCode.PROTOCOL_ERROR),
    "ping of odd size": (pack(frames.PING, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    "ping on stream": (pack(frames.PING, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "goaway on stream": (pack(frames.GOAWAY, 0, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "short goaway": (pack(frames.GOAWAY, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    "push promise": (headers() + pack(frames.PUSH_PROMISE, 4, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "bad priority": (pack(frames.PRIORITY, 0, 1, bytes(4)), ErrorCode.FRAME_SIZE_ERROR),
    "short priority": (headers(flags=0x24, block=b"abc"), ErrorCode.FRAME_SIZE_ERROR),
    "continuation alone": (pack(frames.CONTINUATION, 4, 1, b""), ErrorCode.PROTOCOL_ERROR),
    "interleaved": (headers(flags=0) + pack(frames.PING, 0, 0, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "interleaved stream": (headers(flags=0) + pack(frames.CONTINUATION, 4, 3, b""), ErrorCode.PROTOCOL_ERROR),
    "interleaved data": (headers(1) + headers(3, flags=0) + pack(frames.DATA, 0, 1, b"x"), ErrorCode.PROTOCOL_ERROR),
    "padding": (headers() + pack(frames.DATA, frames.PADDED, 1, b"\x04abc"), ErrorCode.PROTOCOL_ERROR),
    "padding of nothing": (headers() + pack(frames.DATA, frames.PADDED, 1, b""), ErrorCode.PROTOCOL_ERROR),
    "hpack": (headers(block=b"\xff\xff\xff\xff\xff\xff\xff"), ErrorCode.COMPRESSION_ERROR),
    "hpack cut": (headers(block=request_block()[:-3]), ErrorCode.COMPRESSION_ERROR),
    "header list": (headers(block=request_block([("x", "y" * 3000)])), ErrorCode.ENHANCE_YOUR_CALM),
    "header block": (
        headers(flags=0) + pack(frames.CONTINUATION, 0, 1, bytes(3000)),
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "continuation flood": (headers(flags=0) + pack(frames.CONTINUATION, 0, 1) * 100, ErrorCode.ENHANCE_YOUR_CALM),
    "ping flood": (pack(frames.PING, 0, 0, bytes(8)) * 3000, ErrorCode.ENHANCE_YOUR_CALM),
    "settings flood": (EMPTY_SETTINGS * 3000, ErrorCode.ENHANCE_YOUR_CALM),
    "empty data flood": (headers() + pack(frames.DATA, 0, 1) * 3000, ErrorCode.ENHANCE_YOUR_CALM),
}


@pytest.mark.parametrize("name", CONNECTION_ERRORS)
def test_a_connection_error_says_goaway_and_ends_everything(name):
    received, code = CONNECTION_ERRORS[name]
    limits = Limits(frame=16_384, header_list=2048)
    with pytest.raises(ProtocolError) as caught:
        server(received, limits=limits)
    assert caught.value.code is code
    assert str(caught.value).startswith("the peer broke HTTP/2: ")
    connection = Connection(client=False, limits=limits, clock=lambda: 0.0)
    with pytest.raises(FaultError):
        connection.receive(GREETING + received)
    kind, _, _, payload = sent_frames(connection)[-1]
    assert (kind, ErrorCode(struct.unpack_from(">I", payload, 4)[0])) == (frames.GOAWAY, code)
    connection.receive(b"whatever comes after")
    assert not connection.has_output


def test_rapid_resets_end_the_connection():
    with pytest.raises(FaultError, match="ENHANCE_YOUR_CALM"):
        server(*(headers(n) + frames.pack_reset(n, ErrorCode.CANCEL) for n in range(1, 3001, 2)))


def test_the_allowance_for_resets_grows_back():
    now = 0.0
    connection = server(clock=lambda: now)
    for number in range(1, 6001, 2):
        now += 0.01
        connection.receive(headers(number) + frames.pack_reset(number, ErrorCode.CANCEL))
    assert not connection.streams


def test_more_data_than_the_connections_window_is_a_fault():
    connection = server(headers(1), headers(3), limits=Limits(stream_window=65_535, connection_window=65_535))
    connection.receive(pack(frames.DATA, 0, 1, bytes(65_535)))
    with pytest.raises(FaultError, match="FLOW_CONTROL_ERROR"):
        connection.receive(pack(frames.DATA, 0, 3, b"x"))


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "preface"),
        (b"\x16\x03\x01\x02\x00", "preface"),
        (frames.PREFACE + headers(), "first frame is not SETTINGS"),
        (frames.PREFACE + pack(frames.SETTINGS, frames.ACK, 0), "first frame is not SETTINGS"),
    ],
)
def test_a_server_refuses_a_client_that_does_not_greet(greeting, words):
    with pytest.raises(FaultError, match=words):
        Connection(client=False).receive(greeting)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it answers in HTTP/1"),
        (b"\x15\x03\x01\x00\x02\x02\x46\x00\x00", "it speaks TLS"),
        (pack(frames.PING, 0, 0, bytes(8)), "first frame is not SETTINGS"),
        (EMPTY_SETTINGS + pack(frames.DATA, 0, 2, b"x"), "which a server cannot open"),
    ],
)
def test_a_client_says_what_is_wrong_with_its_server(answer, words):
    with pytest.raises(FaultError, match=words):
        Connection(client=True).receive(answer)


def recorded():
    """What a client sends in a session with some of everything."""
    connection = Connection(client=True)
    first, second = connection.open(REQUEST), connection.open([*REQUEST, ("x-bin", "AAAA"), ("y", "z" * 300)])
    connection.send_data(first, [b"\0\0\0\0\5hello", bytes(300)])
    connection.send_end(first)
    connection.ping()
    connection.send_data(second, [bytes(20)])
    connection.send_end(second, [("trailer", "1")])
    connection.reset(connection.open(REQUEST), ErrorCode.CANCEL)
    connection.consume(second, 2 << 20)
    connection.leave()
    data = b""
    while piece := connection.take_output():
        data += piece
    return data


RECORDED = recorded()
mutations = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(24, len(RECORDED) - 1), st.integers(0, 255)),
        st.tuples(st.just("cut"), st.integers(24, len(RECORDED) - 1), st.integers(1, 40)),
        st.tuples(st.just("repeat"), st.integers(24, len(RECORDED) - 1), st.integers(1, 200)),
        st.tuples(st.just("insert"), st.integers(24, len(RECORDED) - 1), st.integers(0, 2**32)),
    ),
    min_size=1,
    max_size=6,
)


def mutated(changes):
    data = bytearray(RECORDED)
    for change, at, value in changes:
        at = min(at, len(data))
        if change == "set" and at < len(data):
            data[at] = value
        elif change == "cut":
            del data[at : at + value]
        elif change == "repeat":
            data[at:at] = data[at : at + value]
        elif change == "insert":
            data[at:at] = value.to_bytes(5, "big")
    return bytes(data)


@given(changes=mutations, cut=st.integers(1, 500))
@settings(deadline=None, max_examples=300)
def test_mutated_sessions_give_nothing_worse_than_a_protocol_error(changes, cut):
    data = mutated(changes)
    connection = Connection(client=False)
    try:
        for start in range(0, len(data), cut):
            connection.receive(data[start : start + cut])
            for stream in connection.take_changed():
                connection.consume(stream, len(stream.received))
                stream.received.clear()
                if stream.headers is not None and stream.ended:
                    connection.send_headers(stream, RESPONSE)
                    connection.send_data(stream, [b"answer"])
                    connection.send_end(stream, [("grpc-status", "0")])
            connection.take_output()
    except FaultError:
        assert sent_frames(connection)[-1][0] == frames.GOAWAY


@given(data=st.binary(max_size=400), client=st.booleans())
@settings(deadline=None, max_examples=300)
def test_noise_gives_nothing_worse_than_a_protocol_error(data, client):
    connection = Connection(client=client)
    connection.receive(EMPTY_SETTINGS if client else GREETING)
    if client:
        connection.open(REQUEST)
    try:
        connection.receive(data)
    except FaultError:
        assert sent_frames(connection)[-1][0] == frames.GOAWAY


kinds = st.integers(0, 10)


@given(
    sequence=st.lists(st.tuples(kinds, st.integers(0, 255), st.integers(0, 7), st.binary(max_size=30)), max_size=30),
    client=st.booleans(),
)
@settings(deadline=None, max_examples=300)
def test_any_sequence_of_frames_gives_nothing_worse_than_a_protocol_error(sequence, client):
    connection = Connection(client=client)
    connection.receive(EMPTY_SETTINGS if client else GREETING)
    if client:
        for _ in range(3):
            connection.open(REQUEST)
    else:
        encoder = hpack.Encoder()
        for number in (1, 3):
            connection.receive(pack(frames.HEADERS, frames.END_HEADERS, number, encoder.encode(REQUEST)))
    try:
        for kind, flags, number, payload in sequence:
            connection.receive(pack(kind, flags, number, payload))
            connection.take_output()
    except FaultError:
        assert sent_frames(connection)[-1][0] == frames.GOAWAY
