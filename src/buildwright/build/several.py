"""One build on several nodes at once: all of them succeed, or nothing is tagged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from buildwright.build.attempts import Attempt, persist
from buildwright.build.context import Inputs
from buildwright.build.exchange import KEEPALIVE
from buildwright.build.plan import NodePlan
from buildwright.build.prefix import Prefixed
from buildwright.build.solving import Work, solve
from buildwright.build.spread import of_platforms, spread
from buildwright.build.together import gather
from buildwright.client.client import Client
from buildwright.drivers.driver import Driver
from buildwright.drivers.steps import step
from buildwright.errors import BuildwrightError, RpcError, SolveError, UsageError
from buildwright.model.platform import Platform
from buildwright.model.request import Output
from buildwright.model.solve import SolveResult
from buildwright.model.status import StatusSink
from buildwright.wire.channel import Channel

T = TypeVar("T")


async def platforms_of_workers(
    drivers: Mapping[str, Driver], sink: StatusSink, *, retries: int, tell: Callable[[str], None]
) -> dict[str, tuple[Platform, ...]]:
    """Start every node and ask what its workers build for, by name of node, another daemon if one is lost.

    The first failure ends it, named.
    """

    async def ask(driver: Driver, sink: StatusSink) -> tuple[Platform, ...]:
        await driver.start(sink)
        stream = await driver.open()
        async with Channel(stream, authority=driver.traits.authority, keepalive=KEEPALIVE) as channel:
            workers = await Client(channel).workers()
        return tuple(dict.fromkeys(platform.normalized() for worker in workers for platform in worker.platforms))

    def asking(name: str, driver: Driver) -> Awaitable[tuple[Platform, ...]]:
        def begin(attempt: Attempt) -> Awaitable[tuple[Platform, ...]]:
            return ask(driver, attempt.sink)

        return persist(begin, driver, retries=retries, sink=Prefixed(sink, name), tell=tell)

    found = await gather(_named(f"node {name}", asking(name, driver)) for name, driver in drivers.items())
    return dict(zip(drivers, found, strict=True))


async def solve_on_all(
    work: Work,
    shares: Sequence[NodePlan],
    drivers: Mapping[str, Driver],
    *,
    inputs: Inputs,
    outputs: tuple[Output, ...],
    sink: StatusSink,
) -> SolveResult:
    """Build every share on its node and make one image of what they push; returns the ref of the first node's solve
    and the exporter's response.

    Without a push that is the first node's too. The first failure cancels the others' solves and is raised with the
    node's name and platforms; no tag has been touched then.
    """
    _check(work)
    outputs, push = spread(outputs)

    async def build(share: NodePlan) -> SolveResult:
        name = share.node.name
        prefixed = Prefixed(sink, name)
        try:
            return await solve(
                work,
                share,
                drivers[name],
                inputs=inputs,
                outputs=of_platforms(outputs, share.platforms),
                sink=prefixed,
                part=True,
            )
        except SolveError as error:
            error.vertex = prefixed.digest(error.vertex)
            raise

    results = await gather(
        _named(f"node {share.node.name}, {', '.join(map(str, share.platforms))}", build(share)) for share in shares
    )
    if push is None:
        return results[0]
    from buildwright.build.merge import merge

    with step(sink, f"merging manifest list {push.title}"):
        merged = await merge(
            [result.exporter_response for result in results],
            push,
            credentials=work.credentials,
            files=[share.node.files for share in shares],
        )
    return replace(results[0], exporter_response=merged)


def _check(work: Work) -> None:
    if "-" in (target.dest for target in work.targets):
        raise UsageError("a result on stdout is not possible for a build on several nodes: give the output a dest")


async def _named(where: str, work: Awaitable[T]) -> T:
    """The result of `work`; an error of it says at its end where it happened, and is the same otherwise."""
    try:
        return await work
    except BuildwrightError as error:
        error.args = (f"{error} ({where})", *error.args[1:])
        if isinstance(error, RpcError):
            error.message = error.args[0]
        raise
