"""Which pod takes a build when it goes by project: the project's own, unless that is busy and known to be."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from buildwright.drivers.kubernetes.building.lease import written
from buildwright.drivers.kubernetes.choose import affinity
from buildwright.drivers.table import make
from buildwright.model.node import Node
from buildwright.testing.drivers import Sink, serve_daemon
from buildwright.testing.kube import ApiServer, Refusal

PODS = ["b0-0", "b0-1", "b0-2"]
FIRST = affinity(PODS, "project")
SECOND = affinity([name for name in PODS if name != FIRST], "project")


def taken(
    folder: Path, *, how: str = "affinity", renewed: float = 0.0, refused: bool = False, ahead: float = 0.0
) -> tuple[str, bool]:
    """The pod that a build of the project gets while one runs in its first choice, and whether leases were read.

    The server's clock is `ahead` of ours, and the lease was `renewed` that long ago by it.
    """

    async def run() -> tuple[str, bool]:
        async with ApiServer() as server:
            server.exec_handler = serve_daemon
            server.clock = lambda: time.time() + ahead
            endpoint = f"kubernetes:///b?deployment=b0&kubeconfig={server.kubeconfig(folder)}"
            driver = make(
                "kubernetes", Node(name="b0", endpoint=endpoint, driver_opts={"replicas": "3", "loadbalance": how})
            )
            assert driver.traits.by_project is (how == "affinity")
            await driver.start(Sink())
            uid = server.objects["pods", "default", FIRST]["metadata"]["uid"]
            owner = {"apiVersion": "v1", "kind": "Pod", "name": FIRST, "uid": uid}
            labels = {"app": "b0", "app.kubernetes.io/managed-by": "buildwright"}
            spec = {"renewTime": written(server.clock() - renewed), "leaseDurationSeconds": 60}
            server.put(
                "leases", {"metadata": {"name": "l", "labels": labels, "ownerReferences": [owner]}, "spec": spec}
            )
            if refused:
                server.refuse["list", "leases"] = Refusal(403, "Forbidden", "cannot list")
            stream = await driver.open("project")
            await stream.aclose()
            (pod,) = [name for verb, _, name in server.requests if verb == "exec"]
            return pod, ("list", "leases", "") in server.requests

    return asyncio.run(run())


def test_a_busy_pod_is_passed_over(tmp_path: Path) -> None:
    assert taken(tmp_path) == (SECOND, True)


def test_the_lease_of_a_client_that_was_killed_counts_for_nothing(tmp_path: Path) -> None:
    assert taken(tmp_path, renewed=90) == (FIRST, True)


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
def test_leases_are_judged_by_the_servers_clock(tmp_path: Path, ahead: float) -> None:
    assert taken(tmp_path, ahead=ahead) == (SECOND, True)
    assert taken(tmp_path, ahead=ahead, renewed=90) == (FIRST, True)


def test_without_the_right_to_list_leases_it_is_the_first_choice(tmp_path: Path) -> None:
    assert taken(tmp_path, refused=True) == (FIRST, True)


def test_other_choices_read_no_leases(tmp_path: Path) -> None:
    assert taken(tmp_path, how="sticky")[1] is False
