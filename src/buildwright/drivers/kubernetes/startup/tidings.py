"""Which events of a node's pods, claims and workload are worth telling, and in which words. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from buildwright.drivers.kubernetes.startup.words import flat
from buildwright.kube.objects import Event

_TOLD = ("Pulling", "Pulled", "TriggeredScaleUp", "Nominated", "SuccessfulAttachVolume")
"""Those that are no warnings and yet tell."""
_NOISE = ("BackOff", "Failed", "InspectFailed", "MissingClusterDNS", "FailedCreate", "DNSConfigForming")
"""Warnings that repeat what the states of pods and workload say, or that help nobody."""
_KINDS = {"Pod": "pod", "PersistentVolumeClaim": "volume claim", "StatefulSet": "stateful set"}
_PASSING = re.compile(
    r"already present on machine|failed to sync (configmap|secret) cache|resulted in unknown state|probe failed:\s*$"
)
_DETAIL = re.compile(r" \([^()]* including waiting\)|\. Image size: \d+ bytes|\s*\([0-9a-f-]{36}\)")


@dataclass(slots=True)
class Tidings:
    """The events of a namespace, of which only those about known objects count.

    `made` is False for a workload that was there before: what had been said of it by then is of the past.
    """

    made: bool = True
    heard: bool = False
    """Whether events can be followed at all."""
    _events: dict[str, Event] = field(default_factory=dict)
    _past: dict[str, str] = field(default_factory=dict)
    _told: set[tuple[str, str, str]] = field(default_factory=set)

    def feed(self, events: Sequence[Event]) -> None:
        if not self.heard and not self.made:
            self._past = {event.uid: event.version for event in events}
        self.heard = True
        self._events = {event.uid: event for event in events}

    def about(self, ours: Callable[[Event], bool], *, past: bool = False) -> list[Event]:
        """What was said of `ours`, the oldest first; with `past` also what was said before our time."""
        found = [event for event in self._events.values() if ours(event) and (past or self._new(event))]
        return sorted(found, key=lambda event: event.at)

    def news(self, ours: Callable[[Event], bool], known: Sequence[str]) -> list[str]:
        """One line for each new event of `ours` that tells something that is not among the `known` texts."""
        lines = []
        for event in self.about(ours):
            text = words(event)
            key = (event.name, event.reason, text)
            if key in self._told or not telling(event):
                continue
            self._told.add(key)
            if not any(text in told for told in known):
                reason = f"{event.reason}, " if event.warning else ""
                lines.append(f"{_KINDS.get(event.kind, event.kind)} {event.name}: {reason}{text}")
        return lines

    def _new(self, event: Event) -> bool:
        return self._past.get(event.uid) != event.version


def telling(event: Event) -> bool:
    if _PASSING.search(event.message):
        return False
    return event.reason not in _NOISE if event.warning else event.reason in _TOLD


def words(event: Event) -> str:
    return flat(_DETAIL.sub("", event.message))
