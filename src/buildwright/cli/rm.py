"""`rm`: remove builders, what they made, and their entries in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildwright.cli.command import Command, Context
from buildwright.cli.flags import Flag, Kind, Values
from buildwright.cli.shared import TIMEOUT, confirmed
from buildwright.errors import BuildwrightError, UsageError

if TYPE_CHECKING:
    from buildwright.model.node import Builder

_WARNING = "This will remove all builders that are not in running state."


async def run(values: Values, context: Context) -> int:
    if values.boolean("all-inactive"):
        if values.args:
            raise UsageError("cannot specify builder name when --all-inactive is set")
        if not values.boolean("force") and not await confirmed(_WARNING, context.stdout, context):
            return 0
        builders = await _inactive(values, context)
        names = [builder.name for builder in builders]
    else:
        names = list(values.args) or [values.string("builder") or await _current(context)]
    import asyncio

    async with asyncio.TaskGroup() as tasks:
        removals = [tasks.create_task(_remove(name, values, context)) for name in dict.fromkeys(names)]
    if not all(task.result() for task in removals):
        raise BuildwrightError("failed to remove one or more builders")
    return 0


async def _remove(name: str, values: Values, context: Context) -> bool:
    """Remove one builder and say so; whether it went well."""
    try:
        await _removed(name, values, context)
    except BuildwrightError as error:
        print(f"failed to remove {name}: {error}", file=context.stderr)
        return False
    print(f"{name} removed", file=context.stderr)
    return True


async def _removed(name: str, values: Values, context: Context) -> None:
    from buildwright.builders import docker_contexts, resolve
    from buildwright.builders.open import supported
    from buildwright.builders.store import Store

    store = Store(context.environ, context.warn)
    contexts = docker_contexts.read(context.environ)
    async with store.transaction() as transaction:
        if values.boolean("keep-daemon") and transaction.exists(name):
            transaction.remove(name)
            return
        builder = resolve.named(transaction, contexts, name)
    if builder.docker_context:
        raise UsageError(f"context builder cannot be removed, run `docker context rm {name}` to remove this context")
    if not supported(builder.driver):
        raise UsageError(
            f'the driver "{builder.driver}" is not supported: add --keep-daemon to forget the builder only'
        )
    failures = await _remove_nodes(builder, context, keep_state=values.boolean("keep-state"))
    forced = values.boolean("force")
    if failures and not forced:
        # buildx forgets the builder, and its pods are nobody's then.
        raise BuildwrightError(f"{'; '.join(failures)} (the builder is kept: add --force to forget it nevertheless)")
    async with store.transaction() as transaction:
        transaction.remove(name)
    if failures:
        raise BuildwrightError(f"{'; '.join(failures)} (the builder is forgotten, and what is left of it goes on)")


async def _remove_nodes(builder: Builder, context: Context, *, keep_state: bool) -> list[str]:
    """Remove every node's daemons, and return what failed."""
    from buildwright.drivers import table

    failures: list[str] = []
    for node in builder.nodes:
        try:
            driver = table.remover(builder.driver, node)
            await driver.remove(keep_state=keep_state, tell=context.warn)
        except BuildwrightError as error:
            failures.append(f"failed to remove node {node.name}: {error}")
    return failures


async def _inactive(values: Values, context: Context) -> list[Builder]:
    """Stored builders of which no node runs; those that cannot be read or asked are left alone, and told."""
    from buildwright.cli.listing import stored

    found = []
    for state in await stored(context, values.seconds("timeout")):
        errors = [error for error in (state.error, *(node.error for node in state.nodes)) if error]
        if errors:
            context.warn(f"builder {state.builder.name} is left alone: {errors[0]}")
        elif state.inactive and not state.dynamic:
            found.append(state.builder)
    return found


async def _current(context: Context) -> str:
    from buildwright.builders.resolve import resolve

    return (await resolve(environ=context.environ, on_wait=context.warn)).name


COMMAND = Command(
    name="rm",
    usage="rm [OPTIONS] [NAME...]",
    short="Remove one or more builder instances",
    long="Remove builders with their daemons and caches; without a name the current one. A builder that is only\n"
    "stopped is inactive as well: --all-inactive takes it with its volume claims, each named before it goes, unless\n"
    "--keep-state is given.",
    flags=(
        Flag(name="all-inactive", kind=Kind.BOOL, help="Remove all inactive builders, also stopped ones"),
        Flag(
            name="force",
            short="f",
            kind=Kind.BOOL,
            help="Do not prompt for confirmation, and forget what cannot be removed",
        ),
        Flag(name="keep-daemon", kind=Kind.BOOL, help="Keep the BuildKit daemon running"),
        Flag(name="keep-state", kind=Kind.BOOL, help="Keep BuildKit state"),
        TIMEOUT,
    ),
    max_args=None,
    run=run,
)
