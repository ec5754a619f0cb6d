"""Plain text, compared with what BuildKit's own display printed for the same recorded streams."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildwright.model.status import StatusUpdate, Vertex, VertexLog, VertexStatus
from buildwright.progress.plain import Plain
from buildwright.progress.view import End
from tests.progress.recording import DATA, Event, load, play
from tests.progress.status_strategies import updates

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
DESCRIPTION = 'building with "bed" instance using remote driver'


def printed(events: list[Event], description: str = "") -> str:
    return b"".join(text for _, text in play(Plain(description), events)).decode("utf-8", "replace")


def expected(name: str) -> list[str]:
    """What BuildKit prints. Where steps have equal claims to be next, its choice is random: several texts."""
    return [path.read_bytes().decode() for path in sorted(DATA.glob(f"{name}.*.txt"))]


def vertex(digest: str, started: int | None = 0, **fields: object) -> StatusUpdate:
    return StatusUpdate(vertexes=(Vertex(digest=digest, name=f"step {digest}", started=started, **fields),))


def log(digest: str, data: bytes, at: int = 0) -> StatusUpdate:
    return StatusUpdate(logs=(VertexLog(vertex=digest, timestamp=at, stream=1, data=data),))


def task(current: int, *, total: int = 0, at: int = 0, completed: int | None = None) -> StatusUpdate:
    status = VertexStatus(
        id="layer", vertex="a", current=current, total=total, timestamp=at, started=0, completed=completed
    )
    return StatusUpdate(statuses=(status,))


def at_once(*updates: StatusUpdate) -> list[Event]:
    return [Event(0, update) for update in updates]


@pytest.mark.parametrize("name", ["pulled", "failing", "warnings", "canceled", "multiplexed"])
def test_a_recorded_build_is_printed_as_buildkit_prints_it(name):
    assert printed(load(name), DESCRIPTION) in expected(name)


def test_steps_completed_in_the_same_moment_are_the_same_in_any_order():
    def blocks(text: str) -> list[str]:
        return sorted(re.sub(r"^#\d+ ", "", text, flags=re.MULTILINE).strip().split("\n\n"))

    assert blocks(printed(load("cached"), DESCRIPTION)) == blocks(expected("cached")[0])


def test_nothing_is_printed_for_a_build_without_steps():
    assert printed([], DESCRIPTION) == ""


def test_a_step_that_is_left_shows_dots_and_its_name_again():
    events = [
        Event(0, vertex("a")),
        Event(10 * MILLISECOND, log("a", b"one\n")),
        Event(400 * MILLISECOND, vertex("b", SECOND)),
        Event(500 * MILLISECOND, vertex("b", SECOND, completed=2 * SECOND)),
        Event(700 * MILLISECOND, log("a", b"two\n")),
        Event(800 * MILLISECOND, vertex("a", completed=SECOND)),
    ]
    assert printed(events).split("\n\n") == [
        "#1 step a\n#1 0.000 one\n#1 ...",
        "#2 step b\n#2 DONE 1.0s",
        "#1 step a\n#1 0.000 two\n#1 DONE 1.0s\n",
    ]


def test_a_quiet_step_gets_its_turn_after_ten_seconds_beside_a_loud_one():
    loud = [Event(n * 100 * MILLISECOND, log("a", b"loud\n")) for n in range(1, 120)]
    text = dict(play(Plain(), [*at_once(vertex("a"), vertex("b"), log("b", b"quiet\n")), *loud]))
    (turn,) = (at for at, piece in text.items() if b"quiet" in piece)
    assert turn > 10 * SECOND


def test_a_line_that_is_open_is_printed_at_once_and_goes_on_where_it_was():
    view = Plain()
    view.apply(vertex("a"), 0)
    view.apply(log("a", b"dots ."), 0)
    assert view.draw(0) == b"#1 step a\n#1 0.000 dots ."
    view.apply(log("a", b".."), 0)
    assert view.draw(0) == b".."
    view.apply(log("a", b".\nnext"), 0)
    view.apply(vertex("a", completed=0), 0)
    assert view.draw(0) == b".\n#1 0.000 next\n#1 DONE 0.0s\n"


def test_an_open_line_ends_when_another_step_is_printed():
    view = Plain()
    view.apply(vertex("a"), 0)
    view.apply(log("a", b"dots ."), 0)
    view.draw(0)
    view.apply(log("a", b"\n"), 1)
    view.apply(vertex("b", completed=0), 1)
    assert view.draw(1) == b"\n#1 ...\n\n#2 step b\n#2 DONE 0.0s\n\n#1 step a\n#1 0.000 dots .\n"


def test_a_cancelled_build_leaves_no_step_running():
    view = Plain()
    view.apply(vertex("a", completed=SECOND), 0)
    view.apply(vertex("b"), 0)
    view.apply(log("b", b"open"), 0)
    assert view.finish(2 * SECOND, End(canceled=True)).endswith(b"#2 step b\n#2 0.000 open\n#2 CANCELED\n")


def test_the_last_ten_lines_of_a_failed_step_are_repeated_with_an_open_one():
    output = b"".join(b"%d\n" % n for n in range(20)) + b"open"
    text = printed(at_once(vertex("a"), log("a", output), vertex("a", completed=0, error="exit code: 1")))
    tail = "".join(f"0.000 {n}\n" for n in range(11, 20)) + "0.000 open\n"
    assert text.endswith(f"#1 0.000 open\n#1 ERROR: exit code: 1\n------\n > step a:\n{tail}------\n")


def test_a_task_is_printed_when_it_moved_by_a_twentieth_or_after_five_seconds():
    steps = [
        (0, task(10, total=1000)),
        (200, task(50, total=1000, at=SECOND)),
        (400, task(70, total=1000, at=2 * SECOND)),
        (600, task(71, total=1000, at=7 * SECOND)),
        (800, task(72, total=1000, at=8 * SECOND, completed=8 * SECOND)),
    ]
    events = [Event(0, vertex("a")), *(Event((n + 150) * MILLISECOND, update) for n, update in steps)]
    assert printed(events).splitlines()[1:] == [
        "#1 layer 10B / 1.00kB",
        "#1 layer 70B / 1.00kB 2.0s",
        "#1 layer 71B / 1.00kB 7.0s",
        "#1 layer 72B / 1.00kB 8.0s done",
    ]


def test_long_names_are_cut_only_on_demand():
    update = StatusUpdate(vertexes=(Vertex(digest="a", name="n" * 100, started=0),))
    for environ, name in (({}, "n" * 100), ({"PROGRESS_NO_TRUNC": "0"}, "n" * 72 + "...")):
        view = Plain("", environ)
        view.apply(update, 0)
        assert view.draw(0).decode() == f"#1 {name}\n"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 12_000), updates()), max_size=6))
def test_any_stream_is_printed_and_no_step_has_two_numbers(stream):
    now = 0
    view = Plain()
    for gap, update in stream:
        now += gap * MILLISECOND
        view.apply(update, now)
        view.draw(now)
    text = view.finish(now + 2, End())
    assert text.count(b"------\n > ") == len(view.fold.failed())
