"""Nodes that cannot be used are left out of a build, and said."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from buildwright.build.run import run
from buildwright.build.solving import Host
from buildwright.errors import ContextError, DriverOptionError
from buildwright.model.node import Builder, Node
from buildwright.model.request import BuildRequest
from buildwright.model.status import StatusUpdate

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


def test_a_builder_of_unusable_nodes_raises_why() -> None:
    builder = Builder(name="b", driver="remote", nodes=(BROKEN,))
    with pytest.raises(DriverOptionError, match="no-such-option"):
        asyncio.run(run(BuildRequest(context="."), builder, sink=Names(), host=Host(environ={})))
