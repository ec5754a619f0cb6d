"""A solve with its status and its session, against a scripted daemon."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from buildwright.client import client as client_module
from buildwright.client.session.session import Session
from buildwright.errors import (
    BuildwrightError,
    Code,
    ConnectionLostError,
    ContextError,
    DaemonLostError,
    Detail,
    ProtocolError,
    RpcError,
    SolveError,
)
from buildwright.model.solve import Exporter, SolveRequest
from buildwright.wire.channel import Channel
from buildwright.wire.proto import control_pb2, worker_pb2
from buildwright.wire.rpc import Handler, ServerCall

NONSENSE = b"\xff"
REQUEST = SolveRequest(ref="ref-1", frontend="dockerfile.v0", frontend_attrs={"target": "x"})
EXITED = Detail("github.com/moby/buildkit/gatewayapi.ExitMessage+json", b'{"Code": 3}')


def answering(**response: str) -> Callable[[ServerCall], Awaitable[None]]:
    async def solve(call: ServerCall) -> None:
        await call.receive()
        await call.send(control_pb2.SolveResponse(ExporterResponse=response).SerializeToString())

    return solve


def failing(error: RpcError) -> Callable[[ServerCall], Awaitable[None]]:
    async def solve(call: ServerCall) -> None:
        await call.receive()
        raise error

    return solve


async def hanging(call: ServerCall) -> None:
    await call.receive()
    await asyncio.Event().wait()


def telling(*messages: bytes) -> Callable[[ServerCall], Awaitable[None]]:
    async def status(call: ServerCall) -> None:
        await call.receive()
        for message in messages:
            await call.send(message)

    return status


class Broken:
    """A service that failed on our side."""

    def __init__(self, failure: BuildwrightError | None) -> None:
        self.failure = failure

    def handlers(self) -> Mapping[str, Handler]:
        return {}


def solve(daemon: Any, sink: Any, session: Session | None = None, request: SolveRequest = REQUEST) -> Any:
    async def run() -> Any:
        async with daemon.client() as client:
            return await client.solve(request, session=session, sink=sink)

    return asyncio.run(run())


def test_a_solve_returns_what_the_exporters_answered(daemon: Any, sink: Any) -> None:
    result = solve(daemon(solve=answering(**{"containerimage.digest": "sha256:a"})), sink)
    assert result.ref == "ref-1"
    assert result.exporter_response == {"containerimage.digest": "sha256:a"}


def test_the_daemon_gets_the_whole_request(daemon: Any, sink: Any) -> None:
    seen = []

    async def script(call: ServerCall) -> None:
        seen.append(control_pb2.SolveRequest.FromString(await call.receive() or b""))
        await call.send(b"")

    exporters = (Exporter(type="image", attrs={"push": "true"}), Exporter(type="local"))
    request = SolveRequest(ref="r", frontend="f", exporters=exporters, entitlements=("network.host",), internal=True)
    session = Session()
    solve(daemon(solve=script), sink, session, request)
    (told,) = seen
    assert (told.Ref, told.Frontend, told.Session, told.Internal) == ("r", "f", session.id, True)
    assert [e.Type for e in told.Exporters] == ["image", "local"]
    assert (told.ExporterDeprecated, dict(told.ExporterAttrsDeprecated)) == ("image", {"push": "true"})
    assert list(told.Entitlements) == ["network.host"]
    assert told.HasField("Cache")


def test_status_goes_to_the_sink(daemon: Any, sink: Any, status_message: Callable[[str], bytes]) -> None:
    solve(daemon(solve=answering(), status=telling(status_message("one"), status_message("two"))), sink)
    assert sink.names == ["one", "two"]


def test_status_that_fails_does_not_fail_the_solve(daemon: Any, sink: Any) -> None:
    unknown = failing(RpcError(Code.NOT_FOUND, "no such job"))
    assert solve(daemon(solve=answering(a="b"), status=unknown), sink).exporter_response == {"a": "b"}


def test_status_that_does_not_end_is_left(daemon: Any, sink: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "STATUS_GRACE", 0)
    endless = daemon(solve=answering(), status=hanging)
    solve(endless, sink)
    assert "Status was reset" in endless.events


def test_status_that_comes_after_the_solve_is_waited_for(
    daemon: Any, sink: Any, status_message: Callable[[str], bytes]
) -> None:
    solved = asyncio.Event()

    async def status(call: ServerCall) -> None:
        await call.receive()
        await call.send(status_message("early"))
        await solved.wait()
        await call.send(status_message("late"))

    async def script(call: ServerCall) -> None:
        await call.receive()
        await sink.heard.wait()
        solved.set()
        raise RpcError(Code.UNKNOWN, "no")

    with pytest.raises(SolveError):
        solve(daemon(solve=script, status=status), sink)
    assert sink.names == ["early", "late"]


def test_a_failed_solve_is_a_solve_error(daemon: Any, sink: Any) -> None:
    error = RpcError(Code.UNKNOWN, "exit code: 3", details=(EXITED,))
    with pytest.raises(SolveError, match="exit code: 3") as caught:
        solve(daemon(solve=failing(error)), sink, Session())
    assert caught.value.process_exit_code == 3


def test_what_failed_on_our_side_is_told_instead_of_its_echo(daemon: Any, sink: Any) -> None:
    ours = ContextError("cannot read secret.txt")
    with pytest.raises(ContextError) as caught:
        solve(daemon(solve=failing(RpcError(Code.UNKNOWN, "rpc error: cannot"))), sink, Session([Broken(ours)]))
    assert caught.value is ours
    assert isinstance(ours.__cause__, SolveError)


def test_a_process_that_failed_is_not_blamed_on_our_side(daemon: Any, sink: Any) -> None:
    error = RpcError(Code.UNKNOWN, "exit code: 3", details=(EXITED,))
    with pytest.raises(SolveError, match="exit code: 3"):
        solve(daemon(solve=failing(error)), sink, Session([Broken(ContextError("a pipe broke"))]))


def test_a_daemon_that_gives_up_is_gone_and_not_our_cancellation(daemon: Any, sink: Any) -> None:
    with pytest.raises(ConnectionLostError, match="context canceled") as caught:
        solve(daemon(solve=failing(RpcError(Code.CANCELLED, "context canceled"))), sink)
    assert caught.value.exit_code == 1
    assert caught.value.retriable


def test_the_session_is_opened_first_and_ended_last(daemon: Any, sink: Any) -> None:
    scripted = daemon(solve=answering())
    solve(scripted, sink, Session())
    assert scripted.events[0] == "Session began"
    assert scripted.events[-1] == "Session was reset"


def test_the_daemon_asks_our_services_during_a_solve(daemon: Any, sink: Any) -> None:
    asked = asyncio.Event()

    async def ask(channel: Channel) -> None:
        assert await channel.unary("/grpc.health.v1.Health/Check", b"", timeout=30) == b"\x08\x01"
        asked.set()

    async def script(call: ServerCall) -> None:
        await asked.wait()
        await call.send(b"")

    solve(daemon(solve=script, in_session=ask), sink, Session())


def test_a_session_that_is_refused_ends_the_solve(daemon: Any, sink: Any) -> None:
    refused = daemon(solve=hanging, refusal=RpcError(Code.UNIMPLEMENTED, "unknown service"))
    with pytest.raises(SolveError, match="unknown service"):
        solve(refused, sink, Session())
    assert "Solve was reset" in refused.events


def test_a_session_that_the_daemon_ends_in_order_ends_the_solve(daemon: Any, sink: Any) -> None:
    ended = daemon(solve=hanging, ends_session=True)
    with pytest.raises(ConnectionLostError, match="the daemon ended the session"):
        solve(ended, sink, Session())
    assert "Solve was reset" in ended.events


def test_a_solve_that_returns_with_its_session_is_done(
    daemon: Any, sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "SILENT_GRACE", 60)
    scripted = daemon(ends_session=True)

    async def script(call: ServerCall) -> None:
        while "Session ended" not in scripted.events:  # noqa: ASYNC110 - a list has no event to wait for
            await asyncio.sleep(0)
        await answering(a="b")(call)

    scripted.solve = script
    assert solve(scripted, sink, Session()).exporter_response == {"a": "b"}


async def nonsense(call: ServerCall) -> None:
    await call.receive()
    await call.send(NONSENSE)


def test_an_answer_that_cannot_be_read_is_a_protocol_error(daemon: Any, sink: Any) -> None:
    with pytest.raises(ProtocolError, match="unreadable SolveResponse"):
        solve(daemon(solve=nonsense), sink, Session())


def test_status_that_cannot_be_read_does_not_fail_the_solve(daemon: Any, sink: Any) -> None:
    assert solve(daemon(solve=answering(a="b"), status=nonsense), sink).exporter_response == {"a": "b"}


def test_what_a_sink_raises_is_raised_as_it_is(daemon: Any, status_message: Callable[[str], bytes]) -> None:
    class Raising:
        def write(self, update: object, /) -> None:
            raise ZeroDivisionError

    endless = daemon(solve=hanging, status=telling(status_message("one")))
    with pytest.raises(ZeroDivisionError):
        solve(endless, Raising(), Session())
    assert endless.events[-1] == "Session was reset"


@pytest.mark.parametrize("code", [Code.CANCELLED, Code.UNKNOWN])
def test_a_failure_shows_no_credentials_of_an_address_nor_does_its_cause(daemon: Any, sink: Any, code: Code) -> None:
    error = RpcError(code, "cannot fetch https://robot:hunter2@git.example/a.git: context canceled")
    with pytest.raises(BuildwrightError) as caught:
        solve(daemon(solve=failing(error)), sink)
    assert "git.example" in str(caught.value)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_cancelled_solve_is_reset_before_the_session_ends(daemon: Any, sink: Any) -> None:
    began = asyncio.Event()

    async def script(call: ServerCall) -> None:
        began.set()
        await hanging(call)

    scripted = daemon(solve=script, status=hanging)

    async def run() -> None:
        async with scripted.client() as client:
            solving = asyncio.ensure_future(client.solve(REQUEST, session=Session(), sink=sink))
            await began.wait()
            solving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await solving

    asyncio.run(run())
    ends = [event for event in scripted.events if event.endswith("reset")]
    assert sorted(ends[:2]) == ["Solve was reset", "Status was reset"]
    assert ends[2:] == ["Session was reset"]


def test_a_daemon_that_dies_ends_the_solve_in_one_sentence(daemon: Any, sink: Any) -> None:
    began = asyncio.Event()

    async def script(call: ServerCall) -> None:
        began.set()
        await hanging(call)

    async def run() -> None:
        async with daemon(solve=script, status=hanging).connected() as (client, cut):
            solving = asyncio.ensure_future(client.solve(REQUEST, session=Session(), sink=sink))
            await began.wait()
            await cut()
            with pytest.raises(ConnectionLostError, match="the daemon went away before the build was done"):
                await solving

    asyncio.run(run())


class Doomed:
    """A byte stream to nobody, whose reads fail with `error`."""

    def __init__(self, error: DaemonLostError) -> None:
        self._error = error

    async def read(self, limit: int = 1 << 20, /) -> bytes:
        raise self._error

    async def write(self, data: object, /) -> None:
        pass

    async def close_write(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def test_a_daemons_loss_comes_out_as_the_stream_told_it(sink: Any) -> None:
    lost = DaemonLostError("pod p was deleted", pod="p", reason="Deleted", log=("bye",))

    async def run() -> None:
        async with Channel(Doomed(lost)) as channel:
            await client_module.Client(channel).solve(REQUEST, session=Session(), sink=sink)

    with pytest.raises(DaemonLostError) as caught:
        asyncio.run(asyncio.wait_for(run(), 20))
    assert caught.value is lost


class Answering:
    """A channel that answers every unary call alike."""

    def __init__(self, answer: bytes | RpcError) -> None:
        self._answer = answer

    async def unary(self, path: str, request: bytes, **_: object) -> bytes:
        if isinstance(self._answer, RpcError):
            raise self._answer
        return self._answer


def client_of(answer: bytes | RpcError) -> client_module.Client:
    return client_module.Client(Answering(answer))  # type: ignore[arg-type]


def test_a_daemon_tells_its_version() -> None:
    answer = control_pb2.InfoResponse(buildkitVersion=worker_pb2.BuildkitVersion(version="v0.29.0"))
    assert asyncio.run(client_of(answer.SerializeToString()).info()) == "v0.29.0"


def test_a_daemon_that_is_too_old_to_tell_its_version_has_none() -> None:
    assert asyncio.run(client_of(RpcError(Code.UNIMPLEMENTED, "unknown method Info")).info()) == ""


def test_a_daemon_that_answers_nonsense_is_named_so() -> None:
    with pytest.raises(ProtocolError, match="unreadable InfoResponse"):
        asyncio.run(client_of(NONSENSE).info())
    with pytest.raises(ProtocolError, match="unreadable ListWorkersResponse"):
        asyncio.run(client_of(NONSENSE).workers())


def test_a_daemon_that_cannot_be_asked_is_an_error() -> None:
    with pytest.raises(RpcError):
        asyncio.run(client_of(RpcError(Code.UNAVAILABLE, "no")).info())


def test_workers_have_platforms_in_normal_form() -> None:
    record = worker_pb2.WorkerRecord(ID="w", Labels={"a": "b"})
    record.platforms.add(OS="linux", Architecture="arm64", Variant="v8")
    record.GCPolicy.add(all=True, keepDuration=5, filters=["f"], reservedSpace=1, maxUsedSpace=2, minFreeSpace=3)
    record.CDIDevices.add(Name="gpu", AutoAllow=True)
    record.BuildkitVersion.version = "v1"
    answer = control_pb2.ListWorkersResponse(record=[record]).SerializeToString()
    (worker,) = asyncio.run(client_of(answer).workers())
    assert (worker.id, worker.labels, worker.version) == ("w", {"a": "b"}, "v1")
    assert [str(platform) for platform in worker.platforms] == ["linux/arm64"]
    assert (worker.gc_policy[0].keep_duration, worker.gc_policy[0].filters) == (5, ("f",))
    assert worker.devices[0].name == "gpu"
