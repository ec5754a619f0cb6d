"""All builders of the store and of docker's contexts, with their states."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from buildwright.build.survey import BuilderState, survey
from buildwright.builders import docker_contexts, resolve
from buildwright.builders.store import Damaged, Store
from buildwright.cli.command import Context
from buildwright.errors import BuildwrightError
from buildwright.model.node import Builder


async def listing(context: Context, timeout: float) -> tuple[str, list[BuilderState]]:
    """The name of the current builder ("" when that cannot be told) and the state of every builder.

    Ordered as buildx does: stored ones by name, then those docker contexts whose names no builder has. The store is
    only held to read it; a damaged file is the error of its own builder.
    """
    contexts = docker_contexts.read(context.environ)
    async with Store(context.environ, context.warn).transaction() as transaction:
        groups, damaged = transaction.list()
        saved = [group.builder(transaction.activity(group.name)) for group in groups]
        names = {builder.name for builder in saved} | {one.name for one in damaged}
        implicit = [resolve.of_context(transaction, name) for name in contexts.hosts if name not in names]
        try:
            chosen = resolve.current(transaction, contexts, context.environ)
            current = chosen.name
        except BuildwrightError:
            chosen, current = None, ""
        if chosen is not None and chosen.name not in names and not chosen.docker_context:
            implicit.insert(0, chosen)
    return current, [*await _states((*saved, *implicit), timeout), *_unreadable(damaged)]


async def stored(context: Context, timeout: float) -> list[BuilderState]:
    """The state of every builder in the store."""
    async with Store(context.environ, context.warn).transaction() as transaction:
        groups, damaged = transaction.list()
        saved = [group.builder() for group in groups]
    return [*await _states(saved, timeout), *_unreadable(damaged)]


async def _states(builders: Sequence[Builder], timeout: float) -> list[BuilderState]:
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(survey(builder, timeout)) for builder in builders]
    return [task.result() for task in asked]


def _unreadable(damaged: Sequence[Damaged]) -> list[BuilderState]:
    return [BuilderState(builder=Builder(name=one.name, driver=""), error=one.error) for one in damaged]
