"""One build on several nodes at once: all of them succeed, or nothing is tagged."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from buildwright.build.context import Inputs
from buildwright.build.plan import NodePlan
from buildwright.build.prefix import Prefixed
from buildwright.build.solving import KEEPALIVE, Work, solve
from buildwright.build.spread import of_platforms, spread
from buildwright.build.stdin import InputReader
from buildwright.build.together import gather
from buildwright.client.client import Client
from buildwright.client.identity import new_id
from buildwright.client.session.blocking import run_abandonable
from buildwright.client.session.upload import Uploads
from buildwright.drivers.driver import Driver
from buildwright.errors import BuildwrightError, RpcError, SolveError, UsageError
from buildwright.model.platform import Platform
from buildwright.model.request import Output
from buildwright.model.solve import SolveResult
from buildwright.model.status import StatusSink, StatusUpdate, Vertex
from buildwright.wire.channel import Channel

if TYPE_CHECKING:
    from typing import IO

T = TypeVar("T")

_STDIN_ARCHIVE = "http://buildkit-session/"
_CHUNK = 1 << 20


async def platforms_of_workers(drivers: Mapping[str, Driver], sink: StatusSink) -> dict[str, tuple[Platform, ...]]:
    """Start every node and ask what its workers build for, by name of node. The first failure ends it, named."""

    async def ask(name: str, driver: Driver) -> tuple[Platform, ...]:
        await driver.start(Prefixed(sink, name))
        stream = await driver.open()
        async with Channel(stream, authority=driver.traits.authority, keepalive=KEEPALIVE) as channel:
            workers = await Client(channel).workers()
        return tuple(dict.fromkeys(platform.normalized() for worker in workers for platform in worker.platforms))

    found = await gather(_named(f"node {name}", ask(name, driver)) for name, driver in drivers.items())
    return dict(zip(drivers, found, strict=True))


async def solve_on_all(
    work: Work,
    shares: Sequence[NodePlan],
    drivers: Mapping[str, Driver],
    *,
    inputs: Inputs,
    outputs: tuple[Output, ...],
    sink: StatusSink,
) -> Mapping[str, str]:
    """Build every share on its node and make one image of what they push; returns the exporter's response.

    Without a push that is the first node's. The first failure cancels the others' solves and is raised with the
    node's name and platforms; no tag has been touched then.
    """
    _check(work)
    outputs, push = spread(outputs)

    async def build(share: NodePlan, parts: tuple[Inputs, Uploads]) -> SolveResult:
        name = share.node.name
        prefixed = Prefixed(sink, name)
        try:
            return await solve(
                work,
                share,
                drivers[name],
                inputs=parts[0],
                uploads=parts[1],
                outputs=of_platforms(outputs, share.platforms),
                sink=prefixed,
                part=True,
            )
        except SolveError as error:
            error.vertex = prefixed.digest(error.vertex)
            raise

    async with _copies(inputs, work.host.stdin, len(shares)) as copies:
        results = await gather(
            _named(f"node {share.node.name}, {', '.join(map(str, share.platforms))}", build(share, parts))
            for share, parts in zip(shares, copies, strict=True)
        )
    responses = [result.exporter_response for result in results]
    if push is None:
        return responses[0]
    from buildwright.build.merge import merge

    with _vertex(sink, f"merging manifest list {push.title}"):
        return await merge(
            responses,
            push,
            credentials=work.credentials,
            files=[share.node.files for share in shares],
        )


def _check(work: Work) -> None:
    if "-" in (target.dest for target in work.targets):
        raise UsageError("a result on stdout is not possible for a build on several nodes: give the output a dest")


@asynccontextmanager
async def _copies(inputs: Inputs, stdin: InputReader, count: int) -> AsyncIterator[list[tuple[Inputs, Uploads]]]:
    """The inputs as every node gets them. An archive on stdin is kept in a file meanwhile, for each to read."""
    if not inputs.frontend_attrs.get("context", "").startswith(_STDIN_ARCHIVE):
        yield [(inputs, Uploads()) for _ in range(count)]
        return
    import tempfile

    with tempfile.NamedTemporaryFile(prefix="buildwright-") as file, ExitStack() as opened:
        await run_abandonable(lambda: _spool(stdin, file))
        copies = []
        for _ in range(count):
            uploads = Uploads()
            reader = opened.enter_context(io.FileIO(file.name))
            attrs = {**inputs.frontend_attrs, "context": uploads.add(reader)}
            copies.append((replace(inputs, frontend_attrs=attrs), uploads))
        yield copies


def _spool(stdin: InputReader, file: IO[bytes]) -> None:
    while chunk := stdin.read(_CHUNK):
        file.write(chunk)
    file.flush()


async def _named(where: str, work: Awaitable[T]) -> T:
    """The result of `work`; an error of it says at its end where it happened, and is the same otherwise."""
    try:
        return await work
    except BuildwrightError as error:
        error.args = (f"{error} ({where})", *error.args[1:])
        if isinstance(error, RpcError):
            error.message = error.args[0]
        raise


@contextmanager
def _vertex(sink: StatusSink, name: str) -> Iterator[None]:
    """Show what is done meanwhile as a step of the build."""
    digest = "sha256:" + hashlib.sha256(new_id().encode()).hexdigest()
    started = time.time_ns()
    vertex = Vertex(digest=digest, name=name, started=started)
    sink.write(StatusUpdate(vertexes=(vertex,)))
    error = ""
    try:
        yield
    except BuildwrightError as failure:
        error = str(failure)
        raise
    except BaseException:
        error = "context canceled"
        raise
    finally:
        sink.write(StatusUpdate(vertexes=(replace(vertex, completed=time.time_ns(), error=error),)))
