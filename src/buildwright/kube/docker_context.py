"""Clusters of docker contexts: the endpoint `kubernetes` in docker's context store, as buildx reads it.

The store is docker/cli's (cli/context/store): `contexts/meta/<sha256 of the name>/meta.json`, and certificates in
`contexts/tls/<the same>/kubernetes/{ca,cert,key}.pem`. The endpoint's form is buildx's (driver/kubernetes/context).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buildwright.errors import ConfigurationError
from buildwright.kube.config import ClusterConfig, single
from buildwright.model.docker import config_dir

_FILES = {"ca": "certificate-authority-data", "cert": "client-certificate-data", "key": "client-key-data"}


def load(name: str, environ: Mapping[str, str]) -> ClusterConfig | None:
    """The cluster of the docker context `name`; None when it has none, or there is no such context.

    Raises ConfigurationError naming the file for one that is damaged or cannot be read.
    """
    contexts = Path(config_dir(environ)) / "contexts"
    folder = hashlib.sha256(name.encode()).hexdigest()
    path = contexts / "meta" / folder / "meta.json"
    endpoint = _endpoint(path)
    if endpoint is None:
        return None
    material = {
        key: _material(contexts / "tls" / folder / "kubernetes" / f"{file}.pem") for file, key in _FILES.items()
    }
    login = endpoint.get("usernamePassword")
    login = login if isinstance(login, dict) else {}
    user = {
        "token": endpoint.get("token"),
        "username": login.get("username"),
        "password": login.get("password"),
        "exec": endpoint.get("Exec"),
        "auth-provider": endpoint.get("AuthProvider"),
        "client-certificate-data": material["client-certificate-data"],
        "client-key-data": material["client-key-data"],
    }
    cluster = {
        "server": endpoint.get("Host"),
        "insecure-skip-tls-verify": endpoint.get("SkipTLSVerify"),
        "proxy-url": endpoint.get("ProxyURL"),
        "certificate-authority-data": material["certificate-authority-data"],
    }
    return single(
        cluster={key: value for key, value in cluster.items() if value},
        user={key: value for key, value in user.items() if value},
        namespace=str(endpoint.get("DefaultNamespace") or ""),
        context=name,
        origin=f"docker, {path}",
        folder=".",
    )


def _endpoint(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_bytes())
        endpoints = document.get("Endpoints") or {}
        endpoint = endpoints.get("kubernetes")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(f"docker's context in {path} cannot be read: {error.strerror}") from error
    except (ValueError, AttributeError) as error:
        raise ConfigurationError(f"docker's context in {path} is damaged: make it again") from error
    if endpoint is not None and not isinstance(endpoint, dict):
        raise ConfigurationError(f"docker's context in {path} is damaged: its kubernetes endpoint is no mapping")
    return endpoint


def _material(path: Path) -> str:
    try:
        return base64.b64encode(path.read_bytes()).decode()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise ConfigurationError(f"docker's certificate {path} cannot be read: {error.strerror}") from error
