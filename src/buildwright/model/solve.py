"""One solve as the client sends it, and what came of it (moby.buildkit.v1.SolveRequest, SolveResponse)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    type: str
    attrs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    type: str
    attrs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveRequest:
    """`ref` is chosen by the client and names the build in status and history."""

    ref: str
    frontend: str = ""
    frontend_attrs: Mapping[str, str] = field(default_factory=dict)
    exporters: tuple[Exporter, ...] = ()
    cache_exports: tuple[CacheEntry, ...] = ()
    cache_imports: tuple[CacheEntry, ...] = ()
    entitlements: tuple[str, ...] = ()
    internal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveResult:
    """`exporter_response` holds keys such as `containerimage.digest` (reference: BuildKit's exporters)."""

    ref: str
    exporter_response: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """What a build made.

    `digest` is the manifest's or index's, `config_digest` the image config's ("" when the outputs make no
    image); `image_names` are the names it was given; `metadata` is what `--metadata-file` holds.
    """

    ref: str
    builder: str
    node: str
    digest: str = ""
    config_digest: str = ""
    image_names: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    kept_in_cache_only: bool = False
    """The request named no output and the driver has no default one."""
    losses: tuple[str, ...] = ()
    """The daemons that were lost on the way, and on what account: one sentence each."""

    @property
    def image_id(self) -> str:
        """What `-q` and `--iidfile` show: the config's digest, else the image's, else ""."""
        return self.config_digest or self.digest
