"""Clusters of docker contexts."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from buildwright.errors import ConfigurationError
from buildwright.kube.docker_context import load

NAME = hashlib.sha256(b"desk").hexdigest()


def write(folder: Path, document: Any, **files: str) -> dict[str, str]:
    meta, tls = folder / "contexts" / "meta" / NAME, folder / "contexts" / "tls" / NAME / "kubernetes"
    meta.mkdir(parents=True)
    tls.mkdir(parents=True)
    (meta / "meta.json").write_text(document if isinstance(document, str) else json.dumps(document))
    for name, text in files.items():
        (tls / f"{name}.pem").write_text(text)
    return {"DOCKER_CONFIG": str(folder)}


def test_all_of_an_endpoint_is_used(tmp_path: Path) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "login", "args": ["a"], "env": None}
    endpoint = {
        "Host": "https://k:6443/",
        "DefaultNamespace": "ci",
        "ProxyURL": "http://p:1",
        "Exec": plugin,
        "usernamePassword": {"username": "u", "password": "p"},
    }
    environ = write(tmp_path, {"Name": "desk", "Endpoints": {"kubernetes": endpoint}}, ca="CA", cert="C", key="K")
    found = load("desk", environ)
    assert found is not None
    assert (found.server, found.namespace, found.context, found.proxy) == (
        "https://k:6443",
        "ci",
        "desk",
        "http://p:1",
    )
    assert found.plugin is not None
    assert found.plugin.command == ("login", "a")
    user = found.credentials.user
    assert user is not None
    assert (user.username, user.password) == ("u", "p")
    material = found.credentials.cluster.certificate_auth_data, user.client_cert_data, user.client_key_data
    assert [base64.b64decode(data or "") for data in material] == [b"CA", b"C", b"K"]


def test_a_context_without_a_cluster_is_none(tmp_path: Path) -> None:
    assert load("desk", {"DOCKER_CONFIG": str(tmp_path)}) is None
    environ = write(tmp_path, {"Name": "desk", "Endpoints": {"docker": {"Host": "unix:///s"}}})
    assert load("desk", environ) is None


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ({"Endpoints": {"kubernetes": 3}}, "its kubernetes endpoint is no mapping"),
        ({"Endpoints": {"kubernetes": {"Host": 3}}}, "is malformed"),
        ({"Endpoints": {"kubernetes": {"SkipTLSVerify": True}}}, "has no server"),
        ({"Endpoints": {"kubernetes": {"Host": "https://k", "AuthProvider": {"name": "gcp"}}}}, "auth-provider"),
    ],
)
def test_a_damaged_context_is_named(tmp_path: Path, document: Any, words: str) -> None:
    environ = write(tmp_path, document)
    with pytest.raises(ConfigurationError, match=words) as caught:
        load("desk", environ)
    assert str(tmp_path) in str(caught.value)
