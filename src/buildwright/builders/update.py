"""Changing a builder that exists: its nodes' options, and what they have made, in step with each other."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from buildwright.builders import change, daemon_config, daemon_flags, resolve
from buildwright.builders.change import NodeChange
from buildwright.builders.create import driver_options
from buildwright.builders.docker_contexts import DockerContexts
from buildwright.builders.record import GroupRecord, NodeRecord
from buildwright.builders.store import Store, Transaction
from buildwright.drivers import values
from buildwright.drivers.update import Update
from buildwright.errors import BuilderNotFoundError, DriverOptionError, NotReadyError, StoreError, UsageError
from buildwright.model import csvvalue
from buildwright.model.status import StatusSink


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateOptions:
    """What `update` was asked for; None and empty mean that it was not said.

    `node` "" stands for all nodes. A driver option of an empty value is taken away, as are a `daemon_config` and
    `daemon_flags` of "".
    """

    node: str = ""
    platforms: Sequence[str] = ()
    driver_opts: Sequence[str] = ()
    daemon_flags: str | None = None
    daemon_config: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeUpdate:
    """One node's way from `before` to `after`; `update` changes what it has made."""

    before: NodeRecord
    after: NodeRecord
    update: Update

    @property
    def changes(self) -> tuple[str, ...]:
        """Lines that say which of the node's options differ."""
        return change.differences(self.before, self.after)

    def way_back(self, builder: str) -> str:
        """The command that undoes the change of options, as far as it can be written down."""
        words = ["buildwright", "update", builder, "--node", self.before.name]
        for name, old, _ in change.options(self.before, self.after):
            value = "FORMER" if values.is_secret(name) and old else old or ""
            words += ["--driver-opt", csvvalue.join([f"{name}={value}"])]
        if self.before.flags != self.after.flags:
            words += ["--buildkitd-flags", shlex.join(self.before.flags or ())]
        if self.before.platforms != self.after.platforms and self.before.platforms:
            words += ["--platform", ",".join(map(str, self.before.platforms))]
        if (self.before.files or {}) != (self.after.files or {}):
            words += ["--buildkitd-config", "FORMER" if self.before.files else ""]
        return shlex.join(words)


def find(
    transaction: Transaction, contexts: DockerContexts, environ: Mapping[str, str], name: str = ""
) -> GroupRecord:
    """The record of the builder that is meant; UsageError when it is one that nobody has made."""
    builder = resolve.find(transaction, contexts, environ, name)
    group = None if builder.docker_context else transaction.get(builder.name)
    if group is None:
        raise UsageError(f'"{builder.name}" is no builder that was created, so there is nothing to update: name one')
    return group


def prepare(group: GroupRecord, options: UpdateOptions) -> tuple[NodeUpdate, ...]:
    """What is to be done with each node that is concerned. Reads the files that options name, and no network.

    Raises UsageError, DriverOptionError, BuilderNotFoundError or ConfigurationError; nothing is changed.
    """
    from buildwright.drivers import table

    if options.node and change.find(group, options.node) is None:
        known = ", ".join(node.name for node in group.nodes)
        raise BuilderNotFoundError(f'builder "{group.name}" has no node "{options.node}", only {known}')
    if options.platforms and not options.node and len(group.nodes) > 1:
        raise UsageError("--platform is of one node: name it with --node")
    asked = [node for node in group.nodes if options.node.lower() in ("", node.name.lower())]
    after = group
    for node in asked:
        after = _with(after, _changed(node, group.driver, options))
        if platforms := change.parse_platforms(options.platforms):
            after = change.update(after, NodeChange(node=node.name, platforms=platforms), "")
    return tuple(
        NodeUpdate(before=old, after=new, update=table.update(group.driver, old.node(), new.node()))
        for old, new in zip(group.nodes, after.nodes, strict=True)
        if old in asked or old != new
    )


async def apply(store: Store, builder: str, node: NodeUpdate, sink: StatusSink) -> None:
    """Do what was planned for a node, keep it, and follow it to its end.

    Raises NotReadyError, with the way back, when the changed daemons do not become ready: store and cluster have the
    change then. Raises StoreError or BuilderNotFoundError when somebody else changed or removed the node since it was
    read. That, an error of the cluster or a cancellation leave the store as it is, and of the change as much in the
    cluster as was done; a second update, the same or one without options, brings both together.
    """
    async with store.transaction() as transaction:
        _unchanged(transaction, builder, node)
    await node.update.apply()
    async with store.transaction() as transaction:
        _save(transaction, builder, node)
    try:
        await node.update.follow(sink)
    except NotReadyError as error:
        back = f"; go back with: {node.way_back(builder)}" if node.changes else ""
        raise NotReadyError(f"{error}{back}") from error


def _save(transaction: Transaction, builder: str, done: NodeUpdate) -> None:
    group = _unchanged(transaction, builder, done)
    if done.before != done.after:
        transaction.save(_with(group, done.after))


def _unchanged(transaction: Transaction, builder: str, planned: NodeUpdate) -> GroupRecord:
    """The builder, if its node is still the one that the change was planned for."""
    group = transaction.get(builder)
    at = None if group is None else change.find(group, planned.before.name)
    if group is None or at is None:
        raise BuilderNotFoundError(
            f'node "{planned.before.name}" of builder "{builder}" was removed by somebody else meanwhile',
            name=builder,
        )
    if group.nodes[at] != planned.before:
        raise StoreError(
            f'node "{planned.before.name}" of builder "{builder}" was changed by somebody else meanwhile: see what '
            f'is left to change with "buildwright update --dry-run {builder}", and update it again'
        )
    return group


def _with(group: GroupRecord, node: NodeRecord) -> GroupRecord:
    nodes = tuple(node if known.name.lower() == node.name.lower() else known for known in group.nodes)
    return replace(group, nodes=nodes)


def _changed(node: NodeRecord, driver: str, options: UpdateOptions) -> NodeRecord:
    """The node with what was given in the place of what it had; all else stays."""
    from buildwright.drivers.table import settle

    given = settle(driver, driver_options(options.driver_opts) or {})
    _check_taken(node, driver, [name for name, value in given.items() if not value])
    config = daemon_config.load(options.daemon_config) if options.daemon_config else None
    if given:
        opts = {name: value for name, value in {**(node.driver_opts or {}), **given}.items() if value}
        node = replace(node, driver_opts=opts)
    if options.daemon_config is not None:
        node = replace(node, files=config.files if config else None)
    if options.daemon_flags is not None:
        allowed = config.entitlements if config else ()
        node = replace(node, flags=daemon_flags.resolve(daemon_flags.parse(options.daemon_flags), driver, allowed))
    return node


def _check_taken(node: NodeRecord, driver: str, names: Sequence[str]) -> None:
    """Refuse to take away what no node could have; what this one does not have is no error."""
    from buildwright.drivers import table

    for name in names:
        try:
            table.make(driver, replace(node, driver_opts={name: ""}).node())
        except DriverOptionError as error:
            if not error.known:
                raise
