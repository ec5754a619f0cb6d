"""Frames: compared with what BuildKit's display leaves on a terminal, and safe for any state and any size."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildwright.model.status import ProgressGroup, StatusUpdate, Vertex, VertexLog, VertexStatus, VertexWarning
from buildwright.progress.cells import width
from buildwright.progress.fold import Fold
from buildwright.progress.terminal import Line, Style, Terminal, Windows, draw, rows_of
from buildwright.progress.view import End
from tests.progress.recording import DATA, load, play
from tests.progress.screen import Screen
from tests.progress.status_strategies import updates

SECOND = 1_000_000_000
NAMES = ["pulled", "cached", "failing", "warnings", "canceled", "multiplexed"]


def vertex(digest: str = "a", started: int | None = 0, **fields: object) -> StatusUpdate:
    return StatusUpdate(vertexes=(Vertex(digest=digest, name=f"step {digest}", started=started, **fields),))


def log(data: bytes, digest: str = "a") -> StatusUpdate:
    return StatusUpdate(logs=(VertexLog(vertex=digest, timestamp=0, stream=1, data=data),))


def folded(*stream: StatusUpdate) -> Fold:
    state = Fold(keep_output=True)
    for update in stream:
        state.apply(update, 0)
    return state


def frame(state: Fold, size: tuple[int, int] = (60, 24), *, now: int = 0, **options: object) -> list[Line]:
    rows = [row for step in state.started for row in rows_of(step)]
    return draw(state, rows, Windows(), now, size, **options)


def texts(state: Fold, size: tuple[int, int] = (60, 24), **options: object) -> list[str]:
    return [line.text.rstrip() for line in frame(state, size, **options)]


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_build_leaves_the_same_on_the_terminal_at_any_moment(name):
    expected = json.loads((DATA / f"{name}.screens.json").read_text())
    screen = Screen(80, 24, strict=False)
    screen.feed(b"$ build\n")
    view = Terminal(lambda: (80, 24), "remote:bed", {})
    seen = {}
    for at, text in play(view, load(name)):
        screen.feed(text)
        seen[str(at // 1_000_000)] = screen.text()
    assert {at: seen.get(at) for at in expected} == expected
    assert screen.cursor_visible


def test_times_stand_at_the_right_end_and_grow_while_a_step_runs():
    state = folded(vertex("a", 0, completed=SECOND // 25), vertex("b", SECOND))
    assert texts(state, (40, 9), now=3 * SECOND + SECOND // 2, label="remote:bed") == [
        "[+] Building 3.5s (1/2)      remote:bed",
        " => step a                         0.0s",
        " => step b                         2.5s",
    ]


def test_states_have_words_and_colors():
    state = folded(
        vertex("a", completed=1, cached=True),
        vertex("b", completed=1, error="exit code: 1"),
        vertex("c", completed=1, error="x: context canceled"),
        vertex("d"),
    )
    named = [(line.text.split("  ")[0], line.style) for line in frame(state)[1:]]
    assert named == [
        (" => CACHED step a", Style.DONE),
        (" => ERROR step b", Style.FAILED),
        (" => CANCELED step c", Style.CANCELED),
        (" => step d", Style.NONE),
    ]


def test_only_the_end_of_a_complete_build_says_finished():
    state = folded(vertex(completed=1))
    assert "FINISHED" not in texts(state)[0]
    assert texts(state, final=True)[0] == "[+] Building 0.0s (1/1) FINISHED"
    assert "FINISHED" not in texts(folded(vertex()), final=True)[0]


def test_tasks_and_warnings_stand_below_their_step():
    status = VertexStatus(id="layer", vertex="a", current=5_500_000, total=11_000_000, started=0)
    warning = VertexWarning(vertex="a", level=1, short="careful")
    state = folded(vertex(), StatusUpdate(statuses=(status,), warnings=(warning,)))
    assert [" ".join(text.split()) for text in texts(state)[1:]] == [
        "=> step a 0.0s",
        "=> => layer 5.50MB / 11.00MB 0.0s",
        "=> WARN: careful 0.0s",
    ]


def test_the_newest_output_of_a_running_step_is_in_a_window():
    state = folded(vertex(), log(b"".join(b"line %d\n" % n for n in range(100))))
    assert frame(state)[2:] == [Line(f" => => # line {n}", Style.OUTPUT) for n in range(94, 100)]
    state.apply(vertex(completed=1), 0)
    assert len(texts(state)) == 2


def test_more_log_lines_can_be_asked_for_when_the_terminal_has_them():
    output = log(b"".join(b"line %d\n" % n for n in range(100)))
    for height, lines in ((50, 20), (24, 17)):
        view = Terminal(lambda height=height: (60, height), "", {"BUILDKIT_TTY_LOG_LINES": "20"})
        view.apply(vertex(), 0)
        view.apply(output, 0)
        assert view.draw(0).count(b" => => # ") == lines


def test_running_steps_stay_in_sight_on_a_small_terminal():
    done = [vertex(f"done {n}", completed=1) for n in range(20)]
    state = folded(vertex("runs"), *done)
    shown = [text.split()[2] for text in texts(state, (40, 6))[1:]]
    assert shown == ["runs", "done", "done", "done"]
    assert len(texts(state, (40, 6), final=True)) == 22


def test_failed_steps_show_all_of_their_output_at_the_end():
    view = Terminal(lambda: (60, 24), "", {})
    for update in (vertex(), log(b"\x1b[31mred\x1b[0m\n" * 30), vertex(completed=0, error="exit code: 1")):
        view.apply(update, 0)
    end = view.finish(0, End())
    assert end.endswith(b"------\n > step a:\n" + b"0.000 \x1b[31mred\x1b[0m\n" * 30 + b"------\n")


def test_a_cancelled_build_leaves_no_step_running():
    group = ProgressGroup(id="g", name="group")
    view = Terminal(lambda: (60, 24), "", {})
    for update in (vertex("a"), vertex("b", progress_group=group), vertex("c", None), log(b"output\n")):
        view.apply(update, 0)
    screen = Screen(60, 24)
    screen.feed(view.finish(2 * SECOND, End(canceled=True)))
    assert [" ".join(row.split()) for row in screen.text()] == [
        "[+] Building 2.0s (3/4)",
        "=> CANCELED step a 2.0s",
        "=> CANCELED group 2.0s",
    ]


def test_names_cannot_move_the_cursor():
    state = folded(StatusUpdate(vertexes=(Vertex(digest="a", name="RUN\ta\nb\x1b[2J\x07\x9b", started=0),)))
    assert texts(state)[1].startswith(" => RUN a b[2J  ")


def test_wide_characters_count_twice():
    state = folded(StatusUpdate(vertexes=(Vertex(digest="a", name="日本" * 40, started=0),)))
    line = frame(state, (41, 9))[1].text
    assert width(line) == 40
    assert line.endswith("  0.0s")


def test_colors_are_switched_off_and_on():
    def drawn(environ: dict[str, str]) -> bytes:
        view = Terminal(lambda: (60, 24), "", environ)
        view.apply(vertex(completed=0), 0)
        return view.draw(0)

    assert b"\x1b[34m => step a" in drawn({})
    assert b"\x1b[32m => step a" in drawn({"BUILDKIT_COLORS": "run=green"})
    assert b"m => step a" not in drawn({"NO_COLOR": "1", "BUILDKIT_COLORS": "run=green"})


def test_a_frame_after_the_terminal_became_narrower_starts_where_the_last_one_did():
    size = [(80, 24)]
    view = Terminal(lambda: size[0], "", {})
    view.apply(vertex(), 0)
    assert view.draw(0).startswith(b"\x1b[?25l\r")
    assert view.draw(0).startswith(b"\x1b[?25l\x1b[2A\r")
    size[0] = (40, 24)
    assert view.draw(0).startswith(b"\x1b[?25l\x1b[4A\r")


@settings(deadline=None, max_examples=80)
@given(st.lists(updates(), max_size=5), st.integers(1, 130), st.integers(1, 40), st.integers(0, 10**12))
def test_no_state_draws_beyond_the_terminal(stream, columns, height, now):
    state = Fold(keep_output=True)
    for update in stream:
        state.apply(update, now)
    lines = frame(state, (columns, height), now=now, label="remote:bed")
    assert all(width(line.text) < max(columns, 1) or not line.text for line in lines)
    assert all(line.text.isprintable() or not line.text.isascii() for line in lines)
    assert len(lines) <= max(height - 1, 1)


@settings(deadline=None, max_examples=50)
@given(st.lists(updates(), max_size=5), st.lists(st.tuples(st.integers(20, 90), st.integers(4, 30)), min_size=1))
def test_every_frame_shows_the_cursor_again_and_leaves_the_lines_above_alone(stream, sizes):
    columns, height = sizes[0]
    screen = Screen(columns, height)
    screen.feed(b"$ build\n")
    view = Terminal(lambda: (columns, height), "remote:bed", {})
    for update in stream:
        view.apply(update, 0)
        screen.feed(view.draw(0))
        assert screen.cursor_visible
        assert not screen.wrapped
        assert screen.text()[0] == "$ build"
