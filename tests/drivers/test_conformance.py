"""The driver suite on every driver, and on the doubles."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.driver import Driver
from buildwright.drivers.table import make
from buildwright.model.node import Node
from buildwright.testing.drivers import MemoryDriver, serve_daemon
from buildwright.testing.kube import ApiServer
from buildwright.testing.suites.driver import DriverSuite


class TestMemory(DriverSuite):
    def driver(self) -> AbstractAsyncContextManager[Driver]:
        return MemoryDriver()


class TestKubernetesWithApiServerDouble(DriverSuite):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[Driver]:
        async with ApiServer() as server:
            server.exec_handler = serve_daemon
            kubeconfig = server.kubeconfig(self.path)
            endpoint = f"kubernetes:///b?deployment=b0&kubeconfig={kubeconfig}"
            yield make("kubernetes", Node(name="b0", endpoint=endpoint, driver_opts={"replicas": "2"}))


class TestRemoteOverUnixSocket(DriverSuite):
    starts = False

    @pytest.fixture(autouse=True)
    def daemon(self, buildkitd: Any) -> None:
        self.node = Node(name="r0", endpoint=buildkitd.address)

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[Driver]:
        yield make("remote", self.node)


class TestRemoteOverTls(DriverSuite):
    starts = False

    @pytest.fixture(autouse=True)
    def daemon(self, buildkitd_tls: Any) -> None:
        options = {"cacert": "cacert", "cert": "cert", "key": "key"}
        files = {option: str(getattr(buildkitd_tls, name)) for option, name in options.items()}
        self.node = Node(name="r0", endpoint=buildkitd_tls.address, driver_opts=files)

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[Driver]:
        yield make("remote", self.node)


class TestKubernetes(DriverSuite):
    @pytest.fixture(autouse=True)
    def namespace(self, cluster: Any) -> None:
        self.endpoint = f"kubernetes:///b?deployment=b0&kubeconfig={cluster.kubeconfig}"

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[Driver]:
        node = Node(name=f"conformance_{uuid.uuid4().hex[:8]}", endpoint=self.endpoint)
        driver = make("kubernetes", node)
        try:
            yield driver
        finally:
            await driver.remove()
