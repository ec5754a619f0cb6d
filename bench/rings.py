"""How evenly the ways to choose a pod share the keys, and how many keys move when a pod comes. Nothing is timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from buildwright.drivers.kubernetes import choose

KEYS = tuple(f"/builds/team-{number % 97}/project-{number}" for number in range(20_000))
PODS = 4
ROUNDS = 25
"""Fleets with names of their own: on a ring the shares depend on the names."""
EVEN = 1.25
"""What the busiest pod may have of affinity's keys, by the mean; no more move to a fifth pod than this one's share,
give or take what chance does to a sample."""
CHANCE = 0.01

Way = Callable[[Sequence[str], str], str]


def compared() -> tuple[str, bool]:
    """A table of buildx's ring and of ours, and whether ours is within its limits."""
    lines = [
        f"{len(KEYS):,} keys on {PODS} pods, {ROUNDS} fleets",
        "",
        "| way      | busiest pod / mean, worst fleet | mean of fleets | keys that move to a fifth pod, most |",
        "| -------- | ------------------------------- | -------------- | ----------------------------------- |",
    ]
    ways: tuple[tuple[str, Way], ...] = (("sticky", choose.sticky), ("affinity", choose.affinity))
    even = True
    for name, way in ways:
        found = [_fleet(way, number) for number in range(ROUNDS)]
        busiest, moved = [load for load, _ in found], [share for _, share in found]
        lines.append(f"| {name:8} | {max(busiest):<31.2f} | {sum(busiest) / ROUNDS:<14.2f} | {max(moved):<35.1%} |")
        if way is choose.affinity:
            even = max(busiest) <= EVEN and max(moved) <= 1 / (PODS + 1) + CHANCE
    return "\n".join(lines), even


def _fleet(way: Way, number: int) -> tuple[float, float]:
    """The busiest pod's keys by the mean, and the share of keys that a further pod takes."""
    names = [f"kube0-6977cdcb75-{number:02}{pod}xk" for pod in range(PODS)]
    before = [way(names, key) for key in KEYS]
    after = [way([*names, f"kube0-6977cdcb75-{number:02}zzq"], key) for key in KEYS]
    moved = sum(one != other for one, other in zip(before, after, strict=True))
    return max(Counter(before).values()) / (len(KEYS) / PODS), moved / len(KEYS)
