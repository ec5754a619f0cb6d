"""Truth values, durations, sizes and argument lists as Go programs read and write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.model import boolean, duration, shellwords, size


def test_only_gos_words_are_truth_values() -> None:
    assert [boolean.parse(word) for word in ("1", "t", "T", "TRUE", "true", "True")] == [True] * 6
    assert [boolean.parse(word) for word in ("0", "f", "F", "FALSE", "false", "False")] == [False] * 6
    for word in ("", "yes", "on", "tRUE", " true"):
        with pytest.raises(ValueError, match="write true or false"):
            boolean.parse(word)
        assert not boolean.is_true(word)
    assert boolean.is_true("T")
    assert not boolean.is_true("F")


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("20s", 20_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("-1.5s", -1_500_000_000),
        ("+.5ms", 500_000),
        ("1.h", 3_600_000_000_000),
        ("1us", 1_000),
        ("1µs", 1_000),
        ("1.9ns", 1),
    ],
)
def test_durations_are_read(text: str, nanoseconds: int) -> None:
    assert duration.parse(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "20", "s", ".s", "1d", "1s ", "1 s", "-", "1s2", "99999999h", "١s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        duration.parse(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (200_000_000, "200ms"),
        (1_500_000_000, "1.5s"),
        (20_000_000_000, "20s"),
        (90_000_000_000, "1m30s"),
        (172_800_000_000_000, "48h0m0s"),
        (-61_000_000_001, "-1m1.000000001s"),
    ],
)
def test_durations_are_written_as_go_writes_them(nanoseconds: int, text: str) -> None:
    assert duration.write(nanoseconds) == text


@given(st.integers(-(1 << 63) + 1, (1 << 63) - 1))
def test_a_written_duration_reads_back(nanoseconds: int) -> None:
    assert duration.parse(duration.write(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("text", "amount"),
    [("0", 0), ("1k", 1024), ("2g", 2 << 30), ("512MB", 512 << 20), ("1.5 GiB", 3 << 29), ("7b", 7), (".5k", 512)],
)
def test_sizes_are_read_in_powers_of_1024(text: str, amount: int) -> None:
    assert size.parse(text) == amount


@pytest.mark.parametrize("text", ["", "g", "1x", "-1k", "1kbb", "1 k b"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid size"):
        size.parse(text)


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0B"), (1023, "1023B"), (512_000_000, "488.3MiB"), (1 << 34, "16GiB")]
)
def test_sizes_are_written_with_four_digits(amount: int, text: str) -> None:
    assert size.write(amount) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("--debug  --a=b\t-x", ("--debug", "--a=b", "-x")),
        ('--a=\'b c\' "d \\" e"', ("--a=b c", 'd " e')),
        ("a\\ b", ("a b",)),
        ('"a\\nb"', ("anb",)),
        ("'a\\'", ("a\\",)),
        ("a #comment\nb", ("a", "b")),
        ("a#b", ("a#b",)),
        ("''", ("",)),
    ],
)
def test_arguments_are_split_as_shlex_of_google_splits_them(text: str, words: tuple[str, ...]) -> None:
    assert shellwords.split(text) == words


@pytest.mark.parametrize("text", ["'a", '"a', "a\\", '"a\\'])
def test_an_open_quote_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        shellwords.split(text)
