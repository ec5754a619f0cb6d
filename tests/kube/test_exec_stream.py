"""The exec stream is a byte stream like any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from buildwright.kube import exec as pod_exec
from buildwright.kube.api import Cluster
from buildwright.kube.config import load
from buildwright.testing.kube import ApiServer, pod
from buildwright.testing.suites.stream import ByteStreamSuite
from buildwright.wire.stream import Buffer, ByteStream

TEMPLATE = {"metadata": {}, "spec": {"containers": [{"name": "c"}]}}


class Command:
    """The command's side of the stream; the command lives until this is closed."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.stream: ByteStream

    async def run(self, stream: ByteStream) -> int:
        self.stream = stream
        self.begun.set()
        await self.ended.wait()
        return 0

    async def read(self, limit: int = 1 << 20, /) -> bytes:
        return await self.stream.read(limit)

    async def write(self, data: Buffer, /) -> None:
        await self.stream.write(data)

    async def close_write(self) -> None:
        await self.stream.close_write()

    async def aclose(self) -> None:
        self.ended.set()
        await self.stream.aclose()


class TestExecStream(ByteStreamSuite):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path

    @asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[ByteStream, ByteStream]]:
        async with ApiServer() as server:
            command = Command()
            server.exec_handler = command.run
            server.put("pods", pod("p", TEMPLATE))
            async with Cluster(load(str(server.kubeconfig(self.path)), environ={})) as cluster:
                stream = await pod_exec.connect(cluster, "p", "c", ("cat",))
                await command.begun.wait()
                try:
                    yield stream, command
                finally:
                    await stream.aclose()
                    await command.aclose()
