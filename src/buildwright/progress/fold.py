"""The one fold of progress: status updates in, the steps of a build out. No I/O and no clock.

A *step* is what a person sees: one vertex, or one progress group whose member vertices are shown as one. Steps are
found by digest; a member's digest leads to its group's step. A step appears in `started` when it first starts (a
group: when its first member that is not weak starts), and that order is the order on the terminal.

A vertex can run several times in a build; each run is an interval, known by its start, and a later report of the
same start replaces the earlier one. Intervals that overlap are merged, so time is never counted twice.

What is folded, and how, follows BuildKit v0.29 util/progress/progressui/display.go (trace.update), because the text
that people and tools know comes out of these rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from buildwright.model.status import ProgressGroup, StatusUpdate, Vertex, VertexLog, VertexStatus, VertexWarning
from buildwright.progress.units import log_time

Interval: TypeAlias = tuple[int, int | None]
"""Start and stop in nanoseconds of the daemon's clock; the stop is None while running."""

CANCELED = "context canceled"
"""How the error of a vertex ends when the build was cancelled and the vertex itself did not fail."""

_OUTPUT_LIMIT = 64 << 10
_OUTPUT_KEPT = 16 << 10


@dataclass(slots=True, eq=False)
class Step:
    """One step. Only `Fold` writes it, but for `lines` and `output`: a display takes from them what it has shown."""

    digest: str
    name: str = ""
    cached: bool = False
    error: str = ""
    hidden: bool = False
    """True for a group of which only weak members have started."""
    listed: bool = False
    """True once it is one of the fold's `started`."""
    digests: int = 1
    """How many digests lead here; more than one for a group."""
    revision: int = 0
    """Grows with every change, so that what was made from a step can be kept until then."""
    intervals: dict[int, int | None] = field(default_factory=dict)
    spans: tuple[Interval, ...] = ()
    statuses: dict[str, VertexStatus] = field(default_factory=dict)
    tasks: list[str] = field(default_factory=list)
    """The ids of those statuses that have started, in order of their start."""
    warnings: list[VertexWarning] = field(default_factory=list)
    lines: list[bytes | bytearray] = field(default_factory=list)
    """Output as lines, each after the seconds since the step started; the last one is open while `partial`."""
    partial: bool = False
    output: bytearray = field(default_factory=bytearray)
    """The newest output as it came, at most 64 KiB, when the fold keeps output."""
    output_size: int = 0
    members: dict[str, Vertex] | None = None
    reported: Vertex | None = None

    @property
    def started(self) -> bool:
        return bool(self.spans)

    @property
    def completed(self) -> bool:
        return bool(self.spans) and self.spans[-1][1] is not None

    @property
    def canceled(self) -> bool:
        return self.error.endswith(CANCELED)

    @property
    def failed(self) -> bool:
        return bool(self.error) and not self.canceled

    def duration(self, at: int) -> int:
        """Nanoseconds that the step ran until `at`."""
        return sum((at if stop is None else stop) - start for start, stop in self.spans)


class Fold:
    """Accumulates the updates of one build (or of several builds that are shown as one).

    `keep_output` also keeps the newest output of each step as it came, for a display with log windows.
    """

    __slots__ = ("_groups", "_keep_output", "began", "skew", "started", "steps")

    def __init__(self, *, keep_output: bool = False) -> None:
        self.steps: dict[str, Step] = {}
        self.started: list[Step] = []
        self.began: int | None = None
        """When the build began by the daemon's clock."""
        self.skew: int | None = None
        """What to subtract from the local clock to get the daemon's; known when the first step has started."""
        self._groups: dict[str, Step] = {}
        self._keep_output = keep_output

    def apply(self, update: StatusUpdate, now: int) -> dict[Step, int]:
        """Fold one update in that arrived at `now` (nanoseconds of any clock that only moves forward).

        Returns the steps that changed, each with the number of changes. What refers to unknown vertices is left out.
        """
        changes: dict[Step, int] = {}
        groups: dict[str, Step] = {}
        for vertex in update.vertexes:
            if self.began is None:
                self.began = vertex.started
            if vertex.progress_group is not None:
                groups[vertex.progress_group.id] = self._join(vertex.progress_group, vertex)
            else:
                self._apply_vertex(vertex, now, changes)
        for step in groups.values():
            self._apply_group(step, now, changes)
        for status in update.statuses:
            self._apply_status(status, changes)
        for warning in update.warnings:
            if warned := self.steps.get(warning.vertex):
                warned.warnings.append(warning)
                warned.revision += 1
        for log in update.logs:
            self._apply_log(log, changes)
        return changes

    def counts(self) -> tuple[int, int]:
        """How many vertices have completed, and how many there are. A group counts with its members."""
        completed = total = 0
        for step in self._visible():
            total += step.digests
            completed += step.digests if step.completed else 0
        return completed, total

    def running(self) -> Step | None:
        """The first visible step that runs, None when none does."""
        return next((step for step in self.started if not step.completed), None)

    def failed(self, vertex: str = "") -> list[Step]:
        """The steps that failed, in order of their start; `vertex` (a digest) is one of them unless it is unknown."""
        known = self.steps.get(vertex)
        return [step for step in self.started if step.failed or (step is known and not step.error)]

    def cancellation(self, now: int) -> StatusUpdate:
        """What a daemon reports of a build that was cancelled at `now`: the vertices that run end so."""
        at = now - (self.skew or 0)
        reported = (step.members.values() if step.members else (step.reported,) for step in self.started)
        return StatusUpdate(
            vertexes=tuple(
                replace(vertex, completed=max(at, vertex.started), error=CANCELED)
                for vertices in reported
                for vertex in vertices
                if vertex is not None and vertex.started is not None and vertex.completed is None
            )
        )

    def _visible(self) -> Iterable[Step]:
        return (step for digest, step in self.steps.items() if digest == step.digest and not step.hidden)

    def _apply_vertex(self, vertex: Vertex, now: int, changes: dict[Step, int]) -> None:
        step = self.steps.get(vertex.digest)
        if step is None:
            step = self.steps[vertex.digest] = Step(vertex.digest)
        was_started = step.started
        if vertex.started is not None:
            if _differs(vertex, step.reported):
                _count(changes, step)
            step.reported = vertex
            if not was_started:
                self._read_clock(vertex.started, now)
                self._list(step)
            step.intervals[vertex.started] = vertex.completed
            step.spans = merge(step.intervals.items())
        if vertex.started is not None or not was_started:
            step.name, step.cached, step.error = vertex.name, vertex.cached, vertex.error
            step.revision += 1

    def _read_clock(self, started: int, now: int) -> None:
        if self.skew is None:
            self.skew = now - started

    def _list(self, step: Step) -> None:
        if not step.listed:
            step.listed = True
            self.started.append(step)

    def _join(self, group: ProgressGroup, vertex: Vertex) -> Step:
        step = self._groups.get(group.id)
        if step is None:
            step = Step(group.id, group.name, hidden=True, members={})
            self._groups[group.id] = self.steps[group.id] = step
        if self.steps.get(vertex.digest) is not step:
            self.steps[vertex.digest] = step
            step.digests += 1
        assert step.members is not None
        step.members[vertex.digest] = vertex
        return step

    def _apply_group(self, step: Step, now: int, changes: dict[Step, int]) -> None:
        members = (step.members or {}).values()
        before = (dict(step.intervals), step.cached, step.error, step.hidden)
        first = None if step.started else min((m.started for m in members if m.started is not None), default=None)
        for member in members:
            if member.started is not None:
                step.intervals[member.started] = member.completed
                if member.progress_group is not None and not member.progress_group.weak:
                    step.hidden = False
            if step.error:
                step.hidden = False
            step.error = step.error or member.error
        step.cached = all(member.cached for member in members)
        step.spans = merge(step.intervals.items())
        if first is not None:
            self._read_clock(first, now)
        if before == (step.intervals, step.cached, step.error, step.hidden):
            return
        step.revision += 1
        if not step.hidden:
            _count(changes, step)
            if before[3]:
                self._list(step)

    def _apply_status(self, status: VertexStatus, changes: dict[Step, int]) -> None:
        step = self.steps.get(status.vertex)
        if step is None:
            return
        before = step.statuses.get(status.id)
        if status.started is not None and (before is None or before.started is None) and status.id not in step.tasks:
            step.tasks.append(status.id)
        step.statuses[status.id] = status
        step.revision += 1
        _count(changes, step)

    def _apply_log(self, log: VertexLog, changes: dict[Step, int]) -> None:
        step = self.steps.get(log.vertex)
        if step is None or not log.data:
            return
        if self._keep_output:
            step.output += log.data
            step.output_size += len(log.data)
            if len(step.output) > _OUTPUT_LIMIT:
                cut = len(step.output) - _OUTPUT_KEPT
                del step.output[: step.output.find(b"\n", cut) + 1 or cut]
        pieces = log.data.split(b"\n")
        ends = not pieces[-1]
        if ends:
            pieces.pop()
        if step.partial and step.lines:
            open_line = step.lines[-1]
            if isinstance(open_line, bytes):
                # A bytearray grows in place: a line may come byte by byte.
                open_line = step.lines[-1] = bytearray(open_line)
            open_line += pieces.pop(0)
        if pieces:
            prefix = log_time(log.timestamp - step.spans[-1][0] if step.spans else 0)
            step.lines += [prefix + piece for piece in pieces]
        step.partial = not ends
        step.revision += 1
        _count(changes, step)


def merge(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Join intervals that overlap or touch, in order of their start; one that runs takes in all that start later."""
    merged: list[Interval] = []
    for start, stop in sorted(intervals, key=_start_of):
        if not merged:
            merged.append((start, stop))
            continue
        last_start, last_stop = merged[-1]
        if last_stop is None:
            break
        if last_stop < start:
            merged.append((start, stop))
        elif stop is None or stop > last_stop:
            merged[-1] = (last_start, stop)
    return tuple(merged)


def _start_of(interval: Interval) -> int:
    return interval[0]


def _count(changes: dict[Step, int], step: Step) -> None:
    changes[step] = changes.get(step, 0) + 1


def _differs(vertex: Vertex, before: Vertex | None) -> bool:
    return (
        before is None
        or vertex.completed is not None
        or (vertex.name, vertex.started, vertex.cached, vertex.error)
        != (before.name, before.started, before.cached, before.error)
    )
