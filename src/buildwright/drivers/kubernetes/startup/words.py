"""What a pod is doing, in words. Pure."""

from __future__ import annotations

import re

from buildwright.kube.objects import Pod

_NOISE = re.compile(r"rpc error: code = \w+ desc = |[.,]? no new claims to deallocate.*|\.? preemption: .*")
"""Parts of kubelet's and the scheduler's messages that help nobody."""


def flat(message: str) -> str:
    return _NOISE.sub("", " ".join(message.split())).rstrip(".")


def ended(code: int | None, reason: str) -> str:
    return f"exit code {code}" + (f" ({reason})" if reason else "")


def describe(pod: Pod) -> str:
    """Words that follow a pod's name."""
    if pod.terminating:
        return "is being deleted"
    if pod.phase in ("Failed", "Succeeded"):
        why = ": ".join(filter(None, (pod.reason, flat(pod.message)))) or "no reason given"
        return f"has {pod.phase.lower()} ({why})"
    if pod.ready:
        return f"is ready on {pod.node}"
    status, reason, message = pod.conditions.get("PodScheduled", ("", "", ""))
    if status == "False":
        return f"is not scheduled ({reason}: {flat(message)})"
    if not pod.node:
        return "waits to be scheduled"
    for container in pod.containers:
        if container.waiting == "CrashLoopBackOff":
            before = ended(container.last_exit_code, container.last_ended)
            return f"waits on {pod.node} to restart container {container.name}, which ended with {before}"
        if container.waiting and container.waiting not in ("ContainerCreating", "PodInitializing"):
            message = f": {flat(container.message)}" if container.message else ""
            return f"waits on {pod.node} ({container.waiting}{message})"
        if container.exit_code is not None and not (container.init and container.exit_code == 0):
            now = ended(container.exit_code, container.ended)
            return f"is without container {container.name}, which ended with {now}"
    if any(container.init and container.exit_code is None and not container.waiting for container in pod.containers):
        return f"prepares on {pod.node}"
    if pod.phase == "Running":
        return f"runs on {pod.node}, its daemon does not answer yet"
    return f"starts on {pod.node}"
