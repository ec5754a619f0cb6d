"""Objects in the cluster, against golden files; `REWRITE_GOLDEN=1` writes them anew."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.kubernetes.manifests.manifest import (
    budget,
    config_maps,
    file_objects,
    labels,
    marks,
    secrets,
    workload,
)
from buildwright.drivers.kubernetes.options import parse
from buildwright.errors import DriverOptionError, UsageError
from buildwright.model.node import Node
from buildwright.model.platform import Platform

DATA = Path(__file__).parent / "data"

FILES = {
    "buildkitd.toml": b"[registry.'reg.example.com']\n",
    "certs/reg.example.com/ca.pem": b"CA\n",
    "certs/reg.example.com/key.der": b"\xff\xfe",
    "certs/a.example.com/ca.pem": b"CA\n",
}
KEYS = {
    "buildkitd.toml": b"[[registry.'r.io'.keypair]]\n"
    b"key = '/etc/buildkit/certs/r.io/key.der'\ncert = '/etc/buildkit/certs/r.io/cert.pem'\n",
    "certs/r.io/key.der": b"\xff\xfe",
    "certs/r.io/cert.pem": b"CERTIFICATE\n",
    "certs/s.io/key.pem": b"-----BEGIN EC PRIVATE KEY-----\n",
}
ANTI_AFFINITY = {
    "requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "kb0"}}}
    ]
}
PATCH = {
    "metadata": {"annotations": {"example.com/seen": "yes"}},
    "spec": {
        "terminationGracePeriodSeconds": 600,
        "containers": [
            {"name": "buildkitd", "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}], "livenessProbe": None},
            {"name": "side", "image": "busybox"},
        ],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    },
}
ENDPOINT = "kubernetes:///kb?deployment=kb0&kubeconfig="
CASES: dict[str, tuple[Node, dict[str, str]]] = {
    "default": (Node(name="kb0", endpoint=ENDPOINT, flags=("--allow-insecure-entitlement=network.host",)), {}),
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
            "drain": "90s",
            "ttl": "1h30m",
        },
    ),
    "rootless": (
        Node(name="kb0", endpoint="", files={"buildkitd.toml": b"debug = true\n"}),
        {"rootless": "true", "buildkit-root-volume-memory": "1Gi"},
    ),
    "claim": (
        Node(name="kb0", endpoint="", files=FILES),
        {
            "replicas": "2",
            "persistent-volume-claim.requests.storage": "10Gi",
            "persistent-volume-claim.storageclass": "fast",
            "persistent-volume-claim.accessmode": "ReadWriteOncePod",
        },
    ),
    "claim-rootless": (
        Node(name="kb0", endpoint=""),
        {"rootless": "true", "persistent-volume-claim.requests.storage": "10Gi"},
    ),
    "bounded": (Node(name="kb0", endpoint=""), {"limits.ephemeral-storage": "8Gi", "drain": "0"}),
    "keys": (Node(name="kb0", endpoint="", files=KEYS), {}),
    "placed": (
        Node(name="kb0", endpoint=""),
        {
            "imagepullsecrets": "one,two",
            "priorityclass": "system-node-critical",
            "affinity": json.dumps({"podAntiAffinity": ANTI_AFFINITY}),
            "topologyspread": '[{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]',
            "podtemplate": json.dumps(PATCH),
        },
    ),
}


def objects(case: str) -> list[dict[str, Any]]:
    node, texts = CASES[case]
    options = parse(texts)
    found = budget("kb0", node, options)
    files = (*config_maps("kb0", node, options), *secrets("kb0", node, options))
    return [*files, workload("kb0", node, options), *([found] if found else [])]


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
    made = workload("kb0", Node(name="kb0", endpoint="", files=FILES), parse(texts))
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
    made = workload("kb0", node, parse({"rootless": "true"}))
    assert made["spec"]["template"]["spec"]["containers"][0]["args"][:2] == ["--config", "/mine.toml"]


def test_config_maps_keep_their_numbers_whatever_the_order_of_files() -> None:
    turned = Node(name="kb0", endpoint="", files=dict(reversed(FILES.items())))
    straight = Node(name="kb0", endpoint="", files=FILES)
    assert config_maps("kb0", turned, parse({})) == config_maps("kb0", straight, parse({}))


def test_the_selector_is_what_pods_are_found_by() -> None:
    *_, made, disruption = objects("full")
    chosen = labels("kb0", parse(CASES["full"][1]))
    assert made["spec"]["selector"]["matchLabels"] == chosen == disruption["spec"]["selector"]["matchLabels"]
    assert made["spec"]["template"]["metadata"]["labels"].items() >= chosen.items()


def test_every_object_says_whose_it_is() -> None:
    node = Node(name="kb0", endpoint=ENDPOINT, files=FILES | KEYS)
    options = parse({"persistent-volume-claim.requests.storage": "1Gi"})
    made = workload("kb0", node, options)
    claim, template = made["spec"]["volumeClaimTemplates"][0], made["spec"]["template"]
    found = [made, claim, template, budget("kb0", node, options) or {}]
    found += [*config_maps("kb0", node, options), *secrets("kb0", node, options)]
    for item in found:
        assert item["metadata"]["labels"] == {
            "app": "kb0", "builder": "kb", "app.kubernetes.io/managed-by": "buildwright"
        }  # fmt: skip


@pytest.mark.parametrize("endpoint", ["", "kubernetes:///with%20blank?deployment=kb0", f"kubernetes:///{'x' * 64}"])
def test_a_builder_whose_name_is_no_label_value_has_no_such_label(endpoint: str) -> None:
    assert "builder" not in marks("kb0", Node(name="kb0", endpoint=endpoint), parse({}))


def test_labels_of_the_user_come_first() -> None:
    node = Node(name="kb0", endpoint=ENDPOINT)
    assert marks("kb0", node, parse({"labels": "builder=mine"}))["builder"] == "mine"


def test_the_apparmor_profile_is_a_field_or_an_annotation_and_never_both() -> None:
    for field in (True, False):
        made = workload("kb0", Node(name="kb0", endpoint=""), parse({"rootless": "true"}), apparmor_field=field)
        template = made["spec"]["template"]
        annotated = "container.apparmor.security.beta.kubernetes.io/buildkitd" in template["metadata"].get(
            "annotations", {}
        )
        assert ("appArmorProfile" in template["spec"]["containers"][0]["securityContext"]) is field
        assert annotated is not field


def test_a_patch_may_take_the_hook_away() -> None:
    patch = {"spec": {"containers": [{"name": "buildkitd", "lifecycle": None}], "terminationGracePeriodSeconds": 5}}
    spec = workload("kb0", Node(name="kb0", endpoint=""), parse({"podtemplate": json.dumps(patch)}))["spec"]
    assert "lifecycle" not in spec["template"]["spec"]["containers"][0]
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 5


def test_files_outside_of_the_folder_are_refused() -> None:
    for path in ("../passwd", "/etc/passwd", "certs/../../x"):
        with pytest.raises(UsageError, match="outside"):
            config_maps("kb0", Node(name="kb0", endpoint="", files={path: b""}), parse({}))


def test_a_claim_keeps_the_configuration_mounted() -> None:
    mounts = container(**{"persistent-volume-claim.requests.storage": "1Gi"})["volumeMounts"]
    assert {mount["mountPath"] for mount in mounts} >= {"/etc/buildkit", "/var/lib/buildkit"}


def test_private_keys_are_in_no_config_map() -> None:
    node = Node(name="kb0", endpoint="", files=KEYS)
    public = json.dumps(config_maps("kb0", node, parse({})))
    assert "key.der" not in public.replace("certs/r.io/key.der", "")
    assert "PRIVATE" not in public
    names = [(item["metadata"]["name"], list(item["data"])) for item in secrets("kb0", node, parse({}))]
    assert names == [("kb0-config-1", ["key.der"]), ("kb0-config-2", ["key.pem"])]
    assert file_objects("kb0", node, parse({})) == ["kb0-config", "kb0-config-1", "kb0-config-2"]


def test_a_plain_builder_gets_no_configuration() -> None:
    assert config_maps("kb0", Node(name="kb0", endpoint=""), parse({"limits.memory": "4Gi"})) == []


def test_a_generated_configuration_reaches_a_rootless_daemon() -> None:
    options = parse({"rootless": "true", "limits.ephemeral-storage": "8Gi"})
    made = workload("kb0", Node(name="kb0", endpoint=""), options)
    assert "--config=/etc/buildkit/buildkitd.toml" in made["spec"]["template"]["spec"]["containers"][0]["args"]


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ({"spec": {"nodeSelectr": {}}}, "PodTemplateSpec has no field spec.nodeSelectr"),
        ({"spec": {"terminationGracePeriodSeconds": "long"}}, "Expected int"),
        ({"spec": {"containers": [{"image": "x"}]}}, 'needs a "name"'),
        ({"spec": {"containers": [{"name": "buildkitd", "$patch": "delete"}]}}, "leave the label"),
        ({"metadata": {"labels": {"app": "other"}}}, "leave the label"),
        ({"metadata": {"labels": {"team": None}}}, "leave the label"),
    ],
)
def test_a_patch_that_makes_no_usable_pod_is_refused(patch: dict[str, Any], words: str) -> None:
    with pytest.raises(DriverOptionError, match=re.escape(words)):
        workload("kb0", Node(name="kb0", endpoint=""), parse({"podtemplate": json.dumps(patch), "labels": "team=x"}))


def test_a_patch_that_is_refused_is_not_shown() -> None:
    patch = {"metadata": {"annotations": {"token": "hunter2"}}, "spec": {"nodeSelectr": {}}}
    with pytest.raises(DriverOptionError) as caught:
        workload("kb0", Node(name="kb0", endpoint=""), parse({"podtemplate": json.dumps(patch)}))
    assert "hunter2" not in str(caught.value)
