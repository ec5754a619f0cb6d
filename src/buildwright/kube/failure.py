"""The one place where failures of HTTP and sockets become errors of ours."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from buildwright.errors import BuildwrightError, ClusterError, ConfigurationError, ConnectError

if TYPE_CHECKING:
    from buildwright.kube.config import ClusterConfig

_DENIED = re.compile(r' cannot (\w+) resource "([^"]+)"')
_ANONYMOUS = 'User "system:anonymous"'
_OF_SOME = ("configmaps", "secrets", "persistentvolumeclaims", "poddisruptionbudgets")
_NAMESPACE = re.compile(r'namespaces "([^"]+)" not found')
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)
_LONGEST = 30.0
"""Seconds that a server is waited for at most, whatever it asks."""


@contextmanager
def translated(config: ClusterConfig) -> Iterator[None]:
    """Raise ClusterError, ConnectError or ConfigurationError for what goes wrong inside."""
    try:
        yield
    except OSError as error:
        raise unreachable(config, error) from error


def refusal(config: ClusterConfig, status: int, reason: str, message: str, *, retry_after: str = "") -> ClusterError:
    """What the API server answered, as one sentence; `retry_after` is the header of that name."""
    said = " ".join(message.split()).rstrip(".")
    if status == 401:
        text = f"{config.server} does not accept {_user(config)}: log in to the cluster again"
    elif status == 403 and _ANONYMOUS in said:
        text = (
            f"the cluster refused: {said}; no credentials were shown that it accepts: log in to the cluster, or "
            f"check those of {_user(config)}"
        )
    elif status == 403 and (denied := _DENIED.search(said)):
        text = (
            f"the cluster refused: {said}; ask its administrator for a Role that allows this, which buildwright "
            f"doctor --rbac {_role(denied[1], denied[2])} prints{_for_whom(denied[2])}"
        )
    elif status == 404 and (absent := _NAMESPACE.match(said)):
        text = f"the cluster refused: {said}; create it with kubectl create namespace {absent[1]}"
    elif said:
        text = f"the cluster refused: {said}"
    else:
        text = (
            f"{config.server} answered with HTTP status {status} and no Kubernetes status: check that the cluster is "
            f"up and that {context_of(config)} has the address of its API server"
        )
    seconds = min(float(retry_after), _LONGEST) if _SECONDS.fullmatch(retry_after) else 0.0
    return ClusterError(text, status=status, reason=reason, retry_after=seconds)


def _role(verb: str, resource: str) -> str:
    """Who needs that: the `user` of a builder, or the `admin` who makes and removes it."""
    of_builds = resource.partition("/")[0] in ("pods", "leases", "events")
    return "user" if of_builds or (verb == "get" and resource in ("deployments", "statefulsets")) else "admin"


def _for_whom(resource: str) -> str:
    """Not all builders have these, and a Role is only for what one has."""
    return f" for a builder that has {resource}" if resource in _OF_SOME else ""


def unreachable(config: ClusterConfig, error: BaseException) -> BuildwrightError:
    """Why there is no connection to the API server. A certificate problem is one of configuration."""
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ConfigurationError(
                f"the certificate of {config.server} cannot be trusted ({cause.verify_message}): check the server "
                f"and the certificate-authority of {context_of(config)}"
            )
    causes = [text for cause in _chain(error) if (text := _words(cause))]
    why = causes[-1] if causes else type(error).__name__
    return ConnectError(
        f"the Kubernetes API server {config.server} cannot be reached{_by_proxy(config)} ({why}): check that "
        f"the cluster is up and that {context_of(config)} is the right one"
    )


def _by_proxy(config: ClusterConfig) -> str:
    """The proxy in use, without its password."""
    import os
    from urllib.parse import urlsplit

    from buildwright.kube.proxy import choose

    try:
        address = choose(config.server, config.proxy, os.environ)
    except ValueError:
        return ""
    return f" by the proxy {urlsplit(address).netloc.rpartition('@')[2]}" if address else ""


def unusable_proxy(config: ClusterConfig, why: str) -> ConfigurationError:
    """The proxy on the way to the API server is one that cannot be spoken to. Its address may hold a password."""
    return ConfigurationError(
        f"the proxy for {config.server} cannot be used ({why}): set proxy-url of {context_of(config)}, or "
        "HTTPS_PROXY, to an http:// address"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return " ".join(str(error).split())


def context_of(config: ClusterConfig) -> str:
    return f'context "{config.context}" of {config.origin}' if config.context else config.origin


def _user(config: ClusterConfig) -> str:
    return f"the user of {context_of(config)}" if config.context else config.origin


def status_of(body: bytes | bytearray) -> dict[str, Any]:
    """The `Status` object in the body of a refused request, {} when it holds none."""
    import json

    try:
        status = json.loads(body)
    except ValueError:
        return {}
    return status if isinstance(status, dict) and status.get("kind") == "Status" else {}
