"""How running builds hold up what would end their pod: parts of the objects, pure.

A build is a process `buildctl dial-stdio` in the daemon's container, ours as well as buildx's, and it is gone as soon
as the build's client is. The container's preStop hook waits while there are any, so rollout, scale-down and eviction
do. An eviction is not even begun while a pod has the label LEASE: a PodDisruptionBudget selects those that have it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

LEASE = "buildwright/lease"
"""Label of a pod that a build protects; its value is the name of the build's Lease."""

AFTER = 5
"""Seconds for the daemon to end after the hook. One that still builds takes all of them, an idle one a moment."""

_WAIT = """\
read -r now _ </proc/uptime
end=$((${{now%.*}} + {seconds}))
while grep -qs 'dial[-]stdio' /proc/[0-9]*/cmdline && [ "${{now%.*}}" -lt "$end" ]; do
  sleep 1
  read -r now _ </proc/uptime
done
"""
"""The pattern does not match itself, which is in the cmdline of this very shell."""


def hook(bound: float) -> dict[str, Any]:
    """A container's `lifecycle`; empty when nothing shall be waited for."""
    if not bound:
        return {}
    script = _WAIT.format(seconds=math.ceil(bound))
    return {"preStop": {"exec": {"command": ["sh", "-c", script]}}}


def grace(bound: float) -> int | None:
    """`terminationGracePeriodSeconds` of a pod with such a hook; None for the cluster's default."""
    return math.ceil(bound) + AFTER if bound else None


def budget(name: str, selector: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, Any]:
    """The PodDisruptionBudget of the workload called `name`, whose pods have the labels `selector`."""
    protected = [{"key": LEASE, "operator": "Exists"}]
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": dict(selector), "matchExpressions": protected}},
    }
