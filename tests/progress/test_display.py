"""The display: which mode, at what pace, and that no stream of any kind holds up or breaks a build."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import Iterator

import pytest

from buildwright.errors import SolveError, UsageError
from buildwright.model.status import StatusUpdate, Vertex, VertexLog, VertexWarning
from buildwright.progress.display import Display, Mode, choose, make, measure
from buildwright.progress.output import Output
from buildwright.progress.plain import Plain
from buildwright.progress.view import End

SECOND = 1_000_000_000
FIRST = StatusUpdate(vertexes=(Vertex(digest="a", name="first", started=0),))
LAST = StatusUpdate(vertexes=(Vertex(digest="a", name="first", started=0, completed=SECOND),))


def log(data: bytes) -> StatusUpdate:
    return StatusUpdate(logs=(VertexLog(vertex="a", timestamp=0, stream=1, data=data),))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class View:
    """Counts what the display asks of it."""

    def __init__(self) -> None:
        self.applied = 0
        self.drawn: list[int] = []
        self.finished: list[End] = []
        self.drawn_again = asyncio.Event()

    def apply(self, update: StatusUpdate, now: int) -> None:
        self.applied += 1

    def draw(self, now: int) -> bytes:
        self.drawn.append(now)
        self.drawn_again.set()
        return b"drawn\n"

    def finish(self, now: int, end: End) -> bytes:
        self.finished.append(end)
        return b"end\n"


@contextlib.contextmanager
def pipe() -> Iterator[tuple[int, io.TextIOWrapper]]:
    reader, writer = os.pipe()
    with open(writer, "w") as stream:
        try:
            yield reader, stream
        finally:
            with contextlib.suppress(OSError):
                os.close(reader)


@pytest.mark.parametrize(
    ("mode", "environ", "terminal", "chosen"),
    [
        ("auto", {}, True, "tty"),
        ("auto", {}, False, "plain"),
        ("auto", {"TERM": "dumb"}, True, "plain"),
        ("auto", {"BUILDKIT_PROGRESS": "plain"}, True, "plain"),
        ("auto", {"BUILDKIT_PROGRESS": "auto"}, True, "tty"),
        ("rawjson", {"BUILDKIT_PROGRESS": "plain"}, True, "rawjson"),
        ("tty", {"TERM": "dumb"}, True, "tty"),
    ],
)
def test_auto_follows_the_environment_and_the_stream(mode, environ, terminal, chosen):
    assert choose(Mode(mode), Terminal() if terminal else io.StringIO(), environ) == chosen


def test_a_terminal_cannot_be_demanded_of_a_file():
    with pytest.raises(UsageError, match="failed to get console"):
        make(Mode.TTY, io.StringIO(), environ={})
    with pytest.raises(UsageError, match='BUILDKIT_PROGRESS is "loud", set it to one of: auto, tty'):
        make(Mode.AUTO, io.StringIO(), environ={"BUILDKIT_PROGRESS": "loud"})


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("plain", '#0 building with "b" instance using remote driver\n\n#1 first\n#1 DONE 1.0s\n'),
        ("quiet", ""),
        ("none", ""),
    ],
)
def test_each_mode_shows_its_own(mode, expected):
    async def build() -> str:
        stream = io.StringIO()
        async with make(Mode(mode), stream, builder="b", driver="remote", environ={}) as display:
            display.write(FIRST)
            display.write(LAST)
        display.write(LAST)
        return stream.getvalue()

    assert asyncio.run(build()) == expected


def test_json_is_written_with_every_update():
    stream = io.StringIO()
    display = make(Mode.RAWJSON, stream, environ={})
    for count in range(1, 5):
        display.write(FIRST)
        assert stream.getvalue().count("\n") == count


def test_a_terminal_is_drawn_and_restored_also_when_the_build_is_cancelled():
    stream = Terminal()

    async def build() -> None:
        async with make(Mode.AUTO, stream, builder="b", driver="remote", environ={}) as display:
            display.write(FIRST)
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(build())
    assert stream.getvalue().endswith("\x1b[?25h")
    assert stream.getvalue().count("\x1b[?25l") == 2
    assert "remote:b" in stream.getvalue()


def test_fast_updates_are_drawn_together():
    now = [0]
    view = View()
    display = Display(Mode.PLAIN, view, Output(io.StringIO()), clock=lambda: now[0])
    for _ in range(1000):
        now[0] += SECOND // 1000
        display.write(FIRST)
    assert view.applied == 1000
    assert len(view.drawn) == 10


def test_the_display_draws_by_itself_while_nothing_comes():
    async def build() -> View:
        view = View()
        async with Display(Mode.PLAIN, view, Output(io.StringIO()), idle=SECOND // 1000):
            for _ in range(3):
                await view.drawn_again.wait()
                view.drawn_again.clear()
        return view

    assert len(asyncio.run(build()).drawn) >= 3


def test_nothing_waits_for_a_tick_at_the_end():
    async def build() -> View:
        view = View()
        async with Display(Mode.PLAIN, view, Output(io.StringIO()), idle=3600 * SECOND) as display:
            display.write(FIRST)
        assert len(asyncio.all_tasks()) == 1
        return view

    assert asyncio.run(build()).finished == [End()]


@pytest.mark.parametrize("grouped", [False, True])
def test_the_failing_step_is_told_to_the_view(grouped):
    view = View()
    error: BaseException = SolveError("failed", vertex="sha256:a")
    Display(Mode.PLAIN, view, Output(io.StringIO())).finish(
        ExceptionGroup("several", [ValueError(), error]) if grouped else error
    )
    assert view.finished == [End("sha256:a")]


def test_warnings_are_summed_up_and_kept():
    warning = StatusUpdate(warnings=(VertexWarning(vertex="a", level=1, short="careful"),))
    for mode, shown in ((Mode.PLAIN, True), (Mode.RAWJSON, False), (Mode.QUIET, False)):
        stream = io.StringIO()
        display = make(mode, stream, environ={})
        display.write(warning)
        display.write(warning)
        display.finish()
        display.finish()
        assert [w.short for w in display.warnings] == ["careful"]
        assert stream.getvalue().endswith("\n 1 warning found (use --debug to expand):\n - careful\n") == shown


def test_a_closed_stream_is_noted_and_left_alone():
    stream = io.StringIO()
    display = make(Mode.PLAIN, stream, environ={})
    stream.close()
    display.write(FIRST)
    assert isinstance(display.broken, ValueError)
    display.write(LAST)
    display.finish()


def test_a_reader_that_has_gone_is_noted_and_left_alone():
    with pipe() as (reader, stream):
        display = make(Mode.PLAIN, stream, environ={})
        os.close(reader)
        display.write(FIRST)
        display.finish()
        assert isinstance(display.broken, BrokenPipeError)


def test_a_reader_that_does_not_read_holds_nothing_up_and_misses_nothing():
    with pipe() as (reader, stream):
        display = Display(Mode.PLAIN, Plain(), Output(stream), every=0)
        display.write(FIRST)
        for _ in range(40):
            display.write(log(b"x" * 9999 + b"\n"))
        display.write(LAST)
        os.set_blocking(reader, False)
        text = bytearray()
        while chunk := _read(reader):
            text += chunk
            display.write(StatusUpdate())
        display.finish()
        text += _read(reader)
        assert text.count(b"x") == 40 * 9999
        assert text.endswith(b"#1 DONE 1.0s\n")


def test_the_wait_for_a_reader_at_the_end_can_be_cancelled():
    async def build(stream: io.TextIOWrapper) -> None:
        async with make(Mode.PLAIN, stream, environ={}) as display:
            display.write(FIRST)
            display.write(log(b"x" * 200_000))

    async def cancel(stream: io.TextIOWrapper) -> None:
        task = asyncio.create_task(build(stream))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    with pipe() as (_, stream):
        asyncio.run(cancel(stream))


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, 1 << 20)
    except BlockingIOError:
        return b""


def test_output_that_is_not_utf8_reaches_a_file_as_it_is():
    with pipe() as (reader, stream):
        display = make(Mode.PLAIN, stream, environ={})
        display.write(FIRST)
        display.write(log(b"\xff\xfe \x1b[31mred\n"))
        display.finish()
        assert os.read(reader, 4096).endswith(b"#1 0.000 \xff\xfe \x1b[31mred\n")


def test_a_stream_that_is_no_terminal_has_a_default_size():
    assert measure(io.StringIO()) == (80, 10)


def test_a_stopped_terminal_misses_frames_but_not_the_end():
    with pipe() as (reader, stream):
        view = View()
        now = [0]
        display = Display(Mode.TTY, view, Output(stream), clock=lambda: now[0])
        view.draw = lambda _: b"f" * 30_000  # type: ignore[method-assign]
        for _ in range(50):
            now[0] += SECOND
            display.write(FIRST)
        os.set_blocking(reader, False)
        text = bytearray()
        for _ in range(2):
            text += _read(reader)
            now[0] += SECOND
            display.write(FIRST)
        display.finish()
        text += _read(reader)
        assert text.count(b"f") <= 5 * 30_000
        assert text.endswith(b"end\n")
