"""Docker's contexts: which one is active and which engine each stands for (docker/cli cli/context/store)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from buildwright.errors import ConfigurationError
from buildwright.model.docker import config_dir

DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerContexts:
    """`hosts` maps the name of every context to its engine's address, "" when it has none.

    `clusters` are those that have a Kubernetes cluster.
    """

    active: str
    hosts: Mapping[str, str]
    clusters: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """What the store remembers the chosen builder for: the context's name, for `default` the engine's address."""
        return self.hosts[DEFAULT] if self.active == DEFAULT else self.active


def read(environ: Mapping[str, str]) -> DockerContexts:
    """Read docker's configuration; ConfigurationError when config.json is damaged. Damaged contexts are left out."""
    folder = config_dir(environ)
    hosts = {DEFAULT: default_host(environ)}
    clusters = set()
    meta = os.path.join(folder, "contexts", "meta")
    for name in sorted(_listed(meta)):
        document = _meta(os.path.join(meta, name, "meta.json"))
        context = document.get("Name")
        if isinstance(context, str) and hashlib.sha256(context.encode()).hexdigest() == name:
            hosts[context] = _host(document)
            if _endpoint(document, "kubernetes"):
                clusters.add(context)
    return DockerContexts(
        active=_active(environ, folder), hosts=dict(sorted(hosts.items())), clusters=frozenset(clusters)
    )


def default_host(environ: Mapping[str, str]) -> str:
    """The engine of the context `default`: `$DOCKER_HOST` in its full form, else this machine's."""
    host = environ.get("DOCKER_HOST", "").strip()
    if not host and (environ.get("DOCKER_TLS_VERIFY") or environ.get("DOCKER_TLS")):
        return "tcp://localhost:2376"
    if not host:
        return "npipe:////./pipe/docker_engine" if os.name == "nt" else "unix:///var/run/docker.sock"
    scheme, separator, address = host.partition("://")
    if not separator:
        scheme, address = "tcp", host
    if scheme == "unix":
        return f"unix://{address or '/var/run/docker.sock'}"
    return f"tcp://{_with_port(address)}" if scheme == "tcp" else host


def _with_port(address: str) -> str:
    name, slash, path = (address or "localhost").partition("/")
    head, _, port = name.rpartition(":")
    if head and "]" not in port:
        name = f"{head}:{port or 2375}"
    elif name.startswith(":"):
        name = f"localhost{name}"
    else:
        name = f"{name}:2375"
    return f"{name}{slash}{path}"


def _active(environ: Mapping[str, str], folder: str) -> str:
    if environ.get("DOCKER_HOST"):
        return DEFAULT
    if name := environ.get("DOCKER_CONTEXT"):
        return name
    path = os.path.join(folder, "config.json")
    try:
        with open(path, "rb") as file:
            configuration = json.load(file)
        name = configuration.get("currentContext")
    except (FileNotFoundError, NotADirectoryError):
        return DEFAULT
    except OSError as error:
        raise ConfigurationError(f"cannot read docker's configuration, {path}: {error.strerror}") from error
    except (ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"docker's configuration, {path}, is damaged ({error}): repair or remove it"
        ) from None
    return name if isinstance(name, str) and name else DEFAULT


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _meta(path: str) -> dict[str, object]:
    try:
        with open(path, "rb") as file:
            document = json.load(file)
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _endpoint(document: Mapping[str, object], kind: str) -> Mapping[str, object]:
    endpoints = document.get("Endpoints")
    endpoint = endpoints.get(kind) if isinstance(endpoints, dict) else None
    return endpoint if isinstance(endpoint, dict) else {}


def _host(document: Mapping[str, object]) -> str:
    host = _endpoint(document, "docker").get("Host")
    return host if isinstance(host, str) else ""
