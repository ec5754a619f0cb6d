"""One builder with nodes for each platform on machines of their own: built, pushed and shown as by buildx."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Cluster

pytestmark = pytest.mark.cluster


def test_nodes_of_their_own_build_each_platform(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox\nRUN uname -m\n")

    def ours(*args: str | Path) -> str:
        done = cluster.buildwright(*args, config=tmp_path)
        return done.stdout + done.stderr

    create = ("create", "--name", "m", "--driver", "kubernetes", "--buildkitd-config", cluster.buildkitd_config)
    pinned = f"namespace={namespace},nodeselector=kubernetes.io/hostname="
    ours(*create, "--node", "amd", "--platform", "linux/amd64", "--driver-opt", f"{pinned}node1,replicas=2")
    ours(
        *create, "--append", "--node", "arm", "--platform", "linux/arm64", "--driver-opt",
        f"{pinned}node2,qemu.install=true",
    )  # fmt: skip
    image = f"{cluster.registry}/{namespace}/platforms:1"
    told = ours(
        "build", "--builder", "m", "--progress", "plain", "--platform", "linux/amd64,linux/arm64", "--push", "-t",
        image, context,
    )  # fmt: skip
    assert re.search(r"#\d+ [\d.]+ x86_64", told)
    assert re.search(r"#\d+ [\d.]+ aarch64", told)

    types = {"Accept": "application/vnd.oci.image.index.v1+json"}
    address = f"http://{cluster.registry}/v2/{namespace}/platforms/manifests/1"
    with urllib.request.urlopen(urllib.request.Request(address, headers=types)) as answer:
        index = json.load(answer)
    platforms = {entry["platform"]["architecture"] for entry in index["manifests"]}
    assert {"amd64", "arm64"} <= platforms

    listed = cluster.buildwright("ls", "--format", "json", config=tmp_path).stdout
    (builder,) = [found for line in listed.splitlines() if (found := json.loads(line))["Name"] == "m"]
    assert [node["Name"] for node in builder["Nodes"]] == ["amd", "amd", "arm"]
    theirs = cluster.buildx("ls", "--format", "json", config=tmp_path).stdout
    assert json.dumps(builder, sort_keys=True) in {
        json.dumps(json.loads(line), sort_keys=True) for line in theirs.splitlines()
    }
    assert rows(cluster.buildwright("ls", config=tmp_path).stdout) == rows(
        cluster.buildx("ls", config=tmp_path).stdout
    )
    inspected = cluster.buildwright("inspect", "m", config=tmp_path).stdout
    assert inspected.count("Status:                running") == 3
    ours("rm", "m")


def rows(table: str) -> list[list[str]]:
    """The words of the lines about the builder `m`."""
    return [line.split() for line in table.splitlines() if line.startswith("m ") or "\\_" in line]
