"""The one road: a request and a builder go in, a result comes out; everything in between is closed behind it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from buildwright.build.context import Inputs, load_inputs
from buildwright.build.metadata import decode_response
from buildwright.build.outputs import receivers, resolve_outputs
from buildwright.build.plan import plan
from buildwright.build.session import open_session
from buildwright.build.stdin import InputReader
from buildwright.build.translate import Daemon, translate
from buildwright.build.vcs import vcs_attributes
from buildwright.builders.open import driver_for
from buildwright.client.client import Client
from buildwright.client.identity import new_id
from buildwright.client.session.upload import Uploads
from buildwright.model.node import Builder
from buildwright.model.request import BuildRequest
from buildwright.model.solve import BuildResult, SolveResult
from buildwright.model.status import StatusSink
from buildwright.wire.channel import Channel

KEEPALIVE = 10.0
"""Seconds of silence after which the daemon is asked whether it still lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What this side of a build offers: standard streams, environment, and the id of this machine's store."""

    stdin: InputReader = field(default_factory=lambda: InputReader(sys.stdin.buffer))
    stdout: BinaryIO = field(default_factory=lambda: sys.stdout.buffer)
    stdout_is_terminal: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    node_id: str = ""


async def run(
    request: BuildRequest, builder: Builder, *, sink: StatusSink, host: Host, session_id: str | None = None
) -> BuildResult:
    """Build `request` on `builder`, starting its daemons when they do not run.

    Raises members of the error tree only. After a failure or a cancellation the daemon's solve is cancelled, the
    session is closed and no output is left half-written.
    """
    chosen = plan(request.platforms, builder)
    driver = driver_for(builder, chosen.node)
    outputs = resolve_outputs(request, driver.traits)
    targets = receivers(outputs, stdout_is_terminal=host.stdout_is_terminal)
    uploads = Uploads()
    async with load_inputs(request, host.stdin, uploads) as inputs:
        session = open_session(
            inputs,
            uploads=uploads,
            targets=targets,
            secrets=request.secrets,
            stdout=host.stdout,
            sink=sink,
            environ=host.environ,
            node_id=host.node_id,
            session_id=session_id,
        )
        await driver.start(sink)
        stream = await driver.open(os.path.abspath(request.context))
        async with Channel(stream, authority=driver.traits.authority, keepalive=KEEPALIVE) as channel:
            client = Client(channel)
            solve = translate(
                request,
                ref=new_id(),
                inputs=inputs,
                outputs=outputs,
                daemon=Daemon(version=await client.info()),
                vcs=_vcs(request, inputs, host.environ),
                environ=host.environ,
            )
            result = await client.solve(solve, session=session, sink=sink)
    return _result(result, builder, chosen.node.name, cache_only=not outputs and not request.outputs)


def _vcs(request: BuildRequest, inputs: Inputs, environ: Mapping[str, str]) -> Mapping[str, str]:
    if "context" not in inputs.local_dirs or request.context == "-":
        return {}
    return vcs_attributes(inputs.local_dirs, request.context, environ)


def _result(result: SolveResult, builder: Builder, node: str, *, cache_only: bool) -> BuildResult:
    response = result.exporter_response
    metadata = decode_response(response)
    metadata["buildx.build.ref"] = f"{builder.name}/{node}/{result.ref}"
    return BuildResult(
        ref=result.ref,
        builder=builder.name,
        node=node,
        digest=response.get("containerimage.digest", ""),
        config_digest=response.get("containerimage.config.digest", ""),
        image_names=tuple(name for name in response.get("image.name", "").split(",") if name),
        metadata=metadata,
        kept_in_cache_only=cache_only,
    )
