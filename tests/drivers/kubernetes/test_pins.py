"""What endpoints keep of a cluster."""

from __future__ import annotations

import pytest

from buildwright.drivers.kubernetes.pins import Pins

BUILDX = "kubernetes:///kb?deployment=kb-arm64&kubeconfig=%2Fhome%2Fu%2F.kube%2Fci%3A%2Fetc%2Fk"


def test_the_kubeconfig_of_buildx_is_read() -> None:
    assert Pins.read(BUILDX) == Pins(kubeconfig="/home/u/.kube/ci:/etc/k")


@pytest.mark.parametrize(
    "endpoint",
    ["", "unix:///s?context=c", "desktop", "unix://[", "kubernetes://[", "kubernetes:///kb?deployment=&kubeconfig="],
)
def test_other_endpoints_keep_nothing(endpoint: str) -> None:
    assert Pins.read(endpoint) == Pins()


def test_what_is_kept_is_read_again_and_the_rest_stays() -> None:
    pins = Pins(kubeconfig="/a b", context="a&b=c", namespace="n", cluster="uid", server="https://h:1")
    kept = pins.kept_in(BUILDX)
    assert kept == (
        "kubernetes:///kb?cluster=uid&context=a%26b%3Dc&deployment=kb-arm64&kubeconfig=%2Fa+b&namespace=n"
        "&server=https%3A%2F%2Fh%3A1"
    )
    assert Pins.read(kept) == pins
    assert Pins(kubeconfig="/home/u/.kube/ci:/etc/k").kept_in(kept) == BUILDX
