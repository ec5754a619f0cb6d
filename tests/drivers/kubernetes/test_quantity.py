"""Quantities are worth what Kubernetes says."""

from __future__ import annotations

from fractions import Fraction

import pytest

from buildwright.drivers.kubernetes.quantity import parse


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("500m", Fraction(1, 2)),
        ("2", 2),
        ("4Gi", 4 << 30),
        ("1.5G", 1_500_000_000),
        ("1e9", 10**9),
        ("1e-3", Fraction(1, 1000)),
        (".5Ki", 512),
        ("2E", 2 * 10**18),
        ("1Ei", 1 << 60),
        ("100n", Fraction(1, 10**7)),
        ("+1k", 1000),
    ],
)
def test_a_quantity_is_a_number(text: str, worth: Fraction | int) -> None:
    assert parse(text) == worth


@pytest.mark.parametrize("text", ["", "1GB", "-1", "1 Gi", "Gi", "1e", "1e999", "0x1", "\u0661"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        parse(text)
