"""Metadata and deadlines as header fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.errors import UsageError
from buildwright.wire import metadata

keys = st.text("abcxyz019-_.", min_size=1, max_size=10).filter(
    lambda key: not key.endswith("-bin") and key not in metadata.RESERVED
)
texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30).map(lambda text: text.strip(" "))


@given(st.lists(st.one_of(st.tuples(keys, texts), st.tuples(keys.map("{}-bin".format), st.binary(max_size=40)))))
def test_metadata_survives_the_way(pairs):
    assert metadata.decode(metadata.encode(pairs)) == pairs


@pytest.mark.parametrize("text", ["AQI", "AQI=", " AQI= "])
def test_binary_values_need_no_padding(text):
    assert metadata.decode([("a-bin", text)]) == [("a-bin", b"\x01\x02")]


def test_binary_values_may_be_joined_by_commas():
    assert metadata.decode([("a-bin", "AQI,AQI=, Aw")]) == [
        ("a-bin", b"\x01\x02"),
        ("a-bin", b"\x01\x02"),
        ("a-bin", b"\3"),
    ]


def test_a_binary_value_that_is_no_base64_is_dropped():
    assert metadata.decode([("a-bin", "?"), ("b", "kept")]) == [("b", "kept")]


def test_fields_of_the_protocol_are_no_metadata():
    fields = [(":path", "/"), ("content-type", "x"), ("te", "trailers"), ("grpc-status", "0"), ("user-agent", "x")]
    assert metadata.decode([*fields, ("own", "1")]) == [("own", "1")]


@pytest.mark.parametrize(
    "pair",
    [
        ("", "x"),
        ("Upper", "x"),
        (":path", "x"),
        ("grpc-timeout", "1S"),
        ("te", "x"),
        ("a b", "x"),
        ("key", "new\nline"),
        ("key", "nö"),
        ("key", b"bytes"),
    ],
)
def test_what_a_header_cannot_carry_is_refused(pair):
    with pytest.raises(UsageError):
        metadata.encode([pair])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1e-09, "1n"),
        (-5, "1n"),
        (0.05, "50000000n"),
        (1, "1000000u"),
        (120, "120000m"),
        (1000000.0, "1000000S"),
        (1000000000.0, "16666666M"),
        (1000000000000.0, "99999999H"),
    ],
)
def test_deadlines_take_the_finest_unit_that_fits(seconds, text):
    assert metadata.encode_timeout(seconds) == text


@given(st.floats(1e-6, 1e10))
def test_deadlines_survive_the_way(seconds):
    again = metadata.decode_timeout(metadata.encode_timeout(seconds))
    assert again == pytest.approx(seconds, rel=1e-2)


@pytest.mark.parametrize("text", ["", "S", "1", "1x", "123456789S", "-1S", "1.5S", "²S", " 1S"])
def test_malformed_deadlines_are_noticed(text):
    assert metadata.decode_timeout(text) is None
