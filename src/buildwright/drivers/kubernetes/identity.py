"""Which cluster a node belongs to."""

from __future__ import annotations

from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.name import kubeconfig_of
from buildwright.kube.api import Cluster


async def connect(fleet: Fleet) -> Cluster:
    """The fleet's namespace of its cluster; the caller closes it.

    Raises ConfigurationError for a kubeconfig that is missing or unusable.
    """
    from buildwright.kube.config import load

    config = load(kubeconfig_of(fleet.node.endpoint), context=fleet.options.context)
    return Cluster(config, namespace=fleet.options.namespace)
