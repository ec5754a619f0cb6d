"""Status messages as frozen values, and the daemon's clock."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from buildwright.client.status import CLOCK_HEADER, clock_skew, status_update
from buildwright.model.status import ProgressGroup, SourceInfo, SourceRange
from buildwright.wire.proto import control_pb2

SECOND = 1_000_000_000


def message() -> control_pb2.StatusResponse:
    told = control_pb2.StatusResponse()
    vertex = told.vertexes.add(digest="sha256:a", inputs=["sha256:b"], name="[1/2] FROM x", cached=True, error="no")
    vertex.started.seconds = 10
    vertex.started.nanos = 5
    vertex.progressGroup.id = "g"
    told.vertexes.add(digest="sha256:c")
    status = told.statuses.add(ID="layer", vertex="sha256:a", current=3, total=9)
    status.timestamp.seconds = 11
    told.logs.add(vertex="sha256:a", stream=2, msg=b"\xff\n").timestamp.seconds = 12
    warning = told.warnings.add(
        vertex="sha256:a", level=1, short=b"careful", detail=[b"why"], url="https://x.example"
    )
    warning.info.filename = "Dockerfile"
    warning.ranges.add().start.line = 4
    return told


def test_every_part_of_a_message_is_kept() -> None:
    update = status_update(message())
    first, second = update.vertexes
    assert (first.digest, first.inputs, first.cached, first.error) == ("sha256:a", ("sha256:b",), True, "no")
    assert first.progress_group == ProgressGroup(id="g")
    assert second.progress_group is None
    assert (update.statuses[0].id, update.statuses[0].current, update.statuses[0].total) == ("layer", 3, 9)
    assert (update.logs[0].stream, update.logs[0].data) == (2, b"\xff\n")
    warning = update.warnings[0]
    assert (warning.short, warning.detail, warning.url) == ("careful", ("why",), "https://x.example")
    assert warning.source == SourceInfo("Dockerfile", b"")
    assert warning.ranges == (SourceRange(4, 0, 0, 0),)


def test_what_has_not_happened_has_no_time() -> None:
    vertex = status_update(message()).vertexes[0]
    assert vertex.started == 10 * SECOND + 5
    assert vertex.completed is None


def test_times_are_moved_by_the_skew() -> None:
    update = status_update(message(), skew=-SECOND)
    assert update.vertexes[0].started == 9 * SECOND + 5
    assert update.statuses[0].timestamp == 10 * SECOND
    assert update.logs[0].timestamp == 11 * SECOND


def test_a_daemon_that_is_an_hour_behind_has_a_skew_of_an_hour() -> None:
    metadata = [("content-type", "application/grpc"), (CLOCK_HEADER, "1970-01-01T02:00:00.000000250+01:00")]
    assert clock_skew(metadata, 2 * 3600 * SECOND) == 3600 * SECOND


def test_a_daemon_that_does_not_tell_the_time_has_no_skew() -> None:
    assert clock_skew([], 5) == 0
    assert clock_skew([(CLOCK_HEADER, "yesterday")], 5) == 0
    assert clock_skew([(CLOCK_HEADER, "2024-01-01T00:00:00")], 5) == 0


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1)), st.integers(0, 999_999_999))
def test_a_daemon_with_our_clock_has_no_skew(moment: datetime, nanos: int) -> None:
    now = (moment.replace(microsecond=0) - datetime(1970, 1, 1)) // timedelta(seconds=1) * SECOND + nanos
    # The daemon writes nanoseconds, of which we read the microseconds.
    assert 0 <= clock_skew([(CLOCK_HEADER, f"{moment:%Y-%m-%dT%H:%M:%S}.{nanos:09}Z")], now) < 1000
