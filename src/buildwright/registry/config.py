"""Docker's configuration file: which credentials it holds, or which helper program knows them.

The format is docker/cli's (cli/config/configfile/file.go, cli/config/credentials): `auths`, `credsStore` and
`credHelpers` of `$DOCKER_CONFIG/config.json`, and `DOCKER_AUTH_CONFIG`, whose `auths` win.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from buildwright.errors import ConfigurationError
from buildwright.model.docker import config_dir
from buildwright.registry import program

HUB_KEY = "https://index.docker.io/v1/"
"""What docker files Docker Hub's credentials under."""
HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
HELPER_PREFIX = "docker-credential-"
_ENVIRONMENT = "DOCKER_AUTH_CONFIG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """How to prove who one is to a registry; every field "" is the anonymous credential.

    The secret parts are left out of repr, so that a value may be logged by accident.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """A refresh token that the registry's token server takes in place of user and password."""
    registry_token: str = field(default="", repr=False)
    """A bearer token that is sent to the registry as it is."""

    @property
    def user_and_secret(self) -> tuple[str, str]:
        """What BuildKit's Credentials call answers: an identity token goes with an empty user name."""
        return ("", self.identity_token) if self.identity_token else (self.username, self.password)

    def __bool__(self) -> bool:
        return bool(self.username or self.password or self.identity_token or self.registry_token)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerConfig:
    """The parts of docker's configuration that concern registries. `credentials` and `helpers` go by their keys."""

    path: str = ""
    credentials: Mapping[str, Credential] = field(default_factory=dict)
    overrides: Mapping[str, Credential] = field(default_factory=dict)
    """What DOCKER_AUTH_CONFIG holds; it wins over everything in the file."""
    store: str = ""
    helpers: Mapping[str, str] = field(default_factory=dict)

    def helper(self, host: str) -> str:
        """The name of the helper program for `host` without its prefix, "" when there is none."""
        return next((self.helpers[key] for key in _keys(host) if key in self.helpers), self.store)

    def stored(self, host: str) -> Credential:
        """What the file itself holds for `host`, the anonymous credential when nothing."""
        return _match(self.credentials, host) or Credential()

    def override(self, host: str) -> Credential | None:
        """What the environment holds for `host`."""
        return _match(self.overrides, host)


def server_key(host: str) -> str:
    """The name under which docker and its helpers know `host`."""
    return HUB_KEY if host in HUB_HOSTS else host


def _keys(host: str) -> tuple[str, ...]:
    return (HUB_KEY, *sorted(HUB_HOSTS)) if host in HUB_HOSTS else (host,)


def _match(credentials: Mapping[str, Credential], host: str) -> Credential | None:
    keys = _keys(host)
    for key in keys:
        if key in credentials:
            return credentials[key]
    return next((found for key, found in credentials.items() if _hostname(key) in keys), None)


def _hostname(key: str) -> str:
    """The host and port in a key that an old docker wrote as an address."""
    _, separator, rest = key.partition("://")
    return (rest if separator else key).partition("/")[0]


def load(directory: str = "", environ: Mapping[str, str] = os.environ) -> DockerConfig:
    """Read the configuration in `directory` ("": docker's own folder) and in the environment.

    A file that is not there is an empty one. Raises ConfigurationError for one that cannot be read or understood.
    """
    path = os.path.join(directory or config_dir(environ), "config.json")
    try:
        with open(path, "rb") as file:
            content = file.read()
    except (FileNotFoundError, NotADirectoryError):
        content = b""
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}; make it readable or remove it") from error
    config = parse(content, path)
    overrides = parse(environ.get(_ENVIRONMENT, "").encode(), _ENVIRONMENT).credentials
    store = config.store
    if not (store or config.helpers or config.credentials):
        store = _default_store()
    return DockerConfig(
        path=path, credentials=config.credentials, overrides=overrides, store=store, helpers=config.helpers
    )


def _default_store() -> str:
    """The platform's own helper, which docker uses where nothing is configured, when it is installed."""
    if sys.platform == "darwin":
        name = "osxkeychain"
    elif sys.platform == "win32":
        name = "wincred"
    else:
        name = "pass" if program.find("pass") else "secretservice"
    return name if program.find(HELPER_PREFIX + name) else ""


def parse(content: bytes, origin: str) -> DockerConfig:
    """Read the JSON of one configuration; `origin` names it in errors. Unknown keys are left alone.

    Raises ConfigurationError; its text has no part of the content, which may be secret, but host names.
    """
    if not content.strip():
        return DockerConfig(path=origin)
    try:
        document = json.loads(content)
    except ValueError as error:
        # The cause would show the document, secrets and all, in a trace.
        where = f" in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigurationError(f"{origin} is not valid JSON{where}; repair it or remove it") from None
    if not isinstance(document, dict):
        raise _unusable(origin, "it is not a JSON object")
    helpers = _strings(document, "credHelpers", origin)
    store = document.get("credsStore") or ""
    if not isinstance(store, str):
        raise _unusable(origin, '"credsStore" is not a string')
    for name in (store, *helpers.values()):
        if "/" in name or "\\" in name:
            raise _unusable(origin, f'"{name}" is no name of a credential helper')
    auths = document.get("auths") or {}
    if not isinstance(auths, dict):
        raise _unusable(origin, '"auths" is not an object')
    credentials = {key: _credential(key, entry, origin) for key, entry in auths.items()}
    return DockerConfig(path=origin, credentials=credentials, store=store, helpers=helpers)


def _unusable(origin: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"{origin} is damaged: {reason}; repair it or remove it")


def _strings(document: dict[str, Any], key: str, origin: str) -> dict[str, str]:
    value = document.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _unusable(origin, f'"{key}" is not an object of strings')
    return value


def _credential(key: str, entry: object, origin: str) -> Credential:
    if not isinstance(entry, dict):
        raise _unusable(origin, f'the entry of "{key}" in "auths" is not an object')
    told = {}
    for name in ("username", "password", "auth", "identitytoken", "registrytoken"):
        value = entry.get(name) or ""
        if not isinstance(value, str):
            raise _unusable(origin, f'"{name}" of "{key}" is not a string')
        told[name] = value
    username, password = told["username"], told["password"]
    if told["auth"]:
        username, password = _decode(told["auth"], key, origin)
    return Credential(
        username=username,
        password=password,
        identity_token=told["identitytoken"],
        registry_token=told["registrytoken"],
    )


def _decode(auth: str, key: str, origin: str) -> tuple[str, str]:
    try:
        decoded = base64.b64decode(auth, validate=True).decode()
    except (ValueError, binascii.Error):
        decoded = ""
    username, separator, password = decoded.partition(":")
    if not separator or not username:
        raise ConfigurationError(
            f'{origin}: "auth" of "{key}" is not base64 of "user:password"; run docker login {_hostname(key)}'
        )
    return username, password.strip("\0")
