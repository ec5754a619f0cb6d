"""Builds whose pod the cluster takes away by itself: for a taint, for another pod, for a limit of storage."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import OURS, peer_environment
from tests.e2e.test_failures import SOON, folder
from tests.e2e.test_faults import LOST, TICKS, Fleet, iter_until

if TYPE_CHECKING:
    from tests.conftest import Cluster

pytestmark = pytest.mark.cluster

HOUSEKEEPING = 2 * SOON
"""Seconds in which kubelet has measured a pod and acted on it: it does each every ten."""


def builder(cluster: Cluster, namespace: str, place: Path, **options: str) -> Fleet:
    """A builder of one pod, on a node that is known."""
    fleet = Fleet(cluster, namespace, place)
    given = ",".join(f"{name}={value}" for name, value in {"namespace": namespace, **options}.items())
    cluster.buildwright(
        "create", "--driver", "kubernetes", "--driver-opt", given, "--name", "kube", "--bootstrap",
        "--buildkitd-config", cluster.buildkitd_config, config=fleet.config,
    )  # fmt: skip
    fleet.find()
    return fleet


@pytest.fixture(scope="module")
def overfull(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Fleet, subprocess.Popen[str]]]:
    """A build whose pod has more in its files than it may; other tests run while kubelet has not seen it yet."""
    namespace = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", namespace)
    options = {"limits.ephemeral-storage": "100Mi", "tolerations": "operator=Exists"}
    fleet = builder(cluster, namespace, tmp_path_factory.mktemp("overfull"), **options)
    with building(fleet, "--retries", "0") as process:
        fleet.shown = until(process, "tick 3\n")
        fleet.kubectl("exec", fleet.pod, "--", "dd", "if=/dev/zero", "of=/much", "bs=1M", "count=150")
        yield fleet, process
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@contextmanager
def building(fleet: Fleet, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A step that ends only with its daemon."""
    context = folder(fleet.place / "ticks", TICKS)
    argv = [OURS, "build", "--builder", "kube", "--no-cache", "--progress", "plain", *words, str(context)]
    environment = peer_environment(fleet.config, KUBECONFIG=str(fleet.cluster.kubeconfig))
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until(process: subprocess.Popen[str], end: str) -> str:
    """What it says up to the line with that end."""
    assert process.stderr is not None
    return "".join(iter_until(process.stderr, end))


@pytest.mark.usefixtures("overfull")
def test_a_taint_that_pods_do_not_bear(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    fleet = builder(cluster, namespace, tmp_path, drain="0s")
    try:
        with fleet.building():
            cluster.kubectl("taint", "node", fleet.node, f"{namespace}=leave:NoExecute")
    finally:
        cluster.kubectl("taint", "node", fleet.node, f"{namespace}:NoExecute-", check=False)
    told = fleet.told()
    assert f"pod {fleet.pod} on {fleet.node} is being evicted (Taint manager: deleting" in told


@pytest.fixture
def classes(cluster: Cluster, namespace: str) -> Iterator[tuple[str, str]]:
    """Two priority classes below everybody else's, the lower one first."""
    low, high = (f"{namespace}-{name}" for name in ("low", "high"))
    cluster.kubectl("create", "priorityclass", low, "--value=-20")
    cluster.kubectl("create", "priorityclass", high, "--value=-10")
    yield low, high
    cluster.kubectl("delete", "priorityclass", low, high)


def test_a_pod_that_matters_more_takes_the_room_and_the_build_goes_elsewhere(
    cluster: Cluster, namespace: str, tmp_path: Path, classes: tuple[str, str]
) -> None:
    low, high = classes
    share = f"{room(cluster) * 6 // 10}m"
    fleet = builder(cluster, namespace, tmp_path, drain="0s", priorityclass=low, **{"requests.cpu": share})
    with building(fleet) as process:
        until(process, "tick 1\n")
        fleet.kubectl("create", "-f", "-", stdin=json.dumps(needy(high, fleet.node, share)))
        shown = until(process, "tick 1\n")
    assert f"pod {fleet.pod} on node {fleet.node} was lost (Preempted); building again on another pod" in shown
    assert "is being preempted by a pod of higher priority (default-scheduler: preempting" in shown
    assert "give the builder a higher one with the driver option priorityclass" in shown
    fleet.kubectl("wait", "pod/needy", "--for=condition=PodScheduled", "--timeout=60s")


def test_a_limit_of_storage_is_not_held_up_and_named(overfull: tuple[Fleet, subprocess.Popen[str]]) -> None:
    fleet, process = overfull
    fleet.shown += process.communicate(timeout=HOUSEKEEPING)[1]
    assert process.returncode == LOST, fleet.shown
    told = fleet.told()
    assert f"pod {fleet.pod} on {fleet.node} was evicted (" in told
    assert told.endswith("; raise the driver option limits.ephemeral-storage")


def room(cluster: Cluster) -> int:
    """Thousandths of a CPU that a node has for pods."""
    said = cluster.kubectl("get", "nodes", "-o", "jsonpath={.items[0].status.allocatable.cpu}").stdout
    return int(said[:-1]) if said.endswith("m") else 1000 * int(said)


def needy(priority: str, node: str, cpu: str) -> dict[str, object]:
    """A pod that fits its node only when the builder's has gone."""
    container = {
        "name": "needy", "image": "busybox", "command": ["sleep", "600"], "resources": {"requests": {"cpu": cpu}}
    }  # fmt: skip
    spec = {
        "priorityClassName": priority,
        "nodeSelector": {"kubernetes.io/hostname": node},
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "needy"}, "spec": spec}
