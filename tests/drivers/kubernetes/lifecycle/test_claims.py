"""Volume claims that are kept when their builder is removed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.driver import Driver
from buildwright.drivers.kubernetes.lifecycle import claims
from buildwright.drivers.table import make
from buildwright.errors import NotReadyError
from buildwright.model.node import Node
from buildwright.testing.drivers import Sink
from buildwright.testing.kube import ApiServer, Refusal

CLAIM = ("persistentvolumeclaims", "default", "buildkitd-b0-0")


def run(folder: Path, scenario: Callable[[ApiServer, Driver], Awaitable[None]]) -> None:
    """A builder with a claim that goes with its workload, as one with an owner has."""

    async def once() -> None:
        async with ApiServer() as server:
            options = {"persistent-volume-claim.requests.storage": "1Gi", "owner": "pod/ci"}
            endpoint = f"kubernetes:///b?deployment=b0&kubeconfig={server.kubeconfig(folder)}"
            driver = make("kubernetes", Node(name="b0", endpoint=endpoint, driver_opts=options))
            server.put("pods", {"metadata": {"name": "ci", "uid": "u"}, "spec": {}, "status": {}})
            await driver.start(Sink())
            claim = server.objects[CLAIM]
            claim["metadata"]["ownerReferences"] = [{"kind": "StatefulSet", "name": "b0", "uid": "x"}]
            server.put(CLAIM[0], claim)
            await scenario(server, driver)

    asyncio.run(once())


def seen_by_controller(server: ApiServer) -> None:
    """From now on the workload's controller takes notice of changes."""

    def control(workload: Any) -> None:
        observed = workload["metadata"].get("generation", 0)
        server.put("statefulsets", {**workload, "status": {"readyReplicas": 1, "observedGeneration": observed}})

    server.controller = control


def test_a_kept_claim_belongs_to_nobody_and_says_since_when(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        seen_by_controller(server)
        said: list[str] = []
        await driver.remove(keep_state=True, tell=said.append)
        assert not said
        assert not server.objects[CLAIM]["metadata"].get("ownerReferences")
        assert server.objects[CLAIM]["metadata"]["annotations"][claims.KEPT].startswith("2")
        assert ("statefulsets", "default", "b0") not in server.objects

    run(tmp_path, scenario)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_kept_claim_that_is_used_again_is_no_longer_kept(tmp_path: Path, allowed: bool) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        control = server.controller
        seen_by_controller(server)
        await driver.remove(keep_state=True)
        server.controller = control
        if not allowed:
            server.refuse["patch", "persistentvolumeclaims"] = Refusal(403, "Forbidden", "no")
        await driver.start(Sink())
        assert (claims.KEPT in server.objects[CLAIM]["metadata"]["annotations"]) is not allowed

    run(tmp_path, scenario)


@pytest.mark.parametrize("kept", [True, False])
def test_a_claim_that_another_builder_has_kept_is_not_removed(tmp_path: Path, kept: bool) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        seen_by_controller(server)
        await driver.remove(keep_state=True)
        claim = server.objects[CLAIM]
        marks = {"app.kubernetes.io/managed-by": "buildwright", "builder": "another", "app": "b0"}
        claim["metadata"] |= {"labels": marks} | ({} if kept else {"annotations": {}})
        server.put(CLAIM[0], claim)
        said: list[str] = []
        await driver.remove(tell=said.append)
        assert (CLAIM in server.objects) is kept
        assert ("stays: builder another has kept it" in said[0]) is kept

    run(tmp_path, scenario)


def test_a_controller_that_does_not_let_go_keeps_the_builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_PATIENCE", 0.1)

    async def scenario(server: ApiServer, driver: Driver) -> None:
        def ignore(workload: Any) -> None:
            metadata = {**workload["metadata"], "generation": 2}
            server.put("statefulsets", {**workload, "metadata": metadata})

        server.controller = ignore
        server.objects["statefulsets", "default", "b0"]["metadata"]["generation"] = 2
        with pytest.raises(NotReadyError, match="claims of b0 would go with it"):
            await driver.remove(keep_state=True)
        assert ("statefulsets", "default", "b0") in server.objects

    run(tmp_path, scenario)


def test_claims_that_may_not_be_marked_are_kept_and_told(tmp_path: Path) -> None:
    async def once() -> None:
        async with ApiServer() as server:
            endpoint = f"kubernetes:///b?deployment=b0&kubeconfig={server.kubeconfig(tmp_path)}"
            options = {"persistent-volume-claim.requests.storage": "1Gi"}
            driver = make("kubernetes", Node(name="b0", endpoint=endpoint, driver_opts=options))
            await driver.start(Sink())
            server.refuse["patch", "persistentvolumeclaims"] = Refusal(403, "Forbidden", "no")
            said: list[str] = []
            await driver.remove(keep_state=True, tell=said.append)
            assert CLAIM in server.objects
            assert ("statefulsets", "default", "b0") not in server.objects
            assert "not marked" in said[0]

    asyncio.run(once())
