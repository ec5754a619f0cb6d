"""What facts about a cluster mean for a builder. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from buildwright.drivers.kubernetes import quantity
from buildwright.drivers.kubernetes.checkup.rights import Right, Role, of_role, summary
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.options import STORAGE_CLASS, Options
from buildwright.drivers.kubernetes.startup import refusal
from buildwright.drivers.kubernetes.startup.scheduling import Taint
from buildwright.kube.server import UNKNOWN, Server, release
from buildwright.model.finding import Finding, Level

SKEW = 30.0
"""Seconds of difference between clocks from which tokens and certificates may be refused."""
ENFORCE = "pod-security.kubernetes.io/enforce"

_OLDEST_SERVER, _OLDEST_DAEMON = (1, 21), (0, 11)
"""The first with PodDisruptionBudgets of policy/v1; the first daemon that says its version."""
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_UNLABELLED = "no level is set for the namespace, so the cluster's default holds"


def server(seen: Server, address: str) -> list[Finding]:
    """The server's version and clock."""
    name = f"{address}, Kubernetes {seen.version or 'of a version that it does not tell'}"
    if UNKNOWN < seen.release < _OLDEST_SERVER:
        oldest = ".".join(map(str, _OLDEST_SERVER))
        found = [Finding(Level.FAILED, "cluster", f"{name}, older than {oldest}", "use a newer cluster")]
    else:
        found = [Finding(Level.OK, "cluster", name)]
    if seen.skew is not None:
        found.append(clock("clock of the server", seen.skew))
    return found


def clock(topic: str, skew: float) -> Finding:
    """A clock that is `skew` seconds ahead of ours."""
    if abs(skew) <= SKEW:
        return Finding(Level.OK, topic, "agrees with this machine's")
    way = "ahead of" if skew > 0 else "behind"
    return Finding(
        Level.WARNING,
        topic,
        f"{abs(skew):.0f} s {way} this machine's",
        "set the clocks by NTP: certificates, tokens and the times of builds depend on them",
    )


def allowed(missing: Sequence[Right], found: Sequence[Right], seen: Server, *, make: bool) -> list[Finding]:
    """Which of `found` there are; `make`: a build would have to make or start the builder first."""
    lost = {
        right for right in missing if not right.since or seen.release == UNKNOWN or seen.release >= (1, right.since)
    }
    results = []
    roles = {Role.USER: ("rights to build", True), Role.ADMIN: ("rights to manage", make)}
    for role, (topic, needed) in roles.items():
        wanted = [right for right in found if right.required and right.role is role]
        if lacking := [right for right in wanted if right in lost]:
            level = Level.FAILED if needed else Level.WARNING
            advice = f"have its administrator apply what buildwright doctor --rbac {role} prints"
            results.append(Finding(level, topic, f"cannot {summary(lacking)}", advice))
        elif wanted:
            results.append(Finding(Level.OK, topic, summary(wanted)))
    manages = not any(right.required and right.role is Role.ADMIN for right in missing)
    return results + _optional(missing, lost, manages=manages)


def _optional(missing: Sequence[Right], lost: set[Right], *, manages: bool) -> list[Finding]:
    """What one goes without, each loss once; all that only managing needs is one loss to who does not manage."""
    losses: dict[str, list[Right]] = {}
    told = {(right.resource, right.verb) for right in lost if right.required}
    for right in of_role(Role.ADMIN, missing):
        if right.required and right not in lost:
            losses.setdefault(f"Kubernetes 1.{right.since} will refuse builds", []).append(right)
        elif (right.resource, right.verb) not in told:
            aside = right.role is Role.ADMIN and not manages
            without = "only who manages builders has a use for these" if aside else right.without
            losses.setdefault(without, []).append(right)
    return [
        Finding(Level.WARNING, "optional rights", f"cannot {summary(rights)}: {without}")
        for without, rights in losses.items()
    ]


# --- pods --------------------------------------------------------------------------------------------------------


def example(fleet: Fleet) -> dict[str, Any]:
    """A pod as the cluster would make it of the workload, to ask whether it would be accepted."""
    template = fleet.workload["spec"]["template"]
    spec = dict(template["spec"])
    claims = fleet.workload["spec"].get("volumeClaimTemplates", ())
    volumes = [{"name": claim["metadata"]["name"], "emptyDir": {}} for claim in claims]
    if volumes:
        spec["volumes"] = [*spec.get("volumes", ()), *volumes]
    metadata = {**template["metadata"], "name": f"{fleet.name}-doctor"[-63:].lstrip("-")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


_TOPICS = (
    (re.compile(r"^namespaces "), "namespace"),
    (re.compile(r"violates PodSecurity"), "pod security"),
    (re.compile(r"(exceeded|failed) quota"), "quota"),
    (re.compile(r"serviceaccount", re.IGNORECASE), "service account"),
    (re.compile(r"PriorityClass"), "priority class"),
)


def refused(message: str, options: Options, namespace: str, level: Level) -> Finding:
    """Why the cluster would not make such a pod; `message` is its own."""
    found = refusal.read(message.removeprefix("the cluster refused: "), options, namespace)
    topic = next((topic for pattern, topic in _TOPICS if pattern.search(found.text)), "admission")
    advice = "create it, or change the driver option namespace" if topic == "namespace" else found.remedy
    return Finding(level, topic, f"the cluster would refuse its pods: {found.text}", advice)


def pod_security(
    labels: Mapping[str, str] | None, options: Options, namespace: str, *, accepted: bool | None, level: Level
) -> Finding:
    """The namespace's level. `labels` None: they cannot be read; `accepted` None: nobody could ask for a pod.

    A pod that the server accepts is proof, whatever the label says.
    """
    name = labels.get(ENFORCE, "") if labels is not None else ""
    words = f"level {name}" if name else _UNLABELLED if labels is not None else "the level cannot be read"
    if accepted:
        return Finding(Level.OK, "pod security", f"the server accepts the builder's pods; {words}")
    if name in ("baseline", "restricted"):
        advice = refusal.read(f"violates PodSecurity {name}", options, namespace).remedy
        return Finding(level, "pod security", f"level {name} forbids the builder's pods", advice)
    if labels is None:
        return Finding(
            Level.UNKNOWN, "pod security", "needs the right to get the namespace, or to create pods, to be examined"
        )
    return Finding(Level.OK, "pod security", words)


# --- nodes -------------------------------------------------------------------------------------------------------


def nodes(fleet: Fleet, items: Iterable[Mapping[str, Any]], level: Level) -> list[Finding]:
    """How many nodes of the cluster could take the fleet's pods, and their architectures."""
    pod = example(fleet)
    seen = list(items)
    reasons = [_why_not(pod["spec"], node) for node in seen]
    fitting = [node for node, reason in zip(seen, reasons, strict=True) if not reason]
    found = sorted({_architecture(node) for node in fitting} - {""})
    besides = "; affinity is not considered" if pod["spec"].get("affinity") else ""
    text = f"{len(fitting)} of {len(seen)} fit"
    others = "".join(f"; {reasons.count(reason)} {reason}" for reason in sorted({*reasons} - {""}))
    if fitting:
        seen_as = Finding(Level.OK, "nodes", f"{text}, of architecture {', '.join(found)}{others}{besides}")
        return [seen_as, *_foreign(fleet, found)]
    advice = "change nodeselector, tolerations or requests, or add nodes; one that an autoscaler adds may fit"
    return [Finding(level, "nodes", f"{text}{others}{besides}", advice)]


def _foreign(fleet: Fleet, found: Sequence[str]) -> list[Finding]:
    """Platforms that the builder's node is said to build and that none of the cluster's runs."""
    foreign = sorted(str(one) for one in fleet.node.platforms if one.architecture not in found)
    if not foreign or fleet.options.qemu:
        return []
    advice = "add nodes of that architecture, or qemu.install=true where none emulates it yet"
    return [Finding(Level.WARNING, "platforms", f"no fitting node runs {', '.join(foreign)} natively", advice)]


def _why_not(spec: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    """Why a node cannot take the pod, as words after a number of nodes; "" when it can."""
    labels = node["metadata"].get("labels") or {}
    inner, status = node.get("spec") or {}, node.get("status") or {}
    conditions = {entry.get("type"): entry.get("status") for entry in status.get("conditions") or ()}
    if conditions.get("Ready") != "True":
        return "not ready"
    if labels.get("kubernetes.io/os", "linux") != "linux":
        return "not Linux"
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return "without the labels of nodeselector"
    if inner.get("unschedulable"):
        return "cordoned"
    for taint in Taint.all_of(node):
        if taint.binds(spec.get("tolerations") or ()):
            return f"with the taint {taint.key}, which no toleration bears"
    return "too small for the requests" if _too_small(spec, status.get("allocatable") or {}) else ""


def _too_small(spec: Mapping[str, Any], allocatable: Mapping[str, str]) -> bool:
    for name, there in allocatable.items():
        wanted = sum(
            quantity.parse(str(resources.get("requests", {}).get(name) or resources.get("limits", {}).get(name) or 0))
            for container in spec["containers"]
            if (resources := container.get("resources") or {})
        )
        if wanted > quantity.parse(str(there)):
            return True
    return False


def _architecture(node: Mapping[str, Any]) -> str:
    info = (node.get("status") or {}).get("nodeInfo") or {}
    return str((node["metadata"].get("labels") or {}).get("kubernetes.io/arch") or info.get("architecture") or "")


# --- what pods refer to ------------------------------------------------------------------------------------------


def storage(wanted: str, items: Iterable[Mapping[str, Any]], level: Level) -> Finding:
    """The storage class of the claims; `items` are all that there are."""
    annotated = {item["metadata"]["name"]: item["metadata"].get("annotations") or {} for item in items}
    default = sorted(name for name, notes in annotated.items() if notes.get(_DEFAULT_CLASS) == "true")
    if wanted:
        if wanted in annotated:
            return Finding(Level.OK, "storage class", wanted)
        known = ", ".join(sorted(annotated)) or "none"
        return Finding(
            level,
            "storage class",
            f'"{wanted}" does not exist; there is {known}',
            f"change the option {STORAGE_CLASS}",
        )
    if default:
        return Finding(Level.OK, "storage class", f"{default[0]}, the cluster's default")
    return Finding(
        Level.WARNING,
        "storage class",
        "the cluster has no default one, so only a volume that is there already can be claimed",
        f"name one by the option {STORAGE_CLASS}",
    )


# --- daemons -----------------------------------------------------------------------------------------------------

_DAEMON_VERSION = re.compile(r"\bv?(\d+\.\d+\.\d+\S*)")


def daemon_version(said: str) -> str:
    """The version in what `buildkitd --version` prints, "" when there is none."""
    found = _DAEMON_VERSION.search(said)
    return f"v{found[1]}" if found else ""


def silent(pod: str, node: str, why: str, *, others: bool) -> Finding:
    """A daemon that gives no answer; `others` do."""
    level = Level.WARNING if others else Level.FAILED
    advice = f"kubectl describe node {node} shows whether its kubelet runs, through which pods are reached"
    return Finding(level, "daemons", f"no daemon answers in pod {pod} on node {node} ({why})", advice)


def versions(by_pod: Mapping[str, str]) -> list[Finding]:
    """The daemons' versions; "" stands for one that is not told."""
    if not by_pod:
        return []
    told = sorted(set(by_pod.values()))
    words = ", ".join(version or "unknown" for version in told)
    old = sorted(pod for pod, version in by_pod.items() if UNKNOWN < release(version) < _OLDEST_DAEMON)
    if old:
        oldest = ".".join(map(str, _OLDEST_DAEMON))
        text = f"BuildKit {words}; older than {oldest} in {', '.join(old)}"
        return [Finding(Level.FAILED, "daemons", text, "change the driver option image")]
    if len(told) > 1:
        which = "; ".join(f"{version or 'unknown'} in {_pods(by_pod, version)}" for version in told)
        return [
            Finding(
                Level.WARNING,
                "daemons",
                f"pods run different versions of BuildKit: {which}",
                "let the workload roll out anew, with an image whose tag does not move",
            )
        ]
    return [Finding(Level.OK, "daemons", f"BuildKit {words} in {len(by_pod)} pod{'s' if len(by_pod) > 1 else ''}")]


def _pods(by_pod: Mapping[str, str], version: str) -> str:
    return ", ".join(sorted(pod for pod, told in by_pod.items() if told == version))
