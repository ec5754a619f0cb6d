"""What states and events say about getting ready: words, and when waiting is in vain. Pure."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from buildwright.drivers.kubernetes.manifests.manifest import CLAIM as CLAIM_NAME
from buildwright.drivers.kubernetes.options import CLAIM, STORAGE_CLASS, Options
from buildwright.drivers.kubernetes.startup import refusal, scheduling
from buildwright.drivers.kubernetes.startup.crashes import Crashes, Run
from buildwright.drivers.kubernetes.startup.patience import Patience
from buildwright.drivers.kubernetes.startup.pulls import Pulls
from buildwright.drivers.kubernetes.startup.scheduling import Taint
from buildwright.drivers.kubernetes.startup.tidings import Tidings, telling, words
from buildwright.drivers.kubernetes.startup.words import describe, flat
from buildwright.kube.objects import Container, Event, Pod, Workload

AUTOSCALER = 15.0
"""Seconds within which an autoscaler says what it does about a pod that fits nowhere."""
DOUBT = 3.0
"""Seconds for a refusal that is older than the wait to be taken back."""
UNPROBED = 0.7
"""Seconds that a pod that runs has to become ready before kubelet is made to look at it."""
UNBOUND = 5.0
"""Seconds that a pod without a volume waits for the scheduler before that is made to look at it."""
_NO_VOLUME = "unbound immediate PersistentVolumeClaims"
_SCALES = ("TriggeredScaleUp", "Nominated")
_SCALES_NOT = ("NotTriggerScaleUp",)
_NO_PULL_SECRET = "FailedToRetrieveImagePullSecret"
_IN_BRACKETS = re.compile(r"\(([^)]+)\)")
_FAILED_PODS = 3
_CLAIM_KIND = "PersistentVolumeClaim"
_ABSENT = re.compile(r'(secret|configmap) "[^"]*" not found|references non-existent')
_MAKE_IT = "make it, or check podtemplate; buildwright rm and a new start make the builder's own objects anew"
_UNCREATABLE = {
    "CreateContainerConfigError": (
        "refers to something that is not there",
        _MAKE_IT,
    ),
    "InvalidImageName": ("has a malformed image name", "check the driver options image and qemu.image"),
    "ErrImageNeverPull": ("needs an image that is not on its node", "load it there, or check podtemplate"),
}


@dataclass(slots=True)
class Boot:
    """Follows a workload's way to readiness. Feed it every state that is seen; `judge` anew when `due` is over.

    `hopeless` is "" as long as the pods may still become ready, else why they will not and what to do. `made` is
    False for a workload that was there before, `logs` says whether those of `unread` will be fed.
    """

    want: int
    options: Options = field(default_factory=Options)
    namespace: str = ""
    made: bool = True
    logs: bool = False
    clock: Callable[[], float] = time.monotonic
    ready: bool = False
    hopeless: str = ""
    _workload: Workload | None = None
    _seen: bool = False
    _leaving: bool = False
    _pods: tuple[Pod, ...] = ()
    _failed: dict[str, str] = field(default_factory=dict)
    _taints: tuple[Taint, ...] = ()
    _puzzle: tuple[str, ...] = ()
    _overlooked: tuple[Pod, ...] = ()
    _nudged: set[str] = field(default_factory=set)
    _unscheduled: tuple[Pod, ...] = ()
    _rounds: Counter[str] = field(default_factory=Counter)
    _said: dict[str, str] = field(default_factory=dict)
    _pulls: Pulls = field(default_factory=Pulls)
    _crashes: Crashes = field(init=False)
    _tidings: Tidings = field(init=False)
    _patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        self._crashes = Crashes(self.options, self.logs)
        self._tidings = Tidings(self.made)
        self._patience = Patience(self.clock)

    def feed_workload(self, workload: Workload) -> None:
        self._workload = workload
        self.judge()

    def feed_pods(self, pods: Sequence[Pod]) -> None:
        """Pods that are being deleted, such as those of a builder removed just before, count for nothing."""
        self._seen = True
        self._leaving = any(pod.terminating for pod in pods)
        self._pods = tuple(sorted((pod for pod in pods if not pod.terminating), key=lambda pod: pod.name))
        for pod in self._pods:
            self._pulls.feed(pod)
            self._crashes.feed(pod)
            if pod.phase == "Failed":
                self._failed[_identity(pod)] = f"pod {pod.name} {describe(pod)}"
        self.judge()

    def feed_events(self, events: Sequence[Event]) -> None:
        self._tidings.feed(events)
        self.judge()

    def puzzled(self) -> bool:
        """Whether nodes' taints, by `feed_taints`, would tell why a pod is not scheduled; once for each state."""
        said = tuple(pod.conditions.get("PodScheduled", ("", "", ""))[2] for pod in self._pods)
        puzzled = said != self._puzzle and any("taint(s)" in message for message in said)
        self._puzzle = said
        return puzzled

    def overlooked(self) -> list[str]:
        """Names of pods that run and have not become ready soon, for each pod once.

        Kubelet asks a container for its readiness when it starts, and sometimes too early: then again only after a
        period, unless its pod changes.
        """
        found = [pod for pod in self._overlooked if _identity(pod) not in self._nudged]
        self._nudged.update(map(_identity, found))
        return [pod.name for pod in found]

    def unbound(self) -> list[str]:
        """Names of claims whose pods are not scheduled for want of a volume, each again after some seconds.

        The scheduler looks at such a pod when its claim changes, but not when that was while it looked: then only
        after five minutes, unless the claim changes again (VolumeBinding of k8s.io/kubernetes/pkg/scheduler).
        """
        found = [f"{CLAIM_NAME}-{pod.name}" for pod in self._unscheduled]
        self._rounds.update(map(_identity, self._unscheduled))
        if found:
            self.judge()
        return found

    def feed_taints(self, taints: Sequence[Taint]) -> None:
        self._taints = tuple(taints)
        self.judge()

    def lose_events(self) -> None:
        """Events cannot be followed (any longer)."""
        self._tidings.heard = False
        self.judge()

    def unread(self) -> list[Run]:
        """Runs of containers whose last lines shall be fed by `feed_log`."""
        return self._crashes.unread()

    def past(self, run: Run) -> bool:
        """Whether another run of its container has begun."""
        return self._crashes.past(run)

    def feed_log(self, run: Run, lines: Sequence[str]) -> list[str]:
        """Take a log's last lines, none when they cannot be had; returns those worth showing."""
        shown = [f"{run.container} in pod {run.pod}: {line}" for line in self._crashes.read(run, lines)]
        self.judge()
        return shown

    @property
    def due(self) -> float | None:
        """Seconds until `judge` may say something new although nothing was fed; None when it will not."""
        return self._patience.due

    def judge(self) -> None:
        """Set `ready` and `hopeless` from all that was fed."""
        # A workload that was stopped just before still counts the pods that leave, so only pods are counted.
        self.ready = sum(pod.ready for pod in self._pods) >= self.want
        with self._patience.asked():
            self.hopeless = "" if self.ready else self._why_hopeless()
            running = [pod for pod in self._pods if pod.running and not pod.ready]
            self._overlooked = tuple(
                pod for pod in running if self._patience.over(f"{_identity(pod)} unprobed", UNPROBED)
            )
            claiming = self._pods if self.options.claim else ()
            waiting = [pod for pod in claiming if _NO_VOLUME in pod.conditions.get("PodScheduled", ("", "", ""))[2]]
            self._unscheduled = tuple(
                pod
                for pod in waiting
                if self._patience.over(f"{(key := _identity(pod))} unbound {self._rounds[key]}", UNBOUND)
            )

    def news(self) -> list[str]:
        """What is new since the last call, in one line each: states of pods, and events that tell more."""
        lines = []
        for pod in self._pods:
            state = describe(pod)
            if self._said.get(pod.name) != state:
                self._said[pod.name] = state
                lines.append(f"pod {pod.name} {state}")
        refused = self._refusal()
        if refused is not None and not refused.final and self._said.get("workload") != refused.text:
            self._said["workload"] = refused.text
            lines.append(f"the cluster creates no pod yet ({refused.text})")
        if not self.options.managed and self._seen and not self._pods and not self._said:
            self._said[""] = "none"
            lines.append(self._no_pods())
        return lines + self._tidings.news(self._ours, list(self._said.values()))

    def summary(self) -> str:
        """How far each pod is and what was said last of it, for the message of a timeout."""
        ready = sum(pod.ready for pod in self._pods)
        waiting = [self._waiting(pod) for pod in self._pods if not pod.ready]
        if not self._pods:
            refused = self._refusal()
            waiting = [f"the cluster refuses to create its pods ({refused.text})" if refused else self._no_pods()]
        return f"{ready} of {self.want} pods ready" + "".join(f"; {said}" for said in waiting)

    def unready(self) -> list[Run]:
        """The running containers of pods that are not ready, whose logs may say why."""
        return [run for pod in self._pods for run in _running(pod)]

    def _waiting(self, pod: Pod) -> str:
        misfit = self._misfit(pod)
        if misfit is not None:
            answer, remedy = self._scaling(pod)
            remedy = remedy or misfit.remedy
            return f"pod {pod.name} is not scheduled, {misfit.text}{answer}" + (f": {remedy}" if remedy else "")
        state = describe(pod)
        for run in _running(pod):
            said = self._crashes.words(run)
            state += f', its log ends with "{said}"' if said else ""
        events = self._tidings.about(lambda event: self._is_of(event, pod), past=True)
        last = next((words(event) for event in reversed(events) if event.warning and telling(event)), "")
        return f"pod {pod.name} {state}" + (f", last event: {last}" if last and last not in state else "")

    def _scaling(self, pod: Pod) -> tuple[str, str]:
        """What an autoscaler said last of a pod that fits nowhere, and what to do if it adds a node."""
        said = self._tidings.about(
            lambda event: self._is_of(event, pod) and (event.reason in _SCALES or _declines(event)), past=True
        )
        if not said:
            return "", ""
        if _declines(said[-1]):
            return f" and the autoscaler adds none ({words(said[-1])})", ""
        return f", and the autoscaler adds one ({words(said[-1])})", "raise the driver option timeout"

    def _no_pods(self) -> str:
        if self.options.managed:
            return "the cluster has created no pod"
        labels = ",".join(f"{key}={value}" for key, value in self.options.labels.items())
        return f"there is no pod with the labels {labels} in namespace {self.namespace}"

    def _why_hopeless(self) -> str:
        refused = self._refusal()
        final = refused is not None and refused.final and not (refused.crowded and self._leaving)
        if refused is not None and final and (self.made or self._patience.over("refused", DOUBT)):
            return f"the cluster refuses to create its pods ({refused.text}): {refused.remedy}"
        for pod in self._pods:
            why = next(filter(None, (self._stuck(pod, container) for container in pod.containers)), "")
            why = why or self._unmountable(pod) or self._homeless(pod)
            if why:
                return f"pod {pod.name} {why}"
        if len(self._failed) >= _FAILED_PODS:
            return f"{len(self._failed)} of its pods have failed, the last: {list(self._failed.values())[-1]}"
        return self._unbound()

    def _refusal(self) -> refusal.Refusal | None:
        """What a Deployment's condition says, or a StatefulSet's last event; None when nothing is refused."""
        if self._workload is None or not self._workload.observed or len(self._pods) >= self.want:
            return None
        status, _, message = self._workload.conditions.get("ReplicaFailure", ("", "", ""))
        if status != "True":
            uid = self._workload.uid
            failures = self._tidings.about(lambda event: event.object_uid == uid and event.reason == "FailedCreate")
            if not failures:
                return None
            message = failures[-1].message
        return refusal.read(message, self.options, self.namespace)

    def _stuck(self, pod: Pod, container: Container) -> str:
        said = self._tidings.about(
            lambda event: self._is_of(event, pod) and event.reason == _NO_PULL_SECRET, past=True
        )
        absent = next((found[1] for event in said if (found := _IN_BRACKETS.search(event.message))), "")
        return (
            self._pulls.verdict(pod, container, self.options.pull_secrets, absent)
            or _uncreatable(container)
            or self._crashes.verdict(pod, container)
        )

    def _misfit(self, pod: Pod) -> scheduling.Misfit | None:
        status, _, message = pod.conditions.get("PodScheduled", ("", "", ""))
        return scheduling.read(message, self.options, self._taints) if status == "False" and not pod.node else None

    def _homeless(self, pod: Pod) -> str:
        """Why the pod will not be scheduled; "" also where no autoscaler could be heard."""
        misfit = self._misfit(pod)
        if misfit is None:
            scheduler = self.options.scheduler
            unknown = scheduler and not pod.node and pod.phase == "Pending" and "PodScheduled" not in pod.conditions
            if unknown and self._patience.over(f"scheduler {pod.name}", AUTOSCALER):
                return f"is not looked at by a scheduler: check the driver option schedulername={scheduler}"
            return ""
        if not misfit.final or not self._tidings.heard:
            return ""
        # A node that was asked for before our time may still be on its way.
        if self._tidings.about(lambda event: self._is_of(event, pod) and event.reason in _SCALES, past=True):
            return ""
        declined = next(iter(self._tidings.about(lambda event: self._is_of(event, pod) and _declines(event))), None)
        if declined is not None:
            answer = f"the autoscaler adds none ({words(declined)})"
        elif self._patience.over(f"autoscaler {pod.name}", AUTOSCALER):
            answer = "no autoscaler adds one"
        else:
            return ""
        return f"is not scheduled, {misfit.text} and {answer}: {misfit.remedy or 'change the driver options'}"

    def _unmountable(self, pod: Pod) -> str:
        """Why a volume of the pod will not come."""
        events = self._tidings.about(lambda event: self._is_of(event, pod) and event.reason == "FailedMount")
        absent = next((event for event in reversed(events) if _ABSENT.search(event.message)), None)
        if absent is None or any(container.ready or container.restarts for container in pod.containers):
            return ""
        return f"refers to something that is not there ({words(absent)}): {_MAKE_IT}"

    def _unbound(self) -> str:
        """Why a claim gets no volume."""
        since = self._workload.created if self._workload is not None else 0.0
        for event in self._tidings.about(lambda event: event.kind == _CLAIM_KIND and self._ours(event)):
            lost = event.reason == "FailedBinding" or (
                event.reason == "ProvisioningFailed"
                and "storageclass" in event.message
                and "not found" in event.message
            )
            if lost and event.at >= since:
                option = (
                    f"{STORAGE_CLASS}={self.options.storage_class}" if self.options.storage_class else STORAGE_CLASS
                )
                return (
                    f"the volume claim {event.name} gets no volume ({words(event)}): set the driver option {option} "
                    f"to one that kubectl get storageclasses lists, or leave {CLAIM} out"
                )
        return ""

    def _ours(self, event: Event) -> bool:
        workload = self._workload.uid if self._workload is not None else ""
        return bool(workload and event.object_uid == workload) or any(self._is_of(event, pod) for pod in self._pods)

    def _is_of(self, event: Event, pod: Pod) -> bool:
        if event.kind == _CLAIM_KIND:
            return bool(self.options.claim) and event.name == f"{CLAIM_NAME}-{pod.name}"
        return event.kind == "Pod" and event.object_uid == pod.uid


def _identity(pod: Pod) -> str:
    """A StatefulSet makes a pod anew under the same name."""
    return pod.uid or pod.name


def _running(pod: Pod) -> list[Run]:
    """The runs that go on in a pod that is not ready."""
    return [
        Run(pod.name, container.name, container.restarts)
        for container in pod.containers
        if pod.running and not container.init and not container.ready and not container.waiting
    ]


def _declines(event: Event) -> bool:
    return event.reason in _SCALES_NOT or (event.reason == "FailedScheduling" and event.source == "karpenter")


def _uncreatable(container: Container) -> str:
    if container.waiting not in _UNCREATABLE:
        return ""
    why, remedy = _UNCREATABLE[container.waiting]
    return f"{why} ({container.waiting}: {flat(container.message)}): {remedy}"
