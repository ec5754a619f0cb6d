"""The CSV of structured flags: what go-csvvalue takes, how it splits it, and what it refuses."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.model import csvvalue


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        ("a,", ("a", "")),
        (",", ("", "")),
        ("a b , c", ("a b ", " c")),
        ('"nodeselector=a=b,c=d",replicas=2', ("nodeselector=a=b,c=d", "replicas=2")),
        ('"a""b"', ('a"b',)),
        ('""', ("",)),
        ('"",x', ("", "x")),
        ("a\n", ("a",)),
        ("a\r\n", ("a",)),
        ("a\r", ("a\r",)),
        ('"line\nbreak"', ("line\nbreak",)),
    ],
)
def test_a_line_is_split_as_buildx_splits_it(line: str, fields: tuple[str, ...]) -> None:
    assert csvvalue.fields(line) == fields


@pytest.mark.parametrize("line", ["", "\n", 'nodeselector="a=b"', 'a,b"', '"a', '"a"b', '"a""', 'x,"'])
def test_what_buildx_refuses_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        csvvalue.fields(line)


def test_an_error_says_where_it_is() -> None:
    with pytest.raises(ValueError, match=r"^column 14: "):
        csvvalue.fields('nodeselector="a=b"')


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ('replicas=2,nodeselector="a=b,c=d"', 'quote the pair as a whole: "nodeselector=..."'),
        ('affinity={"a":1}', 'write "key={""a"":1,""b"":2}"'),
    ],
)
def test_an_error_says_how_the_quotes_are_meant(line: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        csvvalue.fields(line)


@given(st.lists(st.text(), min_size=1))
def test_what_is_joined_splits_into_the_same(values: list[str]) -> None:
    assert csvvalue.fields(csvvalue.join(values)) == tuple(values)


@given(st.text(alphabet='ab,"= \n', max_size=12))
def test_a_line_without_line_breaks_means_what_the_csv_module_says(line: str) -> None:
    try:
        fields = csvvalue.fields(line)
    except ValueError:
        return
    if "\n" not in line:
        assert [*csv.reader(io.StringIO(line), strict=True)] == [[*fields]]


def test_a_pair_is_split_at_its_first_equals_sign() -> None:
    assert csvvalue.pair("a=b=c") == ("a", "b=c")
    with pytest.raises(ValueError, match="key=value"):
        csvvalue.pair("a")
