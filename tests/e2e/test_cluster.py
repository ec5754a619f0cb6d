"""A first day on Kubernetes beside the real buildx, and a pod that is lost in the middle of a build."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_failures import folder

if TYPE_CHECKING:
    from tests.conftest import Cluster

pytestmark = pytest.mark.cluster


def manifest(registry: str, name: str) -> dict[str, object]:
    request = urllib.request.Request(
        f"http://{registry}/v2/{name}/manifests/latest",
        headers={"Accept": "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"},
    )
    with urllib.request.urlopen(request) as answer:
        body: dict[str, object] = json.load(answer)
    return body


def test_a_fleet_is_made_used_by_both_tools_and_removed(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    config = tmp_path / "config"
    context = folder(
        tmp_path / "context", "FROM busybox AS one\nRUN echo hi >/hi\nFROM busybox\nCOPY --from=one /hi /\n"
    )
    options = f"namespace={namespace},replicas=2"
    made = cluster.buildwright(
        "create", "--driver", "kubernetes", "--driver-opt", options, "--name", "kube", "--bootstrap",
        "--buildkitd-config", cluster.buildkitd_config, config=config,
    )  # fmt: skip
    assert made.stdout == "kube\n"
    listed = cluster.buildwright("ls", config=config).stdout
    assert listed.count(r" \_ kube0") == 2
    assert listed.count("running") == 2

    push = ("build", "--builder", "kube", "--push", context)
    cluster.buildwright(*push, "-t", f"{cluster.registry}/{namespace}/ours", config=config)
    assert manifest(cluster.registry, f"{namespace}/ours")["schemaVersion"] == 2
    cluster.buildx(*push, "-t", f"{cluster.registry}/{namespace}/theirs", config=config)
    cluster.buildx("rm", "kube", config=config)

    cluster.buildx(
        "create", "--driver", "kubernetes", "--driver-opt", options, "--name", "kube", "--bootstrap",
        "--buildkitd-config", cluster.buildkitd_config, config=config,
    )  # fmt: skip
    cluster.buildwright("build", "--builder", "kube", "-o", tmp_path / "out", context, config=config)
    assert (tmp_path / "out" / "hi").read_text() == "hi\n"
    cluster.buildwright("rm", "kube", config=config)
    assert cluster.kubectl("get", "deployments", "-n", namespace, "-o", "name").stdout == ""
