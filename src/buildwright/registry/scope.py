"""Docker configurations that buildx scopes to a registry, a repository or actions on it.

A file `config/HOST[/REPOSITORY][@ACTION,...]/config.json` below the builder store's folder replaces docker's own
configuration for what its folder names (buildx util/dockerutil/dockerconfig/configprovider.go).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from buildwright.registry.config import DockerConfig, load


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopedConfig:
    """One such configuration; `repository` "" is any, `actions` empty is any."""

    host: str
    repository: str = ""
    actions: frozenset[str] = frozenset()
    config: DockerConfig = field(default_factory=DockerConfig)


def load_scoped(store: str, environ: Mapping[str, str] = os.environ) -> tuple[ScopedConfig, ...]:
    """Every scoped configuration below `store`, the builder store's folder. Raises ConfigurationError."""
    base = os.path.join(store, "config")
    found = []
    for folder, _, files in os.walk(base):
        if "config.json" in files and folder != base:
            name = os.path.relpath(folder, base).replace(os.sep, "/")
            found.append(scoped(name, load(folder, environ)))
    return tuple(found)


def scoped(name: str, config: DockerConfig) -> ScopedConfig:
    """The scope that a folder's name, relative to `config`, stands for."""
    place, _, actions = name.partition("@")
    host, _, repository = place.partition("/")
    wanted = frozenset(action.strip() for action in actions.split(",") if action.strip())
    return ScopedConfig(host=host, repository=repository, actions=wanted, config=config)


def choose(candidates: Sequence[ScopedConfig], host: str, scopes: Sequence[str]) -> DockerConfig | None:
    """The configuration for a request to `host`, which must concern one resource only; None for docker's own.

    A repository that is named beats any, and the last in the alphabet beats the others; then more actions beat less.
    """
    wanted = parse_scopes(scopes)
    if len(wanted) != 1:
        return None
    fitting = [c for c in candidates if c.host == host and _fits(c, wanted)]
    if not fitting:
        return None
    return max(fitting, key=lambda c: (c.repository, len(c.actions))).config


def _fits(candidate: ScopedConfig, wanted: Mapping[str, frozenset[str]]) -> bool:
    if candidate.repository:
        actions = wanted.get(f"repository:{candidate.repository}")
        return actions is not None and candidate.actions <= actions
    return any(candidate.actions <= actions for actions in wanted.values())


def parse_scopes(scopes: Sequence[str]) -> dict[str, frozenset[str]]:
    """`type:name:action,...` by `type:name`; one string may hold several with spaces between.

    Empty when any scope is (https://distribution.github.io/distribution/spec/auth/scope/).
    """
    found: dict[str, frozenset[str]] = {}
    for text in scopes:
        if not text:
            return {}
        for scope in text.split(" "):
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.partition(":")
            key = f"{kind}:{name}" if rest else kind
            found[key] = found.get(key, frozenset()) | frozenset(filter(None, actions.split(",")))
    return found
