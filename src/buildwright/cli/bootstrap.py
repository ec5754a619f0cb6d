"""Starting a builder's nodes with a display of how it goes."""

from __future__ import annotations

from buildwright.build.survey import BuilderState, boot
from buildwright.cli.command import Context
from buildwright.progress.display import Mode, make


async def bootstrap(state: BuilderState, context: Context) -> bool:
    """Start what does not run; whether there was anything. Raises the first failure once all have ended."""
    if not state.startable:
        return False
    async with make(Mode.AUTO, context.stderr, environ=context.environ, debug=context.debug) as display:
        await boot(state.startable, display)
    return True
