"""What a user asks for: one build, before any builder was chosen or any file opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from buildwright.model.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One exporter. `dest` is a path, "-" for stdout, or None when the daemon keeps or pushes the result."""

    type: str
    attrs: Mapping[str, str] = field(default_factory=dict)
    dest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource:
    """Where a build secret comes from: exactly one of a file's path and an environment variable's name."""

    id: str
    file: str | None = None
    env: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One image to build.

    `context` is a folder, a git or http address, or "-" for stdin. `dockerfile` is a path (relative to the
    working directory for a local context, inside the repository for a remote one), "-" for stdin, or None for
    `Dockerfile` in the context. `attestations` maps a type (`provenance`, `sbom`) to its CSV attributes, None
    to switch it off. `annotations` go to the image's manifest; a key may say other places and platforms in front,
    as in `index,manifest[linux/amd64]:org.opencontainers.image.title`. `retries` is how often a build whose daemon
    was lost, never one that failed, begins anew on another daemon of the same node.
    """

    context: str
    dockerfile: str | None = None
    tags: tuple[str, ...] = ()
    target: str = ""
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[Platform, ...] = ()
    no_cache: bool = False
    pull: bool = False
    push: bool = False
    outputs: tuple[Output, ...] = ()
    secrets: tuple[SecretSource, ...] = ()
    attestations: Mapping[str, str | None] = field(default_factory=dict)
    retries: int = 1
