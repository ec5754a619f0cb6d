"""`use`: choose the builder that commands use when none is named."""

from __future__ import annotations

from buildwright.cli.command import Command, Context
from buildwright.cli.flags import Flag, Kind, Values


async def run(values: Values, context: Context) -> int:
    from buildwright.builders import docker_contexts, resolve
    from buildwright.builders.store import Store

    name = values.arg() or values.string("builder")
    contexts = docker_contexts.read(context.environ)
    async with Store(context.environ, context.warn).transaction() as transaction:
        resolve.use(
            transaction,
            contexts,
            name,
            everywhere=values.boolean("global"),
            default=values.boolean("default"),
        )
    return 0


COMMAND = Command(
    name="use",
    usage="use [OPTIONS] NAME",
    short="Set the current builder instance",
    flags=(
        Flag(name="default", kind=Kind.BOOL, help="Set builder as default for current context"),
        Flag(name="global", kind=Kind.BOOL, help="Builder persists context changes"),
    ),
    max_args=1,
    run=run,
)
