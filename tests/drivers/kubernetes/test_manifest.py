"""Objects in the cluster, against golden files; `REWRITE_GOLDEN=1` writes them anew."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.kubernetes.manifest import config_maps, deployment, labels
from buildwright.drivers.kubernetes.options import parse
from buildwright.errors import UsageError
from buildwright.model.node import Node
from buildwright.model.platform import Platform

DATA = Path(__file__).parent / "data"

FILES = {
    "buildkitd.toml": b"[registry.'reg.example.com']\n",
    "certs/reg.example.com/ca.pem": b"CA\n",
    "certs/reg.example.com/key.der": b"\xff\xfe",
    "certs/a.example.com/ca.pem": b"CA\n",
}
CASES: dict[str, tuple[Node, dict[str, str]]] = {
    "default": (Node(name="kb0", endpoint="", flags=("--allow-insecure-entitlement=network.host",)), {}),
    "full": (
        Node(
            name="kb0",
            endpoint="",
            platforms=(Platform.parse("linux/amd64"), Platform.parse("linux/arm64")),
            flags=("--debug",),
            files=FILES,
        ),
        {
            "image": "reg/buildkit:1",
            "replicas": "2",
            "requests.cpu": "500m",
            "requests.memory": "1Gi",
            "requests.ephemeral-storage": "2Gi",
            "limits.cpu": "2",
            "limits.memory": "4Gi",
            "limits.ephemeral-storage": "8Gi",
            "nodeselector": "kubernetes.io/os=linux",
            "tolerations": "key=a,operator=Exists,effect=NoExecute,tolerationSeconds=60;key=b,value=c",
            "annotations": "example.com/a=b",
            "labels": "team=x",
            "serviceaccount": "builder",
            "schedulername": "fast",
            "qemu.install": "true",
            "buildkit-root-volume-memory": "2Gi",
            "env.B": "2",
            "env.A": "1",
        },
    ),
    "rootless": (
        Node(name="kb0", endpoint="", files={"buildkitd.toml": b"debug = true\n"}),
        {"rootless": "true", "buildkit-root-volume-memory": "1Gi"},
    ),
}


def objects(case: str) -> list[dict[str, Any]]:
    node, texts = CASES[case]
    options = parse(texts)
    return [*config_maps("kb0", node, options), deployment("kb0", node, options)]


@pytest.mark.parametrize("case", CASES)
def test_objects_are_as_recorded(case: str) -> None:
    path = DATA / f"{case}.json"
    made = json.dumps(objects(case), indent=2) + "\n"
    if os.environ.get("REWRITE_GOLDEN"):
        path.write_text(made)
    assert made == path.read_text()


@pytest.mark.parametrize("case", CASES)
def test_a_real_api_server_takes_every_field(case: str, cluster: Any) -> None:
    made = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects(case)})
    cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=made)


def container(**texts: str) -> dict[str, Any]:
    made = deployment("kb0", Node(name="kb0", endpoint="", files=FILES), parse(texts))
    found: dict[str, Any] = made["spec"]["template"]["spec"]["containers"][0]
    return found


def test_requests_for_ephemeral_storage_are_requests() -> None:
    assert container(**{"requests.ephemeral-storage": "2Gi"})["resources"] == {
        "requests": {"ephemeral-storage": "2Gi"}
    }


def test_a_rootless_daemon_is_told_where_its_configuration_is() -> None:
    assert container(rootless="true")["args"] == [
        "--config=/etc/buildkit/buildkitd.toml",
        "--oci-worker-no-process-sandbox",
    ]
    node = Node(name="kb0", endpoint="", files=FILES, flags=("--config", "/mine.toml"))
    made = deployment("kb0", node, parse({"rootless": "true"}))
    assert made["spec"]["template"]["spec"]["containers"][0]["args"][:2] == ["--config", "/mine.toml"]


def test_config_maps_keep_their_numbers_whatever_the_order_of_files() -> None:
    turned = Node(name="kb0", endpoint="", files=dict(reversed(FILES.items())))
    straight = Node(name="kb0", endpoint="", files=FILES)
    assert config_maps("kb0", turned, parse({})) == config_maps("kb0", straight, parse({}))


def test_the_selector_is_what_pods_are_found_by() -> None:
    made = objects("full")[-1]
    chosen = labels("kb0", parse(CASES["full"][1]))
    assert made["spec"]["selector"]["matchLabels"] == chosen == made["spec"]["template"]["metadata"]["labels"]


def test_files_outside_of_the_folder_are_refused() -> None:
    for path in ("../passwd", "/etc/passwd", "certs/../../x"):
        with pytest.raises(UsageError, match="outside"):
            config_maps("kb0", Node(name="kb0", endpoint="", files={path: b""}), parse({}))
