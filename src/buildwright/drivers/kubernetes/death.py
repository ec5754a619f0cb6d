"""Why a pod that a build runs in is no longer one to build in. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from buildwright.kube.objects import Container, Pod


@dataclass(frozen=True, slots=True)
class Death:
    """`final` is False while the pod still runs and only is about to go."""

    text: str
    final: bool = True


def death(before: Pod, seen: Sequence[Pod], container: str) -> Death | None:
    """Compare the pod as it was chosen with what the cluster shows now; None as long as it lives."""
    name = f"pod {before.name}" + (f" on {before.node}" if before.node else "")
    now = next((pod for pod in seen if pod.name == before.name and pod.uid == before.uid), None)
    if now is None:
        return Death(f"{name} was deleted")
    if now.phase in ("Failed", "Succeeded"):
        why = ": ".join(filter(None, (now.reason, " ".join(now.message.split()))))
        return Death(f"{name} has {now.phase.lower()}" + (f" ({why})" if why else ""))
    ended = _ended(_find(before, container), _find(now, container))
    if ended:
        return Death(f"in {name} container {container} {ended}")
    if now.terminating:
        reason = now.conditions.get("DisruptionTarget", ("", "", ""))
        why = " ".join(reason[2].split()).rstrip(".") if reason[0] == "True" else ""
        return Death(f"{name} is being deleted" + (f" ({why})" if why else ""), final=False)
    return None


def _find(pod: Pod, container: str) -> Container | None:
    return next((entry for entry in pod.containers if entry.name == container), None)


def _ended(before: Container | None, now: Container | None) -> str:
    if now is None:
        return ""
    code: int | None
    if now.exit_code is not None:
        code, reason = now.exit_code, now.ended
    elif before is not None and now.restarts > before.restarts:
        code, reason = now.last_exit_code, now.last_ended
    else:
        return ""
    if reason == "OOMKilled":
        return f"ran out of memory (OOMKilled, exit code {code}): raise the driver option limits.memory"
    return f"ended with exit code {code}" + (f" ({reason})" if reason else "")
