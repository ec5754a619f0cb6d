"""Names in the cluster."""

from __future__ import annotations

import pytest

from buildwright.drivers.kubernetes.name import builder_of, object_name
from buildwright.errors import UsageError


def test_underscores_become_hyphens() -> None:
    assert object_name("loving_mendeleev0") == "loving-mendeleev0"


@pytest.mark.parametrize("name", ["", "Kube", "a..b", "a.-b", ".a", "-a", "a_", "a" * 64, "ä"])
def test_names_that_kubernetes_would_refuse_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="63"):
        object_name(name)


def test_dots_are_for_names_that_are_no_part_of_a_host_name() -> None:
    assert object_name("a.b0") == "a.b0"
    with pytest.raises(UsageError, match="letters, digits and -, at most 52"):
        object_name("a.b0", stateful=True)


def test_a_stateful_name_leaves_room_for_its_pods_labels() -> None:
    assert object_name("a" * 52, stateful=True)
    with pytest.raises(UsageError, match="at most 52 for a node with a volume claim"):
        object_name("a" * 53, stateful=True)


@pytest.mark.parametrize(
    ("endpoint", "builder"),
    [("kubernetes:///kb?deployment=kb0&kubeconfig=", "kb"), ("unix:///kb", ""), ("desktop", ""), ("unix://[", "")],
)
def test_the_builder_is_named_in_the_endpoint(endpoint: str, builder: str) -> None:
    assert builder_of(endpoint) == builder
