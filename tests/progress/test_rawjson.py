"""JSON lines: byte for byte what buildx writes for the same updates."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from buildwright.model.status import ProgressGroup, StatusUpdate, Vertex, VertexStatus
from buildwright.progress.rawjson import encode, timestamp
from tests.progress.recording import DATA, decode
from tests.progress.status_strategies import any_times, updates


@pytest.mark.parametrize("name", ["pulled", "cached", "failing", "canceled", "multiplexed"])
def test_a_recorded_stream_is_written_as_it_was_read(name):
    for recorded in (DATA / f"{name}.jsonl").read_bytes().splitlines():
        line = recorded.partition(b'"status":')[2].removesuffix(b"}")
        assert encode(decode(json.loads(line))) == line + b"\n"


def test_warnings_are_written_but_for_the_graph_of_their_source():
    for recorded in (DATA / "warnings.jsonl").read_text().splitlines():
        status = json.loads(recorded)["status"]
        for warning in status.get("warnings", ()):
            del warning["sourceInfo"]["definition"]
        assert json.loads(encode(decode(status))) == status


def test_text_is_escaped_as_go_does():
    vertex = Vertex(digest="a", name='<&> "\\" \u2028 \x01\x7f \b\f\n é 😀 \udc80')
    assert encode(StatusUpdate(vertexes=(vertex,))).decode() == (
        r'{"vertexes":[{"digest":"a","name":"\u003c\u0026\u003e \"\\\" \u2028 \u0001' + "\x7f"
        r' \b\f\n é 😀 \ufffd"}]}' + "\n"
    )


def test_empty_fields_are_left_out_but_for_those_that_go_keeps():
    update = StatusUpdate(
        vertexes=(Vertex(digest="a", progress_group=ProgressGroup(id="", weak=False)),),
        statuses=(VertexStatus(id="", vertex="a"),),
    )
    assert encode(update) == (
        b'{"vertexes":[{"digest":"a","progressGroup":{}}],'
        b'"statuses":[{"id":"","vertex":"a","current":0,"timestamp":"1970-01-01T00:00:00Z"}]}\n'
    )
    assert encode(StatusUpdate()) == b"{}\n"


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_780_000_000_120_000_000, "2026-05-28T20:26:40.12Z"),
        (1_780_000_000_000_000_001, "2026-05-28T20:26:40.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (-62_135_596_800 * 10**9, "0001-01-01T00:00:00Z"),
        (10**30, "9999-12-31T23:59:59Z"),
    ],
)
def test_times_have_as_many_digits_as_they_need(nanoseconds, text):
    assert timestamp(nanoseconds) == text


@settings(deadline=None)
@given(any_times)
def test_any_time_can_be_written(nanoseconds):
    assert timestamp(nanoseconds).endswith("Z")


@settings(deadline=None, max_examples=50)
@given(updates())
def test_an_update_is_one_line_that_reads_back(update):
    line = encode(update)
    assert line.count(b"\n") == 1
    assert encode(decode(json.loads(line))) == line
