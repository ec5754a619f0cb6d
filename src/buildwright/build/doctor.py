"""Examining a builder: every node's cluster, daemons and ways to registries, all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from buildwright.build import reach
from buildwright.builders.open import driver_for
from buildwright.drivers import table
from buildwright.drivers.driver import Driver
from buildwright.errors import BuildwrightError
from buildwright.model.finding import Finding, Level
from buildwright.model.node import Builder, Node

_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class NodeReport:
    """`place` says where the node is."""

    node: str
    place: str
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing that a build needs is missing."""
        return not any(finding.level is Level.FAILED for finding in self.findings)


async def examine(
    builder: Builder, registries: Sequence[str], environ: Mapping[str, str], *, planned: bool = False
) -> list[NodeReport]:
    """Examine all nodes. No registries: the usual one, which a build need not use. `planned`: the builder does not
    exist yet.

    Raises UsageError or DriverOptionError for a builder that is unusable as it is, and for a registry that is no
    name; all else is found and not raised.
    """
    for registry in registries:
        reach.target(registry)
    drivers = [driver_for(builder, node) for node in builder.nodes]
    async with asyncio.TaskGroup() as group:
        reports = [
            group.create_task(_node(builder, node, driver, registries, environ, planned=planned))
            for node, driver in zip(builder.nodes, drivers, strict=True)
        ]
    return [report.result() for report in reports]


async def _node(
    builder: Builder,
    node: Node,
    driver: Driver,
    registries: Sequence[str],
    environ: Mapping[str, str],
    *,
    planned: bool,
) -> NodeReport:
    seen = await table.examine(builder.driver, node, planned=planned)
    findings = [*seen.findings]
    if seen.running and not planned:
        daemon = await _daemon(driver)
        findings.append(daemon)
        if daemon.level is Level.OK:
            findings += await _reached(builder, node, registries, environ)
    elif registries:
        words = "no daemon runs that could be asked: start it with buildwright inspect --bootstrap"
        findings += [Finding(Level.UNKNOWN, f"registry {registry}", words) for registry in registries]
    return NodeReport(node.name, seen.place, tuple(findings))


async def _daemon(driver: Driver) -> Finding:
    """Whether a daemon answers on the way that a build takes."""
    from buildwright.client.client import Client
    from buildwright.wire.channel import Channel

    try:
        async with asyncio.timeout(_PATIENCE):
            async with Channel(await driver.open(), authority=driver.traits.authority) as channel:
                client = Client(channel)
                version, workers = await client.info(), await client.workers()
    except TimeoutError:
        return Finding(Level.FAILED, "connection", f"the daemon does not answer within {_PATIENCE:.0f} seconds")
    except BuildwrightError as error:
        return Finding(Level.FAILED, "connection", str(error))
    platforms = dict.fromkeys(str(platform) for worker in workers for platform in worker.platforms)
    return Finding(
        Level.OK, "connection", f"BuildKit {version or 'before v0.11'} answers; it builds {', '.join(platforms)}"
    )


async def _reached(
    builder: Builder, node: Node, registries: Sequence[str], environ: Mapping[str, str]
) -> list[Finding]:
    asked = registries or (reach.DEFAULT,)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(reach.reach(builder, node, registry, environ, asked=bool(registries)))
            for registry in asked
        ]
    return [task.result() for task in tasks]
