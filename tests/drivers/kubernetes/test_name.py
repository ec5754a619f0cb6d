"""Names in the cluster and endpoints in the store."""

from __future__ import annotations

import pytest

from buildwright.drivers.kubernetes.name import kubeconfig_of, object_name
from buildwright.errors import UsageError


def test_underscores_become_hyphens() -> None:
    assert object_name("loving_mendeleev0") == "loving-mendeleev0"


@pytest.mark.parametrize("name", ["", "Kube", "a.b", "-a", "a_", "a" * 64, "ä"])
def test_names_that_kubernetes_would_refuse_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="63"):
        object_name(name)


def test_the_kubeconfig_is_kept_in_the_endpoint() -> None:
    endpoint = "kubernetes:///kb?deployment=kb-arm64&kubeconfig=%2Fhome%2Fu%2F.kube%2Fci%3A%2Fetc%2Fk"
    assert kubeconfig_of(endpoint) == "/home/u/.kube/ci:/etc/k"
    assert kubeconfig_of("kubernetes:///kb?deployment=&kubeconfig=") == ""
    assert kubeconfig_of("") == ""


def test_other_endpoints_are_refused() -> None:
    with pytest.raises(UsageError, match="no endpoint of the kubernetes driver"):
        kubeconfig_of("unix:///run/docker.sock")


def test_a_stateful_name_leaves_room_for_its_pods_labels() -> None:
    assert object_name("a" * 52, stateful=True)
    with pytest.raises(UsageError, match="at most 52 for a node with a volume claim"):
        object_name("a" * 53, stateful=True)
