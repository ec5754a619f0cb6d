"""The smallest Role for a builder, as YAML that `kubectl apply` takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from buildwright.drivers.kubernetes.checkup.rights import Right, Role, of_role, rights
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.identity import configuration
from buildwright.model.node import Node

_MAY = {
    Role.USER: "What building on the builders in this namespace needs, and nothing more.",
    Role.ADMIN: "What making, changing and removing builders in this namespace needs, building on them included.",
}

_CLUSTER = """\
# Optional: rights on the whole cluster, which builds do not need and only its administrator can give. Without the
# first rule builders do not know their cluster by its identity, and a context that leads to another goes unnoticed.
# Without the second doctor does not examine nodes, and a pod that fits nowhere is told without their taints.
# ---
# apiVersion: rbac.authorization.k8s.io/v1
# kind: ClusterRole
# metadata: {name: buildwright-cluster, labels: {app.kubernetes.io/managed-by: buildwright}}
# rules:
# - {apiGroups: [""], resources: [namespaces], resourceNames: [kube-system], verbs: [get]}
# - {apiGroups: [""], resources: [nodes], verbs: [list]}
# ---
# apiVersion: rbac.authorization.k8s.io/v1
# kind: ClusterRoleBinding
# metadata: {name: buildwright-cluster, labels: {app.kubernetes.io/managed-by: buildwright}}
# roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: buildwright-cluster}
# subjects:
# - {kind: Group, name: developers, apiGroup: rbac.authorization.k8s.io}
"""


def for_nodes(nodes: Sequence[Node], name: str, *, planned: bool = False) -> str:
    """The smallest Roles for these nodes, one for each namespace; `planned`: their files are not known yet. What
    only a ClusterRole gives is a comment at the end.

    Raises ConfigurationError when a namespace is left to the kubeconfig and that cannot be read.
    """
    by_namespace: dict[str, list[Right]] = {}
    for node in nodes:
        fleet = Fleet.of(node)
        namespace = fleet.options.namespace or configuration(fleet).namespace
        by_namespace.setdefault(namespace, []).extend(rights(fleet, any_files=planned))
    return "---\n".join(write(Role(name), namespace, found) for namespace, found in by_namespace.items()) + _CLUSTER


def write(role: Role, namespace: str, found: Iterable[Right]) -> str:
    """A Role with the rights of `found` that belong to `role`, and a RoleBinding without subjects."""
    name = f"buildwright-{role}"
    chosen = of_role(role, found)
    lines = [
        f"# {_MAY[role]}",
        *_head("Role", name, namespace),
        "rules:",
        "# Required.",
        *_rules(right for right in chosen if right.required),
    ]
    optional = sorted((right for right in chosen if not right.required), key=lambda right: right.without)
    if optional:
        lines.append("# Optional: each rule says what is lost without it.")
    for without, alike in groupby(optional, key=lambda right: right.without):
        lines += [f"# Without: {without}.", *_rules(alike)]
    lines += [
        "---",
        *_head("RoleBinding", name, namespace),
        f"roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}}}",
        "# Nobody has the Role yet. Who has it is yours to say, here or once it is applied; applying it again leaves",
        "# that as it is:",
        f"# kubectl -n {namespace} set subject rolebinding {name} --user=jane@example.com --group=developers \\",
        f"#   --serviceaccount={namespace}:ci",
        "# subjects:",
        "# - {kind: User, name: jane@example.com, apiGroup: rbac.authorization.k8s.io}",
        "# - {kind: Group, name: developers, apiGroup: rbac.authorization.k8s.io}",
        f"# - {{kind: ServiceAccount, name: ci, namespace: {namespace}}}",
    ]
    return "\n".join(lines) + "\n"


def rules(found: Iterable[Right]) -> list[dict[str, list[str]]]:
    """Rights as rules of a Role, those of one resource together."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for right in found:
        verbs.setdefault((right.group, right.resource), []).append(right.verb)
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": list(dict.fromkeys(words))}
        for (group, resource), words in verbs.items()
    ]


def _rules(found: Iterable[Right]) -> Iterator[str]:
    for rule in rules(found):
        first, *rest = (f"{key}: {json.dumps(values)}" for key, values in rule.items())
        yield f"- {first}"
        yield from (f"  {line}" for line in rest)


def _head(kind: str, name: str, namespace: str) -> tuple[str, ...]:
    meta = f"{{name: {name}, namespace: {namespace}, labels: {{app.kubernetes.io/managed-by: buildwright}}}}"
    return ("apiVersion: rbac.authorization.k8s.io/v1", f"kind: {kind}", f"metadata: {meta}")
