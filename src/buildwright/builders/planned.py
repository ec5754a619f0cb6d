"""A builder that is not stored: what `create` would make of the same options."""

from __future__ import annotations

from collections.abc import Sequence

from buildwright.builders.create import driver_options
from buildwright.model.node import Builder, Node

_NAME = "new"


def planned(texts: Sequence[str]) -> Builder:
    """A builder of the kubernetes driver with these `--driver-opt` values, in the cluster of the kubeconfig.

    Raises UsageError or DriverOptionError for values that are wrong.
    """
    from buildwright.drivers.table import settle

    node = Node(name=f"{_NAME}0", endpoint="", driver_opts=settle("kubernetes", driver_options(texts) or {}))
    return Builder(name=_NAME, driver="kubernetes", nodes=(node,))
