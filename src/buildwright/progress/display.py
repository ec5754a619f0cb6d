"""The display of a build: a status sink that shows what happens, in one of six modes, at a steady pace.

The display gives a view the time, decides when to draw, and hands the bytes to the output. Updates that come faster
than ten a second are drawn together; when none comes for 150 ms it draws anyway, for clocks and for steps whose turn
comes with time. TTY_DISPLAY_RATE (milliseconds) changes both numbers. These are BuildKit's (progressui.Display).
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from types import TracebackType
from typing import IO, Self

from buildwright.errors import SolveError, UsageError
from buildwright.model.status import StatusUpdate, VertexWarning
from buildwright.progress.output import Output
from buildwright.progress.view import End, View

_MILLISECOND = 1_000_000
_DRAW_EVERY = 100 * _MILLISECOND
_DRAW_IDLE = 150 * _MILLISECOND
_DEFAULT_SIZE = (80, 10)
_RETRY = 0.01


class Mode(StrEnum):
    """The values of `--progress`."""

    AUTO = "auto"
    TTY = "tty"
    PLAIN = "plain"
    QUIET = "quiet"
    RAWJSON = "rawjson"
    NONE = "none"


class Display:
    """A StatusSink to be used as `async with make(...) as display:`.

    Inside of it the display redraws by itself; leaving it, also by an error or by cancellation, draws the end of the
    build. `write` may be called before and after: before, nothing is redrawn by time; after, it is ignored. A stream
    that cannot be written to is noted in `broken`, and nothing more is shown; that is never an error of the build.
    """

    def __init__(
        self,
        mode: Mode,
        view: View,
        output: Output,
        *,
        every: int = _DRAW_EVERY,
        idle: int = _DRAW_IDLE,
        color: bool = False,
        debug: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.mode = mode
        self._view = view
        self._output = output
        self._every = every
        self._idle = idle
        self._color = color
        self._debug = debug
        self._clock = clock
        self._warnings: list[VertexWarning] = []
        self._drawn: int | None = None
        self._moved = 0
        self._finished = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def broken(self) -> Exception | None:
        """Why nothing is shown any more, None as long as the stream takes what it is given."""
        return self._output.broken

    @property
    def warnings(self) -> tuple[VertexWarning, ...]:
        """The build's warnings so far, each once."""
        from buildwright.progress.summary import distinct

        return distinct(self._warnings) if self._warnings else ()

    def write(self, update: StatusUpdate) -> None:
        """Take one update in; it is shown now or within 150 ms. Returns at once and never raises."""
        if self._finished:
            return
        now = self._moved = self._clock()
        self._warnings += update.warnings
        self._view.apply(update, now)
        if self._drawn is None or now - self._drawn >= self._every:
            self._drawn = now
            self._draw(now)

    async def __aenter__(self) -> Self:
        self._moved = self._clock()
        if self._idle:
            self._wait(self._idle)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw_end(error)
        # Waiting in the loop, so that who stopped reading cannot keep a second Ctrl-C or a SIGTERM from working.
        while self._output.behind:
            await asyncio.sleep(_RETRY)
            self._output.write(b"")

    def finish(self, error: BaseException | None = None) -> None:
        """Draw the end: the last state, the output of failed steps (that of `error` among them), the warnings.

        For use without `async with`; waits until the stream has taken all.
        """
        self._draw_end(error)
        self._output.finish()

    def _draw_end(self, error: BaseException | None) -> None:
        if self._finished:
            return
        self._finished = True
        if self._timer is not None:
            self._timer.cancel()
        self._output.write(self._view.finish(self._clock(), _end_of(error)))
        if self._warnings and self.mode in (Mode.PLAIN, Mode.TTY):
            from buildwright.progress.summary import format_warnings

            text = format_warnings(self.warnings, color=self._color, debug=self._debug)
            self._output.write(text.encode("utf-8", "replace"))

    def _draw(self, now: int) -> None:
        # A terminal that is behind (stopped, slow) misses frames; text and JSON must not miss a line.
        if self.mode is Mode.TTY and self._output.behind:
            self._output.write(b"")
        else:
            self._output.write(self._view.draw(now))

    def _wait(self, nanoseconds: int) -> None:
        self._timer = asyncio.get_running_loop().call_later(nanoseconds / 1e9, self._tick)

    def _tick(self) -> None:
        now = self._clock()
        due = self._moved + self._idle
        if now < due:
            # Moving one timer with every update would cost more than the update.
            self._wait(due - now)
            return
        self._draw(now)
        self._wait(self._idle)


def make(
    mode: Mode,
    stream: IO[str],
    *,
    builder: str = "",
    driver: str = "",
    environ: Mapping[str, str],
    debug: bool = False,
) -> Display:
    """A display on `stream` (stderr, as a rule).

    AUTO follows BUILDKIT_PROGRESS, then whether the stream is a terminal. `builder` and `driver` name what builds,
    for the first line. Raises UsageError when a terminal is demanded and there is none, or when BUILDKIT_PROGRESS
    is not a mode.
    """
    mode = choose(mode, stream, environ)
    every, idle = _pace(environ)
    if mode is Mode.PLAIN:
        from buildwright.progress.plain import Plain

        description = f'building with "{builder}" instance using {driver} driver' if builder else ""
        view: View = Plain(description, environ)
    elif mode is Mode.TTY:
        from buildwright.progress.terminal import Terminal

        _prepare_console()
        view = Terminal(lambda: measure(stream), f"{driver}:{builder}" if builder else "", environ)
    elif mode is Mode.RAWJSON:
        from buildwright.progress.rawjson import RawJSON

        view, every = RawJSON(), 0
    else:
        from buildwright.progress.quiet import Silent

        view, idle = Silent(), 0
    color = _is_terminal(stream) and not environ.get("NO_COLOR")
    return Display(mode, view, Output(stream), every=every, idle=idle, color=color, debug=debug)


def choose(mode: Mode, stream: IO[str], environ: Mapping[str, str]) -> Mode:
    """What AUTO means for this stream; any other mode as it is. Errors as in `make`."""
    if mode is Mode.AUTO and (name := environ.get("BUILDKIT_PROGRESS")):
        try:
            mode = Mode(name)
        except ValueError:
            raise UsageError(f'BUILDKIT_PROGRESS is "{name}", set it to one of: {", ".join(Mode)}') from None
    if mode is Mode.AUTO:
        return Mode.TTY if _is_terminal(stream) and environ.get("TERM") != "dumb" else Mode.PLAIN
    if mode is Mode.TTY and not _is_terminal(stream):
        raise UsageError("failed to get console: the output is not a terminal, so use --progress=plain or auto")
    return mode


def measure(stream: IO[str]) -> tuple[int, int]:
    """Columns and rows of the terminal behind a stream, 80 and 10 when it does not say."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return _DEFAULT_SIZE
    return (size.columns, size.lines) if size.columns > 0 and size.lines > 0 else _DEFAULT_SIZE


def _end_of(error: BaseException | None) -> End:
    if isinstance(error, BaseExceptionGroup):
        return next((end for end in map(_end_of, error.exceptions) if end.vertex), End())
    if isinstance(error, SolveError):
        return End(vertex=error.vertex)
    return End(canceled=isinstance(error, (asyncio.CancelledError, KeyboardInterrupt)))


def _pace(environ: Mapping[str, str]) -> tuple[int, int]:
    text = environ.get("TTY_DISPLAY_RATE", "")
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text) * _MILLISECOND, int(text) * _MILLISECOND
    return _DRAW_EVERY, _DRAW_IDLE


def _is_terminal(stream: IO[str]) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False


def _prepare_console() -> None:
    """Make a Windows console understand escape sequences; others do."""
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        for standard in (-11, -12):
            handle, flags = kernel.GetStdHandle(standard), ctypes.c_ulong()
            if kernel.GetConsoleMode(handle, ctypes.byref(flags)):
                kernel.SetConsoleMode(handle, flags.value | 4)
