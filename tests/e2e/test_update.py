"""A builder in a real cluster is changed, changed back when that fails, put right when someone meddles, and made by
many at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.test_failures import last_line

if TYPE_CHECKING:
    from tests.conftest import Cluster

pytestmark = pytest.mark.cluster


def deployment(cluster: Cluster, namespace: str) -> Any:
    return json.loads(cluster.kubectl("get", "deployment", "kube0", "-n", namespace, "-o", "json").stdout)


def test_a_builder_of_buildx_is_changed_and_changed_back(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    config = tmp_path / "config"
    cluster.buildx(
        "create", "--driver", "kubernetes", "--driver-opt", f"namespace={namespace}", "--name", "kube", "--bootstrap",
        "--buildkitd-config", cluster.buildkitd_config, config=config,
    )  # fmt: skip
    (tmp_path / "b.toml").write_text("debug = true\n" + cluster.buildkitd_config.read_text())
    changes = ("--driver-opt", "env.TOKEN=hunter2,limits.cpu=2", "--buildkitd-config", tmp_path / "b.toml")

    shown = cluster.buildwright("update", "kube", *changes, "--dry-run", config=config).stdout
    assert "spec.template.spec.containers[buildkitd].resources.limits.cpu: none -> 2" in shown
    assert "+debug = true" in shown
    assert "hunter2" not in shown
    assert deployment(cluster, namespace)["metadata"]["generation"] == 1

    assert cluster.buildwright("update", "kube", *changes, config=config).stdout == shown
    (container,) = deployment(cluster, namespace)["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "2"}
    assert cluster.buildwright("update", "kube", config=config).stdout == "node kube0: nothing to change\n"
    assert 'limits.cpu="2"' in cluster.buildx("inspect", "kube", config=config).stdout

    wrong = f"image={cluster.registry}/no/such:1"
    failed = cluster.buildwright("update", "kube", "--driver-opt", wrong, config=config, check=False)
    assert failed.returncode == 1
    assert "cannot pull its image" in last_line(failed.stderr)
    back = last_line(failed.stderr).partition("go back with: buildwright ")[2]
    assert back == "update kube --node kube0 --driver-opt image="
    assert "1 of its former pods can still take builds" in failed.stderr
    cluster.buildwright(*back.split(), config=config)

    cluster.kubectl("-n", namespace, "set", "env", "deployment/kube0", "BY=hand")
    assert "env[BY].name: BY -> none" in cluster.buildwright("update", "kube", config=config).stdout
    assert cluster.buildwright("update", "kube", config=config).stdout == "node kube0: nothing to change\n"

    refused = cluster.buildwright("update", "kube", "--driver-opt", "labels=a=b", config=config, check=False)
    assert "create another builder" in last_line(refused.stderr)
    cluster.buildx("rm", "kube", config=config)
    left = cluster.kubectl("-n", namespace, "get", "deployments,secrets", "-o", "name").stdout
    assert left == ""


def test_many_jobs_make_one_builder(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    argv = (
        "create", "--driver", "kubernetes", "--driver-opt", f"namespace={namespace},replicas=2", "--name", "kube",
        "--buildkitd-config", cluster.buildkitd_config, "--bootstrap", "--timeout", "60s",
    )  # fmt: skip
    stores = [tmp_path / f"job{number}" for number in range(6)] + [tmp_path / "shared"] * 6
    with ThreadPoolExecutor(len(stores)) as jobs:
        made = list(jobs.map(lambda store: cluster.buildwright(*argv, config=store, check=False), stores))
    assert [(job.returncode, job.stdout) for job in made] == [(0, "kube\n")] * len(stores), made
    kinds = "deployments,replicasets,configmaps,poddisruptionbudgets"
    found = cluster.kubectl("-n", namespace, "get", kinds, "-l", "builder=kube", "-o", "name").stdout.split()
    assert [name.partition("/")[0] for name in found] == [
        "deployment.apps",
        "replicaset.apps",
        "configmap",
        "poddisruptionbudget.policy",
    ]
    assert cluster.buildwright("inspect", "kube", config=stores[0]).stdout.count("running") == 2
    other = cluster.buildwright(
        "create", "--driver", "kubernetes", "--driver-opt", f"namespace={namespace}", "--name", "kube",
        config=tmp_path / "shared", check=False,
    )  # fmt: skip
    assert "replicas: 2 -> none" in last_line(other.stderr)
    assert "buildwright update kube" in last_line(other.stderr)
