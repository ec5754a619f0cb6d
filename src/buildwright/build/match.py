"""Which platform can run what is built for another, and how well (containerd/platforms compare.go); pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from buildwright.model.platform import Platform

Vector: TypeAlias = Callable[[Platform], tuple[Platform, ...]]
"""The platforms that one stands for, the best first."""

_V9_LIKE_V8 = 5
"""arm64 v9.x runs what v8.(x+5) runs."""


def itself(platform: Platform) -> tuple[Platform, ...]:
    return (platform.normalized(),)


def runnable(platform: Platform) -> tuple[Platform, ...]:
    """What it runs: itself, its older variants and the 32-bit forms of its architecture."""
    platform = platform.normalized()
    match platform.architecture:
        case "amd64":
            older = [replace(platform, variant=f"v{n}") for n in range(_number(platform.variant) - 1, 0, -1)]
            found = [platform, *older, replace(platform, architecture="386", variant="")]
        case "arm":
            found = [platform, *_older_arm(platform)]
        case "arm64":
            eighth = replace(platform, architecture="arm", variant="v8")
            own = [replace(platform, variant=variant) for variant in _arm64_variants(platform.variant or "v8")]
            found = [*own, eighth, *_older_arm(eighth)]
        case _:
            found = [platform]
    return tuple(one.normalized() for one in found)


def matches(one: Platform, wanted: Platform) -> bool:
    """Equal but for the name of features; a Windows version counts to its build, and none fits every version."""
    if (one.os, one.architecture, one.variant) != (wanted.os, wanted.architecture, wanted.variant):
        return False
    if one.os != "windows" or not one.os_version or not wanted.os_version:
        return True
    return one.os_version.split(".")[:3] == wanted.os_version.split(".")[:3]


def serves(vector: tuple[Platform, ...], wanted: Platform) -> bool:
    return any(matches(one, wanted) for one in vector)


def ranks_before(vector: tuple[Platform, ...], wanted: Platform, other: Platform) -> bool:
    """Whether `wanted` comes before `other` in `vector`."""
    for one in vector:
        if matches(one, other):
            return False
        if matches(one, wanted):
            return True
    return False


def _number(variant: str) -> int:
    text = variant.removeprefix("v")
    return int(text) if text.isdecimal() else 0


def _older_arm(platform: Platform) -> list[Platform]:
    return [replace(platform, variant=f"v{n}") for n in range(_number(platform.variant) - 1, 4, -1)]


def _arm64_variants(variant: str) -> list[str]:
    major, _, minor = variant.removeprefix("v").partition(".")
    if major not in ("8", "9") or not (minor or "0").isdecimal():
        return []
    least = int(minor or "0")
    own = [_dotted(major, n) for n in range(least, -1, -1)]
    return own + ([_dotted("8", n) for n in range(least + _V9_LIKE_V8, -1, -1)] if major == "9" else [])


def _dotted(major: str, minor: int) -> str:
    return f"v{major}.{minor}" if minor else f"v{major}"
