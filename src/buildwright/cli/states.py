"""Builders' states as JSON, in the form of `docker buildx ls --format json`."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from buildwright.build.survey import BuilderState, NodeState
from buildwright.builders.record import go_json
from buildwright.model.worker import GCPolicy

_UNKNOWN = {"Endpoint": "", "Name": ""}
"""What buildx writes for the nodes of a builder that is in error."""
_NEVER = "0001-01-01T00:00:00Z"


def to_json(state: BuilderState, *, current: bool) -> str:
    """One line of JSON for a builder, keys in alphabetical order."""
    builder = state.builder
    document: dict[str, object] = {
        "Current": current,
        "Driver": builder.driver,
        "Dynamic": state.dynamic,
        "LastActivity": builder.last_activity or _NEVER,
        "Name": builder.name,
        "Nodes": [_node(node) for node in state.nodes] or [_UNKNOWN for _ in builder.nodes] or None,
    }
    if state.error:
        document["Err"] = str(state.error).strip()
    return go_json(_sorted(document)).decode()


def hides(content: bytes) -> bool:
    """Whether a node's file is secret: private keys are never shown."""
    return b"PRIVATE KEY" in content


def _node(state: NodeState) -> dict[str, object]:
    node, workers = state.node, state.workers
    document: dict[str, object] = {
        "Name": node.name,
        "Endpoint": node.endpoint,
        "Flags": list(node.flags),
        "DriverOpts": dict(node.driver_opts),
        "Files": {
            name: base64.b64encode(content).decode() for name, content in node.files.items() if not hides(content)
        },
        "Status": "error" if state.error else (state.status or ""),
        "Version": state.version,
        "Err": str(state.error).strip() if state.error else "",
        "IDs": sorted(worker.id for worker in workers),
        "Platforms": [str(platform) for platform in state.platforms],
        "GCPolicy": [_policy(policy) for policy in workers[0].gc_policy] if workers else [],
        "Labels": dict(workers[0].labels) if workers else {},
    }
    return {key: value for key, value in document.items() if value or key in ("Name", "Endpoint")}


def _policy(policy: GCPolicy) -> dict[str, object]:
    return {
        "all": policy.all,
        "filter": list(policy.filters) or None,
        "keepDuration": policy.keep_duration,
        "reservedSpace": policy.reserved_space,
        "maxUsedSpace": policy.max_used_space,
        "minFreeSpace": policy.min_free_space,
    }


def _sorted(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
