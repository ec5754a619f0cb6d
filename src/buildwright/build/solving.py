"""One node's share of a build: its daemon is started and connected to, asked what it can, and given the solve."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from buildwright.build.context import Inputs
from buildwright.build.outputs import Receiver
from buildwright.build.plan import NodePlan
from buildwright.build.session import open_session
from buildwright.build.stdin import InputReader, standard_input
from buildwright.build.translate import Daemon, translate
from buildwright.client.client import Client
from buildwright.client.session.upload import Uploads
from buildwright.drivers.driver import Driver
from buildwright.model.request import BuildRequest, Output
from buildwright.model.solve import SolveResult
from buildwright.model.status import StatusSink
from buildwright.registry.credentials import Credentials
from buildwright.wire.channel import Channel

KEEPALIVE = 10.0
"""Seconds of silence after which the daemon is asked whether it still lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What this side of a build offers: standard streams, which are touched by builds that use them only, the
    environment, and the id of this machine's store."""

    stdin: InputReader = field(default_factory=lambda: InputReader(standard_input))
    stdout: Callable[[], BinaryIO] = lambda: sys.stdout.buffer
    stdout_is_terminal: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    node_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What all nodes of one build share. `ref` names it in every daemon; `vcs` are facts about the work tree."""

    request: BuildRequest
    ref: str
    host: Host
    credentials: Credentials
    targets: tuple[Receiver, ...]
    vcs: Mapping[str, str]


async def solve(
    work: Work,
    share: NodePlan,
    driver: Driver,
    *,
    inputs: Inputs,
    uploads: Uploads,
    outputs: tuple[Output, ...],
    sink: StatusSink,
    part: bool = False,
    session_id: str | None = None,
) -> SolveResult:
    """Build a node's platforms on it. `part`: other nodes build the rest.

    Raises members of the error tree only. After a failure or a cancellation the daemon's solve is cancelled, the
    session is closed and no output is left half-written.
    """
    session = open_session(
        inputs,
        uploads=uploads,
        targets=work.targets,
        secrets=work.request.secrets,
        stdout=work.host.stdout,
        sink=sink,
        credentials=work.credentials,
        environ=work.host.environ,
        node_id=work.host.node_id,
        session_id=session_id,
    )
    await driver.start(sink)
    stream = await driver.open(_affinity(work.request, driver))
    async with Channel(stream, authority=driver.traits.authority, keepalive=KEEPALIVE) as channel:
        client = Client(channel)
        request = translate(
            replace(work.request, platforms=share.platforms),
            ref=work.ref,
            inputs=inputs,
            outputs=outputs,
            daemon=Daemon(version=await client.info()),
            vcs=work.vcs,
            environ=work.host.environ,
            part=part,
        )
        return await client.solve(request, session=session, sink=sink)


def _affinity(request: BuildRequest, driver: Driver) -> str:
    """By what the driver keeps like builds together."""
    if not driver.traits.by_project:
        return os.path.abspath(request.context)
    from buildwright.build.affinity import project_key

    return project_key(request)
