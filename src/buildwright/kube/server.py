"""What an API server says of itself: its version, and what time it has."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from buildwright.kube.failure import refusal, status_of, translated

if TYPE_CHECKING:
    from buildwright.kube.config import ClusterConfig

UNKNOWN = (0, 0)
_VERSION = re.compile(r"v?(\d+)\.(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`release` is (1, 34) of `version` v1.34.4; "" and UNKNOWN when it does not say. `skew` is how many seconds its
    clock is ahead of ours, None when it does not say."""

    version: str = ""
    release: tuple[int, int] = UNKNOWN
    skew: float | None = None


async def greet(config: ClusterConfig) -> Server:
    """Ask the server for its version.

    Raises ConnectError when it cannot be reached, ClusterError when it does not accept the user and
    ConfigurationError for certificates and credentials. One that keeps its version to itself is no error.
    """
    from buildwright.kube.http import Client

    async with Client(config) as http:
        with translated(config):
            before = time.time()
            answer = await http.ask("GET", "/version")
            middle = (before + time.time()) / 2
    if answer.status == 401:
        said = status_of(answer.content)
        raise refusal(config, 401, str(said.get("reason") or ""), str(said.get("message") or ""))
    skew = _skew(answer.fields.get("date", ""), middle)
    try:
        said = json.loads(answer.content) if answer.status == 200 else {}
        version = str(said.get("gitVersion") or "")
    except (ValueError, AttributeError):
        version = ""
    return Server(version=version, release=release(version), skew=skew)


def release(version: str) -> tuple[int, int]:
    """The first two numbers of a version, UNKNOWN when it has none."""
    found = _VERSION.match(version)
    return (int(found[1]), int(found[2])) if found else UNKNOWN


def _skew(date: str, now: float) -> float | None:
    """A Date header against a clock; the header counts whole seconds."""
    try:
        told = parsedate_to_datetime(date)
    except (ValueError, TypeError):
        return None
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp() + 0.5 - now
