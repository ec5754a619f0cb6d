"""`create`: make a builder, or add, change or remove one of its nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildwright.cli.command import Command, Context
from buildwright.cli.flags import Flag, Kind, Values
from buildwright.cli.shared import TIMEOUT

if TYPE_CHECKING:
    from buildwright.build.survey import BuilderState
    from buildwright.builders.create import Created
    from buildwright.builders.store import Store

_NODE, _DRIVER = "Nodes", "Driver"


async def run(values: Values, context: Context) -> int:
    import asyncio

    from buildwright.build.survey import survey
    from buildwright.builders import create, docker_contexts
    from buildwright.builders.store import Store
    from buildwright.drivers.driver import NodeStatus

    store = Store(context.environ, context.warn)
    if values.boolean("leave"):
        name, node = values.string("name"), values.string("node")
        async with store.transaction() as transaction:
            group = transaction.get(name)
            create.leave(transaction, name, node)
        if group is not None and group.driver == "kubernetes":
            context.warn(
                f"what node {node} has in the cluster goes on; kubectl delete deployments,statefulsets,configmaps,"
                f"secrets,poddisruptionbudgets -l app={node} removes it, in the node's namespace"
            )
        return 0
    contexts = docker_contexts.read(context.environ)
    options = create.CreateOptions(
        name=values.string("name"),
        driver=values.string("driver"),
        node=values.string("node"),
        endpoint=values.arg(),
        platforms=values.strings("platform"),
        driver_opts=values.strings("driver-opt"),
        daemon_flags=values.string("buildkitd-flags") if values.given("buildkitd-flags") else None,
        daemon_config=values.string("buildkitd-config"),
        append=values.boolean("append"),
    )
    async with store.transaction() as transaction:
        created = create.create(transaction, contexts, context.environ, options, store.default_daemon_config())
    if created.needs_restart:
        context.warn("new settings may not be used until builder is restarted")
    for warning in created.warnings:
        context.warn(warning)
    async with asyncio.TaskGroup() as tasks:
        surveyed = tasks.create_task(survey(created.builder, values.seconds("timeout")))
        identified = tasks.create_task(create.identify(created))
    state = surveyed.result()
    await _check(state, created, store)
    there = {node.node.name for node in state.nodes if node.status not in (None, NodeStatus.INACTIVE)}
    for warning in await create.drift(created, there):
        context.warn(warning)
    if places := identified.result():
        async with store.transaction() as transaction:
            create.keep(transaction, created, places)
    if values.boolean("use"):
        async with store.transaction() as transaction:
            transaction.set_current(contexts.key, created.record.name)
    if values.boolean("bootstrap"):
        from buildwright.cli.bootstrap import bootstrap

        await bootstrap(state, context)
    print(created.record.name, file=context.stdout)
    return 0


async def _check(state: BuilderState, created: Created, store: Store) -> None:
    """Undo the creation when a node cannot work. One that only cannot be reached now is no reason."""
    from buildwright.builders.create import undo
    from buildwright.errors import NotReadyError

    for node in state.nodes:
        if node.error is None or node.error.retriable or isinstance(node.error, NotReadyError):
            continue
        async with store.transaction() as transaction:
            undo(transaction, created)
        raise node.error


COMMAND = Command(
    name="create",
    usage="create [OPTIONS] [CONTEXT|ENDPOINT]",
    short="Create a new builder instance",
    long="Make a builder: a fleet of BuildKit pods in a Kubernetes cluster, or a BuildKit daemon at an address. Its\n"
    "name is printed. The store is that of docker buildx, which can use the builder as well.",
    flags=(
        Flag(name="name", value="name", help="Builder instance name"),
        Flag(name="driver", value="driver", group=_DRIVER, help="Driver to use: kubernetes or remote"),
        Flag(
            name="driver-opt",
            value="key=value",
            kind=Kind.ARRAY,
            group=_DRIVER,
            help="Options for the driver; quote a whole pair that has commas: '\"nodeselector=a=b,c=d\",replicas=2'",
        ),
        Flag(
            name="buildkitd-config",
            value="file",
            alias="config",
            group=_DRIVER,
            help="BuildKit daemon config file, stored with the certificates that it names",
        ),
        Flag(name="buildkitd-flags", value="flags", group=_DRIVER, help="BuildKit daemon flags"),
        Flag(
            name="platform", value="platform", kind=Kind.ARRAY, group=_NODE, help="Fixed platforms for current node"
        ),
        Flag(name="node", value="name", group=_NODE, help="Create/modify node with given name"),
        Flag(
            name="append",
            kind=Kind.BOOL,
            group=_NODE,
            help="Append a node to builder instead of changing it",
        ),
        Flag(
            name="leave",
            kind=Kind.BOOL,
            group=_NODE,
            help="Remove a node from builder instead of changing it",
        ),
        Flag(name="bootstrap", kind=Kind.BOOL, help="Boot builder after creation"),
        Flag(name="use", kind=Kind.BOOL, help="Set the current builder instance"),
        TIMEOUT,
    ),
    max_args=1,
    examples=(
        (
            "Two BuildKit pods in the cluster of the kubeconfig",
            "create --name kube --driver kubernetes --driver-opt namespace=buildkit,replicas=2 --bootstrap --use",
        ),
        ("A daemon at an address", "create --name ci --driver remote tcp://buildkit.example.com:1234"),
        (
            "A second node, for another platform",
            "create --name kube --append --node arm --platform linux/arm64 --driver-opt namespace=arm",
        ),
    ),
    run=run,
    builder=False,
)
