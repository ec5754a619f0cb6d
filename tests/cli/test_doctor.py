"""doctor and logs: their command lines, what they print and how they end."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from buildwright.cli.command import Context
from buildwright.cli.main import main

if TYPE_CHECKING:
    from tests.conftest import Buildkitd, Cluster

Run = Callable[..., tuple[int, str, str]]
NOBODY = "unix:///nobody/listens.sock"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command line in this process on a store of its own: exit code, stdout and stderr."""

    def run(*argv: str, **environ: str) -> tuple[int, str, str]:
        out, said = io.StringIO(), io.StringIO()
        environ = {"HOME": str(tmp_path), **environ}
        context = Context(stdin=io.StringIO(), stdout=out, stderr=said, environ=environ, cwd=str(tmp_path))
        return main(argv, context), out.getvalue(), said.getvalue()

    return run


def test_a_daemon_that_does_not_answer_is_a_failure(run: Run) -> None:
    run("create", "--name", "far", "--driver", "remote", NOBODY)
    code, out, _ = run("doctor", "far")
    assert code == 1
    assert "FAILED   connection" in out
    assert out.splitlines()[-1] == "1 failed"


def test_the_same_is_json(run: Run) -> None:
    run("create", "--name", "far", "--driver", "remote", NOBODY)
    code, out, _ = run("doctor", "far", "--format", "json")
    found = json.loads(out)
    assert (code, found["builder"], found["healthy"]) == (1, "far", False)
    (check,) = found["nodes"][0]["checks"]
    assert (check["result"], check["check"]) == ("failed", "connection")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("doctor", "far", "--driver-opt", "replicas=2"), "not both"),
        (("doctor", "--driver-opt", "replicas=none"), "replicas"),
        (("doctor", "far", "--format", "yaml"), "choose text or json"),
        (("doctor", "far", "--rbac", "root"), "choose user or admin"),
        (("doctor", "far", "--rbac", "user"), 'driver "remote", which needs no Role'),
        (("doctor", "far", "--registry", "a b"), "is no registry"),
        (("doctor", "nobody"), 'no builder "nobody" found'),
        (("logs", "far"), "keeps its log where it runs"),
    ],
)
def test_what_cannot_be_examined_is_one_sentence(run: Run, argv: tuple[str, ...], words: str) -> None:
    run("create", "--name", "far", "--driver", "remote", NOBODY)
    code, out, said = run(*argv)
    assert (code, out) == (1, "")
    assert said.startswith("ERROR: ")
    assert said.count("\n") == 1
    assert words in said


def test_roles_are_printed_without_a_cluster_when_the_namespace_is_given(run: Run) -> None:
    code, out, said = run("doctor", "--driver-opt", "namespace=ci", "--rbac", "admin", KUBECONFIG="/nobody")
    assert code == 0
    assert "kubectl -n NAMESPACE set subject rolebinding buildwright-admin --user=" in said
    assert "# kubectl -n ci set subject rolebinding buildwright-admin --user=" in out
    role, binding = yaml.safe_load_all(out)
    assert (role["kind"], binding["kind"], role["metadata"]["namespace"]) == ("Role", "RoleBinding", "ci")


@pytest.mark.peers
def test_a_daemon_and_its_registry_are_examined(buildkitd: Buildkitd, run: Run, tmp_path: Path) -> None:
    run("create", "--name", "near", "--driver", "remote", buildkitd.address)
    registries = ("--registry", buildkitd.registry, "--registry", f"{buildkitd.registry}/no/such", "--registry")
    code, out, said = run("doctor", "near", *registries, "127.0.0.1:1")
    assert code == 1, said
    assert "ok       connection" in out
    shown = {line.split()[2]: line for line in out.splitlines() if " registry " in line}
    assert shown[buildkitd.registry].startswith("  ok")
    assert shown[f"{buildkitd.registry}/no/such"].startswith("  warning")
    assert "connection refused" in shown["127.0.0.1:1"]
    assert shown["127.0.0.1:1"].startswith("  FAILED")


@pytest.mark.cluster
def test_a_namespace_that_allows_no_builder_is_examined_before_one_is_made(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=baseline")
    for rootless in ("true", "false"):
        done = cluster.buildwright(
            "doctor", "--driver-opt", f"namespace={namespace},rootless={rootless}", config=tmp_path, check=False
        )
        assert done.returncode == 1, done.stderr
        (line,) = [line for line in done.stdout.splitlines() if "FAILED " in line]
        assert "pod security" in line
        assert 'violates PodSecurity "baseline:latest"' in line


@pytest.mark.cluster
def test_a_builder_in_the_cluster_is_examined_and_its_logs_are_shown(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    cluster.buildwright(
        "create", "--name", "kube", "--driver", "kubernetes",
        "--driver-opt", f"namespace={namespace},replicas=2,default-load=true",
        "--buildkitd-config", cluster.buildkitd_config, "--bootstrap", config=tmp_path,
    )  # fmt: skip
    done = cluster.buildwright("doctor", "kube", "--registry", cluster.registry, config=tmp_path)
    assert "FAILED" not in done.stdout
    assert "2 of 2 pods ready" in done.stdout
    assert f"ok       registry {cluster.registry}" in done.stdout
    shown = cluster.buildwright("logs", "kube", "--tail", "1", config=tmp_path).stdout.splitlines()
    pods = cluster.kubectl("-n", namespace, "get", "pods", "-o", "jsonpath={.items[*].metadata.name}").stdout.split()
    assert sorted(line.split(" | ")[0] for line in shown) == sorted(pods)
