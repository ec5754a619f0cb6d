"""What is said on a stream to a daemon: a session is offered, the daemon is asked what it can and given the solve."""

from __future__ import annotations

from dataclasses import replace

from buildwright.build.attempts import Attempt
from buildwright.build.context import Inputs
from buildwright.build.plan import NodePlan
from buildwright.build.session import open_session
from buildwright.build.solving import Work
from buildwright.build.translate import Daemon, translate
from buildwright.client.client import Client
from buildwright.client.identity import new_id
from buildwright.client.session.upload import Uploads
from buildwright.drivers.driver import Explaining, Traits
from buildwright.errors import SolveError
from buildwright.model.request import Output
from buildwright.model.solve import SolveResult
from buildwright.wire.channel import Channel
from buildwright.wire.stream import ByteStream

KEEPALIVE = 10.0
"""Seconds of silence after which the daemon is asked whether it still lives."""


async def exchange(
    stream: ByteStream,
    work: Work,
    share: NodePlan,
    traits: Traits,
    attempt: Attempt,
    *,
    inputs: Inputs,
    outputs: tuple[Output, ...],
    part: bool,
    session_id: str | None,
) -> SolveResult:
    """Build `share` on the daemon behind `stream`, which is closed afterwards; see `solving.solve`."""

    def on_stream() -> None:
        attempt.spent = "part of its result had been written to a stream already"

    async with Channel(stream, authority=traits.authority, keepalive=KEEPALIVE) as channel:
        uploads = Uploads()
        if inputs.archive is not None:
            attrs = {**inputs.frontend_attrs, "context": uploads.add(inputs.archive.reader())}
            inputs = replace(inputs, frontend_attrs=attrs)
        session = open_session(
            inputs,
            uploads=uploads,
            targets=work.targets,
            secrets=work.request.secrets,
            stdout=work.host.stdout,
            on_stream=on_stream,
            sink=attempt.sink,
            credentials=work.credentials,
            environ=work.host.environ,
            node_id=work.host.node_id,
            session_id=session_id,
        )
        client = Client(channel)
        request = translate(
            replace(work.request, platforms=share.platforms),
            ref=new_id() if attempt.number else work.ref,
            inputs=inputs,
            outputs=outputs,
            daemon=Daemon(version=await client.info()),
            vcs=work.vcs,
            environ=work.host.environ,
            part=part,
        )
        try:
            return await client.solve(request, session=session, sink=attempt.sink)
        except SolveError as error:
            if isinstance(stream, Explaining) and (more := await stream.explain(error)):
                error.args = (f"{error}; {more}",)
            raise
