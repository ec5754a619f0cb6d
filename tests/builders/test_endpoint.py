"""How a node's address is shown."""

from __future__ import annotations

import pytest

from buildwright.builders.endpoint import shown


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("unix:///run/buildkit/buildkitd.sock", "unix:///run/buildkit/buildkitd.sock"),
        ("kubernetes:///kube?deployment=kube0&kubeconfig=", "kubernetes:///kube?deployment=kube0&kubeconfig="),
        (
            "kubernetes:///kube?cluster=1f&context=a&deployment=kube0&kubeconfig=%2Fhome%2Fconfig&server=https%3A%2F%2Fh",
            "kubernetes:///kube?deployment=kube0&kubeconfig=%2Fhome%2Fconfig",
        ),
        ("kubernetes:///kube", "kubernetes:///kube"),
    ],
)
def test_what_is_kept_of_the_cluster_is_not_shown(address: str, expected: str) -> None:
    assert shown(address) == expected
