"""What the states of a workload and its pods say about getting ready: words, and when waiting is in vain. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from buildwright.kube.objects import Container, Pod, Workload

_PULLING = ("ErrImagePull", "ImagePullBackOff")
_HOPELESS = {
    "CreateContainerConfigError": "refers to something that is not there",
    "InvalidImageName": "has a malformed image name",
    "ErrImageNeverPull": "needs an image that is not on its node",
}
_NO_SUCH_IMAGE = re.compile(r": not found|manifest unknown|name unknown|no match for platform", re.IGNORECASE)
_NOT_ALLOWED = re.compile(r"denied|unauthorized|authorization failed|forbidden", re.IGNORECASE)
_PULL_ATTEMPTS = 2
_CRASHES = 3
_NOISE = re.compile(r"rpc error: code = \w+ desc = |\.? no new claims to deallocate.*|\.? preemption: .*")
"""Parts of kubelet's and the scheduler's messages that help nobody."""


@dataclass(slots=True)
class Boot:
    """Follows a workload's way to readiness. Feed it every state that is seen; ask it after each.

    `hopeless` is "" as long as the pods may still become ready, else why they will not: an image that does not exist,
    may not be pulled or could not be pulled twice, a configuration that refers to nothing, a container that keeps
    crashing, or a pod that the cluster refuses to create.
    """

    want: int
    ready: bool = False
    hopeless: str = ""
    _workload: Workload | None = None
    _pods: tuple[Pod, ...] = ()
    _pulls: dict[str, int] = field(default_factory=dict)
    _pulling: dict[str, str] = field(default_factory=dict)
    _pull_errors: dict[str, str] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)

    def feed_workload(self, workload: Workload) -> None:
        self._workload = workload
        self._judge()

    def feed_pods(self, pods: Sequence[Pod]) -> None:
        """Pods that are being deleted, such as those of a builder removed just before, count for nothing."""
        self._pods = tuple(sorted((pod for pod in pods if not pod.terminating), key=lambda pod: pod.name))
        for pod in self._pods:
            for container in pod.containers:
                self._count_pulls(f"{pod.name}/{container.name}", container)
        self._judge()

    def news(self) -> list[str]:
        """One line for each pod whose state has changed since the last call."""
        lines = []
        for pod in self._pods:
            words = describe(pod)
            if self._said.get(pod.name) != words:
                self._said[pod.name] = words
                lines.append(f"pod {pod.name} {words}")
        return lines

    def summary(self) -> str:
        """How far each pod is, for the message of a timeout."""
        ready = sum(pod.ready for pod in self._pods)
        waiting = [f"pod {pod.name} {describe(pod)}" for pod in self._pods if not pod.ready]
        if not self._pods:
            waiting = ["the cluster has created no pod"]
        return f"{ready} of {self.want} pods ready" + "".join(f"; {words}" for words in waiting)

    def _count_pulls(self, key: str, container: Container) -> None:
        if container.waiting == "ErrImagePull" and self._pulling.get(key) != "ErrImagePull":
            self._pulls[key] = self._pulls.get(key, 0) + 1
            self._pull_errors[key] = container.message
        self._pulling[key] = container.waiting

    def _judge(self) -> None:
        # A workload that was stopped just before still counts the pods that leave, so only pods are counted.
        self.ready = sum(pod.ready for pod in self._pods) >= self.want
        self.hopeless = "" if self.ready else self._why_hopeless()

    def _why_hopeless(self) -> str:
        if self._workload is not None:
            status, reason, message = self._workload.conditions.get("ReplicaFailure", ("", "", ""))
            if status == "True":
                return f"the cluster refuses to create its pods ({reason}: {_flat(message)})"
        for pod in self._pods:
            for container in pod.containers:
                why = self._stuck(f"{pod.name}/{container.name}", container)
                if why:
                    return f"pod {pod.name} {why}"
        return ""

    def _stuck(self, key: str, container: Container) -> str:
        if container.waiting in _HOPELESS:
            said = f"{container.waiting}: {_flat(container.message)}"
            return f"{_HOPELESS[container.waiting]} ({said}): check the driver options"
        if container.waiting in _PULLING:
            error = self._pull_errors.get(key) or container.message
            tried = self._pulls.get(key, 0) >= _PULL_ATTEMPTS
            refused = container.waiting == "ImagePullBackOff" and _NOT_ALLOWED.search(error)
            if tried or refused or _NO_SUCH_IMAGE.search(error):
                return f"cannot pull its image ({_flat(error)}): check the driver option {_image_option(container)}"
        if container.waiting == "CrashLoopBackOff" and container.restarts >= _CRASHES - 1:
            return (
                f"has container {container.name} that ended {container.restarts + 1} times, last with "
                f"{_exit(container.last_exit_code, container.last_ended)}: check the daemon's flags and configuration"
            )
        return ""


def describe(pod: Pod) -> str:
    """What a pod is doing, as words that follow its name."""
    if pod.terminating:
        return "is being deleted"
    if pod.phase in ("Failed", "Succeeded"):
        why = ": ".join(filter(None, (pod.reason, _flat(pod.message)))) or "no reason given"
        return f"has {pod.phase.lower()} ({why})"
    if pod.ready:
        return f"is ready on {pod.node}"
    status, reason, message = pod.conditions.get("PodScheduled", ("", "", ""))
    if status == "False":
        return f"is not scheduled ({reason}: {_flat(message)})"
    if not pod.node:
        return "waits to be scheduled"
    for container in pod.containers:
        if container.waiting == "CrashLoopBackOff":
            before = _exit(container.last_exit_code, container.last_ended)
            return f"waits on {pod.node} to restart container {container.name}, which ended with {before}"
        if container.waiting and container.waiting not in ("ContainerCreating", "PodInitializing"):
            message = f": {_flat(container.message)}" if container.message else ""
            return f"waits on {pod.node} ({container.waiting}{message})"
        if container.exit_code and not container.init:
            return f"has container {container.name} ended with {_exit(container.exit_code, container.ended)}"
    if any(container.init and container.exit_code is None and not container.waiting for container in pod.containers):
        return f"prepares on {pod.node}"
    if pod.phase == "Running":
        return f"runs on {pod.node}, its daemon does not answer yet"
    return f"starts on {pod.node}"


def _image_option(container: Container) -> str:
    return "qemu.image" if container.init and container.name == "qemu" else "image"


def _exit(code: int | None, reason: str) -> str:
    return f"exit code {code}" + (f" ({reason})" if reason else "")


def _flat(message: str) -> str:
    return _NOISE.sub("", " ".join(message.split())).rstrip(".")
