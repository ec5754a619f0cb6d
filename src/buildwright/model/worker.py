"""What a daemon says of itself: its version and its workers (moby.buildkit.v1.types)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from buildwright.model.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class GCPolicy:
    """One rule of a worker's garbage collection; sizes in bytes, `keep_duration` in nanoseconds."""

    all: bool = False
    keep_duration: int = 0
    filters: tuple[str, ...] = ()
    reserved_space: int = 0
    max_used_space: int = 0
    min_free_space: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CDIDevice:
    name: str
    auto_allow: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)
    on_demand: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[Platform, ...] = ()
    gc_policy: tuple[GCPolicy, ...] = ()
    version: str = ""
    devices: tuple[CDIDevice, ...] = ()
