"""What a build says whose pod, node or cluster goes: soon, and with the reason. The table is docs/faults.md."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import buildwright
from buildwright.errors import DaemonLostError
from tests.conftest import OURS, peer_environment
from tests.e2e.test_failures import SOON, assert_one_sentence, folder, last_line

if TYPE_CHECKING:
    from tests.conftest import Cluster

pytestmark = pytest.mark.cluster

LOST = 75
LIMIT = "150Mi"
TICKS = "FROM busybox\nRUN for i in $(seq 600); do echo tick $i; sleep 1; done\n"
EATS = "FROM busybox\nRUN echo eating; tail /dev/zero\n"


@dataclass(slots=True)
class Fleet:
    """A builder of one pod with a limit of memory, which no drain holds up."""

    cluster: Cluster
    namespace: str
    place: Path
    pod: str = ""
    node: str = ""
    shown: str = field(default="", init=False)

    @property
    def config(self) -> Path:
        return self.place / "config"

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl("-n", self.namespace, *words, stdin=stdin).stdout

    def find(self) -> None:
        """Wait for a pod that builds, and remember it."""
        self.kubectl("wait", "--for=condition=Available", "deployment", "--all", "--timeout=90s")
        items = json.loads(self.kubectl("get", "pods", "-o", "json"))["items"]
        (found,) = [item for item in items if not item["metadata"].get("deletionTimestamp")]
        self.pod, self.node = found["metadata"]["name"], found["spec"]["nodeName"]
        self.until_reached()

    def until_reached(self) -> None:
        """Wait until commands run in the pod, so that what the last test did to its node is over."""
        deadline = time.monotonic() + 60
        argv = ("-n", self.namespace, "exec", self.pod, "--", "true")
        while self.cluster.kubectl(*argv, check=False).returncode != 0:
            assert time.monotonic() < deadline, f"no command runs in pod {self.pod} on {self.node}"
            time.sleep(0.2)

    def daemon(self) -> int:
        """The daemon's pid on this machine, whose namespaces the nodes are."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "cmdline").read_bytes().startswith(b"buildkitd\0") and self.pod.encode() in (
                    entry / "environ"
                ).read_bytes():
                    return int(entry.name)
            except OSError:
                continue
        raise AssertionError(f"no buildkitd of {self.pod}")

    @contextmanager
    def building(self) -> Iterator[None]:
        """In the block a step runs that ends only with its daemon; `shown` is what the build said in the end."""
        context = folder(self.place / "ticks", TICKS)
        argv = [
            OURS,
            "build",
            "--builder",
            "kube",
            "--no-cache",
            "--retries",
            "0",
            "--progress",
            "plain",
            str(context),
        ]
        environment = peer_environment(self.config, KUBECONFIG=str(self.cluster.kubeconfig))
        with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            try:
                # The log is followed soon after the build has begun.
                self.shown = "".join(iter_until(process.stderr, "tick 3\n"))
                yield
                self.shown += process.communicate(timeout=SOON)[1] or ""
            finally:
                process.kill()
        assert process.returncode == LOST, self.shown

    def told(self) -> str:
        """The sentence, which names the pod; the daemon's last lines stand before it."""
        assert_one_sentence(self.shown)
        assert self.pod in last_line(self.shown)
        assert re.search(rf"> last lines of the daemon in pod {self.pod}:\n(time=.*\n)+------\nERROR: ", self.shown)
        return last_line(self.shown)


def iter_until(lines: Iterator[str], end: str) -> Iterator[str]:
    seen = ""
    for line in lines:
        yield line
        if line.endswith(end):
            return
        seen += line
    raise AssertionError(f"the build ended before it said {end!r}:\n{seen}")


@pytest.fixture(scope="module")
def builder(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(cluster, f"test-{secrets.token_hex(4)}", tmp_path_factory.mktemp("faults"))
    cluster.kubectl("create", "namespace", fleet.namespace)
    options = f"namespace={fleet.namespace},limits.memory={LIMIT},drain=0s"
    cluster.buildwright(
        "create", "--driver", "kubernetes", "--driver-opt", options, "--name", "kube", "--bootstrap",
        "--buildkitd-config", cluster.buildkitd_config, config=fleet.config,
    )  # fmt: skip
    yield fleet
    cluster.kubectl("delete", "namespace", fleet.namespace, "--wait=false")


@pytest.fixture
def fleet(builder: Fleet) -> Fleet:
    builder.find()
    return builder


def test_a_pod_deleted_by_force_is_a_typed_error_with_every_fact(fleet: Fleet) -> None:
    context = folder(fleet.place / "typed", TICKS)
    environ = peer_environment(fleet.config, KUBECONFIG=str(fleet.cluster.kubeconfig))

    async def build() -> None:
        async with buildwright.connect("kube", environ=environ) as connection:
            async with connection.build(str(context), no_cache=True, retries=0) as build:
                async for update in build:
                    if any(b"tick 3\n" in log.data for log in update.logs):
                        delete = ("delete", "pod", fleet.pod, "--force", "--grace-period=0")
                        await asyncio.to_thread(fleet.kubectl, *delete)
            assert build.result is None

    with pytest.raises(DaemonLostError) as caught:
        asyncio.run(asyncio.wait_for(build(), 3 * SOON))
    error = caught.value
    assert (error.pod, error.node, error.reason) == (fleet.pod, fleet.node, "Deleted")
    assert (error.memory_limit, error.exit_code) == (LIMIT, LOST)
    assert any("running server on" in line for line in error.log)


def test_an_evicted_pod(fleet: Fleet) -> None:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": fleet.pod}}
    path = f"/api/v1/namespaces/{fleet.namespace}/pods/{fleet.pod}/eviction"
    with fleet.building():
        fleet.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    assert f"pod {fleet.pod} on {fleet.node} is being evicted (Eviction API: evicting)" in fleet.told()


def test_a_killed_daemon(fleet: Fleet) -> None:
    with fleet.building():
        os.kill(fleet.daemon(), signal.SIGKILL)
    assert f"container buildkitd of pod {fleet.pod} on {fleet.node} ended with exit code 137" in fleet.told()


def test_a_daemon_out_of_memory(fleet: Fleet) -> None:
    with fleet.building():
        # Memory of a file is nobody's, so the kernel takes the largest process, which is the daemon.
        eat = "mount -t tmpfs none /mnt && head -c 300M /dev/zero >/mnt/x"
        fleet.cluster.kubectl("-n", fleet.namespace, "exec", fleet.pod, "--", "sh", "-c", eat, check=False)
    assert f"ran out of memory (OOMKilled, exit code 137, limits.memory={LIMIT}); raise" in fleet.told()


def test_a_step_out_of_memory_is_the_users_failure_and_says_so(fleet: Fleet) -> None:
    context = folder(fleet.place / "eats", EATS)
    done = fleet.cluster.buildwright(
        "build", "--builder", "kube", "--no-cache", "--progress", "plain", context, config=fleet.config, check=False
    )
    assert done.returncode == 1, done.stderr
    assert_one_sentence(done.stderr)
    assert "   2 | >>> RUN echo eating" in done.stderr
    assert done.stderr.count("eating\n") == 2, "once as it came, once in the step's log: it ran once"
    assert last_line(done.stderr).endswith(
        "exit code: 137; process tail was killed for memory: "
        f"pod {fleet.pod} has limits.memory={LIMIT}, raise that driver option or let the step use less"
    )


def test_an_api_server_that_goes(fleet: Fleet) -> None:
    try:
        with fleet.building():
            fleet.cluster.kill("kube-apiserver")
        assert "is no longer connected (the API server does not answer)" in fleet.told()
    finally:
        fleet.cluster.start("kube-apiserver")


def test_a_kubelet_that_goes(fleet: Fleet) -> None:
    kubelet = f"{fleet.node}-kubelet"
    try:
        with fleet.building():
            fleet.cluster.kill(kubelet)
        assert f"node {fleet.node} does not answer any more, and with it pod {fleet.pod}" in fleet.told()
    finally:
        fleet.cluster.start(kubelet)


def test_a_node_that_nobody_hears_of(fleet: Fleet) -> None:
    try:
        with fleet.building():
            fleet.cluster.unplug(fleet.node)
        assert f"node {fleet.node} does not answer any more" in fleet.told()
    finally:
        fleet.cluster.plug(fleet.node)


def test_a_node_without_power(fleet: Fleet) -> None:
    try:
        with fleet.building():
            fleet.cluster.power_off(fleet.node)
        assert f"node {fleet.node} does not answer any more" in fleet.told()
    finally:
        fleet.cluster.power_on(fleet.node)
