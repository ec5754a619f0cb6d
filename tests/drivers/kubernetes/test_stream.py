"""A pod's stream follows its pod for as long as it is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from buildwright.drivers.kubernetes import stream as pod_stream
from buildwright.drivers.kubernetes.death import Death
from buildwright.drivers.kubernetes.stream import PodStream
from buildwright.errors import ConnectionLostError
from buildwright.kube import exec as pod_exec
from buildwright.kube.api import Cluster
from buildwright.kube.config import load
from buildwright.kube.objects import Pod
from buildwright.testing.kube import ApiServer, pod

TEMPLATE = {"metadata": {}, "spec": {"containers": [{"name": "c"}]}}


async def opened(server: ApiServer, folder: Path) -> PodStream:
    item = pod("p", TEMPLATE)
    server.put("pods", item)
    cluster = Cluster(load(str(server.kubeconfig(folder)), environ={}))
    return PodStream(await pod_exec.connect(cluster, "p", "c", ("cat",)), cluster, Pod.read(item), "c")


def test_a_pod_that_stays_after_all_is_followed_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [Death("Deleted", "pod p is leaving", final=False), None, Death("Deleted", "pod p is gone")]

    async def states(*_args: object, **_more: object) -> AsyncIterator[tuple[object, ...]]:
        yield ()
        yield ()
        for _ in range(9):
            await asyncio.sleep(0)
        yield ()

    async def scenario() -> None:
        async with ApiServer() as server:
            stream = await opened(server, tmp_path)
            with pytest.raises(ConnectionLostError, match="pod p is gone"):
                async with asyncio.timeout(20):
                    await stream.read()
            await stream.aclose()

    monkeypatch.setattr(pod_stream, "LEAVING", 0.0)
    monkeypatch.setattr(pod_stream, "follow", states)
    monkeypatch.setattr(pod_stream, "death", lambda *_args: told.pop(0))
    asyncio.run(scenario())
