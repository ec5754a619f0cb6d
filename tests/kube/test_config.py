"""Which cluster is spoken to, and what is said about a configuration that cannot be used."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from buildwright.errors import ConfigurationError
from buildwright.kube import config
from buildwright.kube.config import load


def write(path: Path, name: str, *, current: str = "", **cluster: Any) -> Path:
    content = {
        "current-context": current,
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}:6443/", **cluster}}],
        "users": [{"name": name, "user": {"token": "hidden"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"ns-{name}"}}],
    }
    path.write_text(json.dumps(content))
    return path


def test_an_explicit_path_goes_before_the_environment(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1", "one", current="one"), write(tmp_path / "2", "two", current="two")
    found = load(str(one), environ={"KUBECONFIG": str(two)}, home=tmp_path)
    assert (found.server, found.context, found.namespace) == ("https://one:6443", "one", "ns-one")
    assert load(environ={"KUBECONFIG": str(two)}, home=tmp_path).context == "two"


def test_without_either_it_is_the_file_in_the_home_folder(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube" / "config", "home", current="home")
    assert load(environ={}, home=tmp_path).context == "home"


@pytest.mark.parametrize("explicit", [True, False])
def test_a_list_of_files_is_merged_and_the_first_wins(tmp_path: Path, explicit: bool) -> None:
    one, two = write(tmp_path / "1", "one"), write(tmp_path / "2", "two", current="two")
    again = write(tmp_path / "3", "one", current="one")
    listed = os.pathsep.join(map(str, (tmp_path / "missing", one, two, again)))
    found = load(listed, environ={}) if explicit else load(environ={"KUBECONFIG": listed}, home=tmp_path)
    assert found.context == "two"
    assert load(listed, context="one", environ={}).server == "https://one:6443"


def test_relative_paths_count_from_their_file(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("x")
    path = write(tmp_path / "k", "one", current="one", **{"certificate-authority": "ca.crt"})
    assert load(str(path), environ={}).credentials.cluster.certificate_auth == str(tmp_path / "ca.crt")


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    assert "hidden" not in repr(load(str(write(tmp_path / "k", "one", current="one")), environ={}))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [", "line 1 is not valid YAML"),
        ("- a", "holds no mapping"),
        ("", "no current context"),
        ("current-context: x", 'no context "x": it defines none'),
        ("clusters: 3", "clusters is not a list"),
        ("users: [{user: 3, name: a}]", "no name or no user"),
        (
            "{current-context: x, contexts: [{name: x, context: {cluster: c}}]}",
            'names the cluster "c", which is not defined',
        ),
        (
            (
                "{current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}],"
                " clusters: [{name: c, cluster: {server: 'https://c'}}]}"
            ),
            'names the user "u"',
        ),
        (
            "{current-context: x, contexts: [{name: x, context: {cluster: c}}], clusters: [{name: c, cluster: {}}]}",
            "has no server",
        ),
        (
            (
                "{current-context: x, contexts: [{name: x, context: {cluster: c}}],"
                " clusters: [{name: c, cluster: {server: [1]}}]}"
            ),
            "malformed",
        ),
        (
            (
                "{current-context: x, contexts: [{name: x, context: {cluster: c}}],"
                " clusters: [{name: c, cluster: {server: 'https://c', certificate-authority: /no/ca.crt}}]}"
            ),
            "/no/ca.crt as its certificate-authority, which does not exist",
        ),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        load(str(path), environ={})
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("key", ["certificate-authority", "client-certificate", "client-key", "tokenFile"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, key: str) -> None:
    kind = "cluster" if key == "certificate-authority" else "user"
    named = tmp_path / "named"
    named.mkdir()
    entry = {"cluster": {"server": "https://c"}, "user": {}}
    entry[kind][key] = str(named)
    content = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": entry["cluster"]}],
        "users": [{"name": "u", "user": entry["user"]}],
    }
    (tmp_path / "k").write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match=rf"names {named} as its {key}, which is no file.*new kubeconfig"):
        load(str(tmp_path / "k"), environ={})


@pytest.mark.parametrize("where", ["KUBECONFIG", "HOME"])
def test_a_kubeconfig_in_a_folder_of_somebody_else_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    path = tmp_path / ".kube" / "config"
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def refuse(self: Path, *_: object, **__: object) -> Any:
        raise denied

    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(Path, "read_text", refuse)
    environ = {"KUBECONFIG": str(path)} if where == "KUBECONFIG" else {"HOME": str(tmp_path)}
    with pytest.raises(ConfigurationError, match=f"{path} cannot be read: Permission denied"):
        load(environ=environ)


def test_a_home_that_nobody_has_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="names ~nobody-at-all/config, which does not exist"):
        load(environ={"KUBECONFIG": "~nobody-at-all/config"})


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not valid YAML"):
        load(str(tmp_path / "k"), environ={})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the builder's kubeconfig .*nope does not exist"):
        load(str(tmp_path / "nope"), environ={})
    with pytest.raises(ConfigurationError, match=r"KUBECONFIG names .*nope, which does not exist"):
        load(environ={"KUBECONFIG": str(tmp_path / "nope")}, home=tmp_path)
    with pytest.raises(ConfigurationError, match="no Kubernetes configuration was found"):
        load(environ={}, home=tmp_path)


@pytest.mark.parametrize(
    ("user", "cluster", "words"),
    [
        ({"auth-provider": {"name": "gcp"}}, {}, "has an auth-provider, which Kubernetes has removed"),
        ({"exec": 3}, {}, "the exec of its user is no mapping"),
        ({}, {"insecure-skip-tls-verify": True, "certificate-authority-data": "eA=="}, "take one of them out"),
        ({}, {"server": "https://[1"}, 'has the server "https://[1": write it like'),
        ({}, {"server": "ftp://one"}, "write it like https://HOST:PORT"),
    ],
)
def test_what_is_not_supported_is_told(tmp_path: Path, user: object, cluster: dict[str, Any], words: str) -> None:
    content = json.loads(write(tmp_path / "k", "one", current="one", **cluster).read_text())
    content["users"][0]["user"] = user
    (tmp_path / "k").write_text(json.dumps(content))
    with pytest.raises(ConfigurationError) as caught:
        load(str(tmp_path / "k"), environ={})
    assert words in str(caught.value)
    assert f'context "one" of {tmp_path / "k"}' in str(caught.value)


def test_in_a_pod_the_service_account_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in (("token", "t"), ("namespace", "ci"), ("ca.crt", "x")):
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(config, "SERVICE_ACCOUNT", tmp_path)
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    found = load(environ=environ, home=tmp_path)
    assert (found.server, found.namespace, found.context) == ("https://10.0.0.1:443", "ci", "")
    assert load(environ={"KUBERNETES_SERVICE_HOST": "fd00::1"}, home=tmp_path).server == "https://[fd00::1]:443"
    with pytest.raises(ConfigurationError, match='that has the context "other"'):
        load(context="other", environ=environ, home=tmp_path)
