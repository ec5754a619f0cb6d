"""Sizes in bytes as options and output write them (github.com/docker/go-units, binary multiples)."""

from __future__ import annotations

import re

_WRITTEN = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+) ?(?:([kmgtp])(?:b|ib)?|b)?", re.IGNORECASE)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_NAMES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")


def parse(text: str) -> int:
    """Bytes of a written size: `2g`, `512MB`, `1.5 GiB`; every unit is a power of 1024. ValueError for others."""
    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise ValueError(f'invalid size "{text}": write a number and a unit, like 512m or 2g')
    number, unit = written.groups()
    return int(float(number) * 1024 ** _POWERS.get((unit or "").lower(), 0))


def write(size: int) -> str:
    """Four significant digits and a unit: `10GiB`, `1.953MiB`."""
    value, step = float(size), 0
    while value >= 1024 and step < len(_NAMES) - 1:
        value, step = value / 1024, step + 1
    return f"{value:.4g}{_NAMES[step]}"
