"""Containers that end again and again while their pod gets ready: what they said, and when that is enough. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from buildwright.drivers.kubernetes.choose import CONTAINER
from buildwright.drivers.kubernetes.options import Options
from buildwright.drivers.kubernetes.startup.words import ended, flat
from buildwright.kube.objects import Container, Pod

_CRASHES = 3
_SHOWN = 5
_LONG_RUN = 60.0
"""Seconds after which the end of a run has nothing to do with its start."""
_TIME = re.compile(r'\btime="[^"]*" ?|^\S*\d\d:\d\d:\d\d\S* ')
_FRAME = re.compile(r"^\s+\S+\.(go|s):\d+$|^[\w./@*()-]+\.[\w.*()-]+$")
"""A line of a Go stack trace."""
_CAUSE = re.compile(r"^(buildkitd|toml): |^panic: |^fatal error: |level=(fatal|error)|exec format error")
_FOR_GOOD = re.compile(
    r"^buildkitd: (flag (provided|needs)|invalid .*\bvalue |toml: |strconv\.|addr .* not supported)"
)
"""What a daemon says of its flags and its configuration before it looks at anything else: it will say so again."""
_OTHER_ARCHITECTURE = "exec format error"


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """One run of a container that has ended; `number` is 0 for the first."""

    pod: str
    container: str
    number: int


@dataclass(slots=True)
class Crashes:
    """Remembers the runs that have ended, and the last lines of their logs as far as they are told by `read`."""

    options: Options
    readable: bool = False
    """Whether the logs are fed, so that a verdict waits for them."""
    _ends: dict[Run, tuple[int | None, str, str]] = field(default_factory=dict)
    _logs: dict[Run, tuple[str, ...]] = field(default_factory=dict)
    _asked: dict[Run, bool] = field(default_factory=dict)
    """Whether they were `past` when they were asked for."""
    _past: set[Run] = field(default_factory=set)

    def feed(self, pod: Pod) -> None:
        """Kubelet does not report every state: one may tell of two runs that have ended."""
        for container in pod.containers:
            last = _run(pod, container)
            if container.exit_code is not None:
                self._end(container, last, container.exit_code, container.ended, container.message)
                last = Run(last.pod, last.container, last.number - 1)
            if container.last_exit_code is not None and last.number >= 0:
                self._end(container, last, container.last_exit_code, container.last_ended, container.last_message)
            self._past = {run for run in self._past if (run.pod, run.container) != (last.pod, last.container)}
            if container.restarts and not container.waiting:
                self._past.add(Run(pod.name, container.name, container.restarts - 1))

    def _end(self, container: Container, run: Run, code: int, reason: str, message: str) -> None:
        if not container.init or code != 0:
            self._ends.setdefault(run, (code, reason, message))

    def past(self, run: Run) -> bool:
        """Whether another run has begun, so that the log is that of the one before."""
        return run in self._past

    def unread(self) -> list[Run]:
        """The runs whose logs would help, each once; again one that was empty, since another run had just begun."""
        found = [run for run in self._ends if run not in self._asked or self._missed(run)]
        self._asked.update((run, self.past(run)) for run in found)
        return found

    def _missed(self, run: Run) -> bool:
        return not self._asked[run] and self.past(run) and not self._logs.get(run, ("",))

    def read(self, run: Run, lines: Sequence[str]) -> list[str]:
        """Take the last lines of a run's log, none when they cannot be had; returns what is new to the reader.

        When another run has begun since they were asked for, they may be that one's, and the run is `unread` again.
        """
        if self.past(run) and not self._asked.get(run, True):
            del self._asked[run]
            return []
        self._logs[run] = tuple(line for line in lines if line.strip() and not _FRAME.search(line))
        for beside in (-1, 1):
            other = self._logs.get(Run(run.pod, run.container, run.number + beside), ())
            if _timeless(other) == _timeless(self._logs[run]):
                return []
        return list(self._logs[run][: self._cause(run) + 1][-_SHOWN:])

    def verdict(self, pod: Pod, container: Container) -> str:
        """Why the container will not run, as words that follow the pod's name; "" as long as it may."""
        run = _run(pod, container)
        if run not in self._ends or container.last_seconds > _LONG_RUN or (self.readable and run not in self._logs):
            return ""
        if run.number + 1 < _CRASHES and not self._certain(run):
            return ""
        code, reason, message = self._ends[run]
        said = flat(message) if reason == "StartError" else self.words(run)
        times = f"{run.number + 1} times, last " if run.number else ""
        return (
            f"has container {container.name} that ended {times}with {ended(code, reason)}"
            + (f', saying "{said}"' if said else "")
            + f": {self._remedy(container, reason, said)}"
        )

    def words(self, run: Run) -> str:
        """The line of the log that says most."""
        lines = self._logs.get(run, ())
        return lines[self._cause(run)].strip() if lines else ""

    def _cause(self, run: Run) -> int:
        """Which line says why: the last that looks like it (a trace may follow), else the last."""
        lines = self._logs.get(run, ())
        return next((at for at in reversed(range(len(lines))) if _CAUSE.search(lines[at])), len(lines) - 1)

    def _certain(self, run: Run) -> bool:
        """Whether it has ended in a way, or twice in the same way, that a further time would not change."""
        if run.container == CONTAINER and _FOR_GOOD.search(self.words(run)):
            return True
        before = Run(run.pod, run.container, run.number - 1)
        if self._ends.get(before, (None, "", ""))[:2] != self._ends[run][:2]:
            return False
        if self._ends[run][1] in ("StartError", "OOMKilled", "Completed"):
            return True
        words = _timeless((self.words(run),))
        return bool(words[0]) and words == _timeless((self.words(before),))

    def _remedy(self, container: Container, reason: str, said: str) -> str:
        options = self.options
        image = "qemu.image" if container.init and container.name == "qemu" else "image"
        if reason == "OOMKilled":
            return f"raise the driver option limits.memory{_value(options.limits, 'memory')}"
        if _OTHER_ARCHITECTURE in said:
            return (
                f"the image is for another architecture than the node, check the driver option {image}, or choose "
                "nodes by nodeselector=kubernetes.io/arch=..."
            )
        if container.name != CONTAINER or reason in ("StartError", "Completed"):
            return f"check the driver option {image if container.name in (CONTAINER, 'qemu') else 'podtemplate'}"
        if options.rootless and options.claim and "permission denied" in said:
            return "a rootless daemon needs a volume that user 1000 may write to, see podtemplate"
        return "check the daemon's flags (--buildkitd-flags) and configuration (--buildkitd-config)"


def _run(pod: Pod, container: Container) -> Run:
    """The last run that has ended: of a container that runs again the one before."""
    over = container.exit_code is not None or bool(container.waiting)
    return Run(pod.name, container.name, container.restarts - (0 if over else 1))


def _timeless(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(_TIME.sub("", line).strip() for line in lines)


def _value(values: Mapping[str, str], name: str) -> str:
    return f"={values[name]}" if name in values else ""
