"""Messages of HTTP/1.1 as bytes."""

from __future__ import annotations

import pytest

from buildwright.kube import message
from buildwright.kube.message import MessageError


def head(*lines: str) -> message.Head:
    return message.head("\r\n".join([*lines, "", ""]).encode("latin-1"))


def test_a_request_is_written_with_the_length_of_its_body() -> None:
    assert message.request("GET", "/a?b=c", {"Host": "h"}) == b"GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n"
    assert message.request("POST", "/", {}, b"{}") == b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(("target", "value"), [("/a b\r\nX: y", "v"), ("/", "v\r\nX: y"), ("/", "\u00e9")])
def test_what_would_break_a_request_apart_is_refused(target: str, value: str) -> None:
    with pytest.raises(MessageError):
        message.request("GET", target, {"Authorization": value})


def test_a_head_says_how_its_body_ends() -> None:
    counted = head("HTTP/1.1 200 OK", "Content-Length: 12", "X-A: 1", "x-a: 2")
    assert (counted.status, counted.length, counted.chunked, counted.keeps) == (200, 12, False, True)
    assert counted.fields["x-a"] == "1, 2"
    chunked = head("HTTP/1.1 200", "Transfer-Encoding: chunked", "Content-Length: 3")
    assert (chunked.length, chunked.chunked, chunked.keeps) == (None, True, True)
    open_ended = head("HTTP/1.1 200 OK")
    assert (open_ended.length, open_ended.chunked, open_ended.keeps) == (None, False, False)
    assert head("HTTP/1.1 204 No Content").length == 0
    assert not head("HTTP/1.1 200 OK", "Content-Length: 1", "Connection: Close").keeps
    assert not head("HTTP/1.0 200 OK", "Content-Length: 1").keeps


@pytest.mark.parametrize(
    "lines",
    [
        ("SSH-2.0-OpenSSH",),
        ("HTTP/2 200 OK",),
        ("HTTP/1.1 2000 OK",),
        ("HTTP/1.1 200 OK", "no colon"),
        ("HTTP/1.1 200 OK", "Content-Length : 3"),
        ("HTTP/1.1 200 OK", "Content-Length: -3"),
        ("HTTP/1.1 200 OK", "Content-Length: 3", "Content-Length: 4"),
        ("HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked"),
    ],
)
def test_what_is_no_head_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(MessageError):
        head(*lines)


def test_a_chunk_begins_with_its_size() -> None:
    assert [message.chunk_size(line) for line in (b"0", b"1a", b"FF ;name=value")] == [0, 26, 255]
    for line in (b"", b"-1", b"+1", b"1_0", b"0x1", b"123456789"):
        with pytest.raises(MessageError):
            message.chunk_size(line)
