"""One node's share of a build: its daemon is started and connected to, and given the build."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from buildwright.build.attempts import Attempt, persist
from buildwright.build.context import Inputs
from buildwright.build.outputs import Receiver
from buildwright.build.plan import NodePlan
from buildwright.build.stdin import InputReader, standard_input
from buildwright.client.session.sources import check
from buildwright.drivers.driver import Driver
from buildwright.errors import ConnectError, ConnectionLostError
from buildwright.model.request import BuildRequest, Output
from buildwright.model.status import StatusSink

if TYPE_CHECKING:
    from buildwright.model.solve import SolveResult
    from buildwright.registry.credentials import Credentials


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
    """What all nodes of one build share.

    `ref` names it in every daemon where it begins, `vcs` are facts about the work tree, and `tell` hears of every
    daemon that was lost and retried. `unheld`: daemons are used as they run, without a trace where they do.
    """

    request: BuildRequest
    ref: str
    host: Host
    credentials: Credentials
    targets: tuple[Receiver, ...]
    vcs: Mapping[str, str]
    unheld: bool = False
    tell: Callable[[str], None] = lambda _: None


async def solve(
    work: Work,
    share: NodePlan,
    driver: Driver,
    *,
    inputs: Inputs,
    outputs: tuple[Output, ...],
    sink: StatusSink,
    part: bool = False,
    session_id: str | None = None,
) -> SolveResult:
    """Build a node's platforms on it, and again on another of its daemons when one is lost. `part`: other nodes
    build the rest.

    Every attempt has a session and a ref of its own; `session_id` is the first one's. Raises members of the error
    tree only. After a failure or a cancellation the daemon's solve is cancelled, the session is closed and no output
    is left half-written.
    """

    async def begin(attempt: Attempt) -> SolveResult:
        try:
            return await _solve(
                work,
                share,
                driver,
                attempt,
                inputs=inputs,
                outputs=outputs,
                part=part,
                session_id=None if attempt.number else session_id,
            )
        except (ConnectError, ConnectionLostError):
            if inputs.archive is not None and not inputs.archive.repeatable:
                attempt.spent = "stdin has been read and was not kept"
            raise

    return await persist(begin, driver, retries=work.request.retries, sink=sink, tell=work.tell)


async def _solve(
    work: Work,
    share: NodePlan,
    driver: Driver,
    attempt: Attempt,
    *,
    inputs: Inputs,
    outputs: tuple[Output, ...],
    part: bool,
    session_id: str | None,
) -> SolveResult:
    check(work.request.secrets, work.host.environ)
    if work.unheld:
        stream = await driver.open()
    else:
        stream = await driver.open(_affinity(work.request, driver), start=attempt.sink)
    # A pod takes a while to run the stream's other end, and that is when what talks to it is loaded.
    from buildwright.build.exchange import exchange

    return await exchange(
        stream,
        work,
        share,
        driver.traits,
        attempt,
        inputs=inputs,
        outputs=outputs,
        part=part,
        session_id=session_id,
    )


def _affinity(request: BuildRequest, driver: Driver) -> str:
    """By what the driver keeps like builds together."""
    if not driver.traits.by_project:
        return os.path.abspath(request.context)
    from buildwright.build.affinity import project_key

    return project_key(request)
