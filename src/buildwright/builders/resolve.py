"""Which builder a command means: the one it names, else the one chosen before, else what the environment offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from buildwright.builders import docker_contexts
from buildwright.builders.docker_contexts import DEFAULT, DockerContexts
from buildwright.builders.store import Store, Transaction
from buildwright.errors import BuilderNotFoundError, StoreError, UsageError
from buildwright.model.node import Builder, Node

ENVIRONMENT_BUILDER = "buildkit-host"
"""The name of the builder that BUILDKIT_HOST stands for while no other is chosen."""


async def resolve(
    name: str = "",
    *,
    environ: Mapping[str, str],
    on_wait: Callable[[str], None] = lambda _: None,
    touch: bool = False,
) -> Builder:
    """The builder to use: `name`, else `$BUILDX_BUILDER`, else the current one (`current` says which that is).

    `touch` notes that it is used now; `on_wait` is told when another process holds the store for long. Raises
    BuilderNotFoundError for a name that is neither a builder nor a docker context, StoreError when the store or the
    builder's file cannot be read, ConfigurationError when docker's configuration is damaged.
    """
    contexts = docker_contexts.read(environ)
    async with Store(environ, on_wait).transaction() as transaction:
        builder = find(transaction, contexts, environ, name or environ.get("BUILDX_BUILDER", ""))
        if touch and transaction.exists(builder.name):
            with suppress(StoreError):  # where nothing can be written, builds go on
                transaction.touch(builder.name)
        return builder


def find(transaction: Transaction, contexts: DockerContexts, environ: Mapping[str, str], name: str = "") -> Builder:
    """`resolve` for a caller that holds the lock; looks at no BUILDX_BUILDER."""
    return named(transaction, contexts, name) if name else current(transaction, contexts, environ)


def named(transaction: Transaction, contexts: DockerContexts, name: str) -> Builder:
    """The stored builder of that name, else the docker context's."""
    if (group := transaction.get(name)) is not None:
        return group.builder(transaction.activity(group.name))
    if name in contexts.hosts:
        return of_context(transaction, name)
    raise BuilderNotFoundError(f'no builder "{name}" found: "buildwright ls" shows those that exist', name=name)


def current(transaction: Transaction, contexts: DockerContexts, environ: Mapping[str, str]) -> Builder:
    """The stored builder chosen for the active docker context, else BUILDKIT_HOST's, else the context's own."""
    if (group := transaction.current(contexts.key)) is not None:
        return group.builder(transaction.activity(group.name))
    if address := environ.get("BUILDKIT_HOST"):
        node = Node(name=f"{ENVIRONMENT_BUILDER}0", endpoint=address)
        return Builder(name=ENVIRONMENT_BUILDER, driver="remote", nodes=(node,))
    return of_context(transaction, contexts.active)


def of_context(transaction: Transaction, name: str) -> Builder:
    """The implicit builder of a docker context."""
    node = Node(name=name, endpoint=name)
    return Builder(name=name, driver="", nodes=(node,), docker_context=True, last_activity=transaction.activity(name))


def use(
    transaction: Transaction,
    contexts: DockerContexts,
    name: str,
    *,
    everywhere: bool = False,
    default: bool = False,
) -> None:
    """Make a builder the current one; UsageError for another docker context, which docker itself switches to."""
    if transaction.exists(name):
        transaction.get(name)  # a damaged one is refused here, and not by every later build
        return transaction.set_current(contexts.key, name, everywhere=everywhere, default=default)
    if name in contexts.hosts and name == contexts.active:
        return transaction.set_current(contexts.key, "")
    if name in contexts.hosts:
        raise UsageError(f'"{name}" is a docker context: switch to it with "docker context use {name}"')
    if not name:
        raise UsageError(f'no builder is named: write "buildwright use NAME", or {DEFAULT} for docker\'s own')
    raise BuilderNotFoundError(
        f'failed to find instance "{name}": "buildwright ls" shows the builders that exist', name=name
    )
