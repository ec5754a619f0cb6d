"""Which cluster a node belongs to: found when it is created, kept in its endpoint, and asked for before each use."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.options import parse
from buildwright.drivers.kubernetes.perseverance import repeated
from buildwright.drivers.kubernetes.pins import Pins, is_cluster_address
from buildwright.errors import BuildwrightError, ClusterError, ConfigurationError
from buildwright.kube.api import FORBIDDEN, NAMESPACE, Cluster
from buildwright.model.node import Node

if TYPE_CHECKING:
    from buildwright.kube.config import ClusterConfig

_ORIGIN = "kube-system"
"""The namespace that every cluster is born with, and whose UID is taken for the cluster's."""
_PATIENCE = 3.0
_TRUSTED = 60.0

_asked: dict[tuple[str | None, ...], float] = {}
"""Until when the cluster at an address need not be asked again whether it is the one that is meant."""


async def connect(fleet: Fleet) -> Cluster:
    """The fleet's namespace of its cluster; the caller closes it.

    Raises ConfigurationError for a kubeconfig that is missing or unusable, and for a cluster that is known to be
    another than the one that the node was created in.
    """
    config = configuration(fleet)
    cluster = Cluster(config)
    try:
        await _check(cluster, Pins.read(fleet.node.endpoint), fleet)
    except BaseException:
        await cluster.aclose()
        raise
    return cluster


def configuration(fleet: Fleet) -> ClusterConfig:
    """How the node's cluster is reached, with the node's namespace; raises as `connect` does but asks nobody."""
    from buildwright.kube import config, docker_context

    endpoint, options = fleet.node.endpoint, fleet.options
    pins = Pins.read(endpoint)
    found = None if is_cluster_address(endpoint) else docker_context.load(endpoint, os.environ)
    if found is not None and options.context:
        raise ConfigurationError(
            f'node {fleet.node.name} has both the docker context "{endpoint}" and the driver option context: leave '
            "one of them out"
        )
    if found is None:
        found = config.load(pins.kubeconfig, context=options.context or pins.context)
    return replace(found, namespace=options.namespace or pins.namespace or found.namespace)


def settled(node: Node, before: Node | None, environ: Mapping[str, str]) -> str:
    """The endpoint with which a node that is created, or that was `before`, keeps context and namespace.

    A node that exists stays where it is unless its option `context` names another. The cluster's identity is left
    for `identified`. Raises ConfigurationError when there is no such context.
    """
    from buildwright.kube.config import load

    if not is_cluster_address(node.endpoint):
        return node.endpoint
    options, pins = parse(node.driver_opts), Pins.read(node.endpoint)
    if before is not None and options.context in ("", pins.context):
        return node.endpoint
    config = load(pins.kubeconfig if before else "", context=options.context, environ=environ)
    namespace = "" if options.namespace else config.namespace
    return Pins(kubeconfig=pins.kubeconfig, context=config.context, namespace=namespace).kept_in(node.endpoint)


async def identified(node: Node) -> str:
    """The node's endpoint with the identity of its cluster, or as it is when that cannot be read within 3 seconds."""
    if not is_cluster_address(node.endpoint):
        return node.endpoint
    try:
        async with asyncio.timeout(_PATIENCE), Cluster(configuration(Fleet.of(node))) as cluster:
            found = await _identity(cluster)
    except (BuildwrightError, TimeoutError):
        return node.endpoint
    pins = replace(Pins.read(node.endpoint), cluster=found, server=cluster.config.server if found else "")
    return pins.kept_in(node.endpoint)


async def _check(cluster: Cluster, pins: Pins, fleet: Fleet) -> None:
    """Refuse another cluster than the one kept. One that does not let us see who it is passes.

    One that only fails to say so does not: raises what it says, once it has been asked a few times.
    """
    config = cluster.config
    trusted = config.credentials.cluster
    trust = trusted.certificate_auth, trusted.certificate_auth_data
    key = (pins.cluster, config.server, config.server_name, config.proxy, *trust)
    if not pins.cluster or _asked.get(key, 0.0) > time.monotonic():
        return
    try:
        found = await repeated(partial(_identity, cluster))
    except ClusterError as error:
        if error.status != FORBIDDEN:
            raise
        found = ""
    if found and found != pins.cluster:
        raise ConfigurationError(
            f"node {fleet.node.name} was created in the cluster at {pins.server} (kube-system {pins.cluster}), but "
            f'context "{config.context}" of {config.origin} leads to the one at {config.server} (kube-system {found})'
            ": restore the context, or forget the builder with buildwright rm --keep-daemon"
        )
    _asked[key] = time.monotonic() + _TRUSTED


async def _identity(cluster: Cluster) -> str:
    """The cluster's UID, "" when it does not have the namespace; raises what `Cluster.get` raises."""
    found = await cluster.get(NAMESPACE, _ORIGIN)
    return str(found["metadata"]["uid"]) if found else ""
