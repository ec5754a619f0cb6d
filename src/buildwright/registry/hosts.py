"""How registries are reached, as the nodes' buildkitd.toml says (BuildKit cmd/buildkitd/config, `[registry]`)."""

from __future__ import annotations

import ipaddress
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from buildwright.errors import ConfigurationError

_CONFIG = "buildkitd.toml"
_ROOT = "/etc/buildkit"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A client's certificate and its key, as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """`http` None: plain HTTP for this machine's own addresses only. `insecure`: any certificate will do.

    `authorities` are trusted besides the system's own.
    """

    http: bool | None = None
    insecure: bool = False
    authorities: tuple[bytes, ...] = ()
    key_pairs: tuple[KeyPair, ...] = ()

    def origins(self, host: str) -> tuple[str, ...]:
        """Where to look for the registry `host`, most secure first."""
        plain = is_loopback(host) if self.http is None else self.http
        origins = [f"http://{host}"] if plain else []
        return (f"https://{host}", *origins) if self.insecure or not plain else tuple(origins)


INSECURE = HostSettings(http=True, insecure=True)
"""What the exporter attribute `registry.insecure` asks for."""


def is_loopback(host: str) -> bool:
    """Whether `host`, with or without a port, is this machine (containerd remotes/docker.MatchLocalhost)."""
    if host.startswith("["):
        name = host[1:].partition("]")[0]
    else:
        name = host.partition(":")[0] if host.count(":") < 2 else host
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def settings_for(domain: str, nodes: Iterable[Mapping[str, bytes]]) -> HostSettings:
    """What the first of `nodes` that knows the registry says of it; each is a node's files under /etc/buildkit.

    Raises ConfigurationError for a file that cannot be understood or that names one which is not there.
    """
    for files in nodes:
        if (content := files.get(_CONFIG)) is None:
            continue
        try:
            found = _read(content, domain, files)
        except ValueError as error:
            raise ConfigurationError(
                f"{_CONFIG} of the builder is damaged: {error}; make the builder again with a valid one"
            ) from error
        if found is not None:
            return found
    return HostSettings()


def _read(content: bytes, domain: str, files: Mapping[str, bytes]) -> HostSettings | None:
    # 15 ms to import, and few builders have such a file.
    import tomllib

    registries = _table(tomllib.loads(content.decode()).get("registry", {}), "registry")
    if domain not in registries:
        return None
    where = f"registry.{domain}"
    registry = _table(registries[domain], where)
    pairs = registry.get("keypair", [])
    if not isinstance(pairs, list):
        raise ValueError(f"{where}.keypair is no list of tables")
    return HostSettings(
        http=_truth(registry, "http", where),
        insecure=bool(_truth(registry, "insecure", where)),
        authorities=tuple(_file(path, files, where) for path in _list(registry.get("ca", []), f"{where}.ca")),
        key_pairs=tuple(_key_pair(_table(pair, f"{where}.keypair"), files, where) for pair in pairs),
    )


def _key_pair(pair: Mapping[str, object], files: Mapping[str, bytes], where: str) -> KeyPair:
    return KeyPair(certificate=_file(pair.get("cert"), files, where), key=_file(pair.get("key"), files, where))


def _file(path: object, files: Mapping[str, bytes], where: str) -> bytes:
    if not isinstance(path, str):
        raise ValueError(f"{where} names a certificate or key by something that is no path")
    content = files.get(posixpath.relpath(path, _ROOT))
    if content is None:
        raise ValueError(f"{where} names {path}, which is not among the builder's files")
    return content


def _table(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is no table")
    return value


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"{where} is no list")
    return value


def _truth(registry: Mapping[str, object], key: str, where: str) -> bool | None:
    value = registry.get(key)
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{where}.{key} is neither true nor false")
    return value
