"""What decisions need to know of a pod and of a workload, read from the API's JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container's state (core/v1 ContainerStatus). `exit_code` is None unless it is terminated.

    `ended_at` is when it terminated, by its node's clock in seconds, 0 when that is not known. `last_...` is about
    the run before, `last_seconds` how long that lasted.
    """

    name: str
    ready: bool = False
    restarts: int = 0
    init: bool = False
    waiting: str = ""
    message: str = ""
    exit_code: int | None = None
    ended: str = ""
    ended_at: float = 0.0
    last_exit_code: int | None = None
    last_ended: str = ""
    last_message: str = ""
    last_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """What an object says has made it and looks after it (meta/v1 OwnerReference)."""

    kind: str = ""
    name: str = ""
    uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod. `conditions` maps a condition's type to its (status, reason, message).

    `created` is when it was made, by the server's clock in seconds.
    """

    name: str
    uid: str = ""
    created: float = 0.0
    controller: Controller = Controller()
    phase: str = ""
    node: str = ""
    terminating: bool = False
    reason: str = ""
    message: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    containers: tuple[Container, ...] = ()
    specified: tuple[str, ...] = ()
    """Names of the containers in its specification, in order."""
    hooked: tuple[str, ...] = ()
    """Those of them that have a preStop hook: they go on while the pod is terminating, up to `grace` seconds."""
    grace: int | None = None
    """Seconds that a terminating pod has from the request on; None for others."""
    own_grace: int | None = None
    """Seconds that it has when nobody who ends it says otherwise."""
    deadline: float = 0.0
    """When these are over, by the server's clock in seconds; 0 for others."""
    memory_limits: Mapping[str, str] = field(default_factory=dict)
    """By container, as they were written; no entry without a limit."""

    @property
    def running(self) -> bool:
        return self.phase == "Running" and not self.terminating

    @property
    def ready(self) -> bool:
        return self.running and self.conditions.get("Ready", ("",))[0] == "True"

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Pod:
        metadata, spec, status = item.get("metadata") or {}, item.get("spec") or {}, item.get("status") or {}
        specified = spec.get("containers") or ()
        containers = [_container(entry, init=True) for entry in status.get("initContainerStatuses") or ()]
        containers += [_container(entry, init=False) for entry in status.get("containerStatuses") or ()]
        return cls(
            name=metadata.get("name", ""),
            uid=metadata.get("uid", ""),
            created=_seconds(metadata.get("creationTimestamp")),
            controller=_controller(metadata),
            phase=status.get("phase", ""),
            node=spec.get("nodeName") or "",
            terminating=bool(metadata.get("deletionTimestamp")),
            reason=status.get("reason") or "",
            message=status.get("message") or "",
            annotations=metadata.get("annotations") or {},
            conditions=_conditions(status),
            containers=tuple(containers),
            specified=tuple(entry.get("name", "") for entry in specified),
            hooked=tuple(
                entry.get("name", "") for entry in specified if (entry.get("lifecycle") or {}).get("preStop")
            ),
            grace=metadata.get("deletionGracePeriodSeconds"),
            own_grace=spec.get("terminationGracePeriodSeconds"),
            deadline=_seconds(metadata.get("deletionTimestamp")),
            memory_limits={
                entry.get("name", ""): str(limit)
                for entry in specified
                if (limit := ((entry.get("resources") or {}).get("limits") or {}).get("memory"))
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A Deployment or StatefulSet. `replicas` is how many pods it shall have, `pods` how many there are.

    `created` is when it was made by the server's clock, in seconds, `observed` whether its controller has looked at
    it since it was changed last: what it says before is of former times.
    """

    name: str
    uid: str = ""
    created: float = 0.0
    replicas: int = 1
    pods: int = 0
    observed: bool = True
    conditions: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Workload:
        metadata, spec, status = item.get("metadata") or {}, item.get("spec") or {}, item.get("status") or {}
        replicas = spec.get("replicas")
        return cls(
            name=metadata.get("name", ""),
            uid=metadata.get("uid", ""),
            created=_seconds(metadata.get("creationTimestamp")),
            replicas=1 if replicas is None else int(replicas),
            pods=int(status.get("replicas") or 0),
            observed=int(status.get("observedGeneration") or 0) >= int(metadata.get("generation") or 0),
            conditions=_conditions(status),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What a component has said of an object (core/v1 Event). `uid` and `version` are the event's own.

    `at` is when it was last said, in seconds by that component's clock.
    """

    kind: str
    name: str
    reason: str
    message: str = ""
    object_uid: str = ""
    warning: bool = False
    source: str = ""
    at: float = 0.0
    uid: str = ""
    version: str = ""

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Event:
        metadata, about = item.get("metadata") or {}, item.get("involvedObject") or {}
        series = item.get("series") or {}
        times = (series.get("lastObservedTime"), item.get("lastTimestamp"), item.get("eventTime"))
        return cls(
            kind=about.get("kind", ""),
            name=about.get("name", ""),
            reason=item.get("reason") or "",
            message=item.get("message") or "",
            object_uid=about.get("uid", ""),
            warning=item.get("type") == "Warning",
            source=item.get("reportingComponent") or (item.get("source") or {}).get("component") or "",
            at=max(map(_seconds, times)),
            uid=metadata.get("uid", ""),
            version=metadata.get("resourceVersion", ""),
        )


def _seconds(time: str | None) -> float:
    """RFC 3339 to seconds since 1970; 0 for none."""
    return datetime.fromisoformat(time).timestamp() if time else 0.0


def _controller(metadata: Mapping[str, Any]) -> Controller:
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            return Controller(kind=owner.get("kind", ""), name=owner.get("name", ""), uid=owner.get("uid", ""))
    return Controller()


def _conditions(status: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {
        entry.get("type", ""): (entry.get("status") or "", entry.get("reason") or "", entry.get("message") or "")
        for entry in status.get("conditions") or ()
    }


def _container(entry: Mapping[str, Any], *, init: bool) -> Container:
    state, last = entry.get("state") or {}, entry.get("lastState") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    before = last.get("terminated") or {}
    return Container(
        name=entry.get("name", ""),
        ready=bool(entry.get("ready")),
        restarts=int(entry.get("restartCount") or 0),
        init=init,
        waiting=waiting.get("reason") or "",
        message=waiting.get("message") or ended.get("message") or "",
        exit_code=ended.get("exitCode"),
        ended=ended.get("reason") or "",
        ended_at=_seconds(ended.get("finishedAt")),
        last_exit_code=before.get("exitCode"),
        last_ended=before.get("reason") or "",
        last_message=before.get("message") or "",
        last_seconds=_lasted(before),
    )


def _lasted(ended: Mapping[str, Any]) -> float:
    """How long a terminated container ran. One that never started has a start of 1970."""
    start = _seconds(ended.get("startedAt"))
    return max(0.0, _seconds(ended.get("finishedAt")) - start) if start else 0.0
