"""Which node builds which platforms; pure.

The choice is buildx's (build/resolver/driver.go): first by what the nodes were created for, to the letter; when that
leaves a platform over, again by what the workers of all nodes run besides. A platform that no node fits goes to the
first node, which emulates it or says that it cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from buildwright.build.match import Vector, itself, ranks_before, runnable, serves
from buildwright.errors import BuilderNotFoundError
from buildwright.model.node import Builder, Node
from buildwright.model.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """`platforms` in the order asked for; empty when the node's own default is built."""

    node: Node
    platforms: tuple[Platform, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """`nodes` by the order of what was asked for, at least one. `certain` means that every platform had its node."""

    nodes: tuple[NodePlan, ...]
    certain: bool


def plan(
    platforms: tuple[Platform, ...], builder: Builder, workers: Mapping[str, Sequence[Platform]] | None = None
) -> BuildPlan:
    """Give each platform a node; `workers`, by name of node, makes it the second of the two passes.

    Raises BuilderNotFoundError for a builder without nodes.
    """
    if not builder.nodes:
        raise BuilderNotFoundError(
            f"builder {builder.name} has no nodes: add one with create --append", name=builder.name
        )
    first = builder.nodes[0]
    if not platforms or len(builder.nodes) == 1:
        return BuildPlan(nodes=(NodePlan(node=first, platforms=platforms),), certain=True)
    vector: Vector = itself if workers is None else runnable
    known = {node.name: (*node.platforms, *(workers or {}).get(node.name, ())) for node in builder.nodes}
    chosen = [_node_for(platform.normalized(), builder.nodes, known, vector) for platform in platforms]
    shares: dict[str, tuple[Node, list[Platform]]] = {}
    for platform, found in zip(platforms, chosen, strict=True):
        node = found or first
        shares.setdefault(node.name, (node, []))[1].append(platform)
    return BuildPlan(
        nodes=tuple(NodePlan(node=node, platforms=tuple(share)) for node, share in shares.values()),
        certain=None not in chosen,
    )


def _node_for(
    wanted: Platform, nodes: Sequence[Node], known: Mapping[str, Sequence[Platform]], vector: Vector
) -> Node | None:
    """The node with the platform that fits best; of equal ones the earliest."""
    best: tuple[Node, Platform] | None = None
    for node in nodes:
        for platform in known[node.name]:
            candidates = vector(platform)
            if serves(candidates, wanted) and (best is None or ranks_before(candidates, wanted, best[1])):
                best = node, platform.normalized()
    return best[0] if best else None
