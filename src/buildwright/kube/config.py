"""Which cluster, namespace and user to speak as: kubeconfig files, `$KUBECONFIG`, or the pod that we run in.

Follows client-go's loading rules (tools/clientcmd): an explicit path, else the list in `$KUBECONFIG`, else
`~/.kube/config`, else the service account of the pod. Files of a list are merged, the first to define a name wins,
and relative paths count from the file that holds them. YAML is read here so that every error names its file;
lightkube's types and its authentication take over from there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from buildwright.errors import ConfigurationError

if TYPE_CHECKING:
    from lightkube.config.kubeconfig import SingleConfig

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_PATHS = {"cluster": ("certificate-authority",), "user": ("client-certificate", "client-key", "tokenFile")}
_EXEC_INFO = "KUBERNETES_EXEC_INFO"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """One cluster as one user sees it. `origin` says in a message where this comes from."""

    server: str
    namespace: str
    context: str
    origin: str
    proxy: str = ""
    credentials: SingleConfig = field(repr=False)


def load(
    kubeconfig: str = "", *, context: str = "", environ: Mapping[str, str] | None = None, home: Path | None = None
) -> ClusterConfig:
    """Find and read the cluster's configuration; raises ConfigurationError naming the file and what to do.

    `kubeconfig` is an explicit path, or a list of paths in the form of `$KUBECONFIG`. `context` overrides the
    current one. `environ` and `home` replace the process's.
    """
    environ = os.environ if environ is None else environ
    paths = _paths(kubeconfig, environ, home or Path.home())
    if paths:
        merged = merge([(path, read(path)) for path in paths])
        return select(merged, " and ".join(map(str, paths)), context)
    if "KUBERNETES_SERVICE_HOST" in environ and (SERVICE_ACCOUNT / "token").exists():
        return _in_cluster()
    raise ConfigurationError(
        "no Kubernetes configuration was found: set KUBECONFIG or create ~/.kube/config "
        "(kubectl config view shows what kubectl uses)"
    )


def _paths(kubeconfig: str, environ: Mapping[str, str], home: Path) -> list[Path]:
    stated = kubeconfig or environ.get("KUBECONFIG", "")
    if not stated:
        default = home / ".kube" / "config"
        return [default] if default.exists() else []
    whole = Path(stated).expanduser()
    if whole.exists():
        return [whole]
    listed = [Path(part).expanduser() for part in stated.split(os.pathsep) if part]
    found = [path for path in listed if path.exists()]
    if not found and kubeconfig:
        raise ConfigurationError(
            f"the builder's kubeconfig {stated} does not exist: restore the file, or remove the builder and create "
            "it again with KUBECONFIG set to another"
        )
    if not found:
        raise ConfigurationError(
            f"KUBECONFIG names {stated}, which does not exist: set it to a kubeconfig file, or unset it"
        )
    return found


def read(path: Path) -> dict[str, Any]:
    """One kubeconfig file as a mapping."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"kubeconfig {path} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigurationError(
            f"kubeconfig {path}{where} is not valid YAML: repair it or set KUBECONFIG"
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"kubeconfig {path} holds no mapping, so it is no kubeconfig: set KUBECONFIG to one")
    return content


@dataclass(slots=True)
class Merged:
    """Several kubeconfig files as one. Each entry keeps the file that defined it."""

    current_context: str = ""
    cluster: dict[str, tuple[Path, dict[str, Any]]] = field(default_factory=dict)
    context: dict[str, tuple[Path, dict[str, Any]]] = field(default_factory=dict)
    user: dict[str, tuple[Path, dict[str, Any]]] = field(default_factory=dict)


def merge(files: Sequence[tuple[Path, Mapping[str, Any]]]) -> Merged:
    """Merge as client-go does: the first file that sets a name, or the current context, wins."""
    merged = Merged()
    for path, content in files:
        merged.current_context = merged.current_context or str(content.get("current-context") or "")
        for kind in ("cluster", "context", "user"):
            entries = content.get(f"{kind}s") or []
            if not isinstance(entries, list):
                raise ConfigurationError(f"kubeconfig {path}: {kind}s is not a list: repair the file")
            for entry in entries:
                if not isinstance(entry, dict) or not isinstance(entry.get(kind) or {}, dict) or "name" not in entry:
                    raise ConfigurationError(
                        f"kubeconfig {path}: an entry of {kind}s has no name or no {kind}: repair the file"
                    )
                getattr(merged, kind).setdefault(str(entry["name"]), (path, entry.get(kind) or {}))
    return merged


def select(merged: Merged, origin: str, context: str = "") -> ClusterConfig:
    """The cluster of one context, the current one if none is named."""
    name = context or merged.current_context
    if not name:
        raise ConfigurationError(
            f"kubeconfig {origin} has no current context: choose one with kubectl config use-context"
        )
    if name not in merged.context:
        known = ", ".join(sorted(merged.context)) or "none"
        raise ConfigurationError(f'kubeconfig {origin} has no context "{name}": it defines {known}')
    chosen = merged.context[name][1]
    cluster_path, cluster = _lookup(merged.cluster, str(chosen.get("cluster") or ""), "cluster", name, origin)
    user_name = str(chosen.get("user") or "")
    user_path, user = _lookup(merged.user, user_name, "user", name, origin) if user_name else (cluster_path, {})
    single = _single(
        name,
        cluster=_resolved(cluster, cluster_path, "cluster"),
        user=_with_exec_info(_resolved(user, user_path, "user"), user_path),
        namespace=str(chosen.get("namespace") or ""),
        origin=origin,
    )
    return ClusterConfig(
        server=single.cluster.server.rstrip("/"),
        namespace=single.namespace,
        context=name,
        origin=origin,
        proxy=str(cluster.get("proxy-url") or ""),
        credentials=single,
    )


def _lookup(
    table: Mapping[str, tuple[Path, dict[str, Any]]], name: str, kind: str, context: str, origin: str
) -> tuple[Path, dict[str, Any]]:
    if name not in table:
        raise ConfigurationError(
            f'context "{context}" of kubeconfig {origin} names the {kind} "{name}", which is not defined there'
        )
    return table[name]


def _resolved(entry: Mapping[str, Any], path: Path, kind: str) -> dict[str, Any]:
    """`entry` with its file names made absolute; raises ConfigurationError for one that is not there."""
    resolved = dict(entry)
    for key in _PATHS[kind]:
        if resolved.get(key):
            target = path.parent.absolute() / str(resolved[key])
            if not target.is_file():
                raise ConfigurationError(f"kubeconfig {path} names {target} as its {key}, which does not exist")
            resolved[key] = str(target)
    return resolved


def _with_exec_info(user: dict[str, Any], path: Path) -> dict[str, Any]:
    """Prepare a credential plugin for lightkube, which knows the two beta versions and sets no exec info.

    What it reads of the answer (`status.token`) is the same in all versions; plugins see the version they were
    configured for.
    """
    plugin = user.get("exec")
    if not isinstance(plugin, dict):
        return user
    version = str(plugin.get("apiVersion") or "client.authentication.k8s.io/v1")
    command = str(plugin.get("command") or "")
    if os.path.dirname(command):
        command = os.path.join(path.parent.absolute(), command)
    info = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = [*(plugin.get("env") or []), {"name": _EXEC_INFO, "value": json.dumps(info)}]
    if version == "client.authentication.k8s.io/v1":
        version = "client.authentication.k8s.io/v1beta1"
    return {**user, "exec": {**plugin, "apiVersion": version, "command": command, "env": environment}}


def _single(
    context: str, *, cluster: dict[str, Any], user: dict[str, Any], namespace: str, origin: str
) -> SingleConfig:
    import msgspec
    from lightkube.config.kubeconfig import KubeConfig

    content = {
        "current-context": context,
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [
            {"name": context, "context": {"cluster": "cluster", "user": "user", "namespace": namespace or None}}
        ],
    }
    if not cluster.get("server"):
        raise ConfigurationError(f'the cluster of context "{context}" in kubeconfig {origin} has no server')
    try:
        return cast("SingleConfig", KubeConfig.from_dict(content).get())
    except msgspec.ValidationError as error:
        raise ConfigurationError(f'context "{context}" of kubeconfig {origin} is malformed: {error}') from error


def _in_cluster() -> ClusterConfig:
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.core.exceptions import ConfigError

    try:
        single = cast("SingleConfig", KubeConfig.from_service_account(SERVICE_ACCOUNT).get())
    except (ConfigError, OSError, KeyError) as error:
        raise ConfigurationError(f"the pod's service account in {SERVICE_ACCOUNT} is unusable: {error}") from error
    return ClusterConfig(
        server=single.cluster.server,
        namespace=single.namespace,
        context="",
        origin=f"the service account in {SERVICE_ACCOUNT}",
        credentials=single,
    )
