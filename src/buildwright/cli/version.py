"""`version`: which program this is."""

from __future__ import annotations

from buildwright import __version__
from buildwright.cli.command import Command, Context
from buildwright.cli.flags import Values


async def run(_values: Values, context: Context) -> int:
    print(f"buildwright v{__version__}", file=context.stdout)
    return 0


COMMAND = Command(
    name="version",
    usage="version",
    short="Show version information",
    run=run,
    builder=False,
)
