"""The fold: which steps there are, in which order, how long they ran and what they said."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from buildwright.model.status import ProgressGroup, StatusUpdate, Vertex, VertexLog, VertexStatus, VertexWarning
from buildwright.progress.fold import Fold, Step, merge
from tests.progress.status_strategies import updates

SECOND = 1_000_000_000


def fold(*parts: Vertex | VertexStatus | VertexLog | VertexWarning, state: Fold | None = None) -> Fold:
    """Fold each part in as an update of its own."""
    state = state or Fold()
    fields = {Vertex: "vertexes", VertexStatus: "statuses", VertexLog: "logs", VertexWarning: "warnings"}
    for part in parts:
        state.apply(StatusUpdate(**{fields[type(part)]: (part,)}), 0)
    return state


def vertex(digest: str = "a", started: int | None = 1, **fields: object) -> Vertex:
    return Vertex(digest=digest, name=f"step {digest}", started=started, **fields)


def log(data: bytes, *, at: int = 1, digest: str = "a") -> VertexLog:
    return VertexLog(vertex=digest, timestamp=at, stream=1, data=data)


def facts(state: Fold) -> object:
    """All that a display can see of a state."""
    names = [name for name in Step.__slots__ if name not in ("revision", "reported", "lines")]
    steps = {digest: [getattr(step, name) for name in names] for digest, step in state.steps.items()}
    lines = {digest: [bytes(line) for line in step.lines] for digest, step in state.steps.items()}
    return steps, lines, [step.digest for step in state.started], state.began, state.skew, state.counts()


def test_steps_are_in_the_order_of_their_start_not_of_their_announcement():
    state = fold(vertex("a", None), vertex("b", None), vertex("b", 5), vertex("a", 6))
    assert [step.digest for step in state.started] == ["b", "a"]


def test_a_step_that_runs_twice_has_the_time_of_both_runs():
    state = fold(vertex(started=0, completed=2 * SECOND), vertex(started=10 * SECOND))
    step = state.steps["a"]
    assert not step.completed
    assert step.duration(13 * SECOND) == 5 * SECOND
    fold(vertex(started=10 * SECOND, completed=14 * SECOND), state=state)
    assert step.completed
    assert step.duration(99 * SECOND) == 6 * SECOND


def test_a_late_announcement_does_not_undo_a_start():
    state = fold(vertex(started=1), vertex(started=None, cached=True))
    assert not state.steps["a"].cached


def test_what_refers_to_an_unknown_vertex_is_left_out():
    lost = [log(b"x"), VertexStatus(id="s", vertex="a"), VertexWarning(vertex="a", level=1, short="w")]
    assert fold(*lost).steps == {}


def test_lines_carry_the_seconds_since_the_step_started():
    step = fold(
        vertex(started=0),
        log(b"soon\n", at=SECOND // 1000 * 117),
        log(b"later\n", at=12 * SECOND),
        log(b"late\n", at=SECOND * 100),
    ).steps["a"]
    assert step.lines == [b"0.117 soon", b"12.00 later", b"100.0 late"]


def test_a_line_may_come_in_pieces():
    step = fold(vertex(), log(b"one t"), log(b"w"), log(b"o\nthree"), log(b"")).steps["a"]
    assert step.lines == [b"0.000 one two", b"0.000 three"]
    assert step.partial


def test_output_is_kept_up_to_a_limit_and_cut_at_a_line():
    state = fold(vertex(), state=Fold(keep_output=True))
    for _ in range(100):
        fold(log(b"0123456789\n" * 1000), state=state)
    step = state.steps["a"]
    assert step.output_size == 1_100_000
    assert len(step.output) <= 64 << 10
    assert step.output.startswith(b"0123456789\n")


def test_a_task_is_shown_from_its_start_and_replaced_by_each_report():
    reports = [VertexStatus(id="s", vertex="a", started=started, current=n) for n, started in enumerate((None, 5, 5))]
    step = fold(vertex(), *reports).steps["a"]
    assert step.tasks == ["s"]
    assert step.statuses["s"].current == 2


def test_the_members_of_a_group_are_one_step():
    group = ProgressGroup(id="g", name="group")
    state = fold(
        vertex("a", 1, completed=5, progress_group=group, cached=True),
        vertex("b", 3, completed=9, progress_group=group, error="broken"),
        log(b"from b\n", digest="b", at=1),
    )
    (step,) = state.started
    assert (step.name, step.error, step.cached, step.duration(0)) == ("group", "broken", False, 8)
    assert step.lines == [b"0.000 from b"]
    assert state.counts() == (3, 3)


def test_a_group_of_weak_members_stays_hidden_until_a_strong_one_starts():
    weak, strong = ProgressGroup(id="g", name="group", weak=True), ProgressGroup(id="g", name="group")
    state = fold(vertex("a", 1, progress_group=weak), vertex("b", None, progress_group=strong))
    assert (state.started, state.counts()) == ([], (0, 0))
    fold(vertex("b", 2, progress_group=strong), state=state)
    assert [step.name for step in state.started] == ["group"]


def test_a_canceled_step_has_not_failed():
    state = fold(vertex("a", error="process: context canceled"), vertex("b", error="exit code: 1"), vertex("c"))
    assert [step.digest for step in state.failed()] == ["b"]
    assert [step.digest for step in state.failed("c")] == ["b", "c"]
    assert [step.digest for step in state.failed("unknown")] == ["b"]


def test_the_daemons_clock_is_read_off_the_first_start():
    state = Fold()
    state.apply(StatusUpdate(vertexes=(vertex(started=500),)), 80)
    state.apply(StatusUpdate(vertexes=(vertex("b", 900),)), 1000)
    assert (state.skew, state.began) == (-420, 500)


moments = st.integers(0, 20)
intervals = st.lists(st.tuples(moments, st.none() | moments).filter(lambda i: i[1] is None or i[0] <= i[1]))


@given(intervals)
def test_merged_intervals_cover_the_same_moments_once(given_intervals):
    def covered(spans):
        return {t for start, stop in spans for t in range(2 * start, 2 * (30 if stop is None else stop) + 1)}

    merged = merge(given_intervals)
    assert covered(merged) == covered(given_intervals)
    assert all(stop is not None and stop < start for (_, stop), (start, _) in pairwise(merged))


@settings(deadline=None, max_examples=50)
@given(st.lists(updates(st.none()), max_size=5), st.data())
def test_the_cut_of_a_stream_into_updates_does_not_matter(stream, data):
    whole, cut = Fold(), Fold()
    for update in stream:
        whole.apply(update, 7)
        at = data.draw(st.integers(0, len(update.vertexes)))
        for part in (
            StatusUpdate(vertexes=update.vertexes[:at]),
            StatusUpdate(vertexes=update.vertexes[at:]),
            StatusUpdate(statuses=update.statuses),
            StatusUpdate(warnings=update.warnings, logs=update.logs[:at]),
            StatusUpdate(logs=update.logs[at:]),
        ):
            cut.apply(part, 7)
    assert facts(whole) == facts(cut)


@settings(deadline=None, max_examples=50)
@given(st.lists(updates(), max_size=6))
def test_completed_never_exceeds_the_total_and_started_steps_are_known(stream):
    state = Fold()
    for update in stream:
        changed = state.apply(update, 7)
        assert all(step.started or step.digest in state.steps for step in changed)
        completed, total = state.counts()
        assert 0 <= completed <= total
        assert len(set(map(id, state.started))) == len(state.started)
