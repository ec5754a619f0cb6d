"""Docker's configuration file: whose credentials are whose, and what a damaged file says."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.errors import ConfigurationError
from buildwright.registry.config import HUB_KEY, Credential, load, parse, server_key


def basic(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def config(**document: object) -> bytes:
    return json.dumps(document).encode()


def stored(host: str, **auths: object) -> Credential:
    return parse(config(auths=auths), "config.json").stored(host)


def test_user_and_password_come_out_of_auth() -> None:
    found = stored("reg.example:5000", **{"reg.example:5000": basic("robot", "pa:ss\0")})
    assert (found.username, found.password) == ("robot", "pa:ss")


def test_plain_fields_are_read_too() -> None:
    entry = {"username": "u", "password": "p", "identitytoken": "i", "registrytoken": "r"}
    assert stored("h", h=entry) == Credential(username="u", password="p", identity_token="i", registry_token="r")


@pytest.mark.parametrize("key", ["https://reg.example", "http://reg.example/v2/", "reg.example/v1/"])
def test_a_key_that_is_an_address_serves_its_host(key: str) -> None:
    assert stored("reg.example", **{key: basic("u", "p")}).username == "u"


@pytest.mark.parametrize("key", ["https://reg.example:444", "other.example", "example"])
def test_a_key_of_another_host_does_not(key: str) -> None:
    assert not stored("reg.example", **{key: basic("u", "p")})


def test_an_exact_key_beats_an_address() -> None:
    auths = {"https://reg.example": basic("address", "p"), "reg.example": basic("exact", "p")}
    assert stored("reg.example", **auths).username == "exact"


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
@pytest.mark.parametrize("key", [HUB_KEY, "docker.io", "https://registry-1.docker.io/v2/"])
def test_docker_hub_has_one_account_under_many_names(host: str, key: str) -> None:
    assert stored(host, **{key: basic("hubber", "p")}).username == "hubber"
    assert server_key(host) == HUB_KEY


def test_an_identity_token_takes_the_place_of_user_and_password() -> None:
    assert stored("h", h=basic("u", "p") | {"identitytoken": "t"}).user_and_secret == ("", "t")


def test_a_helper_for_the_host_beats_the_store() -> None:
    found = parse(config(credsStore="store", credHelpers={"a.example": "special"}), "x")
    assert found.helper("a.example") == "special"
    assert found.helper("b.example") == "store"


def test_no_file_means_no_credentials(tmp_path: Path) -> None:
    assert not load(str(tmp_path / "nowhere"), {}).stored("h")


def test_an_empty_file_means_no_credentials(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("\n")
    assert not load(str(tmp_path), {}).stored("h")


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(config(auths={"h": basic("file", "p"), "g": basic("file", "p")}))
    environ = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_AUTH_CONFIG": config(auths={"h": basic("env", "p")}).decode()}
    found = load(environ=environ)
    override = found.override("h")
    assert override is not None
    assert override.username == "env"
    assert found.override("g") is None
    assert found.stored("g").username == "file"


def test_the_file_in_the_home_that_the_environment_names_is_read(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_bytes(config(auths={"h": basic("file", "p")}))
    home = "USERPROFILE" if os.name == "nt" else "HOME"
    assert load(environ={home: str(tmp_path)}).stored("h").username == "file"


DAMAGED = [
    b"{",
    b"[]",
    b"\xff",
    b'{"auths": [1]}',
    b'{"auths": {"reg.example": 1}}',
    b'{"auths": {"reg.example": {"auth": 1}}}',
    b'{"auths": {"reg.example": {"auth": "c3VwZXJzZWNyZXQ="}}}',
    b'{"auths": {"reg.example": {"auth": "supersecret!"}}}',
    b'{"auths": {"reg.example": {"auth": "OnN1cGVyc2VjcmV0"}}}',
    b'{"credsStore": 1}',
    b'{"credsStore": "../evil"}',
    b'{"credHelpers": {"h": 1}}',
    b'{"auths": {"h": {"password": "supersecret"}} "x"',
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_named_without_its_content(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load(str(tmp_path), {})
    assert str(tmp_path / "config.json") in str(caught.value)
    assert "supersecret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_folder_in_the_files_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigurationError, match="cannot read"):
        load(str(tmp_path), {})


def test_a_damaged_environment_is_named() -> None:
    with pytest.raises(ConfigurationError, match="DOCKER_AUTH_CONFIG"):
        load("/nonexistent", {"DOCKER_AUTH_CONFIG": "{"})


def test_secrets_do_not_show_in_a_repr() -> None:
    shown = repr(parse(config(auths={"h": basic("u", "supersecret") | {"identitytoken": "verysecret"}}), "x"))
    assert "'u'" in shown
    assert "secret" not in shown


NO_COLON = st.text(st.characters(exclude_characters=":\0", exclude_categories=["Cs"]), min_size=1)


@given(NO_COLON, st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_user_and_password_survive(user: str, password: str) -> None:
    found = stored("h", h=basic(user, password))
    assert (found.username, found.password) == (user, password)


@given(st.binary() | st.text().map(lambda text: f'{{"auths": {{"h": {json.dumps({"auth": text})}}}}}'.encode()))
def test_any_content_is_read_or_refused_in_one_line(content: bytes) -> None:
    message = ""
    try:
        parse(content, "config.json")
    except ConfigurationError as error:
        message = str(error)
    assert "\n" not in message
