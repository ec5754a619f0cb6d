"""`logs`: what a builder's daemons say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildwright.cli.command import Command, Context
from buildwright.cli.flags import Flag, Kind, Values
from buildwright.errors import BuilderNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from buildwright.model.node import Builder, Node

_COLORS = (36, 33, 32, 35, 34, 31)


async def run(values: Values, context: Context) -> int:
    from buildwright.builders.resolve import resolve
    from buildwright.drivers.logs import Wanted
    from buildwright.drivers.table import logs

    name = values.arg() or values.string("builder")
    builder = await resolve(name, environ=context.environ, on_wait=context.warn)
    nodes = _nodes(builder, values.string("node"))
    wanted = Wanted(
        tail=values.number("tail") if values.number("tail") >= 0 else None,
        pods=values.args[1:],
        follow=values.boolean("follow"),
    )
    await logs(builder.driver, nodes, wanted, _writer(context), context.warn)
    return 0


def _nodes(builder: Builder, name: str) -> Sequence[Node]:
    from buildwright.builders.open import driver_for

    driver_for(builder, builder.nodes[0])
    found = [node for node in builder.nodes if name in ("", node.name)]
    if not found:
        have = ", ".join(node.name for node in builder.nodes)
        raise BuilderNotFoundError(f'builder "{builder.name}" has no node "{name}": it has {have}', name=name)
    return found


def _writer(context: Context) -> Callable[[str, str], None]:
    """Prints a line, with its pod's name before it when there may be several."""
    colored = context.stdout.isatty() and not context.environ.get("NO_COLOR")
    colors: dict[str, int] = {}

    def write(pod: str, line: str) -> None:
        prefix = f"{pod} | " if pod else ""
        if colored and pod:
            prefix = f"\x1b[{colors.setdefault(pod, _COLORS[len(colors) % len(_COLORS)])}m{prefix}\x1b[0m"
        print(f"{prefix}{line}", file=context.stdout, flush=True)

    return write


COMMAND = Command(
    name="logs",
    usage="logs [OPTIONS] [NAME [POD...]]",
    short="Show what a builder's daemons say (not in buildx)",
    long="Show the logs of the daemons in all pods of a kubernetes builder, or in those named. With --follow it\n"
    "goes on, also with pods that come later and daemons that are started again, until it is interrupted.",
    flags=(
        Flag(name="follow", short="f", kind=Kind.BOOL, help="Show what comes as well, until interrupted"),
        Flag(
            name="tail", kind=Kind.INT, default=-1, value="lines", help="Show the last lines of each pod, -1 for all"
        ),
        Flag(name="node", value="name", help="Show the pods of one node only"),
    ),
    max_args=None,
    examples=(("What the daemons said last, and all that they say from now on", "logs -f --tail 20 kube"),),
    run=run,
)
