"""A call as a handler sees it, for tests of one service without a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from buildwright.client.session.service import Service
from buildwright.wire.rpc import Metadata
from buildwright.wire.stream import Buffer


class RecordedCall:
    """Gives the handler one message and keeps what it sends."""

    def __init__(self, path: str, message: bytes, metadata: Metadata = ()) -> None:
        self.path = path
        self.metadata = metadata
        self.sent: list[bytes] = []
        self.has_sent = asyncio.Event()
        self._messages = [message]

    async def receive(self) -> bytes | None:
        return self._messages.pop() if self._messages else None

    async def receive_many(self) -> Sequence[bytes]:
        message = await self.receive()
        return () if message is None else (message,)

    async def send(self, message: Buffer, /) -> None:
        self.sent.append(bytes(message))
        self.has_sent.set()


@pytest.fixture
def recorded_call() -> type[RecordedCall]:
    return RecordedCall


@pytest.fixture
def ask() -> Callable[..., list[bytes]]:
    """Calls a service's method and returns the messages that it answers."""

    def run(service: Service, path: str, message: bytes = b"", metadata: Metadata = ()) -> list[bytes]:
        call = RecordedCall(path, message, metadata)
        asyncio.run(service.handlers()[path](call))  # type: ignore[arg-type]
        return call.sent

    return run
