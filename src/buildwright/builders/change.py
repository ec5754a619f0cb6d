"""What `create` and `leave` do to a builder's record, decided without I/O (buildx store/nodegroup.go)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from buildwright.builders import names
from buildwright.builders.record import GroupRecord, NodeRecord
from buildwright.drivers import values
from buildwright.errors import BuilderNotFoundError, UsageError
from buildwright.model.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """What is asked of one node; None leaves an existing node's value as it is.

    `node` "" means the next free name. `append` allows a new node beside others. `files` are added to those that an
    existing node has.
    """

    node: str = ""
    append: bool = False
    endpoint: str | None = None
    platforms: tuple[Platform, ...] | None = None
    driver_opts: Mapping[str, str] | None = None
    flags: tuple[str, ...] | None = None
    files: Mapping[str, bytes] | None = None

    @property
    def needs_restart(self) -> bool:
        """Whether a running daemon would not notice; platforms are only our own bookkeeping."""
        return any(value is not None for value in (self.endpoint, self.driver_opts, self.flags, self.files))


def find(group: GroupRecord, node: str) -> int | None:
    """The index of the node of that name in any case."""
    for index, known in enumerate(group.nodes):
        if known.name.lower() == node.lower():
            return index
    return None


def update(group: GroupRecord, change: NodeChange, endpoint: str) -> GroupRecord:
    """The group with a node changed or added; a new node is at `endpoint`. UsageError says what does not fit.

    Platforms that the touched node was given are taken from all others.
    """
    index = find(group, change.node) if change.node else None
    if index is None and group.nodes and not change.append:
        raise UsageError(f'builder "{group.name}" has no node "{change.node}": add --append to make it')
    if index is None:
        index, node = len(group.nodes), _new_node(group, change, endpoint)
    else:
        node = _changed(group.nodes[index], change)
    others = (*group.nodes[:index], *group.nodes[index + 1 :])
    if any(other.endpoint == node.endpoint for other in others):
        raise UsageError(f'builder "{group.name}" has a node at {node.endpoint} already')
    taken = {str(platform) for platform in node.platforms or ()}
    nodes = [_without(other, taken) for other in others]
    nodes.insert(index, node)
    return replace(group, nodes=tuple(nodes))


def leave(group: GroupRecord, node: str) -> GroupRecord:
    """The group without a node."""
    index = find(group, node)
    if index is None:
        known = ", ".join(record.name for record in group.nodes)
        raise BuilderNotFoundError(f'builder "{group.name}" has no node "{node}", only {known}', name=node)
    if len(group.nodes) == 1:
        raise UsageError(
            f'"{node}" is the last node of "{group.name}": remove all of it with "buildwright rm {group.name}"'
        )
    return replace(group, nodes=(*group.nodes[:index], *group.nodes[index + 1 :]))


def options(before: NodeRecord, after: NodeRecord) -> list[tuple[str, str | None, str | None]]:
    """The driver options that differ: a name, and both values."""
    old, new = before.driver_opts or {}, after.driver_opts or {}
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return [(name, old.get(name), new.get(name)) for name in names]


def differences(before: NodeRecord, after: NodeRecord) -> tuple[str, ...]:
    """Words for what differs between two nodes but their names and places.

    Values that may be secret, and files, are not shown.
    """
    found = [f"driver-opt {name}: {_words(name, old, new)}" for name, old, new in options(before, after)]
    for flag, field in (("platform", "platforms"), ("buildkitd-flags", "flags")):
        was, will = (tuple(map(str, getattr(node, field) or ())) for node in (before, after))
        if was != will:
            found.append(f"{flag}: {' '.join(was) or 'none'} -> {' '.join(will) or 'none'}")
    if (before.files or {}) != (after.files or {}):
        found.append("buildkitd-config: other files")
    return tuple(found)


def moved(group: GroupRecord, endpoints: Mapping[str, str]) -> GroupRecord:
    """The group with the nodes that `endpoints` names at these."""
    nodes = [replace(node, endpoint=endpoints.get(node.name, node.endpoint)) for node in group.nodes]
    return replace(group, nodes=tuple(nodes))


def parse_platforms(texts: Sequence[str]) -> tuple[Platform, ...] | None:
    """Platforms of flags that each may hold several, None when there are none; UsageError for one that is none."""
    found = [
        Platform.parse("local" if part.lower() == "local" else part) for text in texts for part in text.split(",")
    ]
    return tuple(found) or None


def _words(name: str, old: str | None, new: str | None) -> str:
    if values.is_secret(name):
        return "(values not shown)"
    return f"{'none' if old is None else old} -> {'none' if new is None else new}"


def _new_node(group: GroupRecord, change: NodeChange, endpoint: str) -> NodeRecord:
    return NodeRecord(
        name=names.check(change.node or _next_name(group)),
        endpoint=endpoint,
        platforms=change.platforms,
        driver_opts=change.driver_opts,
        flags=change.flags,
        files=change.files,
    )


def _changed(node: NodeRecord, change: NodeChange) -> NodeRecord:
    return replace(
        node,
        endpoint=node.endpoint if change.endpoint is None else change.endpoint,
        platforms=node.platforms if change.platforms is None else change.platforms,
        driver_opts=node.driver_opts if change.driver_opts is None else change.driver_opts,
        flags=node.flags if change.flags is None else change.flags,
        files=node.files if change.files is None else {**(node.files or {}), **change.files},
    )


def _without(node: NodeRecord, taken: set[str]) -> NodeRecord:
    return replace(node, platforms=tuple(item for item in node.platforms or () if str(item) not in taken))


def _next_name(group: GroupRecord) -> str:
    number = 0
    while find(group, f"{group.name}{number}") is not None:
        number += 1
    return f"{group.name}{number}"
