"""A build of the Python API: awaited, watched to its end, or left early; and what a connection touches."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from buildwright.build.connection import Build
from buildwright.build.solving import Host
from buildwright.builders.store import Store
from buildwright.errors import SolveError
from buildwright.model.solve import BuildResult
from buildwright.model.status import StatusSink, StatusUpdate, Vertex

RESULT = BuildResult(ref="r", builder="b", node="n", digest="sha256:1")


def updates(*names: str) -> list[StatusUpdate]:
    return [StatusUpdate(vertexes=(Vertex(digest=name, name=name),)) for name in names]


async def succeeding(sink: StatusSink) -> BuildResult:
    for update in updates("a", "b"):
        sink.write(update)
        await asyncio.sleep(0)
    return RESULT


async def failing(sink: StatusSink) -> BuildResult:
    sink.write(updates("a")[0])
    raise SolveError("no")


def endless(cancelled: list[bool]) -> Callable[[StatusSink], Awaitable[BuildResult]]:
    async def start(sink: StatusSink) -> BuildResult:
        sink.write(updates("a")[0])
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        raise AssertionError

    return start


def test_an_awaited_build_gives_its_result() -> None:
    async def main() -> BuildResult:
        return await Build(succeeding)

    assert asyncio.run(main()) == RESULT


def test_a_watched_build_shows_every_update_and_then_has_a_result() -> None:
    async def main() -> tuple[list[str], BuildResult]:
        async with Build(succeeding) as build:
            names = [vertex.name async for update in build for vertex in update.vertexes]
        return names, build.result

    assert asyncio.run(main()) == (["a", "b"], RESULT)


def test_a_failed_build_is_raised_when_it_is_left() -> None:
    async def main() -> None:
        async with Build(failing) as build:
            assert [update async for update in build]

    with pytest.raises(SolveError, match="no"):
        asyncio.run(main())


def test_leaving_the_loop_early_cancels_the_build() -> None:
    cancelled: list[bool] = []

    async def main() -> None:
        async with Build(endless(cancelled)) as build:
            async for _ in build:
                break
        with pytest.raises(RuntimeError, match="no result"):
            _ = build.result

    asyncio.run(main())
    assert cancelled == [True]


def test_an_error_of_the_watcher_cancels_the_build_and_passes() -> None:
    cancelled: list[bool] = []

    async def main() -> None:
        async with Build(endless(cancelled)) as build:
            async for _ in build:
                raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(main())
    assert cancelled == [True]


def test_a_build_starts_once() -> None:
    async def main() -> None:
        build = Build(succeeding)
        await build
        await build

    with pytest.raises(RuntimeError, match="starts once"):
        asyncio.run(main())


def test_a_host_touches_no_stream_before_it_is_used() -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        assert Host(environ={}).node_id == ""


def test_the_machine_has_an_identity_without_a_store(tmp_path: Path) -> None:
    fresh = Store({"BUILDX_CONFIG": str(tmp_path / "not" / "there")})
    assert fresh.node_id() == fresh.node_id()
    (tmp_path / "file").write_text("")
    assert len(Store({"BUILDX_CONFIG": str(tmp_path / "file" / "below")}).node_id()) == 16


def test_a_relative_store_is_made_where_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        async with Store({"BUILDX_CONFIG": "relative"}).transaction():
            pass

    asyncio.run(main())
    assert (tmp_path / "relative" / "instances").is_dir()
