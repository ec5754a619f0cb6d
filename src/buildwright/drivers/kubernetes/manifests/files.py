"""A daemon's files under /etc/buildkit as objects of the cluster: ConfigMaps, and Secrets for private keys. Pure.

Each folder has one ConfigMap as with buildx, numbered in the order of the folders' names. Private keys are kept in a
Secret of the same name instead, and both are mounted as one folder.
"""

from __future__ import annotations

import base64
import posixpath
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from buildwright.drivers.kubernetes.manifests import gc
from buildwright.drivers.kubernetes.options import Options
from buildwright.errors import UsageError
from buildwright.model.node import Node

ROOT = "/etc/buildkit"

_MARK = b"PRIVATE KEY-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """One folder; `volume` is its volume's name and, after the node's, that of its objects."""

    volume: str
    path: str
    public: Mapping[str, bytes]
    private: Mapping[str, bytes]

    @property
    def mount(self) -> dict[str, Any]:
        return {"name": self.volume, "mountPath": posixpath.normpath(posixpath.join(ROOT, self.path))}

    def source(self, name: str) -> dict[str, Any]:
        """The volume; `name` is the node's object name."""
        target = f"{name}-{self.volume}"
        if not self.private:
            return {"name": self.volume, "configMap": {"name": target}}
        if not self.public:
            return {"name": self.volume, "secret": {"secretName": target}}
        sources = [{"configMap": {"name": target}}, {"secret": {"name": target}}]
        return {"name": self.volume, "projected": {"sources": sources}}

    def config_data(self) -> dict[str, Any]:
        texts: dict[str, str] = {}
        binaries: dict[str, str] = {}
        for name, content in self.public.items():
            try:
                texts[name] = content.decode()
            except UnicodeDecodeError:
                binaries[name] = _base64(content)
        return {name: data for name, data in (("data", texts), ("binaryData", binaries)) if data}

    def secret_data(self) -> dict[str, str]:
        return {name: _base64(content) for name, content in self.private.items()}


def contents(node: Node, options: Options) -> dict[str, bytes]:
    """A node's files, with the policy that it gets when it has no configuration."""
    policy = gc.policy(node, options)
    return {**node.files, **({gc.CONFIG_FILE: policy} if policy else {})}


def folders(files: Mapping[str, bytes]) -> list[Folder]:
    """The root first, then by name; raises UsageError for a file outside."""
    keys = _named_keys(files)
    found: dict[str, tuple[dict[str, bytes], dict[str, bytes]]] = {}
    for path in sorted(files):
        clean = posixpath.normpath(path)
        if clean.startswith(("/", "..")):
            raise UsageError(f'daemon file "{path}" lies outside of {ROOT}: give it a path below that folder')
        public, private = found.setdefault(posixpath.dirname(clean), ({}, {}))
        (private if clean in keys or _MARK in files[path] else public)[posixpath.basename(clean)] = files[path]
    named = [("config", "")] if "" in found else []
    named += [(f"config-{number}", path) for number, path in enumerate(sorted(path for path in found if path), 1)]
    return [Folder(volume=volume, path=path, public=found[path][0], private=found[path][1]) for volume, path in named]


def _named_keys(files: Mapping[str, bytes]) -> set[str]:
    """The files that the daemon's configuration calls a registry's private key."""
    try:
        registries = tomllib.loads(files.get(gc.CONFIG_FILE, b"").decode()).get("registry", {}).values()
        pairs = [pair for registry in registries for pair in registry.get("keypair", [])]
        return {posixpath.relpath(pair["key"], ROOT) for pair in pairs if pair.get("key")}
    except (ValueError, AttributeError, TypeError):
        return set()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
