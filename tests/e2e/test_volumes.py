"""A volume claim grows where its class allows it, under a pod that goes on; where it does not, that is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_failures import assert_one_sentence, last_line

if TYPE_CHECKING:
    from tests.conftest import Cluster

pytestmark = pytest.mark.cluster

SIZE = "persistent-volume-claim.requests.storage"
CLAIM = "buildkitd-kube0-0"


@pytest.fixture(params=[True, False])
def grows(request: pytest.FixtureRequest, cluster: Cluster, namespace: str) -> Iterator[bool]:
    """Whether claims of the storage class `namespace` may grow."""
    grows = bool(request.param)
    item = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": namespace},
        "provisioner": "kubernetes.io/host-path",
        "allowVolumeExpansion": grows,
    }
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(item))
    yield grows
    cluster.kubectl("delete", "storageclass", namespace)


def test_a_claim_grows_where_its_class_allows_it(
    cluster: Cluster, namespace: str, tmp_path: Path, grows: bool
) -> None:
    config = tmp_path / "config"

    def get(what: str, path: str) -> str:
        return cluster.kubectl("-n", namespace, "get", what, "-o", f"jsonpath={{{path}}}").stdout

    options = f"namespace={namespace},{SIZE}=1Gi,persistent-volume-claim.storageclass={namespace}"
    cluster.buildwright(
        "create", "--driver", "kubernetes", "--driver-opt", options, "--name", "kube", "--bootstrap",
        "--buildkitd-config", cluster.buildkitd_config, config=config,
    )  # fmt: skip
    pod, workload = get("pod/kube0-0", ".metadata.uid"), get("statefulset/kube0", ".metadata.uid")
    grown = cluster.buildwright("update", "kube", "--driver-opt", f"{SIZE}=2Gi", config=config, check=False)
    asked = get(f"pvc/{CLAIM}", ".spec.resources.requests.storage")
    if not grows:
        assert_one_sentence(grown.stderr)
        assert f"the volume claim {CLAIM} does not grow (the cluster refused: " in last_line(grown.stderr)
        assert last_line(grown.stderr).endswith("create another builder with claims of 2Gi")
        assert asked == "1Gi"
        assert get("statefulset/kube0", ".metadata.uid") == workload
        return
    assert grown.returncode == 0, grown.stderr
    assert asked == "2Gi"
    assert f"still as large as before: {CLAIM}; what provides their volumes" in grown.stderr, "nobody resizes here"
    assert get("statefulset/kube0", ".spec.volumeClaimTemplates[0].spec.resources.requests.storage") == "2Gi"
    assert get("statefulset/kube0", ".metadata.uid") != workload, "the size of a StatefulSet's claims is for good"
    assert get("pod/kube0-0", ".metadata.uid") == pod
    shrunk = cluster.buildwright("update", "kube", "--driver-opt", f"{SIZE}=1Gi", config=config, check=False)
    assert "a volume claim of 2Gi does not shrink" in last_line(shrunk.stderr)
