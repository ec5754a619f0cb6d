"""Kubernetes quantities (apimachinery api/resource): `500m`, `4Gi`, `1e9`. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

_WRITTEN = re.compile(r"\+?(\d+\.?\d*|\.\d+)(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?\d{1,2}))?", re.ASCII)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def parse(text: str) -> Fraction:
    """What a quantity is worth; ValueError when it is none."""
    from fractions import Fraction

    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise ValueError(f'"{text}" is no quantity')
    number, binary, decimal, exponent = written.groups()
    if binary:
        return Fraction(number) * (1 << 10 * ("KMGTPE".index(binary[0]) + 1))
    power = _DECIMAL[decimal] if decimal else int(exponent or 0)
    return Fraction(number) * (10**power if power >= 0 else Fraction(1, 10**-power))
