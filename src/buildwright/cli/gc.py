"""`gc`: remove what builders have left behind in a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildwright.cli.command import Command, Context
from buildwright.cli.flags import Flag, Kind, Values
from buildwright.cli.shared import confirmed
from buildwright.errors import BuildwrightError, ClusterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from buildwright.drivers.kubernetes.lifecycle.leftovers import Leftover
    from buildwright.kube.api import Cluster

_HEADER = ("OBJECT", "NAMESPACE", "BUILDER", "AGE", "LAST USED", "WHY")
_WARNING = "This will remove all of the above."


async def run(values: Values, context: Context) -> int:
    form = values.string("format")
    if form not in ("table", "json"):
        raise UsageError(f'flag --format: unknown format "{form}": choose table or json')
    everywhere = values.boolean("all-namespaces")
    if everywhere and values.given("namespace"):
        raise UsageError("--namespace and --all-namespaces exclude each other: leave one of them out")
    from buildwright.drivers.kubernetes.lifecycle.collect import collect, look

    async with await _cluster(values, context) as cluster:
        if not everywhere:
            await _check_namespace(cluster)
        where = "any namespace" if everywhere else f"namespace {cluster.namespace}"
        left = await look(cluster, everywhere=everywhere, tell=context.warn)
        _show(left, form, context)
        if not left:
            print(f"nothing is left behind in {where}", file=context.stderr)
            return 0
        if values.boolean("dry-run"):
            print(f"{_count(left)} would be removed", file=context.stderr)
            return 0
        if not values.boolean("force") and not await confirmed(_WARNING, context.stderr, context):
            print("nothing was removed", file=context.stderr)
            return 0
        gone, failed = await collect(cluster, left, everywhere=everywhere)
    for one, error in failed:
        print(f"failed to remove {_name(one)} in namespace {one.namespace}: {error}", file=context.stderr)
    print(f"{_count(gone)} removed", file=context.stderr)
    if failed:
        raise BuildwrightError(f"{_count([one for one, _ in failed])} could not be removed")
    return 0


async def _check_namespace(cluster: Cluster) -> None:
    """A list of what is in a namespace that does not exist is empty, so a misspelt one would never be noticed."""
    from buildwright.kube.api import FORBIDDEN, NAMESPACE

    try:
        found = await cluster.get(NAMESPACE, cluster.namespace)
    except ClusterError as error:
        if error.status != FORBIDDEN:
            raise
        return
    if found is None:
        raise UsageError(
            f'there is no namespace "{cluster.namespace}": kubectl get namespaces lists those that exist'
        )


async def _cluster(values: Values, context: Context) -> Cluster:
    """The cluster and namespace that the flags name, else the builder's, else kubectl's own."""
    from buildwright.kube.api import Cluster
    from buildwright.kube.config import load

    name, namespace = values.string("builder"), values.string("namespace")
    if name and values.string("context"):
        raise UsageError("--builder and --context both name a cluster: leave one of them out")
    if not name:
        return Cluster(load(context=values.string("context"), environ=context.environ), namespace=namespace)
    from buildwright.builders.resolve import resolve
    from buildwright.drivers.table import connect

    builder = await resolve(name, environ=context.environ, on_wait=context.warn)
    cluster = await connect(builder.driver, builder.nodes[0])
    if not namespace or namespace == cluster.namespace:
        return cluster
    await cluster.aclose()
    return Cluster(cluster.config, namespace=namespace)


def _show(left: Sequence[Leftover], form: str, context: Context) -> None:
    import time

    if form == "json":
        for one in left:
            print(_json(one), file=context.stdout)
    elif left:
        from buildwright.cli.columns import align
        from buildwright.drivers.values import human

        now = time.time()
        ages = [(human(now - one.made), human(now - one.used) + " ago" if one.used else "") for one in left]
        rows = [(_name(one), one.namespace, one.builder, *age, one.why) for one, age in zip(left, ages, strict=True)]
        context.stdout.write(align(["\t".join(row) for row in (_HEADER, *rows)], least=10, padding=3))
    context.stdout.flush()


def _json(one: Leftover) -> str:
    import json
    from datetime import UTC, datetime

    def time_of(moment: float) -> str:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    document = {
        "Kind": one.kind.kind,
        "Namespace": one.namespace,
        "Name": one.name,
        "Builder": one.builder,
        "Created": time_of(one.made),
        **({"LastUsed": time_of(one.used)} if one.used else {}),
        "Why": one.why,
    }
    return json.dumps(document, ensure_ascii=False)


def _name(one: Leftover) -> str:
    return f"{one.kind.kind.lower()}/{one.name}"


def _count(objects: Sequence[object]) -> str:
    return "1 object" if len(objects) == 1 else f"{len(objects)} objects"


COMMAND = Command(
    name="gc",
    usage="gc [OPTIONS]",
    short="Remove what builders have left behind in a cluster (not in buildx)",
    long="Remove builders that are unused for longer than their driver option ttl, and what is left of those that\n"
    "are gone. Only what has the label app.kubernetes.io/managed-by=buildwright is looked at. A builder stays in\n"
    "your list and is made again when it is used.",
    flags=(
        Flag(name="all-namespaces", short="A", kind=Kind.BOOL, help="Look in every namespace"),
        Flag(name="context", value="name", help="The kubeconfig's context; otherwise the current one"),
        Flag(name="dry-run", kind=Kind.BOOL, help="Only show what would be removed"),
        Flag(name="force", short="f", kind=Kind.BOOL, help="Do not prompt for confirmation"),
        Flag(
            name="format", default="table", value="format", help="Format the output: table, or json for one line each"
        ),
        Flag(name="namespace", short="n", value="name", help="The namespace; otherwise the builder's or kubectl's"),
    ),
    examples=(
        ("See what would go", "gc --all-namespaces --dry-run"),
        ("Clean up from a CI job that runs now and then", "gc --namespace ci --force"),
    ),
    run=run,
)
