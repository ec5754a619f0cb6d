"""The drivers by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

from buildwright.drivers.driver import Driver
from buildwright.errors import UsageError
from buildwright.model.node import Node


def _kubernetes(node: Node) -> Driver:
    from buildwright.drivers.kubernetes.driver import KubernetesDriver

    return KubernetesDriver(node)


def _settled_kubernetes(options: Mapping[str, str]) -> Mapping[str, str]:
    from buildwright.drivers.kubernetes.options import settled

    return settled(options)


def _remote(node: Node) -> Driver:
    from buildwright.drivers.remote import RemoteDriver

    return RemoteDriver(node)


_DRIVERS: Mapping[str, Callable[[Node], Driver]] = {"kubernetes": _kubernetes, "remote": _remote}
_SETTLERS: Mapping[str, Callable[[Mapping[str, str]], Mapping[str, str]]] = {"kubernetes": _settled_kubernetes}
_UNAVAILABLE = ("cloud", "docker", "docker-container")

KNOWN = tuple(_DRIVERS)
"""Names of the drivers that this version has."""


def make(driver: str, node: Node) -> Driver:
    """The driver called `driver` for one node; nothing is imported for the others.

    Raises UsageError for a driver that there is not and DriverOptionError for an option that is wrong. Reads no
    network, so it is also the check of a node's options before the node is stored.
    """
    if driver in _DRIVERS:
        return _DRIVERS[driver](node)
    have = " or ".join(KNOWN)
    if driver in _UNAVAILABLE:
        raise UsageError(f'driver "{driver}" is not available in this version: use {have}')
    near = difflib.get_close_matches(driver, KNOWN, n=1, cutoff=0.5)
    raise UsageError(f'unknown driver "{driver}": ' + (f'did you mean "{near[0]}"?' if near else f"use {have}"))


def settle(driver: str, options: Mapping[str, str]) -> dict[str, str]:
    """Options as a builder keeps them: what they say by reference to a file is read now, and never again.

    Raises DriverOptionError for a file that cannot be read.
    """
    return dict(_SETTLERS[driver](options)) if driver in _SETTLERS else dict(options)
