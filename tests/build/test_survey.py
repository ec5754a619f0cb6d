"""Asking and starting the nodes of builders, on drivers that do what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from buildwright.build import survey
from buildwright.build.survey import BuilderState, NodeState
from buildwright.drivers.driver import Instance, NodeInfo, NodeStatus, Traits, quiet
from buildwright.errors import ClusterError, ConnectError, NotReadyError
from buildwright.model.node import Builder, Node
from buildwright.model.platform import Platform
from buildwright.model.status import StatusSink, StatusUpdate, Vertex, VertexLog, VertexStatus
from buildwright.wire.stream import ByteStream

ARM = Platform.parse("linux/arm64")


class Scripted:
    """A driver whose node is in the state it was made with."""

    def __init__(self, state: NodeInfo | Exception | None, start: Callable[[StatusSink], Awaitable[None]]) -> None:
        self.traits = Traits()
        self._state = state
        self._start = start

    async def info(self) -> NodeInfo:
        if isinstance(self._state, Exception):
            raise self._state
        if self._state is None:
            await asyncio.Event().wait()
        assert self._state is not None
        return self._state

    async def start(self, sink: StatusSink, /) -> None:
        await self._start(sink)

    async def open(self, affinity: str = "", /, *, start: StatusSink | None = None) -> ByteStream:
        raise ConnectError("nobody listens")

    async def stop(self, *, tell: Callable[[str], None] = quiet) -> None: ...

    async def remove(self, *, keep_state: bool = False, keep_daemon: bool = False) -> None: ...


class Sink:
    def __init__(self) -> None:
        self.updates: list[StatusUpdate] = []

    def write(self, update: StatusUpdate, /) -> None:
        self.updates.append(update)


async def starts(sink: StatusSink) -> None:
    """Tell of one step, with a task and a line of output."""
    sink.write(
        StatusUpdate(
            vertexes=(
                Vertex(digest="d", inputs=("i",), name="[internal] booting buildkit"),
                Vertex(digest="e", name="x"),
            ),
            statuses=(VertexStatus(id="t", vertex="d"),),
            logs=(VertexLog(vertex="d", timestamp=0, stream=1, data=b""),),
        )
    )


def asked(monkeypatch: pytest.MonkeyPatch, *states: NodeInfo | Exception | None, timeout: float = 0) -> BuilderState:
    nodes = tuple(Node(name=f"n{index}", endpoint="", platforms=(ARM,)) for index in range(len(states)))
    drivers = {node.name: Scripted(state, starts) for node, state in zip(nodes, states, strict=True)}
    monkeypatch.setattr(survey, "driver_for", lambda _, node: drivers[node.name])
    return asyncio.run(survey.survey(Builder(name="b", driver="remote", nodes=nodes), timeout))


def test_what_is_wrong_with_a_node_is_kept_at_that_node(monkeypatch: pytest.MonkeyPatch) -> None:
    state = asked(monkeypatch, ClusterError("forbidden"), NodeInfo(status=NodeStatus.STOPPED))
    assert [(str(node.error), node.status) for node in state.nodes] == [("forbidden", None), ("None", "stopped")]
    assert state.nodes[0].platforms == (ARM,)
    assert [node.node.name for node in state.startable] == ["n1"]
    assert not state.inactive, "it is not known what the first node does"
    assert asked(monkeypatch, NodeInfo(status=NodeStatus.STOPPED)).inactive


def test_a_node_that_does_not_answer_is_given_up_after_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    state = asked(monkeypatch, None, NodeInfo(status=NodeStatus.INACTIVE), timeout=0.01)
    assert isinstance(state.nodes[0].error, NotReadyError)
    assert str(state.nodes[0].error) == "no answer within 10ms"
    assert [node.node.name for node in state.startable] == ["n0", "n1"], "a start asks again, with time"
    assert state.nodes[1].error is None


def test_a_node_that_runs_but_cannot_be_reached_keeps_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    state = asked(monkeypatch, NodeInfo(status=NodeStatus.RUNNING))
    assert (state.nodes[0].status, str(state.nodes[0].error)) == (NodeStatus.RUNNING, "nobody listens")
    assert state.startable == ()


def test_nodes_are_shown_as_their_instances_when_all_have_some(monkeypatch: pytest.MonkeyPatch) -> None:
    amd = Platform.parse("linux/amd64")
    pods = NodeInfo(status=NodeStatus.RUNNING, instances=(Instance(name="p1", platforms=(amd,)), Instance(name="p2")))
    state = asked(monkeypatch, pods)
    assert state.dynamic
    assert [(node.instance, node.platforms) for node in state.nodes] == [("p1", (amd,)), ("p2", (ARM,))]
    assert not asked(monkeypatch, pods, NodeInfo(status=NodeStatus.STOPPED)).dynamic


def test_a_docker_context_is_in_error_as_a_whole() -> None:
    builder = Builder(name="c", driver="", nodes=(Node(name="c", endpoint="c"),), docker_context=True)
    state = asyncio.run(survey.survey(builder))
    assert state.nodes == ()
    assert "is a docker context" in str(state.error)
    assert not state.inactive


def booted(*drivers: Scripted) -> tuple[list[StatusUpdate], Exception | None]:
    nodes = [
        NodeState(node=Node(name=f"n{index}", endpoint=""), driver=driver) for index, driver in enumerate(drivers)
    ]
    sink = Sink()
    try:
        asyncio.run(survey.boot(nodes, sink))
    except ConnectError as error:
        return sink.updates, error
    return sink.updates, None


def test_one_node_starts_under_its_own_name() -> None:
    updates, _ = booted(Scripted(None, starts))
    assert [vertex.name for vertex in updates[0].vertexes] == ["[internal] booting buildkit", "x"]


def test_the_steps_of_several_nodes_are_told_apart() -> None:
    updates, _ = booted(Scripted(None, starts), Scripted(None, starts))
    assert [[vertex.name for vertex in update.vertexes] for update in updates] == [
        ["[n0 internal] booting buildkit", "[n0] x"],
        ["[n1 internal] booting buildkit", "[n1] x"],
    ]
    for update in updates:
        step = update.vertexes[0].digest
        assert {update.statuses[0].vertex, update.logs[0].vertex} == {step}
    assert updates[0].vertexes[0].digest != updates[1].vertexes[0].digest


def test_a_node_that_fails_to_start_does_not_keep_the_others_from_it() -> None:
    async def fails(_: StatusSink) -> None:
        raise ConnectError("gone")

    updates, error = booted(Scripted(None, fails), Scripted(None, starts))
    assert str(error) == "gone"
    assert len(updates) == 1
