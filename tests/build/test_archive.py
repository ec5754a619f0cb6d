"""An archive on stdin, read once and sent as often as needed."""

from __future__ import annotations

import io
import tempfile
import threading
from pathlib import Path

import pytest

from buildwright.build.archive import Archive
from buildwright.client.session.upload import Reader

DATA = bytes(range(256)) * 40


def all_of(reader: Reader, limit: int = 1000) -> bytes:
    return b"".join(iter(lambda: reader.read(limit) or b"", b""))


def test_a_kept_archive_is_given_whole_to_every_reader() -> None:
    with tempfile.TemporaryFile() as file:
        archive = Archive(io.BytesIO(DATA), file)
        first, second = archive.reader(), archive.reader()
        assert first.read(700) == DATA[:700]
        assert archive.repeatable
        assert all_of(second, 333) == DATA
        assert all_of(first) == DATA[700:]
        assert all_of(archive.reader()) == DATA


def test_one_that_is_not_kept_is_for_one_reader() -> None:
    archive = Archive(io.BytesIO(DATA))
    assert archive.repeatable
    reader = archive.reader()
    assert reader.read(700) == DATA[:700]
    assert not archive.repeatable
    with pytest.raises(OSError, match="could not be kept"):
        archive.reader().read(1)
    assert all_of(reader) == DATA[700:]


def test_without_room_to_keep_it_the_first_reader_is_served_all_the_same() -> None:
    with open("/dev/full", "r+b", buffering=0) as file:
        archive = Archive(io.BytesIO(DATA), file)
        assert all_of(archive.reader()) == DATA
        assert not archive.repeatable


def test_a_read_that_was_left_behind_takes_nothing_away(tmp_path: Path) -> None:
    asked, answer = threading.Event(), threading.Event()

    class Slow(io.BytesIO):
        def read(self, limit: int | None = -1, /) -> bytes:
            asked.set()
            answer.wait(10)
            return super().read(limit)

    with open(tmp_path / "kept", "w+b") as file:
        archive = Archive(Slow(DATA), file)
        abandoned = threading.Thread(target=archive.reader().read, args=(100,))
        abandoned.start()
        asked.wait(10)
        found: list[bytes] = []
        second = threading.Thread(target=lambda: found.append(all_of(archive.reader())))
        second.start()
        answer.set()
        second.join(10)
        abandoned.join(10)
        assert found == [DATA]
