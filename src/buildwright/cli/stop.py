"""`stop`: stop a builder's daemons and keep the builder."""

from __future__ import annotations

from buildwright.cli.command import Command, Context
from buildwright.cli.flags import Values
from buildwright.errors import BuildwrightError


async def run(values: Values, context: Context) -> int:
    from buildwright.builders.open import driver_for
    from buildwright.builders.resolve import resolve

    name = values.arg() or values.string("builder")
    builder = await resolve(name, environ=context.environ, on_wait=context.warn)
    failures: list[BuildwrightError] = []
    for node in builder.nodes:
        try:
            await driver_for(builder, node).stop(tell=context.warn)
        except BuildwrightError as error:
            failures.append(error)
    for failure in failures[1:]:
        context.warn(str(failure))
    if failures:
        raise failures[0]
    return 0


COMMAND = Command(
    name="stop",
    usage="stop [NAME]",
    short="Stop builder instance",
    max_args=1,
    run=run,
)
