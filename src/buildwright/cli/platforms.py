"""How `ls` and `inspect` write platforms: those fixed by the user marked, many of one architecture as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from buildwright.errors import UsageError
from buildwright.model.platform import Platform

_MAJOR = "linux/amd64 linux/arm64 linux/arm linux/ppc64le linux/s390x linux/riscv64 linux/mips64".split()
LIMIT = 4


def mark(fixed: Iterable[Platform], all_platforms: Iterable[Platform]) -> list[str]:
    """The fixed ones first, with a star, then the others; each once."""
    marked = {str(platform.normalized()): "*" for platform in fixed}
    for platform in all_platforms:
        marked.setdefault(str(platform.normalized()), "")
    return [name + star for name, star in marked.items()]


def shorten(names: Sequence[str]) -> str:
    """At most four groups of one architecture each, the major ones first, and how many more there are."""
    groups = _groups(names)
    order = [major for major in _MAJOR if major in groups]
    order += [name for name in sorted(groups) if name not in order][: max(0, LIMIT - len(order))]
    shown = [_shown(name, groups[name]) for name in order]
    if left := len(names) - sum(len(groups[name]) for name in order):
        shown.append(f"({left} more)")
    return ", ".join(shown)


def _shown(name: str, members: Sequence[str]) -> str:
    if len(members) == 1:
        return members[0]
    star = "*" if any(member.endswith("*") for member in members) else ""
    return f"{name}{star} (+{len(members)})"


def _groups(names: Sequence[str]) -> dict[str, list[str]]:
    """Major architectures until there are four groups, then the others unless there are four already."""
    groups: dict[str, list[str]] = {}
    for major in _MAJOR:
        if len(groups) < LIMIT and (members := [name for name in names if _architecture(name) == major]):
            groups[major] = members
    if len(groups) < LIMIT:
        for name in names:
            if (other := _architecture(name)) and other not in _MAJOR:
                groups.setdefault(other, []).append(name)
    return groups


def _architecture(name: str) -> str:
    try:
        platform = Platform.parse(name.removesuffix("*"))
    except UsageError:
        return ""
    return f"{platform.os}/{platform.architecture}"
