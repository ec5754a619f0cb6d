"""The drivers by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from buildwright.drivers.driver import Driver
from buildwright.errors import UsageError
from buildwright.model.node import Node

if TYPE_CHECKING:
    from buildwright.drivers.examination import Examination
    from buildwright.drivers.logs import Wanted, Write
    from buildwright.drivers.update import Update
    from buildwright.kube.api import Cluster


def _kubernetes(node: Node) -> Driver:
    from buildwright.drivers.kubernetes.driver import KubernetesDriver

    return KubernetesDriver(node)


def _settled_kubernetes(options: Mapping[str, str]) -> Mapping[str, str]:
    from buildwright.drivers.kubernetes.options import settled

    return settled(options)


def _removable_kubernetes(options: Mapping[str, str]) -> Mapping[str, str]:
    from buildwright.drivers.kubernetes.options import removable

    return removable(options)


def _reconciliation(before: Node, after: Node) -> Update:
    from buildwright.drivers.kubernetes.lifecycle.reconcile import Reconciliation

    return Reconciliation(before, after)


def _remote(node: Node) -> Driver:
    from buildwright.drivers.remote import RemoteDriver

    return RemoteDriver(node)


_DRIVERS: Mapping[str, Callable[[Node], Driver]] = {"kubernetes": _kubernetes, "remote": _remote}
_SETTLERS: Mapping[str, Callable[[Mapping[str, str]], Mapping[str, str]]] = {"kubernetes": _settled_kubernetes}
_REMOVABLE: Mapping[str, Callable[[Mapping[str, str]], Mapping[str, str]]] = {"kubernetes": _removable_kubernetes}


def _settled_in_cluster(node: Node, before: Node | None, environ: Mapping[str, str]) -> str:
    from buildwright.drivers.kubernetes.identity import settled

    return settled(node, before, environ)


async def _identified_in_cluster(node: Node) -> str:
    from buildwright.drivers.kubernetes.identity import identified

    return await identified(node)


async def _examined_in_cluster(node: Node, planned: bool) -> Examination:
    from buildwright.drivers.kubernetes.checkup import doctor
    from buildwright.drivers.kubernetes.fleet import Fleet

    return await doctor.examine(Fleet.of(node), planned=planned)


def _roles_in_cluster(nodes: Sequence[Node], role: str, planned: bool) -> str:
    from buildwright.drivers.kubernetes.checkup.role import for_nodes

    return for_nodes(nodes, role, planned=planned)


async def _logs_of_pods(nodes: Sequence[Node], wanted: Wanted, write: Write, tell: Callable[[str], None]) -> None:
    from buildwright.drivers.kubernetes.logs import logs

    await logs(nodes, wanted, write, tell)


async def _cluster_of(node: Node) -> Cluster:
    from buildwright.drivers.kubernetes import identity
    from buildwright.drivers.kubernetes.fleet import Fleet

    return await identity.connect(Fleet.of(node))


_PLACES: Mapping[str, Callable[[Node, Node | None, Mapping[str, str]], str]] = {"kubernetes": _settled_in_cluster}
_IDENTITIES: Mapping[str, Callable[[Node], Awaitable[str]]] = {"kubernetes": _identified_in_cluster}
_UPDATES: Mapping[str, Callable[[Node, Node], Update]] = {"kubernetes": _reconciliation}
_EXAMINERS: Mapping[str, Callable[[Node, bool], Awaitable[Examination]]] = {"kubernetes": _examined_in_cluster}
_ROLES: Mapping[str, Callable[[Sequence[Node], str, bool], str]] = {"kubernetes": _roles_in_cluster}
_LOGS: Mapping[str, Callable[[Sequence[Node], Wanted, Write, Callable[[str], None]], Awaitable[None]]] = {
    "kubernetes": _logs_of_pods
}
_CLUSTERS: Mapping[str, Callable[[Node], Awaitable[Cluster]]] = {"kubernetes": _cluster_of}
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
    import difflib

    near = difflib.get_close_matches(driver, KNOWN, n=1, cutoff=0.5)
    raise UsageError(f'unknown driver "{driver}": ' + (f'did you mean "{near[0]}"?' if near else f"use {have}"))


def remover(driver: str, node: Node) -> Driver:
    """The driver of a node that is only to be removed: options that matter for its daemons alone may be wrong.

    Raises as `make` does for the others.
    """
    if driver in _REMOVABLE:
        node = replace(node, driver_opts=_REMOVABLE[driver](node.driver_opts))
    return make(driver, node)


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


async def examine(driver: str, node: Node, *, planned: bool = False) -> Examination:
    """What stands between a node and its daemons, changing nothing; `planned`: there is no such node yet.

    Raises UsageError or DriverOptionError for a node that is unusable as it is; all else is found and not raised.
    """
    if driver in _EXAMINERS:
        return await _EXAMINERS[driver](node, planned)
    from buildwright.drivers.examination import Examination

    return Examination(place=node.endpoint, running=True)


def roles(driver: str, nodes: Sequence[Node], role: str, *, planned: bool = False) -> str:
    """The smallest Roles for who uses the nodes as `role` (user, admin), as YAML; UsageError where none is needed."""
    if driver in _ROLES:
        return _ROLES[driver](nodes, role, planned)
    raise UsageError(
        f'node {nodes[0].name} has the driver "{driver}", which needs no Role: name another builder, or give '
        "--driver-opt"
    )


async def logs(driver: str, nodes: Sequence[Node], wanted: Wanted, write: Write, tell: Callable[[str], None]) -> None:
    """Write what the nodes' daemons say, and with `wanted.follow` go on until cancelled; `tell` hears of what has no
    log yet. UsageError where the driver does not see logs."""
    if driver not in _LOGS:
        raise UsageError(
            f"the daemon of node {nodes[0].name} is run by someone else, and keeps its log where it runs: read it "
            "there"
        )
    await _LOGS[driver](nodes, wanted, write, tell)


async def connect(driver: str, node: Node) -> Cluster:
    """The cluster that a node is in, which the caller closes; UsageError for a node that is in none."""
    if driver in _CLUSTERS:
        return await _CLUSTERS[driver](node)
    raise UsageError(f"node {node.name} is not in a cluster: name a builder with the driver kubernetes")
