"""Against a real buildkitd, which is grpc-go."""

import asyncio

import pytest

from buildwright.errors import Code, RpcError
from buildwright.wire.channel import Channel
from buildwright.wire.proto import control_pb2
from buildwright.wire.sockets import connect_unix

pytestmark = pytest.mark.peers

CONTROL = "/moby.buildkit.v1.Control"
HEALTH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"


def with_daemon(buildkitd, scenario):
    async def run():
        stream = await connect_unix(buildkitd.address.removeprefix("unix://"))
        async with asyncio.timeout(60), Channel(stream) as channel:
            await scenario(channel)

    asyncio.run(run())


def test_unary_calls_are_answered_many_at_once(buildkitd):
    async def scenario(channel):
        assert await asyncio.gather(*(channel.unary(HEALTH, b"") for _ in range(300))) == [SERVING] * 300
        workers = control_pb2.ListWorkersResponse.FromString(await channel.unary(f"{CONTROL}/ListWorkers", b""))
        assert workers.record
        info = control_pb2.InfoResponse.FromString(await channel.unary(f"{CONTROL}/Info", b"", timeout=30))
        assert info.buildkitVersion.version.startswith("v")

    with_daemon(buildkitd, scenario)


def test_a_failed_solve_has_a_status_with_the_daemons_details(buildkitd):
    async def scenario(channel):
        request = control_pb2.SolveRequest(Ref="wire-test", Frontend="none")
        with pytest.raises(RpcError, match="invalid frontend: none") as caught:
            await channel.unary(f"{CONTROL}/Solve", request.SerializeToString())
        assert "github.com/moby/buildkit/stack.Stack+json" in {detail.type_url for detail in caught.value.details}

    with_daemon(buildkitd, scenario)


def test_a_server_stream_has_its_metadata_before_its_end(buildkitd):
    async def scenario(channel):
        async with channel.call(f"{CONTROL}/Status", timeout=30) as call:
            await call.send(control_pb2.StatusRequest(Ref="wire-test-none").SerializeToString())
            await call.half_close()
            assert "buildkit-current-timestamp" in dict(await call.initial_metadata())
            with pytest.raises(RpcError) as caught:
                await call.receive()
            assert caught.value.code is Code.NOT_FOUND

    with_daemon(buildkitd, scenario)


def test_a_deadline_ends_a_call_that_waits(buildkitd):
    async def scenario(channel):
        async with channel.call("/grpc.health.v1.Health/Watch", timeout=0.5) as call:
            await call.send(b"")
            await call.half_close()
            assert await call.receive() == SERVING
            with pytest.raises(RpcError) as caught:
                await call.receive()
            # The daemon keeps the same deadline, and calls it by its own name when it is first.
            assert caught.value.code in (Code.DEADLINE_EXCEEDED, Code.CANCELLED)
        assert await channel.unary(HEALTH, b"") == SERVING

    with_daemon(buildkitd, scenario)
