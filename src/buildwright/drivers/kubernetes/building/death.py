"""Why a pod that a build runs in is no longer one to build in. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from buildwright.drivers.kubernetes.manifests import drain
from buildwright.errors import DaemonLostError
from buildwright.kube.objects import Container, Pod

_DISRUPTIONS = {
    "EvictionByEvictionAPI": "Evicted",
    "DeletionByTaintManager": "Evicted",
    "TerminationByKubelet": "Evicted",
    "PreemptionByScheduler": "Preempted",
    "DeletionByPodGC": "NodeLost",
}
"""Reasons of the condition DisruptionTarget (core/v1, pkg/apis/core/types.go)."""
_FAILURES = {"Evicted": "Evicted", "Preempting": "Preempted", "NodeLost": "NodeLost"}
"""Reasons of a failed pod's status: kubelet's and the node controller's."""
_VERBS = {
    "Deleted": "deleted",
    "Evicted": "evicted",
    "Preempted": "preempted by a pod of higher priority",
    "NodeLost": "given up with its node",
}
_ADVICE = {"Preempted": "give the builder a higher one with the driver option priorityclass"}
_OWN_LIMITS = (
    ("local ephemeral storage limit", "raise the driver option limits.ephemeral-storage"),
    ("local storage usage exceeds", "raise the driver option limits.ephemeral-storage"),
    ("Usage of EmptyDir volume", "raise that volume's sizeLimit in the driver option podtemplate"),
)
"""What kubelet says of a pod that it evicts for a limit of its own (pkg/kubelet/eviction), and what to do."""
_OOM = "OOMKilled"
_SKEW = 3.0
"""Seconds by which the clocks of a node and of the API server may differ, and time stamps are rounded."""
_LIMIT_RANGER = "kubernetes.io/limit-ranger"
"""Annotation that says what a LimitRange has set in a pod (plugin/pkg/admission/limitranger)."""


@dataclass(frozen=True, slots=True)
class Death:
    """`reason` is a word of DaemonLostError. `final` is False while the pod still runs and only is about to go."""

    reason: str
    text: str
    exit_code: int | None = field(default=None, kw_only=True)
    final: bool = field(default=True, kw_only=True)
    advice: str = field(default="build again", kw_only=True)

    def error(self, pod: Pod, container: str, log: Sequence[str] = ()) -> DaemonLostError:
        """What to raise for it; `log` is what is known of the daemon's log."""
        return DaemonLostError(
            f"the builder's daemon was lost: {self.text}; {self.advice}",
            pod=pod.name,
            node=pod.node,
            reason=self.reason,
            process_exit_code=self.exit_code,
            memory_limit=pod.memory_limits.get(container, ""),
            log=tuple(log),
        )


def death(before: Pod, seen: Sequence[Pod], container: str, last: Pod | None = None) -> Death | None:
    """Compare the pod as it was chosen with what the cluster shows now; None as long as it lives.

    `last` is the pod as it was last seen, which tells why it went. A pod that is being deleted lives on while a
    preStop hook of the container holds it.
    """
    now = next((pod for pod in seen if pod.name == before.name and pod.uid == before.uid), None)
    if now is None:
        return _leaving(last or before, container, gone=True)
    if now.terminating:
        return _leaving(now, container)
    if now.phase in ("Failed", "Succeeded"):
        return _over(now, container)
    return _ended(before, now, container)


def name_of(pod: Pod) -> str:
    return f"pod {pod.name}" + (f" on {pod.node}" if pod.node else "")


def memory_limit(pod: Pod, container: str) -> tuple[str, str]:
    """The container's limit, which may be a default of its namespace, and what to do with the driver option."""
    limit = pod.memory_limits.get(container, "")
    if not limit:
        return "", "set"
    set_by_range = pod.annotations.get(_LIMIT_RANGER, "").split("; ")
    if any("memory" in part and part.endswith(f" limit for container {container}") for part in set_by_range):
        return f"limits.memory={limit} by the namespace's LimitRange", "set"
    return f"limits.memory={limit}", "raise"


def node_lost(pod: Pod) -> Death:
    node = f"node {pod.node}" if pod.node else "the node"
    return Death("NodeLost", f"{node} does not answer any more, and with it pod {pod.name}")


def cut(pod: Pod, why: str) -> Death:
    """The stream has ended and the pod has not, as far as anybody can tell. `why` is the stream's own word."""
    return Death("Disconnected", f"{name_of(pod)} is no longer connected ({why})")


def silent(pod: Pod, seconds: float) -> Death:
    return Death("Silent", f"{name_of(pod)} has said nothing for {seconds:.0f} s, also when asked")


def _leaving(pod: Pod, container: str, *, gone: bool = False) -> Death | None:
    """A pod that is being deleted, or that was."""
    found = _find(pod, container) or Container(name=container)
    code = found.exit_code
    ended = code is not None
    held = container in pod.hooked and pod.terminating and not gone
    if held and not ended and pod.grace != 0:
        return None
    if found.ended == _OOM:
        return _out_of_memory(pod, container, code)
    _, cause, message = _disruption(pod)
    reason = _DISRUPTIONS.get(cause, "Deleted")
    hurried = pod.grace is not None and pod.own_grace is not None and pod.grace < pod.own_grace
    if ended and container in pod.hooked and pod.grace and not hurried and _used_up(pod, found):
        text = f"{name_of(pod)} was {_VERBS[reason]}, and its grace period of {pod.grace} s ended before the build"
        return Death("Drained", text + _quoted(message), exit_code=code, advice="raise the driver option drain")
    final = gone or ended
    text = f"{name_of(pod)} {'was' if final else 'is being'} {_VERBS[reason]}"
    text += f" with a grace period of {pod.grace} s" if hurried and pod.grace else ""
    text += _quoted(message)
    return Death(reason, text, exit_code=code, final=final, advice=_advice(reason))


def _used_up(pod: Pod, ended: Container) -> bool:
    """Whether the container went on until the hook let go of it; where that cannot be told it did."""
    return not (pod.deadline and ended.ended_at) or ended.ended_at >= pod.deadline - drain.AFTER - _SKEW


def _over(pod: Pod, container: str) -> Death:
    """A pod whose containers have ended for good."""
    found = _find(pod, container)
    code = found.exit_code if found is not None else None
    reason = _FAILURES.get(pod.reason) or _DISRUPTIONS.get(_disruption(pod)[1], "Exited")
    if reason == "Exited" and found is not None and found.ended == _OOM:
        return _out_of_memory(pod, container, code)
    if reason in _VERBS:
        text = f"{name_of(pod)} was {_VERBS[reason]}{_quoted(pod.message)}"
    else:
        why = ": ".join(filter(None, (pod.reason, _line(pod.message))))
        text = f"{name_of(pod)} has {pod.phase.lower()}" + (f" ({why})" if why else "")
    return Death(reason, text, exit_code=code, advice=_advice(reason, pod.message))


def _ended(before: Pod, now: Pod, container: str) -> Death | None:
    """The daemon's container has ended, or has been started anew since."""
    then, found = _find(before, container), _find(now, container)
    if found is None:
        return None
    code: int | None
    if found.exit_code is not None:
        code, reason = found.exit_code, found.ended
    elif then is not None and found.restarts > then.restarts:
        code, reason = found.last_exit_code, found.last_ended
    else:
        return None
    if reason == _OOM:
        return _out_of_memory(now, container, code)
    where = f"container {container} of {name_of(now)}"
    text = f"{where} ended with exit code {code}" + (f" ({reason})" if reason else "")
    return Death("Exited", text, exit_code=code)


def _out_of_memory(pod: Pod, container: str, code: int | None) -> Death:
    limit, do = memory_limit(pod, container)
    facts = f"{_OOM}, exit code {code}, {limit or 'no limits.memory'}"
    advice = ("" if limit else f"node {pod.node} is out of memory: ") + f"{do} the driver option limits.memory"
    return Death(
        _OOM, f"container {container} of {name_of(pod)} ran out of memory ({facts})", exit_code=code, advice=advice
    )


def _find(pod: Pod, container: str) -> Container | None:
    return next((entry for entry in pod.containers if entry.name == container), None)


def _disruption(pod: Pod) -> tuple[str, str, str]:
    found = pod.conditions.get("DisruptionTarget", ("", "", ""))
    return found if found[0] == "True" else ("", "", "")


def _advice(reason: str, message: str = "") -> str:
    own = next((advice for said, advice in _OWN_LIMITS if said in message), "")
    return own or _ADVICE.get(reason, "build again")


def _quoted(message: str) -> str:
    line = _line(message)
    return f" ({line})" if line else ""


def _line(message: str) -> str:
    return " ".join(message.split()).rstrip(".")
