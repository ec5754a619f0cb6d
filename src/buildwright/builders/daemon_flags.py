"""The daemon's command line that is stored with a node, with the entitlement that container drivers add to it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from buildwright.errors import UsageError
from buildwright.model import shellwords

_FLAG = "--allow-insecure-entitlement"
_HOST = "network.host"
CONTAINER_DRIVERS = frozenset({"docker-container", "kubernetes"})


def parse(text: str) -> tuple[str, ...]:
    """Split `--buildkitd-flags`; UsageError for quotes left open."""
    try:
        return shellwords.split(text)
    except ValueError as error:
        raise UsageError(f"flag --buildkitd-flags: {error}") from None


def resolve(flags: Sequence[str], driver: str, configured: Sequence[str]) -> tuple[str, ...] | None:
    """The flags to store, None for none.

    A daemon in a container has a network of its own, so its RUN steps may use it as their host's: unless the
    user allows something else in the flags, or `configured`, the entitlements of the daemon's file, allow it already.
    """
    if driver in CONTAINER_DRIVERS and not _allowed(flags) and _HOST not in configured:
        return (*flags, f"{_FLAG}={_HOST}")
    return tuple(flags) or None


def _allowed(flags: Sequence[str]) -> list[str]:
    """The entitlements that a daemon's command line allows, as far as it can be read without knowing its flags."""
    found = [flag.partition("=")[2] for flag in flags if flag.startswith(f"{_FLAG}=")]
    return found + [value for flag, value in itertools.pairwise(flags) if flag == _FLAG]
