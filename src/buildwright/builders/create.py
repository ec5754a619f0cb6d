"""Making and changing builders: from what the user asked for to a record in the store, and back when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from buildwright.builders import change, daemon_config, daemon_flags, endpoint, names
from buildwright.builders.change import NodeChange
from buildwright.builders.docker_contexts import DEFAULT, DockerContexts
from buildwright.builders.open import check_driver, driver_for
from buildwright.builders.record import GroupRecord, NodeRecord
from buildwright.builders.store import Transaction
from buildwright.errors import BuilderNotFoundError, BuildwrightError, UsageError
from buildwright.model import csvvalue
from buildwright.model.node import Builder


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOptions:
    """What `create` was asked for. "" and empty mean that it was not said; `daemon_flags` None likewise."""

    name: str = ""
    driver: str = ""
    node: str = ""
    endpoint: str = ""
    platforms: Sequence[str] = ()
    driver_opts: Sequence[str] = ()
    daemon_flags: str | None = None
    daemon_config: str = ""
    append: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A builder that was saved, and what the store had before it."""

    record: GroupRecord
    before: GroupRecord | None
    needs_restart: bool
    placed: tuple[str, ...] = ()
    """Names of the nodes that are at a place where there was none of them before."""
    warnings: tuple[str, ...] = ()
    """Sentences about the nodes that are new or changed."""

    @property
    def builder(self) -> Builder:
        return self.record.builder()


def create(
    transaction: Transaction,
    contexts: DockerContexts,
    environ: Mapping[str, str],
    options: CreateOptions,
    default_config: str = "",
) -> Created:
    """Make a builder, or change a node of one, and save it. Nothing is saved when anything is wrong.

    `default_config` is the daemon configuration of nodes that name none. Raises UsageError, DriverOptionError,
    ConfigurationError or StoreError.
    """
    from buildwright.drivers.table import settle_place

    name = _name(transaction, contexts, options)
    before = transaction.get(name)
    if before is None and options.append:
        raise BuilderNotFoundError(f'failed to find instance "{name}" to append to', name=name)
    driver = options.driver or (before.driver if before else _default_driver(environ, options.endpoint))
    _check_fit(name, before, driver, options, contexts)
    again = before is not None and not (options.node or options.append)
    group = GroupRecord(name=name, driver=driver) if before is None or again else before
    existing = bool(options.node) and change.find(group, options.node) is not None
    asked = _change(options, driver, environ, default_config, existing=existing)
    address = _address(name, driver, environ, options, existing=existing)
    after = change.update(group, asked, address)
    known = {node.name: node for node in group.builder().nodes}
    drivers = [(node, driver_for(after.builder(), node)) for node in after.builder().nodes]
    changed = [(node, made) for node, made in drivers if node != known.get(node.name)]
    places = {node.name: settle_place(driver, node, known.get(node.name), environ) for node, _ in changed}
    after = change.moved(after, places)
    if before is not None and again:
        _check_same(before, after)
        return Created(record=before, before=before, needs_restart=False)
    transaction.save(after)
    return Created(
        record=after,
        before=before,
        needs_restart=existing and asked.needs_restart,
        placed=tuple(name for name, place in places.items() if name not in known or known[name].endpoint != place),
        warnings=tuple(dict.fromkeys(warning for _, made in changed for warning in made.traits.warnings)),
    )


async def identify(created: Created) -> dict[str, str]:
    """New endpoints of nodes that are new at their place: with the identity of what they lead to.

    Takes a few seconds at most and raises nothing: what cannot be asked is not identified.
    """
    from buildwright.drivers.table import identify as identified

    nodes = [node for node in created.builder.nodes if node.name in created.placed]
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(identified(created.record.driver, node)) for node in nodes]
    found = zip(nodes, asked, strict=True)
    return {node.name: task.result() for node, task in found if task.result() != node.endpoint}


async def drift(created: Created, there: Collection[str]) -> list[str]:
    """Sentences about nodes new to this store that somebody has made with other options.

    `there` are the names of nodes that have been made. Raises nothing: what may not be compared is not told.
    """
    from buildwright.drivers.table import update

    told = []
    for node in created.builder.nodes:
        if node.name not in created.placed or node.name not in there:
            continue
        with suppress(BuildwrightError):
            if fields := _of_workload(await update(created.record.driver, node, node).plan()):
                told.append(
                    f"node {node.name} is there already, and not as it is asked for here ({', '.join(fields)}): it "
                    f"stays so until buildwright update {created.record.name}, whose --dry-run shows the difference"
                )
    return told


def _of_workload(lines: Sequence[str]) -> list[str]:
    """The fields that differ, of the workload alone: somebody may be about to make what belongs to it."""
    fields, ours = [], False
    for line in lines:
        if not line.startswith(" "):
            ours = line.startswith(("Deployment ", "StatefulSet "))
        elif ours:
            fields.append(line.strip().partition(": ")[0])
    return fields


def keep(transaction: Transaction, created: Created, places: Mapping[str, str]) -> None:
    """Save nodes with the endpoints that `identify` found, unless somebody changed the builder since."""
    if transaction.get(created.record.name) == created.record:
        transaction.save(change.moved(created.record, places))


def undo(transaction: Transaction, created: Created) -> None:
    """Put back what `create` found, unless somebody changed the builder since."""
    if transaction.get(created.record.name) != created.record:
        return
    if created.before is None:
        transaction.remove(created.record.name)
    else:
        transaction.save(created.before)


def leave(transaction: Transaction, name: str, node: str) -> None:
    """Take a node out of a builder. Its daemon keeps running; raises UsageError or BuilderNotFoundError."""
    if not name or not node:
        raise UsageError("--leave needs the builder's --name and the --node that leaves it")
    group = transaction.get(name)
    if group is None:
        raise BuilderNotFoundError(f'failed to find instance "{name}" to leave', name=name)
    after = change.leave(group, node)
    transaction.remove_refs(group.name, node.lower())
    transaction.save(after)


def driver_options(texts: Sequence[str]) -> dict[str, str] | None:
    """Read `--driver-opt` values, a later one over an earlier one; None when there are none."""
    found: dict[str, str] = {}
    for text in texts:
        try:
            found.update(csvvalue.pair(field) for field in csvvalue.fields(text))
        except ValueError as error:
            # Not the text itself: an env.* option may hold a secret.
            raise UsageError(f"flag --driver-opt: {error}") from None
    return found if texts else None


def _name(transaction: Transaction, contexts: DockerContexts, options: CreateOptions) -> str:
    if not options.name:
        if options.append:
            raise UsageError("--append needs the --name of the builder to append to")
        return names.generate(transaction.exists)
    names.check(options.name)
    if options.name == DEFAULT:
        raise UsageError('"default" is a reserved name: it stands for docker\'s own builder')
    if not options.append and options.name in contexts.hosts:
        raise UsageError(f'instance name "{options.name}" already exists as a docker context: choose another --name')
    return options.name


def _default_driver(environ: Mapping[str, str], address: str) -> str:
    if endpoint.scheme(address) in endpoint.REMOTE_SCHEMES or (not address and environ.get("BUILDKIT_HOST")):
        return "remote"
    return "docker-container"


def _check_fit(
    name: str, before: GroupRecord | None, driver: str, options: CreateOptions, contexts: DockerContexts
) -> None:
    again = before is not None and not (options.node or options.append)
    if before is not None and again and not options.driver == before.driver == "kubernetes":
        raise UsageError(
            f'builder "{name}" exists: add --append for another node, or name the --node to change, '
            f"one of {', '.join(node.name for node in before.nodes)}"
        )
    if before is not None and before.driver != driver:
        raise UsageError(f'builder "{name}" has the driver "{before.driver}", not "{driver}"')
    check_driver(driver, explicit=bool(options.driver))
    if driver == "kubernetes" and options.endpoint and options.endpoint not in contexts.clusters:
        raise UsageError(
            f'"{options.endpoint}" is no docker context with a kubernetes endpoint: give none, and the cluster is '
            "that of the kubeconfig"
        )
    if driver == "remote" and options.daemon_config:
        raise UsageError("the remote driver takes no --buildkitd-config: configure the daemon where it runs")
    if driver == "remote" and options.daemon_flags:
        raise UsageError("the remote driver takes no --buildkitd-flags: give them to the daemon where it runs")


def _check_same(before: GroupRecord, asked: GroupRecord) -> None:
    """Several jobs may make one builder; raises UsageError when they want different ones."""
    (node,) = asked.nodes
    at = change.find(before, node.name)
    name, append = before.name, "add --append for another node"
    if at is None:
        differences: tuple[str, ...] = (f"no node {node.name}",)
        advice = f"choose another --name, or {append}"
    else:
        known = before.nodes[at]
        differences = change.differences(known, node)
        advice = f'change it with "buildwright update {name}", or {append}'
        moves = not endpoint.alike(known.endpoint, node.endpoint)
        if moves:
            differences = (*differences, "another kubeconfig, context or namespace")
        if moves or not _updatable(before.driver, known, node):
            advice = (
                f'remove it with "buildwright rm {name}" ("buildwright rm --keep-daemon {name}" forgets it where its '
                f"cluster is gone), choose another --name, or {append}"
            )
    if differences:
        raise UsageError(f'builder "{name}" exists and is not the one asked for ({"; ".join(differences)}): {advice}')


def _updatable(driver: str, before: NodeRecord, after: NodeRecord) -> bool:
    """Whether `update` takes such a change, as far as that can be known without the cluster."""
    from buildwright.drivers.table import update

    try:
        update(driver, before.node(), after.node())
    except UsageError:
        return False
    return True


def _change(
    options: CreateOptions, driver: str, environ: Mapping[str, str], default_config: str, *, existing: bool
) -> NodeChange:
    from buildwright.drivers.table import settle

    path = options.daemon_config or ("" if existing or driver == "remote" else default_config)
    config = daemon_config.load(path) if path else None
    given = options.daemon_flags is not None or not existing
    driver_opts = driver_options(options.driver_opts)
    flags = daemon_flags.resolve(
        daemon_flags.parse(options.daemon_flags or ""), driver, config.entitlements if config else ()
    )
    return NodeChange(
        node=options.node,
        append=options.append,
        endpoint=_new_address(driver, options, environ) if existing else None,
        platforms=change.parse_platforms(options.platforms),
        driver_opts=None if driver_opts is None else settle(driver, driver_opts),
        flags=flags if given else None,
        files=config.files if config else None,
    )


def _new_address(driver: str, options: CreateOptions, environ: Mapping[str, str]) -> str | None:
    if driver != "remote":
        return options.endpoint or None
    address = options.endpoint or environ.get("BUILDKIT_HOST", "")
    return endpoint.remote(address) if address else None


def _address(name: str, driver: str, environ: Mapping[str, str], options: CreateOptions, *, existing: bool) -> str:
    if existing:
        return ""
    if driver == "kubernetes":
        return options.endpoint or endpoint.kubernetes(name, options.node, environ.get("KUBECONFIG", ""))
    return endpoint.remote(options.endpoint or environ.get("BUILDKIT_HOST", ""))
