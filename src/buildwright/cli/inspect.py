"""`inspect`: everything about one builder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from buildwright.cli.command import Command, Context
from buildwright.cli.flags import Flag, Kind, Values
from buildwright.cli.shared import TIMEOUT

if TYPE_CHECKING:
    from buildwright.build.survey import BuilderState, NodeState
    from buildwright.drivers.driver import Traits
    from buildwright.model.worker import GCPolicy, Worker


async def run(values: Values, context: Context) -> int:
    from buildwright.build.survey import survey
    from buildwright.builders.resolve import resolve
    from buildwright.cli.bootstrap import bootstrap
    from buildwright.cli.columns import align

    name = values.arg() or values.string("builder")
    builder = await resolve(name, environ=context.environ, on_wait=context.warn)
    timeout = values.seconds("timeout")
    state = await survey(builder, timeout)
    if values.boolean("bootstrap") and await bootstrap(state, context):
        state = await survey(builder, timeout)
    context.stdout.write(align(list(_builder(state, debug=context.debug))))
    return 0


def _builder(state: BuilderState, *, debug: bool) -> Iterator[str]:
    builder = state.builder
    yield f"Name:\t{builder.name}"
    yield f"Driver:\t{builder.driver}"
    if builder.last_activity:
        yield f"Last Activity:\t{builder.last_activity.replace('T', ' ').replace('Z', '')} +0000 UTC"
    if state.error:
        yield f"Error:\t{state.error}"
        return
    yield from ("", "Nodes:")
    for index, node in enumerate(state.nodes):
        if index:
            yield ""
        yield from _node(node, debug=debug)


def _node(state: NodeState, *, debug: bool) -> Iterator[str]:
    from buildwright.cli import platforms

    node = state.node
    yield f"Name:\t{node.name}"
    yield f"Endpoint:\t{node.endpoint}"
    if state.instance:
        yield f"Instance:\t{state.instance}"
    if node.driver_opts:
        options = " ".join(f"{key}={_quoted(value)}" for key, value in sorted(node.driver_opts.items()))
        yield f"Driver Options:\t{options}"
    if state.error:
        yield f"Error:\t{state.error}"
        return
    yield f"Status:\t{state.status or ''}"
    if node.flags:
        yield f"BuildKit daemon flags:\t{' '.join(node.flags)}"
    if state.version:
        yield f"BuildKit version:\t{state.version}"
    if names := platforms.mark(node.platforms, state.platforms):
        yield f"Platforms:\t{', '.join(names)}"
    if debug and state.traits:
        yield from _features(state.traits)
    if state.workers:
        yield from _workers(state.workers)
    for name, content in sorted(node.files.items()):
        yield from _file(name, content)


def _features(traits: Traits) -> Iterator[str]:
    features = {
        "Automatically load images to the Docker Engine image store": traits.default_load,
        "Cache export": traits.cache_export,
        "Direct push": traits.direct_push,
        "Docker exporter": traits.docker_exporter,
        "Multi-platform build": traits.multi_platform,
        "OCI exporter": traits.oci_exporter,
    }
    yield "Features:"
    for name, present in features.items():
        yield f"\t{name}:\t{_bool(present)}"


def _workers(workers: tuple[Worker, ...]) -> Iterator[str]:
    """Labels and garbage collection of the first worker, devices of the last, as buildx chooses them."""
    if workers[0].labels:
        yield "Labels:"
        for key, value in sorted(workers[0].labels.items()):
            yield f"\t{key}:\t{value}"
    if workers[-1].devices:
        yield "Devices:"
    for device in workers[-1].devices:
        yield f"\tName:\t{device.name}"
        if device.on_demand:
            yield "\tOn-Demand:\ttrue"
        else:
            yield f"\tAutomatically allowed:\t{_bool(device.auto_allow)}"
        if device.annotations:
            yield "\tAnnotations:"
            for key, value in sorted(device.annotations.items()):
                yield f"\t\t{key}:\t{value}"
    for index, policy in enumerate(workers[0].gc_policy):
        yield f"GC Policy rule#{index}:"
        yield from _policy(policy)


def _policy(policy: GCPolicy) -> Iterator[str]:
    from buildwright.model import duration, size

    yield f"\tAll:\t{_bool(policy.all)}"
    if policy.filters:
        yield f"\tFilters:\t{' '.join(policy.filters)}"
    if policy.keep_duration > 0:
        yield f"\tKeep Duration:\t{duration.write(policy.keep_duration)}"
    for name, amount in (
        ("Reserved Space", policy.reserved_space),
        ("Max Used Space", policy.max_used_space),
        ("Min Free Space", policy.min_free_space),
    ):
        if amount > 0:
            yield f"\t{name}:\t{size.write(amount)}"


def _file(name: str, content: bytes) -> Iterator[str]:
    from buildwright.cli.states import hides

    yield f"File#{name}:"
    if hides(content):
        yield "\t> (a private key, not shown)"
        return
    for line in content.decode("utf-8", "replace").split("\n"):
        yield f"\t> {line}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _bool(value: bool) -> str:
    return "true" if value else "false"


COMMAND = Command(
    name="inspect",
    usage="inspect [OPTIONS] [NAME]",
    short="Inspect current builder instance",
    long="Show a builder, its nodes, and what their daemons report: version, platforms, labels, garbage collection.",
    flags=(
        Flag(name="bootstrap", kind=Kind.BOOL, help="Ensure builder has booted before inspecting"),
        TIMEOUT,
    ),
    max_args=1,
    examples=(("Start a builder and see what it can do", "inspect --bootstrap kube"),),
    run=run,
)
