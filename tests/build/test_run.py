"""Nodes that cannot be used are left out of a build, and said."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import BinaryIO

import pytest

from buildwright.build.run import run
from buildwright.build.solving import Host
from buildwright.drivers.driver import Traits
from buildwright.errors import ConfigurationError, ContextError, DriverOptionError, OutputError
from buildwright.model.node import Builder, Node
from buildwright.model.request import BuildRequest, Output, SecretSource
from buildwright.model.status import StatusSink, StatusUpdate
from buildwright.wire.stream import ByteStream

GOOD = Node(name="good", endpoint="unix:///run/nowhere.sock")
BROKEN = Node(name="broken", endpoint="unix:///run/nowhere.sock", driver_opts={"no-such-option": "1"})


class Names:
    def __init__(self) -> None:
        self.names: list[str] = []

    def write(self, update: StatusUpdate, /) -> None:
        self.names += [vertex.name for vertex in update.vertexes]


def test_a_node_that_has_no_driver_is_left_out_and_said(tmp_path: Path) -> None:
    builder = Builder(name="b", driver="remote", nodes=(BROKEN, GOOD))
    sink = Names()
    # A context that is not there ends the build after its nodes were chosen.
    with pytest.raises(ContextError, match="not found"):
        asyncio.run(run(BuildRequest(context=str(tmp_path / "gone")), builder, sink=sink, host=Host(environ={})))
    (name,) = set(sink.names)
    assert name.startswith("[internal] building without node broken: ")
    assert "no-such-option" in name


@pytest.mark.parametrize("wrong", ["configuration", "stdout", "secret"])
def test_what_is_wrong_on_this_side_is_told_before_a_daemon_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    def closed() -> BinaryIO:
        raise ValueError("I/O operation on closed file")

    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "config.json").write_text("{" if wrong == "configuration" else "{}")
    secrets = (SecretSource(id="s", file=str(tmp_path / "gone")),) if wrong == "secret" else ()
    outputs = (Output(type="tar", dest="-"),) if wrong == "stdout" else ()
    request = BuildRequest(context=str(tmp_path), secrets=secrets, outputs=outputs)
    driver = Untouched()
    monkeypatch.setattr("buildwright.build.run.driver_for", lambda builder, node: driver)
    host = Host(environ={"DOCKER_CONFIG": str(tmp_path)}, stdout=closed)
    builder = Builder(name="b", driver="remote", nodes=(GOOD,))
    errors = {"configuration": ConfigurationError, "stdout": OutputError, "secret": ContextError}
    with pytest.raises(errors[wrong]):
        asyncio.run(run(request, builder, sink=Names(), host=host))


class Untouched:
    traits = Traits()

    async def open(self, affinity: str = "", /, *, start: StatusSink | None = None) -> ByteStream:
        raise AssertionError("a daemon was asked")


def test_a_builder_of_unusable_nodes_raises_why() -> None:
    builder = Builder(name="b", driver="remote", nodes=(BROKEN,))
    with pytest.raises(DriverOptionError, match="no-such-option"):
        asyncio.run(run(BuildRequest(context="."), builder, sink=Names(), host=Host(environ={})))
