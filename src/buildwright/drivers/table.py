"""The drivers by name."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping

from buildwright.drivers.driver import Driver
from buildwright.drivers.update import Update
from buildwright.errors import UsageError
from buildwright.model.node import Node


def _kubernetes(node: Node) -> Driver:
    from buildwright.drivers.kubernetes.driver import KubernetesDriver

    return KubernetesDriver(node)


def _settled_kubernetes(options: Mapping[str, str]) -> Mapping[str, str]:
    from buildwright.drivers.kubernetes.options import settled

    return settled(options)


def _reconciliation(before: Node, after: Node) -> Update:
    from buildwright.drivers.kubernetes.lifecycle.reconcile import Reconciliation

    return Reconciliation(before, after)


def _remote(node: Node) -> Driver:
    from buildwright.drivers.remote import RemoteDriver

    return RemoteDriver(node)


_DRIVERS: Mapping[str, Callable[[Node], Driver]] = {"kubernetes": _kubernetes, "remote": _remote}
_SETTLERS: Mapping[str, Callable[[Mapping[str, str]], Mapping[str, str]]] = {"kubernetes": _settled_kubernetes}


def _settled_in_cluster(node: Node, before: Node | None, environ: Mapping[str, str]) -> str:
    from buildwright.drivers.kubernetes.identity import settled

    return settled(node, before, environ)


async def _identified_in_cluster(node: Node) -> str:
    from buildwright.drivers.kubernetes.identity import identified

    return await identified(node)


_PLACES: Mapping[str, Callable[[Node, Node | None, Mapping[str, str]], str]] = {"kubernetes": _settled_in_cluster}
_IDENTITIES: Mapping[str, Callable[[Node], Awaitable[str]]] = {"kubernetes": _identified_in_cluster}
_UPDATES: Mapping[str, Callable[[Node, Node], Update]] = {"kubernetes": _reconciliation}
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


def settle_place(driver: str, node: Node, before: Node | None, environ: Mapping[str, str]) -> str:
    """The endpoint to keep a new node with, or one that was `before`: what it says by reference is settled now.

    Asks no network. Raises ConfigurationError when what is referred to is not there.
    """
    return _PLACES[driver](node, before, environ) if driver in _PLACES else node.endpoint


def update(driver: str, before: Node, after: Node) -> Update:
    """How what `before` has made follows its options, which become those of `after`; reads no network.

    Raises UsageError where nothing can follow, and DriverOptionError for an option that is wrong or for good.
    """
    make(driver, after)
    if driver in _UPDATES:
        return _UPDATES[driver](before, after)
    raise UsageError(
        f"the daemon of node {after.name} is run by someone else, so the {driver} driver has nothing to update: "
        "change its address or options with buildwright create --node"
    )


async def identify(driver: str, node: Node) -> str:
    """The node's endpoint with the identity of what it leads to, as far as that can be known within few seconds."""
    return await _IDENTITIES[driver](node) if driver in _IDENTITIES else node.endpoint
