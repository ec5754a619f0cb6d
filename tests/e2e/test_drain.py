"""Running builds hold up what would end their pod: rollout, scale-down, node drain, up to the bound."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import BIN, OURS, peer_environment
from tests.e2e.test_failures import SOON, assert_one_sentence, folder, last_line, wait_for

if TYPE_CHECKING:
    from tests.conftest import Cluster

pytestmark = pytest.mark.cluster

LOST = 75
MARKS = itertools.count(866100)
"""Seconds that no step of any other test sleeps for."""
PATIENT = "--timeout=60s"
LABEL = "{.metadata.labels.buildwright/lease}"


class Fleet:
    """A builder `kube` in a namespace of its own."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.config = folder / "config"
        self._contexts = folder / "contexts"

    def create(self, **options: str) -> None:
        given = ",".join(f"{name}={value}" for name, value in {"namespace": self.namespace, **options}.items())
        self.cluster.buildwright(
            "create", "--driver", "kubernetes", "--driver-opt", given, "--name", "kube", "--bootstrap",
            "--buildkitd-config", self.cluster.buildkitd_config, config=self.config,
        )  # fmt: skip

    def kubectl(self, *args: str) -> str:
        return self.cluster.kubectl("-n", self.namespace, *args).stdout

    def pods(self, path: str) -> str:
        return self.kubectl("get", "pods", "-l", "builder=kube", "-o", f"jsonpath={path}")

    def protected(self) -> None:
        """Wait until a build's lease protects the pod."""
        self.kubectl("wait", "pod", "-l", "builder=kube", f"--for=jsonpath={LABEL}", PATIENT)

    def leases(self) -> str:
        return self.kubectl("get", "leases", "-l", "builder=kube", "-o", "name")

    @contextmanager
    def building(self) -> Iterator[Building]:
        """A build in the middle of a step, which nothing builds again."""
        mark = str(next(MARKS))
        context = folder(self._contexts / mark, f"FROM busybox\nRUN echo before && (sleep {mark} || true)\n")
        argv = [OURS, "build", "--builder", "kube", "--retries", "0", "--progress", "plain", str(context)]
        environment = peer_environment(self.config, KUBECONFIG=str(self.cluster.kubeconfig))
        with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as process:
            try:
                wait_for(lambda: bool(pids(mark)) or process.poll() is not None, "the step")
                yield Building(process, mark)
            finally:
                process.kill()


class Building:
    """A build that runs."""

    def __init__(self, process: subprocess.Popen[str], mark: str) -> None:
        self.process = process
        self._mark = mark

    def finish(self) -> None:
        """Let its step come to an end, which it does not by itself, and the build with it."""
        assert self.process.poll() is None, self.ended()
        for pid in pids(self._mark):
            os.kill(pid, signal.SIGTERM)
        shown = self.ended()
        assert self.process.returncode == 0, shown

    def ended(self, within: float = SOON) -> str:
        """What it said, when it has ended."""
        return self.process.communicate(timeout=within)[1] or ""


def pids(mark: str) -> list[int]:
    """Processes `sleep MARK` on this machine, which the nodes are a part of."""
    wanted = f"sleep\0{mark}\0".encode()
    numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [number for number in numbers if cmdline(number) == wanted]


def cmdline(number: int) -> bytes:
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def fleet(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(cluster, namespace, tmp_path)
    yield fleet
    cluster.buildwright("rm", "kube", config=fleet.config)


def restart(fleet: Fleet) -> None:
    fleet.kubectl("rollout", "restart", "deployment/kube0")


def scale_down(fleet: Fleet) -> None:
    fleet.kubectl("scale", "deployment/kube0", "--replicas=0")


def remove(fleet: Fleet) -> None:
    fleet.cluster.buildwright("rm", "kube", config=fleet.config)
    fleet.create()


@pytest.mark.parametrize("end", [restart, scale_down, remove])
def test_what_ends_a_pod_waits_for_its_build(fleet: Fleet, end: Callable[[Fleet], None]) -> None:
    fleet.create()
    pod = fleet.pods("{.items[0].metadata.name}")
    with fleet.building() as build:
        end(fleet)
        fleet.kubectl("wait", f"pod/{pod}", "--for=jsonpath={.metadata.deletionTimestamp}", PATIENT)
        build.finish()
    fleet.kubectl("wait", f"pod/{pod}", "--for=delete", PATIENT)


def test_an_idle_pod_ends_at_once(fleet: Fleet) -> None:
    fleet.create()
    scale_down(fleet)
    fleet.kubectl("wait", "pod", "-l", "builder=kube", "--for=delete", PATIENT)


def test_a_build_is_lost_when_the_bound_is_over(fleet: Fleet) -> None:
    fleet.create(drain="2s")
    with fleet.building() as build:
        restart(fleet)
        shown = build.ended(within=3 * SOON)
        assert build.process.returncode == LOST, shown
    assert_one_sentence(shown)
    assert "its grace period of 7 s ended before the build" in last_line(shown)
    assert "driver option drain" in last_line(shown)


def test_a_node_is_drained_when_its_build_has_ended(fleet: Fleet) -> None:
    fleet.create()
    node = fleet.pods("{.items[0].spec.nodeName}")
    # Of the node's pods only the builder's, which are all that this test may disturb.
    argv = [BIN / "kubectl", "--kubeconfig", fleet.cluster.kubeconfig, "drain", node, "--force"]
    argv += ["--pod-selector=builder=kube", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s"]
    with fleet.building() as build:
        fleet.protected()
        try:
            with subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as drain:
                assert drain.stderr is not None
                assert any("disruption budget" in line for line in drain.stderr)
                build.finish()
                assert drain.wait(timeout=2 * SOON) == 0
        finally:
            fleet.cluster.kubectl("uncordon", node)
    assert not fleet.leases()


def test_what_a_killed_client_leaves_expires_and_the_next_build_takes_it_away(fleet: Fleet) -> None:
    fleet.create()
    with fleet.building() as build:
        fleet.protected()
        build.process.kill()
    (left,) = fleet.leases().split()
    assert left.endswith(fleet.pods("{.items[*].metadata.labels.buildwright/lease}"))
    fleet.kubectl("patch", left, "--type=merge", "-p", '{"spec": {"leaseDurationSeconds": 1}}')
    with fleet.building() as build:
        fleet.kubectl("wait", left, "--for=delete", PATIENT)
        build.finish()
    assert not fleet.leases()
    assert not fleet.pods("{.items[*].metadata.labels.buildwright/lease}")
