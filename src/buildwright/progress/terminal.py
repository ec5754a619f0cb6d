"""Progress on a terminal: steps, their tasks and the newest output of what runs, redrawn in place.

`draw` is pure: the folded state, the time and the size of the terminal give lines. `Terminal` is the view that
turns them into bytes: each frame moves up to the start of the one before, writes over it and clears what is left.
Every frame hides the cursor at its start and shows it at its end, and is written at once, so a program that ends
between two frames, however it ends, leaves a sane terminal.

What is shown follows BuildKit v0.29 util/progress/progressui/display.go; unlike it, widths are those of characters
on the screen, and nothing in a name or in output can move the cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from buildwright.model.status import StatusUpdate
from buildwright.progress.cells import align, clip, printable, width
from buildwright.progress.colors import FAINT, RESET, Palette, palette
from buildwright.progress.fold import Fold, Interval, Step
from buildwright.progress.summary import failure
from buildwright.progress.units import SECOND, amount
from buildwright.progress.view import End

if TYPE_CHECKING:
    from buildwright.progress.window import LogWindow

_HIDE = "\x1b[?25l"
_SHOW = "\x1b[?25h"
_MIN_LOG_LINES = 6
_SPARE_LINES = 3
_LOG_MARGIN = 10
_MIN_NAME = 12
_TURN_BYTES = 50
_INSTANT = SECOND // 20

Size = tuple[int, int]
"""Columns and rows."""


class Style(Enum):
    NONE = "none"
    DONE = "run"
    CANCELED = "cancel"
    FAILED = "error"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    style: Style = Style.NONE


@dataclass(slots=True)
class _Row:
    """A line that may be shown: a step, one of its tasks or warnings. `step` is set on the step's own row."""

    spans: Sequence[Interval]
    running: bool
    name: str
    status: str = ""
    style: Style = Style.NONE
    step: Step | None = None


@dataclass(slots=True)
class Windows:
    """The log windows of running steps, and how often each was shown: the shown ones tend to stay."""

    lines: int = _MIN_LOG_LINES
    by_step: dict[Step, LogWindow] = field(default_factory=dict)
    turns: dict[Step, int] = field(default_factory=dict)

    def of(self, step: Step, height: int, columns: int) -> LogWindow:
        """The step's window in this size."""
        window = self.by_step.get(step)
        if window is None:
            # A build that is all cached has no output and is mostly start-up.
            from buildwright.progress.window import LogWindow

            window = self.by_step[step] = LogWindow(height, columns)
        window.resize(height, columns)
        return window


def draw(
    state: Fold, rows: Sequence[_Row], windows: Windows, now: int, size: Size, *, label: str = "", final: bool = False
) -> list[Line]:
    """The lines of one frame, none wider than the terminal and, unless `final`, not more than fit on it.

    `now` is the local time; `label` goes to the right end of the first line. Windows that are drawn take in the
    output of their step.
    """
    columns, height = size
    shown = _choose_windows(rows, windows, size)
    if not final:
        rows = fit(rows, height - 2 - sum(map(len, shown.values())))
    at = now - (state.skew or 0)
    lines = [_header(state, at, columns, label, final)]
    for row in rows:
        line = _line(row, at, columns)
        if line is None:
            continue
        lines.append(line)
        if row.step is not None and row.step in shown:
            windows.turns[row.step] = windows.turns.get(row.step, 0) + 1
            lines += [Line(clip(f" => => # {text}", columns - 1), Style.OUTPUT) for text in shown[row.step]]
    return lines


def rows_of(step: Step) -> list[_Row]:
    """A step's own row, then its tasks and warnings."""
    name = printable(step.name)
    style = Style.DONE
    if step.canceled:
        name, style = f"CANCELED {name}", Style.CANCELED
    elif step.error:
        name, style = f"ERROR {name}", Style.FAILED
    if step.cached:
        name = f"CACHED {name}"
    running = any(stop is None for stop in step.intervals.values())
    rows = [_Row(step.spans, running, name, style=style, step=step)]
    for task in step.tasks:
        status = step.statuses[task]
        spans = () if status.started is None else ((status.started, status.completed),)
        moved = amount(status.current, status.total)
        rows.append(_Row(spans, status.completed is None, f"=> {printable(task)}", moved, Style.DONE))
    # A warning counts as running, so that it stays in sight.
    rows += [_Row(step.spans[-1:], True, f"WARN: {printable(warning.short)}") for warning in step.warnings]
    return rows


def fit(rows: Sequence[_Row], limit: int) -> Sequence[_Row]:
    """The last `limit` rows; those that run and would be cut take the places of completed ones."""
    if limit <= 0:
        return ()
    if len(rows) <= limit:
        return rows
    cut = [row for row in rows[:-limit] if row.running]
    kept: list[_Row] = []
    for position, row in enumerate(rows[-limit:]):
        if row.running or position >= len(cut):
            kept.append(row)
    free = limit - len(kept)
    return [*cut[len(cut) - free :], *kept] if free else kept


def _choose_windows(rows: Sequence[_Row], windows: Windows, size: Size) -> dict[Step, list[str]]:
    columns, height = size
    talking = [row.step for row in rows if row.running and row.step is not None and row.step.output_size]
    talking.sort(key=lambda step: step.output_size + windows.turns.get(step, 0) * _TURN_BYTES, reverse=True)
    lines = max(_MIN_LOG_LINES, min(windows.lines, height - _MIN_LOG_LINES - 1))
    free = height - 2 - sum(row.running for row in rows)
    shown: dict[Step, list[str]] = {}
    for step in talking:
        if free <= lines + _SPARE_LINES:
            break
        free -= lines + _SPARE_LINES
        window = windows.of(step, lines, columns - _LOG_MARGIN)
        if step.output:
            window.feed(step.output)
            step.output.clear()
        shown[step] = window.rows()
    return shown


def _header(state: Fold, at: int, columns: int, label: str, final: bool) -> Line:
    completed, total = state.counts()
    elapsed = (at - state.began) / SECOND if state.began is not None else 0.0
    finished = "FINISHED" if final and completed and completed == total else ""
    return Line(align(f"[+] Building {elapsed:.1f}s ({completed}/{total}) {finished}", label, columns - 1))


def _line(row: _Row, at: int, columns: int) -> Line | None:
    """None when the row has not started or the terminal is too narrow to say anything."""
    if not row.spans and row.step is not None:
        return None
    taken = sum((at if stop is None else stop) - start for start, stop in row.spans)
    timer = f"{taken / SECOND if taken >= _INSTANT else 0:.1f}s"
    left = columns - len(timer) - 7
    status = row.status
    if status and left + len(status) > 20 and left - len(status) - 1 >= _MIN_NAME:
        left -= len(status) + 1
    else:
        status = ""
    if left < _MIN_NAME:
        return None
    name = clip(row.name, left)
    text = align(f" => {name} {status}" if status else f" => {name}", timer, columns - 1)
    return Line(text, Style.NONE if row.running else row.style)


class Terminal:
    """A view (see view.py). `measure` gives the terminal's size and is asked for each frame."""

    def __init__(self, measure: Callable[[], Size], label: str, environ: Mapping[str, str]) -> None:
        self.fold = Fold(keep_output=True)
        self._measure = measure
        self._label = printable(label)
        self._palette = palette(environ)
        self._windows = Windows(_log_lines(environ))
        self._rows: dict[Step, tuple[int, list[_Row]]] = {}
        self._above: list[int] = []

    def apply(self, update: StatusUpdate, now: int) -> None:
        self.fold.apply(update, now)

    def draw(self, now: int) -> bytes:
        return self._frame(now, final=False)

    def finish(self, now: int, end: End) -> bytes:
        """The whole build, however long, then the output of each failed step."""
        if end.canceled:
            self.apply(self.fold.cancellation(now), now)
        failures = [failure(step, step.lines) for step in self.fold.failed(end.vertex)]
        return b"".join((self._frame(now, final=True), *failures))

    def _frame(self, now: int, *, final: bool) -> bytes:
        size = self._measure()
        rows = [row for step in self.fold.started for row in self._rows_of(step)]
        lines = draw(self.fold, rows, self._windows, now, size, label=self._label, final=final)
        text = [_HIDE, self._back(size[0])]
        text += [f"{paint(line, self._palette)}\x1b[K\n" for line in lines]
        text += ["\x1b[J", _SHOW]
        self._above = [width(line.text) for line in lines]
        return "".join(text).encode("utf-8", "replace")

    def _back(self, columns: int) -> str:
        """Go to the start of the last frame. A terminal that has become narrower has wrapped its lines."""
        rows = sum(max(-(-taken // max(columns, 1)), 1) for taken in self._above)
        return f"\x1b[{rows}A\r" if rows else "\r"

    def _rows_of(self, step: Step) -> list[_Row]:
        kept = self._rows.get(step)
        if kept is None or kept[0] != step.revision:
            kept = self._rows[step] = (step.revision, rows_of(step))
        return kept[1]


def paint(line: Line, colors: Palette) -> str:
    """The line with the escape sequences of its style."""
    if line.style is Style.NONE:
        return line.text
    start = FAINT if line.style is Style.OUTPUT else getattr(colors, line.style.value)
    return f"{start}{line.text}{RESET}" if start else line.text


def _log_lines(environ: Mapping[str, str]) -> int:
    text = environ.get("BUILDKIT_TTY_LOG_LINES", "")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else _MIN_LOG_LINES
