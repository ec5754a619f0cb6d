"""The scheduler's message about a pod that no node takes, taken apart. Pure.

The form is kube-scheduler's FitError: `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint
{a: b}. preemption: ...`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from buildwright.drivers.kubernetes.options import Options
from buildwright.drivers.kubernetes.startup.words import flat

_COUNTED = re.compile(r"\b(\d+) (.+?)(?=, \d+ |$)")
_REST = re.compile(r"[.,]* no new claims to deallocate.*|[.,]* preemption: .*|[.,]+$")
_NODES = re.compile(r"node\(s\) ?")
_NO_CLASS = re.compile(r"storageclass\S* \"?([^\s\"]+)\"? not found")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps `nodes` of the nodes from taking the pod. `heals` says whether time alone may remove it."""

    nodes: int
    text: str
    remedy: str
    heals: bool


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why no node takes a pod. `final` when no node will, unless the pod or the nodes change."""

    text: str
    remedy: str
    final: bool


@dataclass(frozen=True, slots=True)
class Taint:
    """A node's taint, as of its specification."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"

    @classmethod
    def all_of(cls, node: Mapping[str, Any]) -> list[Taint]:
        found = (node.get("spec") or {}).get("taints") or ()
        return [cls(taint.get("key", ""), taint.get("value") or "", taint.get("effect", "")) for taint in found]

    def binds(self, tolerations: Iterable[Mapping[str, Any]]) -> bool:
        """Whether it keeps pods away that have these tolerations (core/v1 Toleration.ToleratesTaint).

        An empty key tolerates every key, an empty effect every effect.
        """
        return self.effect in ("NoSchedule", "NoExecute") and not any(
            toleration.get("key", "") in ("", self.key)
            and toleration.get("effect", "") in ("", self.effect)
            and (toleration.get("operator") == "Exists" or toleration.get("value", "") == self.value)
            for toleration in tolerations
        )


def read(message: str, options: Options, taints: Sequence[Taint] = ()) -> Misfit:
    """What the message of PodScheduled=False means for a pod made from `options`.

    `taints` are those of all nodes, as far as they are known: schedulers since 1.34 do not name them.
    """
    obstacles = parse(message, options, taints)
    if not obstacles:
        return Misfit(flat(message), "", final=bool(_NO_CLASS.search(message)))
    words = ", ".join(f"{obstacle.nodes} {obstacle.text}" for obstacle in obstacles)
    remedies = dict.fromkeys(obstacle.remedy for obstacle in obstacles if obstacle.remedy)
    final = not any(obstacle.heals for obstacle in obstacles)
    return Misfit(f"no node fits ({words})", "; or ".join(remedies), final)


def parse(message: str, options: Options, taints: Sequence[Taint] = ()) -> tuple[Obstacle, ...]:
    said = " ".join(message.split())
    head, separator, reasons = said.partition("nodes are available: ")
    if not separator or not head.startswith("0/"):
        return ()
    # "Preemption is not helpful" means for a lack of resources that no node is large enough, not that all are full.
    helpless = sum(int(count) for count in re.findall(r"(\d+) Preemption is not helpful", said))
    nodes = int(re.sub(r"\D", "", head.partition("/")[2]) or 0)
    too_large = 0 < nodes <= helpless
    return tuple(
        _obstacle(int(count), reason, options, taints, too_large)
        for count, reason in _COUNTED.findall(_REST.sub("", reasons))
    )


def _obstacle(nodes: int, reason: str, options: Options, taints: Sequence[Taint], too_large: bool) -> Obstacle:
    text = _NODES.sub("", reason)
    if found := re.match(r"Insufficient (\S+)", reason):
        return Obstacle(nodes, f"with insufficient {found[1]}", _smaller(found[1], options), heals=not too_large)
    borne = [taint for taint in taints if taint.binds(options.tolerations)]
    if reason.endswith("untolerated taint(s)") and borne:
        system = [taint for taint in borne if _SYSTEM.match(taint.key)]
        remedies = dict.fromkeys(_toleration(taint.key, taint.value) for taint in borne if taint not in system)
        keys = ", ".join(dict.fromkeys(taint.key for taint in borne))
        return Obstacle(nodes, f"had untolerated taints of {keys}", "; or ".join(remedies), heals=bool(system))
    for pattern, remedy, heals in _KNOWN:
        if found := pattern.search(reason):
            return Obstacle(nodes, text, remedy(found, options), heals)
    return Obstacle(nodes, text, "", heals=True)


def _smaller(resource: str, options: Options) -> str:
    given = [
        f"{kind}.{resource}={values[resource]}"
        for kind, values in (("requests", options.requests), ("limits", options.limits))
        if resource in values
    ]
    return f"lower the driver option {given[0]}" if given else ""


def _tolerate(found: re.Match[str], options: Options) -> str:
    return _toleration(found[1].strip(), found[2].strip())


def _toleration(key: str, value: str) -> str:
    return f'set the driver option "tolerations=key={key},{f"value={value}" if value else "operator=Exists"}"'


def _selector(found: re.Match[str], options: Options) -> str:
    if options.node_selector:
        pairs = ",".join(f"{key}={value}" for key, value in options.node_selector.items())
        return f"change the driver option nodeselector={pairs}"
    return "change the driver option affinity" if options.affinity else "change the driver option podtemplate"


def _option(words: str) -> Callable[[re.Match[str], Options], str]:
    return lambda found, options: words


_SYSTEM = re.compile(r"node\.(kubernetes|cloudprovider\.kubernetes)\.io/")
"""Taints that the cluster sets and takes away by itself."""
_Remedy = Callable[[re.Match[str], Options], str]

_KNOWN: tuple[tuple[re.Pattern[str], _Remedy, bool], ...] = (
    (re.compile(r"taint(?:\(s\))? \{?node\.(?:kubernetes|cloudprovider\.kubernetes)\.io/"), _option(""), True),
    (re.compile(r"untolerated taint(?:\(s\))? \{([^:}]+): ?([^}]*)\}"), _tolerate, False),
    (
        re.compile(r"untolerated taint|didn't tolerate"),
        _option("set the driver option tolerations (kubectl describe nodes shows the taints)"),
        False,
    ),
    (re.compile(r"match Pod's node affinity|match node selector"), _selector, False),
    (
        re.compile(r"volume node affinity conflict"),
        _option(
            "change the driver option nodeselector, or remove the builder with its volume claim (buildwright rm)"
        ),
        False,
    ),
    (re.compile(r"were unschedulable"), _option("let a node take pods again with kubectl uncordon"), True),
    (re.compile(r"topology spread"), _option("relax the driver option topologyspread"), True),
    (re.compile(r"pod (?:anti-)?affinity"), _option("relax the driver option affinity"), True),
)
"""What says it, what to do, and whether time alone may remove it."""
