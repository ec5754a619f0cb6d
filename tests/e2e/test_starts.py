"""What a start says that the namespace's rules or an autoscaler stand against, and how it bears an interrupt."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import OURS, peer_environment
from tests.e2e.test_failures import SOON, assert_one_sentence, folder, last_line
from tests.e2e.test_faults import EATS

if TYPE_CHECKING:
    from tests.conftest import Cluster

pytestmark = pytest.mark.cluster

INTERRUPTED = 130
PRIVILEGED = "has(c.securityContext) && has(c.securityContext.privileged) && c.securityContext.privileged"


class Start:
    """`create --bootstrap` of a builder `kube` in a namespace of its own, and other commands about it."""

    def __init__(self, cluster: Cluster, namespace: str, place: Path) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.config = place / "config"

    def words(self, *options: str) -> tuple[str, ...]:
        given = ",".join((f"namespace={self.namespace}", *options))
        config = str(self.cluster.buildkitd_config)
        return (
            "create", "--name", "kube", "--driver", "kubernetes", "--driver-opt", given, "--bootstrap",
            "--buildkitd-config", config,
        )  # fmt: skip

    def run(self, *argv: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.cluster.buildwright(*argv, config=self.config, check=check)

    def refused(self, *options: str) -> str:
        """The last line of a start that fails."""
        done = self.run(*self.words(*options), check=False)
        assert done.returncode == 1, done.stderr
        assert_one_sentence(done.stderr)
        return last_line(done.stderr)

    @contextmanager
    def going(self, *argv: str, says: str) -> Iterator[subprocess.Popen[str]]:
        """A command in the background that has just said so, in a line of its own."""
        environment = peer_environment(self.config, KUBECONFIG=str(self.cluster.kubeconfig))
        with subprocess.Popen([str(OURS), *argv], env=environment, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            try:
                assert any(says in line for line in process.stderr), f"it ended without {says!r}"
                yield process
            finally:
                process.kill()

    def kubectl(self, *words: str, stdin: object = None) -> str:
        text = None if stdin is None else json.dumps(stdin)
        return self.cluster.kubectl("-n", self.namespace, *words, stdin=text).stdout

    def say(self, reason: str, message: str) -> None:
        """An autoscaler's event about the builder's pod."""
        (pod,) = json.loads(self.kubectl("get", "pods", "-o", "json"))["items"]
        about = {name: pod["metadata"][name] for name in ("name", "namespace", "uid")}
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": "autoscaler-"},
            "type": "Normal",
            "reason": reason,
            "message": message,
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", **about},
            "source": {"component": "cluster-autoscaler"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self.kubectl("create", "-f", "-", stdin=event)


@pytest.fixture
def start(cluster: Cluster, namespace: str, tmp_path: Path) -> Start:
    return Start(cluster, namespace, tmp_path)


def ranged(**limits: object) -> dict[str, object]:
    spec = {"limits": [{"type": "Container", **limits}]}
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "ranged"}, "spec": spec}


def test_a_limit_that_the_namespace_has_set_is_told_as_such(start: Start, tmp_path: Path) -> None:
    start.kubectl("create", "-f", "-", stdin=ranged(default={"memory": "150Mi"}))
    start.run(*start.words())
    done = start.run("build", "--builder", "kube", "--retries", "0", folder(tmp_path / "eats", EATS), check=False)
    assert "limits.memory=150Mi by the namespace's LimitRange" in last_line(done.stderr)
    assert "set that driver option or let the step use less" in last_line(done.stderr)


def test_a_limit_that_the_namespace_refuses_is_told_with_every_option(start: Start) -> None:
    start.kubectl("create", "-f", "-", stdin=ranged(max={"memory": "100Mi"}, min={"cpu": "2"}))
    told = start.refused("limits.memory=200Mi", "requests.cpu=1")
    assert "is forbidden: [" in told
    for resource in ("memory", "cpu"):
        assert f"requests.{resource} and limits.{resource}" in told
    assert told.endswith("to fit the namespace's LimitRange")


@pytest.fixture
def unprivileged(cluster: Cluster, namespace: str) -> Iterator[None]:
    """A rule of the cluster that no pod of the namespace is privileged."""
    rule = {
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
            ]
        },
        "validations": [
            {"expression": f"!object.spec.containers.exists(c, {PRIVILEGED})", "message": "no privileged pods here"}
        ],
    }
    bound = {
        "policyName": namespace,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
    }
    kinds = {"ValidatingAdmissionPolicy": rule, "ValidatingAdmissionPolicyBinding": bound}
    for kind, spec in kinds.items():
        metadata = {"name": namespace}
        item = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(item))
    yield
    for kind in kinds:
        cluster.kubectl("delete", kind, namespace)


@pytest.mark.usefixtures("unprivileged")
def test_a_policy_that_refuses_the_pods_is_told_and_a_rootless_builder_passes_it(start: Start) -> None:
    deadline = time.monotonic() + SOON
    while "no privileged pods here" not in (told := start.refused("timeout=1s", "nodeselector=no=where")):
        assert time.monotonic() < deadline, "the API server does not follow the policy"
        start.run("rm", "kube")
    assert "denied request: no privileged pods here): adapt the pods to that rule (rootless=true, " in told
    start.run("rm", "kube")
    start.run(*start.words("rootless=true"))


def test_an_autoscaler_that_adds_no_node_ends_the_start_at_once(start: Start) -> None:
    with start.going(*start.words("nodeselector=no=where"), says="is not scheduled") as process:
        start.say("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 node(s) didn't match")
        said = process.communicate(timeout=SOON)[1]
    assert process.returncode == 1
    assert "the autoscaler adds none (pod didn't trigger scale-up: 1 node(s) didn't match): change the" in said


def test_an_autoscaler_that_adds_a_node_is_waited_for_and_the_timeout_is_to_blame(start: Start) -> None:
    words = start.words("nodeselector=no=where", "timeout=3s")
    with start.going(*words, says="is not scheduled") as process:
        start.say("TriggeredScaleUp", "pod triggered scale-up: [{pool 0->1 (max: 3)}]")
        said = process.communicate(timeout=SOON)[1]
    assert "the autoscaler adds one (pod triggered scale-up: [{pool 0->1 (max: 3)}]): raise the driver option" in said
    assert last_line(said).endswith("raise the driver option timeout")


def test_interrupts_leave_what_a_next_command_goes_on_with(start: Start) -> None:
    def interrupt(*argv: str) -> None:
        with start.going(*argv, says="is not scheduled") as process:
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=SOON)[1]
        assert process.returncode == INTERRUPTED, said
        assert_one_sentence(said)
        assert last_line(said) == "ERROR: canceled by SIGINT"

    interrupt(*start.words("nodeselector=no=where"))
    start.run("update", "kube", "--driver-opt", "nodeselector=")
    interrupt("update", "kube", "--driver-opt", "nodeselector=no=where")
    assert "no=where" in start.run("inspect", "kube").stdout, "the list of builders follows the cluster"
    start.run("update", "kube", "--driver-opt", "nodeselector=")


def test_an_interrupt_at_a_question_removes_nothing(start: Start) -> None:
    start.run(*start.words("ttl=1s"))
    name = ("deployment", "kube0")
    start.kubectl(
        "patch", *name, "-p", '{"metadata":{"annotations":{"buildwright/last-used":"2020-01-01T00:00:00Z"}}}'
    )
    ours, theirs = pty.openpty()
    environment = peer_environment(start.config, KUBECONFIG=str(start.cluster.kubeconfig))
    argv = [str(OURS), "gc", "--namespace", start.namespace]
    with subprocess.Popen(argv, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(ours, 1 << 16)
        process.send_signal(signal.SIGINT)
        while not said.endswith(b"SIGINT\r\n"):
            said += os.read(ours, 1 << 16)
        assert process.wait(SOON) == INTERRUPTED
    os.close(ours)
    assert said.endswith(b"[y/N] \r\nERROR: canceled by SIGINT\r\n")
    assert b"Traceback" not in said
    assert b"deployment/kube0" in said
    start.kubectl("get", *name)
