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
    failure: BuildwrightError | None = None
    for node in builder.nodes:
        try:
            driver = driver_for(builder, node)
        except BuildwrightError as error:
            failure = error
        else:
            await driver.stop(tell=context.warn)
    if failure is not None:
        raise failure
    return 0


COMMAND = Command(
    name="stop",
    usage="stop [NAME]",
    short="Stop builder instance",
    max_args=1,
    run=run,
)
