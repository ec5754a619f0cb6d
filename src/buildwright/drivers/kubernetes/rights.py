"""Which verbs of the Kubernetes API a builder needs, for building on it and for managing it. Pure.

A right without `without` is required: some command of its role ends with the cluster's refusal. All others only make
something better, and `without` completes "without it, ...".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from buildwright.drivers.kubernetes import gc, manifest
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.kube.api import CLAIM, CONFIG_MAP, POD, SECRET, Kind


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
    """All rights that a node's options call for, each once. `any_files`: the daemon's files are not known yet."""
    managed = (*_make(fleet), *_files(fleet, any_files=any_files), *_volumes(fleet)) if fleet.options.managed else ()
    return (*_build(fleet), *managed)


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
    user = Role.USER
    if fleet.options.managed:
        yield from _of(user, fleet.kind, "get")
    yield from _of(user, POD, "list")
    yield from _on(user, "pods/exec", "get")
    yield from _on(user, "pods/exec", "create", since=35)
    yield from _of(user, POD, "watch", without="pods are read every second instead")
    yield from _on(user, "pods/log", "get", without="there are no logs of daemons, nor the last words of a lost one")
    if fleet.options.managed:
        yield from _of(user, fleet.kind, "patch", without="a build does not wake a builder that was stopped")
        yield from _of(user, fleet.kind, "watch", without="a starting builder is read every second instead")


def _make(fleet: Fleet) -> Iterator[Right]:
    yield from _of(Role.ADMIN, fleet.kind, "create", "delete", "patch")


def _files(fleet: Fleet, *, any_files: bool) -> Iterator[Right]:
    """The daemon's configuration; where its private keys are kept is only asked when there are some."""
    node, options = fleet.node, fleet.options
    for kind, made in ((CONFIG_MAP, manifest.config_maps), (SECRET, manifest.secrets)):
        if made(fleet.name, node, options):
            yield from _of(Role.ADMIN, kind, "create", "update", "delete")
        elif any_files:
            what = "private keys in a configuration" if kind is SECRET else "a configuration"
            without = f"no builder has {what} (--buildkitd-config)"
            yield from _of(Role.ADMIN, kind, "create", "update", "delete", without=without)
        else:
            continue
        if kind is SECRET or gc.CONFIG_FILE not in node.files:
            without = f"the {kind.plural} that buildx does not know of stay behind when it removes the builder"
            yield from _of(Role.ADMIN, kind, "patch", without=without)


def _volumes(fleet: Fleet) -> Iterator[Right]:
    if fleet.options.claim:
        yield from _of(Role.ADMIN, CLAIM, "list", "delete")


def _of(role: Role, kind: Kind, *verbs: str, without: str = "") -> Iterator[Right]:
    for verb in verbs:
        yield Right(role=role, verb=verb, group=kind.group, resource=kind.plural, without=without)


def _on(role: Role, resource: str, *verbs: str, without: str = "", since: int = 0) -> Iterator[Right]:
    for verb in verbs:
        yield Right(role=role, verb=verb, group="", resource=resource, without=without, since=since)
