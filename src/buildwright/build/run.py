"""The one road: a request and a builder go in, a result comes out; everything in between is closed behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from buildwright.build.context import Inputs, load_inputs
from buildwright.build.credentials import open_credentials
from buildwright.build.metadata import decode_response
from buildwright.build.outputs import opened, receivers, resolve_outputs
from buildwright.build.plan import plan
from buildwright.build.solving import Host, Work, solve
from buildwright.build.vcs import vcs_attributes
from buildwright.builders.open import driver_for
from buildwright.client.identity import new_id
from buildwright.drivers.driver import Driver
from buildwright.drivers.steps import step
from buildwright.errors import BuildwrightError
from buildwright.model.node import Builder
from buildwright.model.request import BuildRequest
from buildwright.model.status import StatusSink

if TYPE_CHECKING:
    from buildwright.model.solve import BuildResult

__all__ = ["Host", "run"]


async def run(
    request: BuildRequest,
    builder: Builder,
    *,
    sink: StatusSink,
    host: Host,
    session_id: str | None = None,
    unheld: bool = False,
) -> BuildResult:
    """Build `request` on `builder`, starting its daemons when they do not run.

    Platforms that belong to different nodes are built at the same time, and what they push becomes one image under
    every tag when all have succeeded; before that, and if any fails, no tag is touched. `session_id` is for builds
    on one node. `unheld` asks daemons as they run: none is started, nor held against what would end it.

    Raises members of the error tree only. After a failure or a cancellation the daemons' solves are cancelled, the
    sessions are closed and no output is left half-written.
    """
    builder, drivers = _usable(builder, sink)
    losses: list[str] = []
    chosen = plan(request.platforms, builder)
    if not chosen.certain:
        from buildwright.build.several import platforms_of_workers

        known = await platforms_of_workers(drivers, sink, retries=request.retries, tell=losses.append)
        chosen = plan(request.platforms, builder, known)
    outputs = resolve_outputs(request, drivers[chosen.nodes[0].node.name].traits)
    targets = receivers(outputs, stdout_is_terminal=host.stdout_is_terminal)
    if "-" in (target.dest for target in targets):
        opened(host.stdout)
    keep = len(chosen.nodes) > 1 or (request.retries > 0 and drivers[chosen.nodes[0].node.name].traits.dynamic)
    async with load_inputs(request, host.stdin, keep_archive=keep) as inputs:
        work = Work(
            request=request,
            ref=new_id(),
            host=host,
            credentials=open_credentials(host.environ),
            targets=targets,
            vcs=_vcs(request, inputs, host.environ),
            unheld=unheld,
            tell=losses.append,
        )
        if len(chosen.nodes) == 1:
            (share,) = chosen.nodes
            result = await solve(
                work,
                share,
                drivers[share.node.name],
                inputs=inputs,
                outputs=outputs,
                sink=sink,
                session_id=session_id,
            )
        else:
            from buildwright.build.several import solve_on_all

            result = await solve_on_all(work, chosen.nodes, drivers, inputs=inputs, outputs=outputs, sink=sink)
    place = f"{builder.name}/{chosen.nodes[0].node.name}/{result.ref}"
    made = _result(result.exporter_response, place, cache_only=not outputs and not request.outputs)
    return replace(made, losses=tuple(losses))


def _usable(builder: Builder, sink: StatusSink) -> tuple[Builder, dict[str, Driver]]:
    """The builder with the nodes that a driver can be made for, and their drivers by name.

    A node that is left out is said. Raises the last error when no node is usable.
    """
    drivers: dict[str, Driver] = {}
    broken: dict[str, BuildwrightError] = {}
    for node in builder.nodes:
        try:
            drivers[node.name] = driver_for(builder, node)
        except BuildwrightError as error:
            broken[node.name] = error
    if not broken:
        return builder, drivers
    if not drivers:
        raise list(broken.values())[-1]
    for name, reason in broken.items():
        with step(sink, f"[internal] building without node {name}: {reason}"):
            pass
    return replace(builder, nodes=tuple(node for node in builder.nodes if node.name in drivers)), drivers


def _vcs(request: BuildRequest, inputs: Inputs, environ: Mapping[str, str]) -> Mapping[str, str]:
    if "context" not in inputs.local_dirs or request.context == "-":
        return {}
    return vcs_attributes(inputs.local_dirs, request.context, environ)


def _result(response: Mapping[str, str], place: str, *, cache_only: bool) -> BuildResult:
    """The result that a response tells of; `place` is its reference, builder/node/ref."""
    from buildwright.model.solve import BuildResult

    metadata = decode_response(response)
    metadata["buildx.build.ref"] = place
    builder, node, ref = place.rsplit("/", 2)
    return BuildResult(
        ref=ref,
        builder=builder,
        node=node,
        digest=response.get("containerimage.digest", ""),
        config_digest=response.get("containerimage.config.digest", ""),
        image_names=tuple(name for name in response.get("image.name", "").split(",") if name),
        metadata=metadata,
        kept_in_cache_only=cache_only,
    )
