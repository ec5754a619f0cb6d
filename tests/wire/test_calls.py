"""Calls of both roles over a pair of streams in memory."""

import asyncio

import pytest

from buildwright.errors import Code, Detail, RpcError
from buildwright.wire.channel import Channel
from buildwright.wire.memory import memory_pair
from buildwright.wire.rpc import ServerCall
from buildwright.wire.serve import Server


async def echo(call: ServerCall) -> None:
    while (message := await call.receive()) is not None:
        await call.send(message)


async def missing(call: ServerCall) -> None:
    raise RpcError(Code.NOT_FOUND, "nö 100 %", details=(Detail("example/kind", b"{}"),))


def test_a_unary_call_returns_the_answer():
    async def scenario():
        ours, theirs = memory_pair()
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(Server({"/e/Echo": echo}).serve(theirs))
            async with Channel(ours) as channel:
                assert await channel.unary("/e/Echo", b"hello") == b"hello"
            await serving

    asyncio.run(scenario())


def test_an_error_keeps_its_code_message_and_details():
    async def scenario():
        ours, theirs = memory_pair()
        async with asyncio.TaskGroup() as group:
            group.create_task(Server({"/e/Missing": missing}).serve(theirs))
            async with Channel(ours) as channel:
                with pytest.raises(RpcError) as caught:
                    await channel.unary("/e/Missing", b"")
        assert caught.value.code is Code.NOT_FOUND
        assert str(caught.value) == "nö 100 %"
        assert caught.value.details == (Detail("example/kind", b"{}"),)

    asyncio.run(scenario())
