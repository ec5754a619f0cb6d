"""Builders as they are remembered: a group of nodes that one driver serves (buildx store/nodegroup.go)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from buildwright.model.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One place that builds. `files` holds what goes under /etc/buildkit, by relative path."""

    name: str
    endpoint: str
    platforms: tuple[Platform, ...] = ()
    driver_opts: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """A named group of nodes. `driver` is "" for a docker context's implicit builder until it was probed."""

    name: str
    driver: str
    nodes: tuple[Node, ...] = ()
    docker_context: bool = False
    """True for the implicit builder of a docker context, which is not in the store."""
    last_activity: str = ""
    """RFC3339 UTC time of the last build, "" when there was none."""
