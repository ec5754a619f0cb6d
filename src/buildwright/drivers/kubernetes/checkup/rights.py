"""Which verbs of the Kubernetes API a builder needs, for building on it and for managing it. Pure.

A right without `without` is required: some command of its role ends with the cluster's refusal. All others only make
something better, and `without` completes "without it, ...".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.manifests import gc, manifest
from buildwright.kube.api import (
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    EVENT,
    LEASE,
    POD,
    SECRET,
    STATEFUL_SET,
    Kind,
)


class Role(StrEnum):
    USER = "user"
    """Builds on a builder that an admin has made."""
    ADMIN = "admin"
    """Makes, changes and removes builders, and builds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """One verb on one resource, which may name a subresource. `since` is the minor release of Kubernetes 1 that first
    asks for it, 0 when all do."""

    role: Role
    verb: str
    group: str
    resource: str
    without: str = ""
    since: int = 0

    @property
    def required(self) -> bool:
        return not self.without

    @property
    def target(self) -> str:
        """The resource as kubectl writes it, like deployments.apps."""
        resource, slash, subresource = self.resource.partition("/")
        return resource + (f".{self.group}" if self.group else "") + slash + subresource


def rights(fleet: Fleet, *, any_files: bool = False) -> tuple[Right, ...]:
    """All rights that a node's options call for, each once for a role.

    `any_files`: the daemon's files are not known yet. A right that several things need is told for the first of them.
    """
    found = [*_build(fleet)]
    if fleet.options.managed:
        found += [*_make(fleet), *_files(fleet, any_files=any_files), *_volumes(fleet)]
        found += _collect(found)
    return tuple({(right.role, right.resource, right.verb): right for right in reversed(found)}.values())[::-1]


def of_role(role: Role, found: Iterable[Right]) -> tuple[Right, ...]:
    """What one role has, each verb once: an admin also builds, and then needs what a build merely likes to have."""
    chosen: dict[tuple[str, str, str], Right] = {}
    for right in found:
        key = (right.group, right.resource, right.verb)
        if (role is Role.ADMIN or right.role is Role.USER) and (right.required or key not in chosen):
            chosen[key] = right
    return tuple(chosen.values())


def summary(found: Iterable[Right]) -> str:
    """Rights in words: `get deployments.apps; get, create pods/exec`."""
    verbs: dict[str, list[str]] = {}
    for right in found:
        verbs.setdefault(right.target, []).append(right.verb)
    return "; ".join(f"{', '.join(dict.fromkeys(words))} {target}" for target, words in verbs.items())


def _build(fleet: Fleet) -> Iterator[Right]:
    user, kind = Role.USER, fleet.kind
    if fleet.options.managed:
        yield from _of(user, kind, "get")
    yield from _of(user, POD, "list")
    yield from _on(user, "pods/exec", "get")
    yield from _on(user, "pods/exec", "create", since=35)
    yield from _of(user, POD, "watch", without="pods are read every second instead")
    yield from _on(user, "pods/log", "get", without="there are no logs of daemons, nor the last words of a lost one")
    without = "a drain or an eviction does not wait for a build, and gc does not see that it runs"
    yield from _of(user, LEASE, "create", "patch", without=without)
    yield from _of(user, POD, "patch", without=without)
    without = "the leases of builds that are over stay until somebody deletes them, as buildwright gc does"
    yield from _of(user, LEASE, "delete", without=without)
    without = "loadbalance=affinity does not see which pods are busy, and what killed clients leave stays for a while"
    yield from _of(user, LEASE, "list", without=without)
    if fleet.options.managed:
        without = "a build does not wake a builder that was stopped, nor note when the builder was last used (ttl)"
        yield from _of(user, kind, "patch", without=without)
        yield from _of(user, kind, "list", "watch", without="a starting builder is read every second instead")
    yield from _of(user, EVENT, "list", "watch", without="the events of pods that start are not shown")


def _make(fleet: Fleet) -> Iterator[Right]:
    admin = Role.ADMIN
    yield from _of(admin, fleet.kind, "create", "update", "patch", "delete")
    if manifest.budget(fleet.name, fleet.node, fleet.options):
        without = "a drain or an eviction does not wait for builds (drain)"
        yield from _of(admin, DISRUPTION_BUDGET, "create", without=without)
        without = "update leaves the PodDisruptionBudget as it is"
        yield from _of(admin, DISRUPTION_BUDGET, "get", "update", "delete", without=without)


def _files(fleet: Fleet, *, any_files: bool) -> Iterator[Right]:
    """The daemon's configuration, and its private keys when there are some."""
    node, options = fleet.node, fleet.options
    for kind, made in ((CONFIG_MAP, manifest.config_maps), (SECRET, manifest.secrets)):
        if made(fleet.name, node, options):
            without = ""
        elif any_files:
            what = "private keys in a configuration" if kind is SECRET else "a configuration"
            without = f"no builder has {what} (--buildkitd-config)"
        else:
            continue
        yield from _of(Role.ADMIN, kind, "get", "create", "update", "delete", without=without)
        if kind is SECRET or options.owner or gc.CONFIG_FILE not in node.files:
            lost = "does not take these along: buildx that removes the builder, and the pod that owns it (owner)"
            yield from _of(Role.ADMIN, kind, "patch", without=lost)


def _volumes(fleet: Fleet) -> Iterator[Right]:
    if fleet.options.claim:
        yield from _of(Role.ADMIN, CLAIM, "list", "delete")
        without = "claims do not grow by update, and those of rm --keep-state are not marked, nor is a mark taken off"
        yield from _of(Role.ADMIN, CLAIM, "patch", without=without)


def _collect(made: Iterable[Right]) -> Iterator[Right]:
    """Looking for what is left behind: workloads and leases say what is in use, other kinds if such are made."""
    without = "there is no buildwright gc"
    for kind in (DEPLOYMENT, STATEFUL_SET):
        yield from _of(Role.ADMIN, kind, "get", "list", without=without)
    yield from _of(Role.ADMIN, LEASE, "list", "delete", without=without)
    makes = {right.resource for right in made}
    for kind in (CONFIG_MAP, SECRET, CLAIM, DISRUPTION_BUDGET):
        if kind.plural in makes:
            yield from _of(Role.ADMIN, kind, "list", "delete", without=f"gc leaves out {kind.plural}")


def _of(role: Role, kind: Kind, *verbs: str, without: str = "") -> Iterator[Right]:
    for verb in verbs:
        yield Right(role=role, verb=verb, group=kind.group, resource=kind.plural, without=without)


def _on(role: Role, resource: str, *verbs: str, without: str = "", since: int = 0) -> Iterator[Right]:
    for verb in verbs:
        yield Right(role=role, verb=verb, group="", resource=resource, without=without, since=since)
