"""Starting a builder's nodes with a display of how it goes."""

from __future__ import annotations

from buildwright.build.survey import BuilderState, boot
from buildwright.cli.command import Context
from buildwright.progress.display import Mode, make


async def bootstrap(state: BuilderState, context: Context) -> bool:
    """Start what does not run; whether there was anything. Raises the first failure once all have ended, and that of
    a node, or of the builder, that could not be asked."""
    if state.startable:
        async with make(Mode.AUTO, context.stderr, environ=context.environ, debug=context.debug) as display:
            await boot(state.startable, display)
    unasked = (node.error for node in state.nodes if node not in state.startable)
    for error in (state.error, *unasked):
        if error is not None:
            raise error
    return bool(state.startable)
