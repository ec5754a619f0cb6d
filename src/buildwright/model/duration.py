"""Lengths of time as options and output write them (Go's time.ParseDuration and Duration.String).

A duration is an integer of nanoseconds. Written: `300ms`, `1h30m`, `-1.5s`, `0`.
"""

from __future__ import annotations

import re

NANOSECOND = 1
MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

_UNITS = {"ns": 1, "us": MICROSECOND, "µs": MICROSECOND, "μs": MICROSECOND, "ms": MILLISECOND}
_UNITS |= {"s": SECOND, "m": MINUTE, "h": HOUR}
_PART = re.compile(r"(?=\.?[0-9])([0-9]*)\.?([0-9]*)(ns|us|µs|μs|ms|s|m|h)")
_LIMIT = 1 << 63


def parse(text: str) -> int:
    """Nanoseconds of a written duration, fractions of one cut off; ValueError when it is none."""
    sign, rest = (text[0], text[1:]) if text[:1] in ("+", "-") and text else ("", text)
    if rest == "0":
        return 0
    total, at = 0, 0
    while part := _PART.match(rest, at):
        whole, fraction, unit = part.groups()
        total += int(whole or "0") * _UNITS[unit] + int(fraction or "0") * _UNITS[unit] // 10 ** len(fraction)
        at = part.end()
    if not rest or at != len(rest) or total >= _LIMIT:
        raise ValueError(f'invalid duration "{text}": write a number and a unit, like 20s, 1m30s or 500ms')
    return -total if sign == "-" else total


def write(nanoseconds: int) -> str:
    """The shortest exact form, as Go prints it: `48h0m0s`, `1.5s`, `200ms`, `0s`."""
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest == 0:
        return "0s"
    for unit, name in ((MICROSECOND, "ns"), (MILLISECOND, "µs"), (SECOND, "ms")):
        if rest < unit:
            size = {"ns": 1, "µs": MICROSECOND, "ms": MILLISECOND}[name]
            return sign + _decimal(rest, size) + name
    minutes, seconds = divmod(rest, MINUTE)
    hours, minutes = divmod(minutes, 60)
    text = _decimal(seconds, SECOND) + "s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}"
