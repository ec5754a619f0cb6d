"""`ls`: all builders and what state their nodes are in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildwright.cli.command import Command, Context
from buildwright.cli.flags import Flag, Kind, Values
from buildwright.cli.shared import TIMEOUT
from buildwright.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildwright.build.survey import BuilderState, NodeState

_HEADER = ("NAME/NODE", "DRIVER/ENDPOINT", "STATUS", "BUILDKIT", "PLATFORMS")
_INDENT = r" \_ "


async def run(values: Values, context: Context) -> int:
    form = values.string("format")
    if form not in ("table", "json"):
        raise UsageError(f'flag --format: unknown format "{form}": choose table or json')
    from buildwright.cli.listing import listing

    current, states = await listing(context, values.seconds("timeout"))
    states = sorted(states, key=lambda state: state.error is not None)
    if form == "json":
        from buildwright.cli.states import to_json

        for state in states:
            print(to_json(state, current=state.builder.name == current), file=context.stdout)
        return 0
    from buildwright.cli.columns import align

    rows: list[tuple[str, ...]] = [_HEADER]
    for state in states:
        rows += _rows(state, current=state.builder.name == current, full=values.boolean("no-trunc"))
    context.stdout.write(align(["\t".join(row) for row in rows], least=10, padding=3))
    _explain(states, context)
    return 0


def _rows(state: BuilderState, *, current: bool, full: bool) -> list[tuple[str, ...]]:
    name = state.builder.name + ("*" if current else "")
    rows: list[tuple[str, ...]] = [(name, state.builder.driver, "error" if state.error else "", "", "")]
    for node in state.nodes:
        status = "error" if node.error else (node.status or "")
        label, endpoint = _INDENT + node.node.name, _INDENT + node.node.endpoint
        rows.append((label, endpoint, status, node.version, _platforms(node, full=full)))
    return rows


def _platforms(node: NodeState, *, full: bool) -> str:
    from buildwright.cli import platforms

    names = platforms.mark(node.node.platforms, node.platforms)
    return ", ".join(names) if full else platforms.shorten(names)


def _explain(states: Sequence[BuilderState], context: Context) -> None:
    """Say on stderr why builders and nodes are in error."""
    lines = []
    for state in states:
        if state.error:
            lines.append(f"Cannot load builder {state.builder.name}: {state.error}")
        lines += [
            f"Failed to get status for {state.builder.name} ({node.node.name}): {node.error}"
            for node in state.nodes
            if node.error
        ]
    if lines:
        context.stdout.flush()
        print("", *lines, sep="\n", file=context.stderr)


COMMAND = Command(
    name="ls",
    usage="ls [OPTIONS]",
    short="List builder instances",
    long="List all builders with their nodes; the current one has a star. Platforms with a star are fixed by\n"
    "--platform of create, the others are what the daemons report.",
    flags=(
        Flag(
            name="format", default="table", value="format", help="Format the output: table, or json for one line each"
        ),
        Flag(name="no-trunc", kind=Kind.BOOL, help="Don't truncate output"),
        TIMEOUT,
    ),
    run=run,
    builder=False,
)
