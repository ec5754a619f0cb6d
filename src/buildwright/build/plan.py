"""Which node builds which platforms; pure. A build on several nodes is refused until results can be merged."""

from __future__ import annotations

from dataclasses import dataclass

from buildwright.errors import BuilderNotFoundError, UsageError
from buildwright.model.node import Builder, Node
from buildwright.model.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """`platforms` in the order asked for; empty when the node's own default is built."""

    node: Node
    platforms: tuple[Platform, ...]


def plan(platforms: tuple[Platform, ...], builder: Builder) -> NodePlan:
    """Choose by the platforms that the nodes were created for, the first node standing in for unmatched ones.

    Raises BuilderNotFoundError for a builder without nodes, UsageError when one build would need several nodes.
    """
    if not builder.nodes:
        raise BuilderNotFoundError(
            f"builder {builder.name} has no nodes: add one with create --append", name=builder.name
        )
    chosen = [_node_for(platform, builder) for platform in platforms] or [builder.nodes[0]]
    names = dict.fromkeys(node.name for node in chosen)
    if len(names) > 1:
        raise UsageError(
            f"platforms {', '.join(map(str, platforms))} are spread over the nodes {', '.join(names)} and one build "
            "uses one node in this version: build them one --platform at a time"
        )
    return NodePlan(node=chosen[0], platforms=platforms)


def _node_for(platform: Platform, builder: Builder) -> Node:
    for node in builder.nodes:
        if platform in node.platforms:
            return node
    return builder.nodes[0]
