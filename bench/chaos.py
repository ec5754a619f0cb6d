"""`python -m bench.chaos`: pods die in the middle of builds, again and again; what does who builds see of it?

--runs N         how many deaths (default: 100)
--parallel N     builds at the same time, each on a builder of its own (default: 3)
--replicas N     pods of each builder (default: 3)
--limit FLOAT    share of builds that their one retry must heal (default: 0.98)

Deaths take turns: two forced deletions, one with a second of grace, and a kill of the daemon's process. Exit code 1
when a build hung, a loss was not named rightly within 5 seconds, or too few builds were healed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from bench.measure import RunError
from bench.peers import HERE, Workshop, borrowed_namespace, driver_options, workshop

FORCED, NOW, KILL = "delete --force", "delete --now", "kill -9"
TURNS = (FORCED, NOW, FORCED, KILL)
REASONS = {FORCED: ("Deleted",), NOW: ("Deleted", "Drained"), KILL: ("Exited",)}
WITHIN = 5.0
"""Seconds from a pod's death to the line that names it."""
LATER = {NOW: 3.0}
"""Seconds from the command to the death: one of grace, and two that kubelet adds for a preStop hook."""
HANGS = 180.0
"""Seconds after which a build that goes on is taken to hang."""

_TICKS = "ip -4 -o addr show eth0; for i in $(seq 8); do echo tick $i; sleep 1; done"
_ADDRESS = re.compile(r"#\d+ \d+\.\d+ .*inet ([\d.]+)/")
_TICK = re.compile(r"#\d+ \d+\.\d+ tick (\d)$")
_LOST = re.compile(r"#\d+ pod (\S+) on node (\S+) was lost \((\w+)\); building again")


@dataclass(slots=True)
class Death:
    """One run. `seconds` is from the command that kills to the line that names the pod; None when none did."""

    how: str
    pod: str = ""
    seconds: float | None = None
    named: str = ""
    reason: str = ""
    hung: bool = False
    code: int | None = None
    shown: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        named = self.named == self.pod and self.reason in REASONS[self.how]
        return named and self.seconds is not None and self.seconds - LATER.get(self.how, 0) <= WITHIN

    @property
    def healed(self) -> bool:
        return self.code == 0


@dataclass(frozen=True, slots=True)
class Field:
    """Where it happens. `context` ticks for some seconds and says which pod it does that in."""

    kubectl: tuple[str, ...]
    place: Workshop
    context: Path

    def create(self, builder: str, namespace: str, replicas: int) -> None:
        options = driver_options(f"namespace={namespace},replicas={replicas}")
        argv = ["create", "--driver", "kubernetes", *options, "--name", builder, "--bootstrap"]
        subprocess.run([str(HERE / "buildwright"), *argv], check=True, env=self.place.env, stdout=subprocess.DEVNULL)

    def run(self, builder: str, how: str, number: int) -> Death:
        """Build, end the pod somewhere between the second and the fifth tick, and watch what comes of it."""
        self._settled(builder)
        death = Death(how)
        argv = [str(HERE / "buildwright"), "build", "--builder", builder, "--progress", "plain"]
        argv += ["--build-arg", f"RUN={os.getpid()}-{number}", str(self.context)]
        with subprocess.Popen(argv, env=self.place.env, stderr=subprocess.PIPE, text=True) as process:
            timer = threading.Timer(HANGS, process.send_signal, (signal.SIGKILL,))
            timer.start()
            self._watch(process, death, random.choice("234"))
            death.code = process.wait()
            death.hung = not timer.is_alive()
            timer.cancel()
        return death

    def _watch(self, process: subprocess.Popen[str], death: Death, tick: str) -> None:
        assert process.stderr is not None
        address, killed = "", 0.0
        with ExitStack() as killers:
            for line in process.stderr:
                now = time.monotonic()
                death.shown.append(f"{now:.3f} {line}")
                if found := _ADDRESS.match(line):
                    address = found[1]
                elif (found := _TICK.match(line)) and found[1] == tick and not killed:
                    death.pod, uid = self._pod_at(address)
                    killed = time.monotonic()
                    if death.how == KILL:
                        os.kill(daemon_of(uid), signal.SIGKILL)
                    else:
                        how = ("--force", "--grace-period=0") if death.how == FORCED else ("--now", "--wait=false")
                        argv = (*self.kubectl, "delete", "pod", death.pod, *how)
                        nowhere = subprocess.DEVNULL
                        killers.enter_context(subprocess.Popen(argv, stdout=nowhere, stderr=nowhere))
                elif (found := _LOST.match(line)) and not death.named:
                    death.named, death.reason, death.seconds = found[1], found[3], now - killed

    def _pod_at(self, address: str) -> tuple[str, str]:
        query = "{range .items[?(@.status.podIP=='" + address + "')]}{.metadata.name} {.metadata.uid}{end}"
        name, uid = self._output("get", "pods", "-o", f"jsonpath={query}").split()
        return name, uid

    def _settled(self, builder: str) -> None:
        self._output("rollout", "status", "deployment", f"{builder}0", "--timeout=120s")

    def _output(self, *argv: str) -> str:
        return subprocess.run([*self.kubectl, *argv], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


def daemon_of(uid: str) -> int:
    """The daemon's process in the pod: the bed's nodes run on this machine's kernel."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if (entry / "comm").read_text() == "buildkitd\n" and uid in (entry / "cgroup").read_text().replace(
                "_", "-"
            ):
                return int(entry.name)
    raise RunError(f"no daemon runs in pod {uid}")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.chaos", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--parallel", type=int, default=3)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--limit", type=float, default=0.98)
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        place = stack.enter_context(workshop())
        kubectl, namespace = stack.enter_context(borrowed_namespace("chaos"))
        ground = Field(kubectl, place, ticking(place))
        builders = [f"chaos{number}" for number in range(options.parallel)]
        for builder in builders:
            ground.create(builder, namespace, options.replicas)
        deaths = list(all_of(ground, builders, options.runs))
    print(render(deaths))
    for death in deaths:
        if death.hung or not death.right or not death.healed:
            print(f"\n{death.how} of {death.pod}:\n{''.join(death.shown)}", file=sys.stderr)
    healed = sum(death.healed for death in deaths)
    failed = any(death.hung or not death.right for death in deaths) or healed < options.limit * len(deaths)
    return 1 if failed else 0


def ticking(place: Workshop) -> Path:
    context = place.folder / "chaos"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM busybox\nARG RUN\nRUN {_TICKS}\n")
    return context


def all_of(ground: Field, builders: Sequence[str], runs: int) -> Iterator[Death]:
    """Every builder has one build at a time, so that nobody's pod is another's."""
    turns: SimpleQueue[tuple[int, str]] = SimpleQueue()
    for turn in itertools.islice(zip(itertools.count(1), itertools.cycle(TURNS), strict=False), runs):
        turns.put(turn)

    def work(builder: str) -> list[Death]:
        made = []
        with suppress(Empty):
            while True:
                number, how = turns.get_nowait()
                death = ground.run(builder, how, number)
                say(f"{number} of {runs}: {how} of {death.pod}: {death.reason}, {death.seconds}, exit {death.code}")
                made.append(death)
        return made

    with ThreadPoolExecutor(len(builders)) as pool:
        for made in pool.map(work, builders):
            yield from made


def say(text: str) -> None:
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def render(deaths: Sequence[Death]) -> str:
    kinds: dict[str, list[Death]] = defaultdict(list)
    for death in deaths:
        kinds[death.how].append(death)
        kinds["all"].append(death)
    lines = [
        "| death | runs | hung | right reason in 5 s | seconds, median | most | healed |",
        "|---|---|---|---|---|---|---|",
    ]
    for how in (*REASONS, "all"):
        some = kinds[how]
        seconds = [death.seconds for death in some if death.seconds is not None] or [0.0]
        counts = (len(some), sum(d.hung for d in some), sum(d.right for d in some))
        times = f"{statistics.median(seconds):.2f} | {max(seconds):.2f}"
        lines.append(f"| {how} | {' | '.join(map(str, counts))} | {times} | {sum(d.healed for d in some)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
