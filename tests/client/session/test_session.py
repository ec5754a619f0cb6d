"""A session's identity, headers and health, over the tunnel that a daemon uses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping

import pytest

from buildwright.client.identity import new_id
from buildwright.client.session.health import Health
from buildwright.client.session.service import Service
from buildwright.client.session.session import Session
from buildwright.errors import BuildwrightError, Code, ContextError, RpcError
from buildwright.wire.channel import Channel
from buildwright.wire.memory import memory_pair
from buildwright.wire.rpc import Handler, ServerCall
from buildwright.wire.serve import Server
from buildwright.wire.tunnel import TunnelStream

SERVING = b"\x08\x01"


class Echo:
    def handlers(self) -> Mapping[str, Handler]:
        return {"/test.Echo/Say": self._say}

    async def _say(self, call: ServerCall) -> None:
        await call.send(await call.receive() or b"")


class Failed(Echo):
    def __init__(self, failure: BuildwrightError | None) -> None:
        self.failure = failure

    def handlers(self) -> Mapping[str, Handler]:
        return {}


@contextlib.asynccontextmanager
async def daemon_side(session: Session) -> AsyncIterator[Channel]:
    """Run the session, and yield what the daemon has of it."""
    ours, theirs = memory_pair()
    inner: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()

    async def serve_session(call: ServerCall) -> None:
        async with Channel(TunnelStream(call)) as channel:
            inner.set_result(channel)
            await asyncio.Event().wait()

    daemon = asyncio.ensure_future(Server({"/moby.buildkit.v1.Control/Session": serve_session}).serve(theirs))
    async with Channel(ours) as outer:
        running = asyncio.ensure_future(session.run(outer))
        try:
            yield await inner
        finally:
            running.cancel()
            daemon.cancel()
            await asyncio.gather(running, daemon, return_exceptions=True)


def ask(path: str, request: bytes, services: Iterable[Service] = ()) -> bytes:
    async def run() -> bytes:
        async with daemon_side(Session(services)) as channel:
            return await channel.unary(path, request, timeout=30)

    return asyncio.run(run())


def test_ids_look_like_those_of_buildkit_and_differ() -> None:
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(name) == 25 and name.isalnum() and name == name.lower() for name in ids)


def test_the_headers_name_the_session_and_every_method() -> None:
    session = Session([Echo()], shared_key="key", id="abc")
    headers = session.headers()
    assert headers[0] == ("x-docker-expose-session-uuid", "abc")
    assert ("x-docker-expose-session-sharedkey", "key") in headers
    assert [value for key, value in headers if key == "x-docker-expose-session-grpc-method"] == [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/test.Echo/Say",
    ]


@pytest.mark.parametrize("key", ["проект", "a\nb", " edge ", "my app:node0", "\udcff"])
def test_a_shared_key_may_hold_any_characters(key: str) -> None:
    async def run() -> None:
        async with daemon_side(Session(shared_key=key)) as channel:
            assert await channel.unary("/grpc.health.v1.Health/Check", b"", timeout=30) == SERVING

    asyncio.run(run())


def test_a_printable_shared_key_is_sent_as_it_is() -> None:
    assert ("x-docker-expose-session-sharedkey", "my app:node0") in Session(shared_key="my app:node0").headers()


def test_a_service_is_reached_through_the_tunnel() -> None:
    assert ask("/test.Echo/Say", b"hello", [Echo()]) == b"hello"


def test_a_method_that_no_service_has_is_unimplemented() -> None:
    with pytest.raises(RpcError) as caught:
        ask("/test.Echo/Other", b"", [Echo()])
    assert caught.value.code is Code.UNIMPLEMENTED


def test_health_is_always_served() -> None:
    assert ask("/grpc.health.v1.Health/Check", b"") == SERVING


def test_health_can_be_watched_as_long_as_the_session_lasts() -> None:
    async def run() -> None:
        async with daemon_side(Session()) as channel, channel.call("/grpc.health.v1.Health/Watch") as call:
            await call.send(b"")
            await call.half_close()
            assert await call.receive() == SERVING
            after = asyncio.ensure_future(call.receive())
            assert await channel.unary("/grpc.health.v1.Health/Check", b"", timeout=30) == SERVING
            assert not after.done()
            after.cancel()
            await asyncio.wait((after,))

    asyncio.run(run())


def test_two_services_cannot_have_one_method() -> None:
    with pytest.raises(ValueError, match=r"/grpc\.health\.v1\.Health/Check"):
        Session([Health()])


def test_a_sessions_failure_is_the_first_that_a_service_recorded() -> None:
    first, second = ContextError("first"), ContextError("second")
    assert Session([Echo(), Failed(None), Failed(first), Failed(second)]).failure is first
    assert Session([Echo()]).failure is None
