"""A CI job in a pod of the cluster: its service account's Role is enough, and its builder goes with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.conftest import OURS, peer_environment
from tests.e2e.test_failures import folder

if TYPE_CHECKING:
    import subprocess

    from tests.conftest import Cluster

pytestmark = pytest.mark.cluster

PATIENT = "--timeout=60s"
ACCOUNT = "secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True, slots=True)
class Job:
    """A pod that sees this machine's files, so that it has our command, and nothing else of this machine."""

    cluster: Cluster
    namespace: str
    name: str
    home: Path

    def start(self) -> None:
        projected = [
            {"serviceAccountToken": {"path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ]
        container = {
            "name": "job",
            "image": "busybox",
            "command": ["sleep", "600"],
            # The token's place is made in a /run of the pod's own, not in this machine's.
            "volumeMounts": [
                {"name": "machine", "mountPath": "/machine"},
                {"name": "run", "mountPath": "/machine/run"},
                {"name": "account", "mountPath": f"/machine/run/{ACCOUNT}"},
            ],
        }
        spec = {
            "serviceAccountName": "ci",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "volumes": [
                {"name": "machine", "hostPath": {"path": "/"}},
                {"name": "run", "emptyDir": {}},
                {"name": "account", "projected": {"sources": projected}},
            ],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name}, "spec": spec}
        self.kubectl("create", "-f", "-", stdin=json.dumps(pod))

    def wait(self) -> None:
        self.kubectl("wait", f"pod/{self.name}", "--for=condition=Ready", PATIENT)

    def run(self, *argv: str | Path) -> subprocess.CompletedProcess[str]:
        """Our command in the pod; where the API server is, and which pod it is, Kubernetes has told the pod."""
        variables = [f"{name}={value}" for name, value in peer_environment(self.home / self.name).items()]
        words = ("chroot", "/machine", "env", "-u", "KUBECONFIG", *variables, str(OURS), *map(str, argv))
        return self.kubectl("exec", "-i", self.name, "--", *words)

    def end(self) -> None:
        self.kubectl("delete", "pod", self.name, "--force", "--grace-period=0")

    def kubectl(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.cluster.kubectl("-n", self.namespace, *words, stdin=stdin)


def grant(cluster: Cluster, namespace: str, config: Path) -> None:
    """The service account `ci` gets what doctor prints for it, and nothing else."""
    printed = cluster.buildwright(
        "doctor", "--rbac", "admin", "--driver-opt", f"namespace={namespace},owner=auto", config=config
    ).stdout
    cluster.kubectl("-n", namespace, "create", "serviceaccount", "ci")
    cluster.kubectl("apply", "-f", "-", stdin=printed)
    (binding,) = [item for item in yaml.safe_load_all(printed) if item["kind"] == "RoleBinding"]
    subjects = {"subjects": [{"kind": "ServiceAccount", "name": "ci", "namespace": namespace}]}
    name = binding["metadata"]["name"]
    cluster.kubectl("-n", namespace, "patch", "rolebinding", name, "-p", json.dumps(subjects))


def test_a_builder_goes_with_the_last_job_that_used_it(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    grant(cluster, namespace, tmp_path / "admin")
    context = folder(
        tmp_path / "context", "FROM busybox AS one\nRUN echo hi >/hi\nFROM scratch\nCOPY --from=one /hi /\n"
    )
    first, second = (Job(cluster, namespace, f"job-{number}", tmp_path) for number in (1, 2))
    create = (
        "create", "--name", "ci", "--driver", "kubernetes", "--driver-opt", "owner=auto", "--bootstrap",
        "--buildkitd-config", cluster.buildkitd_config,
    )  # fmt: skip
    for job in (first, second):
        job.start()
    first.wait()
    first.run(*create)
    first.run("build", "--builder", "ci", "-o", tmp_path / "out", context)
    assert (tmp_path / "out" / "hi").read_text() == "hi\n"
    examined = first.run("doctor", "ci", "--registry", cluster.registry).stdout
    assert "FAILED" not in examined
    assert "rights to manage" in examined

    second.wait()
    second.run(*create)
    built = second.run("build", "--builder", "ci", "--progress", "plain", context)
    assert "CACHED" in built.stderr
    owners = "jsonpath={.metadata.ownerReferences[*].name}"
    assert second.kubectl("get", "deployment", "ci0", "-o", owners).stdout == "job-1 job-2"
    first.end()
    second.run("build", "--builder", "ci", context)
    second.end()
    everything = ("deployment/ci0", "configmap/ci0-config", "poddisruptionbudget/ci0")
    second.kubectl("wait", "--for=delete", *everything, PATIENT)
    second.kubectl("wait", "--for=delete", "pod", "-l", "builder=ci", PATIENT)
