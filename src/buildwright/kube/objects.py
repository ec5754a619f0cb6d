"""What decisions need to know of a pod and of a workload, read from the API's JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container's state (core/v1 ContainerStatus). `exit_code` is None unless it is terminated."""

    name: str
    ready: bool = False
    restarts: int = 0
    init: bool = False
    waiting: str = ""
    message: str = ""
    exit_code: int | None = None
    ended: str = ""
    last_exit_code: int | None = None
    last_ended: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod. `conditions` maps a condition's type to its (status, reason, message)."""

    name: str
    uid: str = ""
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

    @property
    def running(self) -> bool:
        return self.phase == "Running" and not self.terminating

    @property
    def ready(self) -> bool:
        return self.running and self.conditions.get("Ready", ("",))[0] == "True"

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Pod:
        metadata, spec, status = item.get("metadata") or {}, item.get("spec") or {}, item.get("status") or {}
        containers = [_container(entry, init=True) for entry in status.get("initContainerStatuses") or ()]
        containers += [_container(entry, init=False) for entry in status.get("containerStatuses") or ()]
        return cls(
            name=metadata.get("name", ""),
            uid=metadata.get("uid", ""),
            phase=status.get("phase", ""),
            node=spec.get("nodeName") or "",
            terminating=bool(metadata.get("deletionTimestamp")),
            reason=status.get("reason") or "",
            message=status.get("message") or "",
            annotations=metadata.get("annotations") or {},
            conditions=_conditions(status),
            containers=tuple(containers),
            specified=tuple(entry.get("name", "") for entry in spec.get("containers") or ()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A Deployment. `replicas` is how many pods it shall have, `ready` how many are ready."""

    name: str
    replicas: int = 1
    ready: int = 0
    conditions: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        """Whether no pod is ready, or those that are shall all go."""
        return self.ready <= 0 or self.replicas == 0

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Workload:
        spec, status = item.get("spec") or {}, item.get("status") or {}
        replicas = spec.get("replicas")
        return cls(
            name=(item.get("metadata") or {}).get("name", ""),
            replicas=1 if replicas is None else int(replicas),
            ready=int(status.get("readyReplicas") or 0),
            conditions=_conditions(status),
        )


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
        last_exit_code=before.get("exitCode"),
        last_ended=before.get("reason") or "",
    )
