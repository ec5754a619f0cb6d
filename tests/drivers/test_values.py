"""Option values are read as Go reads them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.drivers import values
from buildwright.errors import DriverOptionError


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_words_for_true(text: str) -> None:
    assert values.boolean("rootless", text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False"])
def test_words_for_false(text: str) -> None:
    assert values.boolean("rootless", text) is False


@pytest.mark.parametrize("text", ["", "yes", "no", "tRUE", "on", " true"])
def test_other_words_are_refused_with_option_and_value(text: str) -> None:
    with pytest.raises(DriverOptionError, match="rootless") as caught:
        values.boolean("rootless", text)
    assert caught.value.option == "rootless"
    assert f'"{text}"' in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90s", 90), ("2m30s", 150), ("1h", 3600), (".5s", 0.5), ("1.5m", 90), ("100ms", 0.1), ("+3s", 3)],
)
def test_durations(text: str, seconds: float) -> None:
    assert values.duration("timeout", text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "2", "2 m", "-1s", "s", "1d", "1s2", "١s", "1s "])
def test_durations_that_go_would_refuse(text: str) -> None:
    with pytest.raises(DriverOptionError, match="90s"):
        values.duration("timeout", text)


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    seconds = 0.0
    with contextlib.suppress(DriverOptionError):
        seconds = values.duration("timeout", text)
    assert seconds >= 0


@given(st.dictionaries(st.text("abcd/.", min_size=1), st.text("xyz-.")))
def test_pairs_read_back_what_was_written(wanted: dict[str, str]) -> None:
    if wanted:
        assert values.pairs("labels", ",".join(f"{key}={value}" for key, value in wanted.items())) == wanted


@pytest.mark.parametrize("text", ["", "a", "a=b,", "a=b=c", "=b"])
def test_pairs_that_are_none(text: str) -> None:
    with pytest.raises(DriverOptionError, match="key=value"):
        values.pairs("labels", text)


def test_an_unknown_option_suggests_the_nearest() -> None:
    assert "namespace" in str(values.unknown("namespcae", "kubernetes", ["namespace", "image"]))
    assert "it has a, b" in str(values.unknown("zzz", "remote", ["b", "a"]))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (20, "20 seconds"),
        (60, "About a minute"),
        (120, "2 minutes"),
        (3600, "About an hour"),
        (7200, "2 hours"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert values.human(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "less than a second"), (60, "about a minute"), (7, "7 seconds"), (3600, "about an hour")],
)
def test_a_duration_in_the_middle_of_a_sentence(seconds: float, words: str) -> None:
    assert values.spoken(seconds) == words
