"""`update`: change a builder's options, and with them what it has in the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildwright.cli.command import Command, Context
from buildwright.cli.flags import Flag, Kind, Values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildwright.builders.store import Store
    from buildwright.builders.update import NodeUpdate

_DRIVER = "Driver"


async def run(values: Values, context: Context) -> int:
    from buildwright.builders import docker_contexts, update
    from buildwright.builders.store import Store

    store = Store(context.environ, context.warn)
    options = update.UpdateOptions(
        node=values.string("node"),
        platforms=values.strings("platform"),
        driver_opts=values.strings("driver-opt"),
        daemon_flags=values.string("buildkitd-flags") if values.given("buildkitd-flags") else None,
        daemon_config=values.string("buildkitd-config") if values.given("buildkitd-config") else None,
    )
    name = values.arg() or values.string("builder")
    contexts = docker_contexts.read(context.environ)
    async with store.transaction() as transaction:
        group = update.find(transaction, contexts, context.environ, name)
    nodes = update.prepare(group, options)
    for node in nodes:
        _show(node, await node.update.plan(), context)
    if not values.boolean("dry-run"):
        await _change(group.name, nodes, store, context)
    return 0


def _show(node: NodeUpdate, changes: Sequence[str], context: Context) -> None:
    lines = [*node.changes, *changes]
    print(f"node {node.after.name}{'' if lines else ': nothing to change'}", file=context.stdout)
    for line in lines:
        print(f"  {line}", file=context.stdout)
    context.stdout.flush()


async def _change(builder: str, nodes: Sequence[NodeUpdate], store: Store, context: Context) -> None:
    """One node after the other, so that a failure leaves the rest as it is."""
    from buildwright.builders import update
    from buildwright.progress.display import Mode, make

    async with make(Mode.AUTO, context.stderr, environ=context.environ, debug=context.debug) as display:
        for node in nodes:
            await update.apply(store, builder, node, display)


COMMAND = Command(
    name="update",
    usage="update [OPTIONS] [NAME]",
    short="Change a builder and what it has in the cluster (not in buildx)",
    long="Change options of a builder's nodes; what is not named stays as it is. The difference to what is in the\n"
    "cluster is shown, then pods are replaced one after the other. Running builds finish in the former pods, which\n"
    "is waited for only where volumes must pass on. Without any option, what others have changed in the cluster is\n"
    "put back.",
    flags=(
        Flag(
            name="driver-opt",
            value="key=value",
            kind=Kind.ARRAY,
            group=_DRIVER,
            help="Options for the driver; an empty value takes an option away",
        ),
        Flag(
            name="buildkitd-config",
            value="file",
            alias="config",
            group=_DRIVER,
            help='BuildKit daemon config file in the place of the former; "" for none',
        ),
        Flag(
            name="buildkitd-flags",
            value="flags",
            group=_DRIVER,
            help="BuildKit daemon flags in the place of the former",
        ),
        Flag(name="platform", value="platform", kind=Kind.ARRAY, help="Fixed platforms of the node"),
        Flag(name="node", value="name", help="Change this node only (default: all)"),
        Flag(name="dry-run", kind=Kind.BOOL, help="Show what would change, and change nothing"),
    ),
    max_args=1,
    examples=(
        ("More pods, each with more memory", "update --driver-opt replicas=4,limits.memory=8Gi kube"),
        ("What differs between the builder and the cluster", "update --dry-run kube"),
        ("A limit taken away", "update --driver-opt limits.memory= kube"),
    ),
    run=run,
)
