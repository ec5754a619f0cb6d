"""What sinks leave behind when an export is given up."""

from __future__ import annotations

import asyncio
import errno
import os
import select
from pathlib import Path

import pytest

from buildwright.client.session.sinks import file_sink

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
PATIENCE = 30
LARGE = 1_000_000
"""More than a pipe holds."""


def opened_pipe(path: Path) -> int:
    """A reader of a new named pipe."""
    os.mkfifo(path)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def read_to_end(reader: int) -> int:
    """How many bytes come before the last writer closes its end."""
    read = 0
    while True:
        assert select.select([reader], [], [], PATIENCE)[0], "the pipe is still open for writing"
        data = os.read(reader, LARGE)
        read += len(data)
        if not data:
            return read


@posix_only
def test_a_pipe_that_is_given_up_is_closed(tmp_path: Path) -> None:
    reader = opened_pipe(tmp_path / "pipe")

    async def run() -> None:
        sink = await file_sink(str(tmp_path / "pipe"))
        await sink.write([b"some"])
        sink.abort()
        sink.abort()
        assert os.read(reader, 100) == b"some"
        assert os.read(reader, 100) == b""

    asyncio.run(run())
    os.close(reader)


@posix_only
def test_a_pipe_that_is_given_up_in_a_write_is_closed_after_it(tmp_path: Path) -> None:
    reader = opened_pipe(tmp_path / "pipe")

    async def run() -> None:
        sink = await file_sink(str(tmp_path / "pipe"))
        writing = asyncio.ensure_future(sink.write([b"x" * LARGE]))
        assert await asyncio.to_thread(select.select, [reader], [], [], PATIENCE) == ([reader], [], [])
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        sink.abort()

    asyncio.run(run())
    assert read_to_end(reader) == LARGE
    os.close(reader)


def test_a_file_that_cannot_be_closed_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close = os.close

    def fail(fd: int) -> None:
        close(fd)
        raise OSError(errno.EIO, "Input/output error")

    async def run() -> None:
        sink = await file_sink(str(tmp_path / "image.tar"))
        await sink.write([b"half"])
        with monkeypatch.context() as patch:
            patch.setattr(os, "close", fail)
            sink.abort()

    asyncio.run(run())
    assert os.listdir(tmp_path) == []
