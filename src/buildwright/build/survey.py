"""What state builders are in: every node is asked for its status, version and workers, all of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from buildwright.build.prefix import Prefixed
from buildwright.builders.open import driver_for
from buildwright.drivers.driver import Driver, Instance, NodeStatus, Traits
from buildwright.errors import BuildwrightError, NotReadyError
from buildwright.model import duration
from buildwright.model.node import Builder, Node
from buildwright.model.platform import Platform
from buildwright.model.status import StatusSink
from buildwright.model.worker import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """What is known of a node, or of one of the daemons that it consists of, which `instance` then names.

    `platforms` are the node's own, then those its workers have. Without a `driver` there was no way to ask.
    """

    node: Node
    driver: Driver | None = None
    status: NodeStatus | None = None
    instance: str = ""
    version: str = ""
    platforms: tuple[Platform, ...] = ()
    workers: tuple[Worker, ...] = ()
    instances: tuple[Instance, ...] = ()
    error: BuildwrightError | None = None

    @property
    def traits(self) -> Traits | None:
        return self.driver.traits if self.driver else None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderState:
    """`error` says why the builder as a whole is unusable; there are no nodes then.

    `dynamic` means that `nodes` are the running instances of the nodes and not the nodes themselves.
    """

    builder: Builder
    nodes: tuple[NodeState, ...] = ()
    error: BuildwrightError | None = None
    dynamic: bool = False

    @property
    def inactive(self) -> bool:
        """Whether it is known that no node runs."""
        return not self.error and not any(node.error or node.status is NodeStatus.RUNNING for node in self.nodes)

    @property
    def startable(self) -> tuple[NodeState, ...]:
        """The nodes that do not run and can be started, and those that have not answered in time."""
        return tuple(node for node in self.nodes if node.driver and _may_start(node))


def _may_start(node: NodeState) -> bool:
    if node.error is not None:
        return isinstance(node.error, NotReadyError)
    return node.status is not NodeStatus.RUNNING


async def survey(builder: Builder, timeout: float = 0) -> BuilderState:
    """Ask all nodes of a builder; `timeout` in seconds for each, 0 and less for no limit.

    Raises nothing: what goes wrong is in the result, at the node or the builder that it concerns.
    """
    if builder.docker_context:
        try:
            driver_for(builder, builder.nodes[0])
        except BuildwrightError as error:
            return BuilderState(builder=builder, error=error)
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_ask(builder, node, timeout)) for node in builder.nodes]
    nodes = [task.result() for task in asked]
    if nodes and all(node.instances for node in nodes):
        spread = tuple(_as_instance(node, instance) for node in nodes for instance in node.instances)
        return BuilderState(builder=builder, nodes=spread, dynamic=True)
    return BuilderState(builder=builder, nodes=tuple(nodes))


async def boot(nodes: Sequence[NodeState], sink: StatusSink) -> None:
    """Start all of `nodes` at once; raises the first failure when every one has started or failed."""
    async with asyncio.TaskGroup() as tasks:
        starts = [
            tasks.create_task(_start(node, Prefixed(sink, node.node.name) if len(nodes) > 1 else sink))
            for node in nodes
        ]
    for task in starts:
        if (error := task.result()) is not None:
            raise error


async def _start(state: NodeState, sink: StatusSink) -> BuildwrightError | None:
    assert state.driver is not None
    try:
        await state.driver.start(sink)
    except BuildwrightError as error:
        return error
    return None


async def _ask(builder: Builder, node: Node, timeout: float) -> NodeState:
    state = NodeState(node=node, platforms=node.platforms)
    try:
        driver = driver_for(builder, node)
        state = replace(state, driver=driver)
        async with asyncio.timeout(timeout if timeout > 0 else None):
            info = await driver.info()
            state = replace(state, status=info.status, instances=info.instances)
            return await _asked_daemon(state, driver) if info.status is NodeStatus.RUNNING else state
    except TimeoutError:
        limit = duration.write(int(timeout * duration.SECOND))
        return replace(state, error=NotReadyError(f"no answer within {limit}"))
    except BuildwrightError as error:
        return replace(state, error=error)


async def _asked_daemon(state: NodeState, driver: Driver) -> NodeState:
    from buildwright.client.client import Client
    from buildwright.wire.channel import Channel

    stream = await driver.open()
    async with Channel(stream, authority=driver.traits.authority) as channel:
        client = Client(channel)
        workers = await client.workers()
        version = await client.info()
    platforms = _distinct((*state.node.platforms, *(item for worker in workers for item in worker.platforms)))
    return replace(state, workers=workers, version=version, platforms=platforms)


def _distinct(platforms: Iterable[Platform]) -> tuple[Platform, ...]:
    found: dict[str, Platform] = {}
    for platform in platforms:
        found.setdefault(str(platform.normalized()), platform.normalized())
    return tuple(found.values())


def _as_instance(state: NodeState, instance: Instance) -> NodeState:
    return replace(state, instance=instance.name, platforms=instance.platforms or state.platforms)
