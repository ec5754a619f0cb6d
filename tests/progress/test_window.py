"""The log window: what a program writes to its terminal becomes rows of plain characters."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from buildwright.progress.cells import width
from buildwright.progress.window import LogWindow
from tests.progress.status_strategies import output


def rows(*pieces: bytes, height: int = 4, columns: int = 10) -> list[str]:
    window = LogWindow(height, columns)
    for piece in pieces:
        window.feed(piece)
    return window.rows()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"one\ntwo\r\nthree", ["one", "two", "three"]),
        (b"10%\r20%\r100%\n", ["100%"]),
        (b"abc\b\bX", ["aXc"]),
        (b"a\tb", ["a       b"]),
        (b"0123456789ab", ["0123456789", "ab"]),
        (b"a\nb\n\n\n\n\n\nc", ["b", "c"]),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\x1b(By", ["red xy"]),
        (b"one\ntwo\x1b[1A\x1b[2K\rnew", ["new", "two"]),
        (b"one\ntwo\x1b[H\x1b[Jnew", ["new"]),
        (b"\x1b[3;4Hx\x1b[99;99Hy", ["   x", "         y"]),
        (b"ab\x1b7cd\x1b8X", ["abXd"]),
        (b"\x1b[31", []),
        ("日本語日本語".encode(), ["日本語日本", "語"]),
        ("e\u0301".encode(), ["e\u0301"]),
        (b"bad \xff\xfe byte", ["bad \ufffd\ufffd byt", "e"]),
    ],
)
def test_what_is_written_is_what_is_seen(data, expected):
    assert rows(data) == expected


def test_the_last_rows_stay():
    assert rows(b"".join(b"%d\n" % n for n in range(9))) == ["5", "6", "7", "8"]


def test_a_smaller_window_keeps_the_newest_rows():
    window = LogWindow(4, 10)
    window.feed(b"one\ntwo\nthree\nfour is lo")
    window.resize(2, 6)
    assert window.rows() == ["three", "four i"]
    window.resize(3, 20)
    window.feed(b"\nfive")
    assert window.rows() == ["three", "four i", "five"]


@settings(deadline=None)
@given(st.binary(max_size=80) | output, st.integers(0, 80))
@example("日\x1b[1Dx".encode(), 2)
@example(b"\x1b]" + b"t" * 300 + b"\x1b[2J", 5)
def test_the_cut_of_output_into_pieces_does_not_matter(data, at):
    assert rows(data) == rows(data[:at], data[at:])


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"word", b"\n", b"\n\n\n", b"long line that wraps", b"\r"]), max_size=300))
def test_long_output_shows_the_same_as_if_every_line_had_been_drawn(pieces):
    data = b"".join(pieces)
    assert rows(data) == rows(*(data[i : i + 1] for i in range(len(data))))


@settings(deadline=None)
@given(st.lists(output | st.tuples(st.integers(-3, 9), st.integers(-3, 30)), max_size=10))
def test_rows_are_printable_and_few(pieces):
    window = LogWindow(4, 10)
    for piece in pieces:
        if isinstance(piece, bytes):
            window.feed(piece)
        else:
            window.resize(*piece)
        assert len(window.rows()) <= window.height
        assert all(width(char) for row in window.rows() for char in row if char.isascii())
        assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for row in window.rows() for char in row)
