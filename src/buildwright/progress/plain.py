"""Progress as plain text, line by line, as `docker buildx build --progress plain` prints it.

Steps run at the same time, but text has one order. One step is *current* and its lines are printed as they come;
the others wait. A step that has completed is printed at once, whole. A running step becomes current when the current
one has completed, when it has waited for long, or when it has a fair claim: the more a step says compared to the
others, the longer it stays. A step that is left shows `#3 ...`, and its heading again when it is taken up.

The rules and their numbers are those of BuildKit v0.29 util/progress/progressui/printer.go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from buildwright.model.status import StatusUpdate, VertexStatus
from buildwright.progress.fold import Fold, Step
from buildwright.progress.summary import failure
from buildwright.progress.units import SECOND, amount, seconds
from buildwright.progress.view import End

_MIN_TURN = 5 * SECOND
_MAX_WAIT = 10 * SECOND
_MIN_TASK_TIME = 5 * SECOND
_MIN_TASK_SHARE = 0.05
_TAIL_LINES = 10
_NAME_LIMIT = 72


@dataclass(slots=True, eq=False)
class _Block:
    """What of a step has been printed. `changes` counts from `waiting_since` on: both say how much it has to tell."""

    step: Step
    number: int = 0
    changes: int = 0
    waiting_since: int = 0
    offset: int = 0
    printed: dict[str, VertexStatus] = field(default_factory=dict)
    warned: int = 0
    tail: deque[bytes] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))


class Plain:
    """A view (see view.py). `description` becomes the `#0` line; `environ` may hold PROGRESS_NO_TRUNC=0."""

    def __init__(self, description: str = "", environ: Mapping[str, str] | None = None) -> None:
        self.fold = Fold()
        self._description = description
        self._cut_names = (environ or {}).get("PROGRESS_NO_TRUNC") == "0"
        self._blocks: dict[Step, _Block] = {}
        self._changed: dict[_Block, None] = {}
        self._current: _Block | None = None
        self._numbered = 0
        self._begun = False
        self._tasks: dict[str, VertexStatus] = {}
        self._text: list[bytes | bytearray] = []

    def apply(self, update: StatusUpdate, now: int) -> None:
        for step, count in self.fold.apply(update, now).items():
            self._changed[self._count(step, count, now)] = None
        for warning in update.warnings:
            # A warning adds to what a step has to tell, but is no reason to print a step that has completed again.
            if warned := self.fold.steps.get(warning.vertex):
                self._count(warned, 1, now)

    def draw(self, now: int) -> bytes:
        """The text that is due at `now`; call it at least every 150 ms, for steps whose turn comes with time."""
        shown = [block for block in self._changed if not block.step.hidden]
        completed = [block for block in shown if block.step.completed]
        running = [block for block in shown if not block.step.completed]
        current = self._current
        if current is not None and current in completed:
            self._print(current)
        for block in sorted(completed, key=_completed_at):
            if block is not current:
                self._print(block)
        if not running:
            if current is None or current.step.completed or not current.step.started:
                self._take_any()
        else:
            self._share(running, current, current is None or current in completed, now)
        return self._take_text()

    def finish(self, now: int, end: End) -> bytes:
        """The rest of the text, then the last lines of each failed step."""
        if end.canceled:
            self.apply(self.fold.cancellation(now), now)
        text = [self.draw(now)]
        text += [failure(step, self._tail(step)) for step in self.fold.failed(end.vertex)]
        return b"".join(text)

    def _count(self, step: Step, changes: int, now: int) -> _Block:
        block = self._blocks.get(step)
        if block is None:
            block = self._blocks[step] = _Block(step)
        if not block.changes:
            block.waiting_since = now
        block.changes += changes
        return block

    def _share(self, running: list[_Block], current: _Block | None, free: bool, now: int) -> None:
        """Let one of the running steps speak.

        `current` is the one that was current before this drawing began, `free` whether its turn has ended.
        """
        if current is not None and current in running:
            self._print(current)
        elif current is not None:
            running = [*running, current]
        waits = {block: max(now - block.waiting_since, 1) for block in running}
        rates = {block: block.changes / waits[block] for block in running}
        late = [block for block in running if waits[block] > _MAX_WAIT and block is not current]
        if late:
            self._print(max(late, key=lambda block: waits[block]))
            return
        busiest = max(running, key=lambda block: rates[block])
        if current is None or free:
            self._print(busiest)
            return
        rest = sum(rates.values()) - rates[current]
        # A step with the share s of all changes stays current for 5 s / (1 - s).
        if _MIN_TURN * (rates[current] + rest) < waits[current] * rest:
            self._print(busiest)

    def _take_any(self) -> None:
        step = self.fold.running()
        if step is not None and step in self._blocks:
            self._print(self._blocks[step])

    def _print(self, block: _Block) -> None:
        step = block.step
        if not block.number:
            self._numbered += 1
            block.number = self._numbered
        if block is not self._current:
            self._open(block)
        open_task = self._print_tasks(block)
        for warning in step.warnings[block.warned :]:
            self._line(block, f"WARN: {warning.short}")
        block.warned = len(step.warnings)
        self._print_output(block)
        self._current = block
        if step.completed and not open_task:
            self._close(block)
        self._changed.pop(block, None)

    def _open(self, block: _Block) -> None:
        left = self._current
        if left is not None:
            if left.offset:
                self._text.append(b"\n")
            left.offset = left.changes = 0
            self._line(left, "...")
        if self._begun:
            self._text.append(b"\n")
        elif self._description:
            self._text.append(f"#0 {self._description}\n\n".encode())
        self._begun = True
        name = block.step.name
        if self._cut_names and len(name) > _NAME_LIMIT:
            name = name[:_NAME_LIMIT] + "..."
        self._line(block, name)

    def _print_tasks(self, block: _Block) -> bool:
        """Print the tasks that moved on enough; True when one of the printed is still running."""
        still_open = False
        for status in self._moved_tasks(block):
            self._tasks[status.id] = status
            moved = amount(status.current, status.total)
            text = f"{status.id} {moved}" if moved else status.id
            end = status.timestamp if status.completed is None else status.completed
            if status.started is not None and (end or 0) - status.started > SECOND // 100:
                text += f" {seconds((end or 0) - status.started):.1f}s"
            if status.completed is None:
                still_open = True
            else:
                text += " done"
            self._line(block, text)
        return still_open

    def _moved_tasks(self, block: _Block) -> Iterator[VertexStatus]:
        for task in block.step.tasks:
            status = block.step.statuses[task]
            if block.printed.get(task) is status:
                continue
            block.printed[task] = status
            last = self._tasks.get(task)
            if last is not None and status.completed is None:
                share = (status.current - last.current) / status.total if status.total > 0 else 0.0
                if share < _MIN_TASK_SHARE and (status.timestamp or 0) - (last.timestamp or 0) < _MIN_TASK_TIME:
                    continue
            yield status

    def _print_output(self, block: _Block) -> None:
        step = block.step
        if not step.lines:
            return
        head = b"#%d " % block.number
        first = step.lines[0]
        self._text.append(first[block.offset :] if block.offset else head + first)
        for line in step.lines[1:]:
            self._text += (b"\n", head, line)
        if step.partial:
            block.tail.extend(bytes(line) for line in step.lines[:-1])
            del step.lines[:-1]
            block.offset = len(step.lines[0])
        else:
            self._text.append(b"\n")
            block.tail.extend(bytes(line) for line in step.lines)
            step.lines.clear()
            block.offset = 0

    def _close(self, block: _Block) -> None:
        step = block.step
        self._current = None
        block.changes = 0
        if step.partial:
            self._text.append(b"\n")
            block.tail.extend(bytes(line) for line in step.lines)
            step.lines.clear()
            step.partial = False
            block.offset = 0
        if step.canceled:
            self._line(block, "CANCELED")
        elif step.error:
            self._line(block, f"ERROR: {step.error}")
        elif step.cached:
            self._line(block, "CACHED")
        else:
            self._line(block, f"DONE {seconds(step.duration(0)):.1f}s")

    def _tail(self, step: Step) -> list[bytes]:
        block = self._blocks.get(step)
        return [*(block.tail if block else ()), *(bytes(line) for line in step.lines)][-_TAIL_LINES:]

    def _line(self, block: _Block, text: str) -> None:
        self._text.append(b"#%d %s\n" % (block.number, text.encode("utf-8", "replace")))

    def _take_text(self) -> bytes:
        text = b"".join(self._text)
        self._text.clear()
        return text


def _completed_at(block: _Block) -> int:
    return block.step.spans[-1][1] or 0
