"""Which cluster, namespace and user to speak as: kubeconfig files, `$KUBECONFIG`, or the pod that we run in.

Follows client-go's loading rules (tools/clientcmd): an explicit path, else the list in `$KUBECONFIG`, else
`~/.kube/config`, else the service account of the pod. Files of a list are merged, the first to define a name wins,
and relative paths count from the file that holds them. Every error names its file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from buildwright.errors import ConfigurationError
from buildwright.kube import plugin
from buildwright.kube.credentials import Authority, Impersonation, Material, User
from buildwright.kube.plugin import Plugin

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_PATHS = {"cluster": ("certificate-authority",), "user": ("client-certificate", "client-key", "tokenFile")}
_OF_CLUSTER = {"certificate_auth": "certificate-authority", "certificate_auth_data": "certificate-authority-data"}
_OF_USER = {
    "username": "username",
    "password": "password",
    "token": "token",
    "token_file": "tokenFile",
    "client_cert": "client-certificate",
    "client_cert_data": "client-certificate-data",
    "client_key": "client-key",
    "client_key_data": "client-key-data",
}
"""Fields of ours, and their names in a kubeconfig."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """One cluster as one user sees it. `origin` says in a message where this comes from.

    `server_name` is the name in the server's certificate when it is not that of `server`. `plugin` gives what shows
    the user, as far as `credentials` do not.
    """

    server: str
    namespace: str
    context: str
    origin: str
    proxy: str = ""
    server_name: str = ""
    plugin: Plugin | None = field(default=None, repr=False)
    credentials: Material = field(repr=False)


def load(
    kubeconfig: str = "", *, context: str = "", environ: Mapping[str, str] | None = None, home: Path | None = None
) -> ClusterConfig:
    """Find and read the cluster's configuration; raises ConfigurationError naming the file and what to do.

    `kubeconfig` is an explicit path, or a list of paths in the form of `$KUBECONFIG`. `context` overrides the
    current one. `environ` and `home` replace the process's.
    """
    environ = os.environ if environ is None else environ
    paths = _paths(kubeconfig, environ, home or Path(environ.get("HOME") or os.path.expanduser("~")))
    if paths:
        merged = merge([(path, read(path)) for path in paths])
        return select(merged, " and ".join(map(str, paths)), context)
    if "KUBERNETES_SERVICE_HOST" in environ and _is_there(SERVICE_ACCOUNT / "token"):
        if context:
            raise ConfigurationError(
                f'no kubeconfig was found that has the context "{context}": set KUBECONFIG to one that has it'
            )
        return _in_cluster(environ)
    raise ConfigurationError(
        "no Kubernetes configuration was found: set KUBECONFIG or create ~/.kube/config "
        "(kubectl config view shows what kubectl uses)"
    )


def _paths(kubeconfig: str, environ: Mapping[str, str], home: Path) -> list[Path]:
    stated = kubeconfig or environ.get("KUBECONFIG", "")
    if not stated:
        default = home / ".kube" / "config"
        return [default] if _is_there(default) else []
    whole = os.path.expanduser(stated)
    if os.path.exists(whole):
        return [Path(whole)]
    listed = [Path(os.path.expanduser(part)) for part in stated.split(os.pathsep) if part]
    found = [path for path in listed if _is_there(path)]
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


def _is_there(path: Path) -> bool:
    """Whether there is something, which may be unreadable: whoever reads it says why."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


def read(path: Path) -> dict[str, Any]:
    """One kubeconfig file as a mapping."""
    import yaml

    try:
        content = _parsed(path.read_text(encoding="utf-8"))
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


def _parsed(text: str) -> Any:
    """As YAML; libyaml is quicker where it is there, and tells less exactly where a fault is."""
    import yaml

    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return yaml.safe_load(text)


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
    return single(
        cluster=_resolved(cluster, cluster_path, "cluster"),
        user=_resolved(user, user_path, "user"),
        namespace=str(chosen.get("namespace") or ""),
        context=name,
        origin=origin,
        folder=str(user_path.parent.absolute()),
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
    """`entry` with its file names made absolute; raises ConfigurationError for one that cannot be read."""
    resolved = dict(entry)
    for key in _PATHS[kind]:
        if resolved.get(key):
            target = path.parent.absolute() / str(resolved[key])
            if why := _unreadable(target):
                raise ConfigurationError(
                    f"kubeconfig {path} names {target} as its {key}, which {why}: restore it, or get a new kubeconfig"
                )
            resolved[key] = str(target)
    return resolved


def _unreadable(path: Path) -> str:
    """Why a file cannot be read, "" when it can."""
    if not _is_there(path):
        return "does not exist"
    try:
        return "" if os.access(path, os.R_OK) and path.is_file() else "is no file that can be read"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def single(
    *, cluster: Mapping[str, Any], user: Mapping[str, Any], namespace: str, context: str, origin: str, folder: str
) -> ClusterConfig:
    """One cluster and one user in the words of a kubeconfig; plugins are found from `folder`.

    Raises ConfigurationError naming `context` and `origin` for what is malformed or not supported.
    """
    where = f'context "{context}" of {origin}'
    if not cluster.get("server"):
        raise ConfigurationError(f"the cluster of {where} has no server")
    stated = user.get("exec")
    if stated is not None and not isinstance(stated, dict):
        raise ConfigurationError(f"{where} is malformed: the exec of its user is no mapping")
    if user.get("auth-provider") and not stated:
        raise ConfigurationError(
            f"{where} has an auth-provider, which Kubernetes has removed: get a new kubeconfig, with a credential "
            "plugin"
        )
    server = _text(cluster, "server", where)
    insecure = cluster.get("insecure-skip-tls-verify") or False
    if not isinstance(insecure, bool):
        raise ConfigurationError(f"{where} is malformed: its insecure-skip-tls-verify is neither true nor false")
    found = Authority(insecure=insecure, **{ours: _text(cluster, key, where) for ours, key in _OF_CLUSTER.items()})
    shown = {ours: _text(user, key, where) for ours, key in _OF_USER.items()}
    credentials = Material(found, User(impersonation=_impersonation(user, where), **shown))
    if found.insecure and (found.certificate_auth or found.certificate_auth_data):
        raise ConfigurationError(
            f"{where} has a certificate authority beside insecure-skip-tls-verify: take one of them out"
        )
    return ClusterConfig(
        server=_address(server, where),
        namespace=namespace or "default",
        context=context,
        origin=origin,
        proxy=str(cluster.get("proxy-url") or ""),
        server_name=str(cluster.get("tls-server-name") or ""),
        plugin=plugin.read(stated, cluster, folder, where) if stated else None,
        credentials=credentials,
    )


def _impersonation(user: Mapping[str, Any], where: str) -> Impersonation | None:
    name, uid = _text(user, "as", where), _text(user, "as-uid", where)
    groups, extra = user.get("as-groups") or [], user.get("as-user-extra") or {}
    lists = [groups, *(extra.values() if isinstance(extra, dict) else [None])]
    if not all(isinstance(said, list) and all(isinstance(word, str) for word in said) for said in lists):
        raise ConfigurationError(f"{where} is malformed: its as-groups or as-user-extra are no lists of texts")
    if not name:
        if uid or groups or extra:
            raise ConfigurationError(
                f'{where} acts as a uid or groups of nobody: add "as" to its user, or take them out'
            )
        return None
    shown = [name, uid, *groups, *(word for words in extra.values() for word in words)]
    if not all(word.isascii() and word.isprintable() for word in shown):
        raise ConfigurationError(f"{where} is malformed: what its user acts as has characters that are not ASCII")
    # Header names are in lower case with the server, too.
    said = {str(key).lower(): tuple(words) for key, words in extra.items()}
    return Impersonation(user=name, uid=uid, groups=tuple(groups), extra=said)


def _text(entry: Mapping[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{where} is malformed: its {key} is no text")
    return value or ""


def _address(server: str, where: str) -> str:
    """As kubectl takes it: a host alone is spoken to by HTTP."""
    address = server if "://" in server else f"http://{server}"
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError(f'the cluster of {where} has the server "{server}": write it like https://HOST:PORT')
    return address.rstrip("/")


def _in_cluster(environ: Mapping[str, str]) -> ClusterConfig:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT") or "443"
    namespace = SERVICE_ACCOUNT / "namespace"
    try:
        return single(
            cluster={
                "server": f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
                "certificate-authority": str(SERVICE_ACCOUNT / "ca.crt"),
            },
            user={"tokenFile": str(SERVICE_ACCOUNT / "token")},
            namespace=namespace.read_text(encoding="utf-8").strip() if namespace.exists() else "",
            context="",
            origin=f"the service account in {SERVICE_ACCOUNT}",
            folder=str(SERVICE_ACCOUNT),
        )
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the pod's service account in {SERVICE_ACCOUNT} is unusable: {error}") from error
