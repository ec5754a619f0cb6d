"""Embedding a daemon's configuration file in a node, with the certificates that it names (buildx util/confutil)."""

from __future__ import annotations

import os
import posixpath
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from buildwright.builders import toml
from buildwright.errors import ConfigurationError

FILE = "buildkitd.toml"
_ROOT = "/etc/buildkit"
_LIMIT = 1 << 20
_TYPES: Mapping[type, tuple[str, tuple[str, ...]]] = {
    bool: ("neither true nor false", ("debug", "trace")),
    str: ("no string", ("root",)),
    dict: ("no table", ("cdi", "dns", "frontend", "grpc", "history", "log", "otel", "system", "worker")),
}
"""What the daemon takes (cmd/buildkitd/config of moby/buildkit). buildx loads no builder that has other types."""
_ODD = re.compile(r"[^a-zA-Z0-9.-]+")


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """`files` is what goes under /etc/buildkit by relative path; `entitlements` is what the daemon may allow."""

    files: dict[str, bytes]
    entitlements: tuple[str, ...]


def load(path: str) -> DaemonConfig:
    """Read a TOML file and the certificates it names; ConfigurationError names the file that is wrong or missing.

    Certificates are copied beside it, and their paths rewritten to where the daemon will find them.
    """
    data = _read(path, "the BuildKit daemon configuration")
    try:
        document = tomllib.loads(data.decode())
    except ValueError as error:
        raise ConfigurationError(f"the BuildKit daemon configuration {path} is no valid TOML: {error}") from None
    try:
        _check(document)
        embedding = _Embedding()
        registries = _table(document, "registry")
        for name in registries:
            embedding.registry(name, _table(registries, name, f"registry.{name}"))
        entitlements = _strings(document.get("insecure-entitlements", []), "insecure-entitlements")
    except ValueError as error:
        raise ConfigurationError(f"the BuildKit daemon configuration {path} cannot be used: {error}") from None
    embedding.files[FILE] = toml.write(document).encode()
    return DaemonConfig(embedding.files, tuple(entitlements))


class _Embedding:
    """Collects the files that a configuration refers to; two of a registry with one name get different ones."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._sources: dict[str, str] = {}

    def registry(self, name: str, table: dict[str, object]) -> None:
        folder = posixpath.join("certs", _ODD.sub("_", name))
        if authorities := _strings(table.get("ca", []), f"registry.{name}.ca"):
            table["ca"] = [self._copy(folder, path, "the CA file") for path in authorities]
        pairs = table.get("keypair", [])
        if not isinstance(pairs, list):
            raise ValueError(f"registry.{name}.keypair is no list of tables")
        if pairs:
            table["keypair"] = [self._pair(folder, pair) for pair in pairs]

    def _pair(self, folder: str, pair: object) -> dict[str, str]:
        if not isinstance(pair, dict):
            raise ValueError("a keypair is no table")
        wanted = {key: pair.get(key) for key in ("key", "cert")}
        return {
            key: self._copy(folder, path, f"the {key} file")
            for key, path in wanted.items()
            if isinstance(path, str) and path
        }

    def _copy(self, folder: str, path: str, what: str) -> str:
        data = _read(path, what)
        name = posixpath.join(folder, os.path.basename(path))
        stem, extension = posixpath.splitext(name)
        number = 1
        while self._sources.get(name, path) != path:
            name, number = f"{stem}-{number}{extension}", number + 1
        self._sources[name] = path
        self.files[name] = data
        return posixpath.join(_ROOT, name)


def _read(path: str, what: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(_LIMIT + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {what} {path}: {error.strerror}") from error
    if len(data) > _LIMIT:
        raise ConfigurationError(f"{what} {path} is larger than 1 MiB")
    return data


def _check(document: Mapping[str, object]) -> None:
    for kind, (otherwise, keys) in _TYPES.items():
        for key in keys:
            if key in document and not isinstance(document[key], kind):
                raise ValueError(f"{key} is {otherwise}")


def _table(document: dict[str, object], key: str, where: str = "") -> dict[str, object]:
    value = document.get(key, {})
    if not isinstance(value, dict):
        raise ValueError(f"{where or key} is no table")
    return value


def _strings(value: object, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{where} is no list of strings")
    return value
