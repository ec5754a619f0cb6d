"""Driver option values as Go reads them (strconv, time), and the errors for those that it would not read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from buildwright.errors import DriverOptionError

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST = (2**63 - 1) / 1e9
"""Seconds that Go's time.Duration can hold."""
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)


def is_secret(option: str) -> bool:
    """Whether an option's values may hold what is not to be printed: the environment of daemons."""
    return option.startswith("env.") or option == "podtemplate"


def malformed(option: str, value: str, right: str) -> DriverOptionError:
    """The error for a value that an option cannot have; `right` says what it can. The name of a file is no secret."""
    if is_secret(option) and not value.startswith("@"):
        value = "(not shown)"
    return DriverOptionError(f'driver option {option}="{value}" is malformed: {right}', option=option)


def unknown(option: str, driver: str, known: Iterable[str], after: str = "") -> DriverOptionError:
    """The error for an option that a driver does not have, with the nearest that it has.

    It may be part of the value of the option `after` which it was given, whose commas were not quoted.
    """
    names = sorted(known)
    near = difflib.get_close_matches(option, names, n=1, cutoff=0.6)
    hint = f'did you mean "{near[0]}"?' if near else f"it has {', '.join(names)}"
    if after:
        quoting = f"for it to belong to {after}, quote that pair as a whole: '\"{after}=...,{option}=...\"'"
        hint = f"{hint} Or {quoting}" if near else quoting
    return DriverOptionError(
        f'unknown driver option "{option}" for driver {driver}: {hint}', option=option, known=False
    )


def boolean(option: str, value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise malformed(option, value, "write true or false")


def integer(option: str, value: str, *, least: int, most: int) -> int:
    if not re.fullmatch(r"[+-]?\d{1,99}", value, re.ASCII) or int(value) < least:
        raise malformed(option, value, f"write a whole number of at least {least}")
    if int(value) > most:
        raise malformed(option, value, f"write at most {most}")
    return int(value)


def duration(option: str, value: str) -> float:
    """Seconds of a Go duration (`90s`, `1h30m`, `0`); negative ones are refused."""
    unsigned = value.removeprefix("+")
    if unsigned == "0":
        return 0.0
    seconds, position = 0.0, 0
    for part in _PART.finditer(unsigned):
        if part.start() != position:
            break
        seconds += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    if not unsigned or position != len(unsigned):
        raise malformed(option, value, "write a duration with its unit, like 90s or 2m30s")
    if seconds > _LONGEST:
        raise malformed(option, value, "that is more than 292 years: write a shorter one")
    return seconds


def choice(option: str, value: str, allowed: Sequence[str]) -> str:
    if value in allowed:
        return value
    raise malformed(option, value, f"write {' or '.join(allowed)}")


def pairs(option: str, value: str) -> dict[str, str]:
    """`k=v,k=v`, double quotes around the whole dropped."""
    found: dict[str, str] = {}
    for item in value.strip('"').split(","):
        key, separator, content = item.partition("=")
        if not key or not separator or "=" in content:
            raise malformed(
                option, value, "write key=value pairs with commas between them, the whole option in quotes"
            )
        found[key] = content
    return found


def human(seconds: float) -> str:
    """A duration in words, as docker's units.HumanDuration says it."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    minutes = whole // 60
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    return "About an hour" if hours == 1 else f"{hours} hours"


def spoken(seconds: float) -> str:
    """The same in the middle of a sentence."""
    words = human(seconds)
    return words[0].lower() + words[1:]
