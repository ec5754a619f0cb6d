"""What is said when a build has ended: the failing step's output, the place in the Dockerfile, the warnings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from buildwright.errors import SolveError, SourceExcerpt
from buildwright.model.status import VertexWarning
from buildwright.progress.fold import Step

_YELLOW = "\x1b[33m"
_RESET = "\x1b[0m"
_RULE = "------"
_LONG_RULE = "-" * 20


def failure(step: Step, lines: Iterable[bytes | bytearray]) -> bytes:
    """The name of a failed step and `lines` of its output between two rules."""
    head = f"{_RULE}\n > {step.name}:\n".encode("utf-8", "replace")
    return b"".join((head, *(b"%s\n" % line for line in lines), f"{_RULE}\n".encode()))


def block(title: str, lines: Iterable[str]) -> str:
    """The same for lines of something else that failed. Control characters in them have no effect on a terminal."""
    shown = ("".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in line) for line in lines)
    return "".join((f"{_RULE}\n > {title}:\n", *(f"{line}\n" for line in shown), f"{_RULE}\n"))


def excerpt(source: SourceExcerpt) -> str:
    """Lines of a source around those marked with `>>>`; "" when the ranges name no line of it.

    The form is that of BuildKit v0.29 solver/errdefs/source.go: two lines more on each side, four around one line.
    """
    lines = source.text.split("\n")
    ranges = [(first, max(first, last)) for first, last in source.ranges]
    if not ranges:
        return ""
    first, last = min(first for first, _ in ranges), max(last for _, last in ranges)
    if not 1 <= first <= len(lines):
        return ""
    start, end = _widened(first, min(last, len(lines)), len(lines))
    text = [f"{source.filename}:{first}\n{_LONG_RULE}\n"]
    for number in range(start, end + 1):
        mark = ">>>" if any(low <= number <= high for low, high in ranges) else "   "
        text.append(f" {number:3d} | {mark} {lines[number - 1]}\n")
    return "".join([*text, f"{_LONG_RULE}\n"])


def format_error(error: BaseException, debug: bool = False) -> str:
    """What to print before `ERROR: ...`: the places in the sources, and with `debug` the daemon's trace.

    Ends with a newline, or is "" when the error has neither.
    """
    if not isinstance(error, SolveError):
        return ""
    text = "".join(excerpt(source) for source in error.sources)
    if debug and error.stack:
        text += error.stack.rstrip("\n") + "\n"
    return text


def distinct(warnings: Iterable[VertexWarning]) -> tuple[VertexWarning, ...]:
    """The warnings without those that repeat another one for another vertex, in order of arrival."""
    kept: dict[VertexWarning, VertexWarning] = {}
    for warning in warnings:
        kept.setdefault(replace(warning, vertex=""), warning)
    return tuple(kept.values())


def format_warnings(warnings: Sequence[VertexWarning], *, color: bool = False, debug: bool = False) -> str:
    """The count and the short texts; with `debug` also details, address and lines. "" for no warnings."""
    if not warnings:
        return ""
    count = "1 warning found" if len(warnings) == 1 else f"{len(warnings)} warnings found"
    heading = f"{count}:\n" if debug else f"{count} (use --debug to expand):\n"
    text = ["\n ", f"{_YELLOW}{heading}{_RESET}" if color else heading]
    for warning in warnings:
        text.append(f" - {warning.short}\n")
        if debug:
            text += [f"{line}\n" for line in warning.detail]
            if warning.url:
                text.append(f"More info: {warning.url}\n")
            text += [_warned_source(warning), "\n"]
    return "".join(text)


def _warned_source(warning: VertexWarning) -> str:
    if warning.source is None:
        return ""
    ranges = tuple((place.start_line, place.end_line) for place in warning.ranges)
    return excerpt(SourceExcerpt(warning.source.filename, warning.source.data.decode("utf-8", "replace"), ranges))


def _widened(start: int, end: int, last: int) -> tuple[int, int]:
    wanted = 4 if start == end else 2
    given = 0
    while given < wanted:
        if start > 1:
            start -= 1
            given += 1
        if end != last:
            end += 1
            given += 1
        given += 1
    return start, end
