"""How much a daemon may keep: a policy for those that have none, and doubts about those that do. Pure.

A daemon left to itself keeps up to 80 % of the file system that it sees, 100 GB at most (BuildKit
cmd/buildkitd/config/gcpolicy.go). Where that is not the space it has, the pod is evicted or its volume fills.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from buildwright.drivers.kubernetes import quantity
from buildwright.drivers.kubernetes.options import CLAIM, Options
from buildwright.model import size
from buildwright.model.node import Node

CONFIG_FILE = "buildkitd.toml"

_MIB = 1 << 20
_MOST, _RESERVED, _FREE = 75, 10, 10
_CAPS = ("maxUsedSpace", "reservedSpace", "gckeepstorage", "keepBytes")
"""What bounds a policy: without the first, all above what is reserved may be removed and is."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The space for a daemon's state: `size` in bytes, the option that says so, and whether it is a file system."""

    size: int
    option: str
    volume: bool

    @property
    def most(self) -> str:
        """What the cache may take of it, as a policy says it."""
        return self._share(_MOST)

    def _share(self, percent: int) -> str:
        return f"{max(self.size * percent // 100 // _MIB, 1)}MB"

    def policy(self) -> bytes:
        lines = ["[worker.oci]", "gc = true", f"maxUsedSpace = '{self.most}'"]
        lines.append(f"reservedSpace = '{self._share(_RESERVED)}'")
        if self.volume:
            lines.append(f"minFreeSpace = '{self._share(_FREE)}'")
        return "".join(f"{line}\n" for line in lines).encode()


def bound(options: Options) -> Bound | None:
    """What bounds the state of a daemon; None when only its node's disk does."""
    if options.claim:
        return Bound(_bytes(options.claim), CLAIM, volume=True)
    if options.root_volume_memory:
        found = [(_bytes(options.root_volume_memory), "buildkit-root-volume-memory")]
        if "memory" in options.limits:
            found.append((_bytes(options.limits["memory"]), "limits.memory"))
        return Bound(*min(found), volume=True)
    if "ephemeral-storage" in options.limits:
        return Bound(_bytes(options.limits["ephemeral-storage"]), "limits.ephemeral-storage", volume=False)
    return None


def policy(node: Node, options: Options) -> bytes | None:
    """The configuration for a daemon whose space is bounded and for whom the user has configured nothing."""
    space = bound(options)
    configured = CONFIG_FILE in node.files or any(
        flag.startswith(("--config", "--oci-worker-gc")) for flag in node.flags
    )
    return None if space is None or configured else space.policy()


def doubts(node: Node, options: Options) -> tuple[str, ...]:
    """Sentences about a given configuration under which the cache may outgrow its space."""
    space = bound(options)
    filled = f"the {size.write(space.size)} of {space.option}" if space else "the disk of its node"
    endless = f"turns garbage collection off, so the cache grows until it fills {filled}"
    flag = _collection_flag(node)
    if flag.partition("=")[2].lower() in ("0", "f", "false"):
        return (f"the daemon's flag {flag} {endless}: leave it out",)
    try:
        worker = tomllib.loads(node.files.get(CONFIG_FILE, b"").decode()).get("worker", {}).get("oci", {})
        worker = worker if CONFIG_FILE in node.files else None
    except (ValueError, AttributeError):
        return ()
    if not isinstance(worker, dict):
        return ()
    advice = f"set maxUsedSpace = '{space.most}' in [worker.oci]" if space else "set maxUsedSpace in [worker.oci]"
    if worker.get("gc") is False and not flag:
        return (f"the given {CONFIG_FILE} {endless}: leave gc = false out, and {advice}",)
    caps = _caps(worker)
    if caps is None:
        return (f"the given {CONFIG_FILE} has garbage collection rules, but none that bounds the cache: {advice}",)
    if space is None:
        return ()
    if not caps:
        return (
            () if _detected(space) else (f"the given {CONFIG_FILE} does not keep the cache below {filled}: {advice}",)
        )
    if any(_too_much(cap, space) for cap in caps):
        return (f"the given {CONFIG_FILE} lets the cache grow beyond {filled}: {advice}",)
    return ()


def _collection_flag(node: Node) -> str:
    """The flag that turns garbage collection on or off, whatever a configuration says; "" when none does."""
    said = [flag for flag in node.flags if flag.partition("=")[0] == "--oci-worker-gc"]
    return said[-1] if said else ""


def _caps(worker: Mapping[str, Any]) -> list[object] | None:
    """What a worker's rules let it keep; empty when it goes by the daemon's default, None when by no bound."""
    rules = worker.get("gcpolicy")
    if not isinstance(rules, list) or not rules:
        return _cap(worker)
    for rule in rules:
        if isinstance(rule, dict) and not rule.get("filters") and not rule.get("keepDuration") and _cap(rule):
            return _cap(rule)
    return None


def _cap(table: Mapping[str, Any]) -> list[object]:
    return [table[name] for name in _CAPS if table.get(name)][:1]


def _detected(space: Bound) -> bool:
    """Whether the daemon's default fits: it sees the volume, and rounds 80 % of it up by at most 1 GB."""
    return space.volume and space.size >= 5 << 30


def _too_much(cap: object, space: Bound) -> bool:
    if isinstance(cap, str) and cap.endswith("%"):
        return not space.volume
    try:
        return (cap if isinstance(cap, int) else size.parse(str(cap))) > space.size
    except ValueError:
        return False


def _bytes(text: str) -> int:
    return int(quantity.parse(text))
