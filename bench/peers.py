"""The real peers that a comparison runs against, and the folders that they build."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.measure import Cost, RunError

ROOT = Path(__file__).resolve().parent.parent
TESTBED = ROOT / "testbed"
CACHE = Path(
    os.environ.get("BUILDWRIGHT_TESTBED")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "buildwright-testbed"
)
BIN = CACHE / "bin"
HERE = Path(sys.executable).parent
FOR_US = ("--for", str(os.getpid()))
MEMORY_DISK = Path("/dev/shm")
HANGS = 30
"""Seconds after which a program that lost its pod counts as one that hangs."""
SPREAD = 0.618
"""A step whose multiples fill a second evenly, however many there are."""
LOST = 75
"""The exit code for a build whose daemon was lost."""
MEASURED = 10
"""Seconds after which no garbage collection still measures what a build left."""

# the whole context is asked for, and nothing of it is copied again
DOCKERFILE = "FROM busybox\nRUN --mount=type=bind,target=/context true\n"


def output(*argv: str | Path) -> str:
    return subprocess.run([str(word) for word in argv], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


@dataclass(frozen=True, slots=True)
class Workshop:
    """A folder on a memory disk, with a private builder store that buildx and buildwright share."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        return {
            "PATH": f"{HERE}:{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.folder),
            "DOCKER_CONFIG": str(self.folder / "docker"),
            "BUILDX_CONFIG": str(self.folder / "docker/buildx"),
            "KUBECONFIG": str(CACHE / "state/admin.kubeconfig"),
        }

    def buildx(self, *argv: str) -> None:
        subprocess.run([str(BIN / "buildx"), *argv], check=True, env=self.env, stdout=subprocess.DEVNULL)

    def many_files(self) -> Path:
        """50,500 files of 2 KiB in 505 folders."""
        context = self.folder / "files"
        if not context.exists():
            block = os.urandom(2048)
            for number in range(50_500):
                folder = context / f"d{number // 1000}" / f"d{number // 100}"
                if number % 100 == 0:
                    folder.mkdir(parents=True)
                (folder / f"file{number}").write_bytes(b"%8d" % number + block[8:])
            (context / "Dockerfile").write_text(DOCKERFILE)
        return context

    def one_file(self) -> Path:
        """1 GiB in one file."""
        context = self.folder / "large"
        if not context.exists():
            context.mkdir()
            block = os.urandom(1 << 20)
            with open(context / "large", "wb") as file:
                file.writelines(b"%8d" % number + block[8:] for number in range(1024))
            (context / "Dockerfile").write_text(DOCKERFILE)
        return context


@dataclass(frozen=True, slots=True)
class Daemon:
    """One buildkitd: how to ask it something with buildctl, and the name of the builder that stands for it."""

    builder: str
    buildctl: tuple[str, ...]

    def forget_contexts(self) -> None:
        """Make the next build transfer its whole context, whichever client asks for it."""
        output(*self.buildctl, "prune", "--all", "--filter", "type==source.local")
        assert not self.contexts(), "the daemon still holds a context"

    def contexts(self, least: int = 0) -> int:
        """Bytes of build contexts that the daemon holds.

        The daemon leaves a record out while something else measures it, as its own garbage collection does a
        second after a build (cacheManager.DiskUsage of moby/buildkit): below `least` it is asked again.
        """
        give_up = time.monotonic() + MEASURED
        while True:
            answer = output(*self.buildctl, "du", "--filter", "type==source.local", "--format", "{{json .}}")
            size = sum(record["size"] for line in answer.splitlines() for record in records(json.loads(line)))
            if size >= least or time.monotonic() > give_up:
                return size


def records(answer: object) -> list[dict[str, int]]:
    return answer if isinstance(answer, list) else [answer] if isinstance(answer, dict) else []


@dataclass(frozen=True, slots=True)
class Fleet:
    """A namespace of the cluster, with a builder called `fleet` in it and room for others."""

    namespace: str
    kubectl: tuple[str, ...]
    env: Mapping[str, str]
    options: tuple[str, ...]
    daemon: Daemon
    _turns: Iterator[int] = field(default_factory=itertools.count)

    def remove(self, *builders: str) -> None:
        """Take builders away and wait until their pods are gone, so that nothing of them slows the next one down.

        Kubelet looks at its containers once a second, so pods go at one moment of that second, and what began then
        would always just catch, or just miss, the next look: the wait ends at all moments of it in turn, at the same
        one for both programs of a round.
        """
        for name in builders:
            subprocess.run([str(BIN / "buildx"), "rm", name], env=self.env, stderr=subprocess.DEVNULL)
            output(*self.kubectl, "delete", "deployment", f"{name}0", "--ignore-not-found")
            output(*self.kubectl, "wait", "--for=delete", "pod", "-l", f"app={name}0", "--timeout=60s")
        time.sleep(next(self._turns) // 2 * SPREAD % 1)

    def ready(self) -> None:
        output(*self.kubectl, "rollout", "status", "deployment", "fleet0", "--timeout=60s")

    def ticking(self, place: Workshop) -> Path:
        """A context whose build goes on for a minute and says so."""
        context = place.folder / "ticking"
        context.mkdir(exist_ok=True)
        loop = "for i in $(seq 60); do echo tick-$i-$RUN; sleep 1; done"
        (context / "Dockerfile").write_text(f"FROM busybox\nARG RUN\nRUN {loop}\n")
        return context

    def lose(self, argv: Sequence[str | Path], env: Mapping[str, str]) -> Cost:
        """Delete the pod in the middle of a build; the clock runs from that command to the program's end by itself.

        One that has not ended after HANGS seconds is killed, and counts with these. Ours must name the pod, and exit
        as for a lost one.
        """
        pod = output(*self.kubectl, "get", "pod", "-l", "app=fleet0", "-o", "jsonpath={.items[0].metadata.name}")
        words = [str(word) for word in argv] + ["--build-arg", f"RUN={os.getpid()}-{next(self._turns)}"]
        with subprocess.Popen(words, env=dict(env), stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            if not any("tick-2-" in line and "RUN" not in line for line in process.stderr):
                raise RunError(f"{' '.join(words)} ended before its pod was deleted")
            begin = time.monotonic()
            output(*self.kubectl, "delete", "pod", "-l", "app=fleet0", "--force", "--grace-period=0")
            try:
                _, said = process.communicate(timeout=HANGS)
                if Path(words[0]).name != "buildx" and (process.returncode != LOST or pod not in said):
                    raise RunError(f"{words[0]} ended with {process.returncode} and said: {said[-500:]}")
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
            return Cost(0, time.monotonic() - begin, 0)


@contextmanager
def workshop() -> Iterator[Workshop]:
    folder = Path(tempfile.mkdtemp(prefix="buildwright-bench-", dir=MEMORY_DISK))
    try:
        (folder / "docker").mkdir()
        yield Workshop(folder)
    finally:
        shutil.rmtree(folder)


@contextmanager
def buildkitd(place: Workshop) -> Iterator[Daemon]:
    """A daemon on a unix socket with its store on a memory disk."""
    name = f"bench{os.getpid()}"
    output(TESTBED / "sweep")
    output(TESTBED / "registry", "up", *FOR_US)
    try:
        address = output(TESTBED / "buildkitd", "up", name, "--memory", *FOR_US)
        place.buildx("create", "--name", "daemon", "--driver", "remote", address)
        yield Daemon("daemon", (str(BIN / "buildctl"), "--addr", address))
    finally:
        output(TESTBED / "buildkitd", "down", name)
        output(TESTBED / "registry", "down", *FOR_US)


@contextmanager
def pod(place: Workshop) -> Iterator[Daemon]:
    """A daemon in a pod, reached through the API server, with its store on a memory disk."""
    with borrowed_namespace("transfers") as (kubectl, namespace):
        options = driver_options(f"namespace={namespace},buildkit-root-volume-memory=6Gi")
        place.buildx("create", "--name", "pod", "--driver", "kubernetes", *options, "--bootstrap")
        yield Daemon("pod", (*kubectl, "exec", "deploy/pod0", "--", "buildctl"))


@contextmanager
def fleet(place: Workshop) -> Iterator[Fleet]:
    """Builders that come and go; the one called `fleet` stays."""
    with borrowed_namespace("fleet") as (kubectl, namespace):
        options = driver_options(f"namespace={namespace}")
        place.buildx("create", "--name", "fleet", "--driver", "kubernetes", *options, "--bootstrap")
        daemon = Daemon("fleet", (*kubectl, "exec", "deploy/fleet0", "--", "buildctl"))
        yield Fleet(namespace, kubectl, place.env, options, daemon)


@contextmanager
def borrowed_namespace(purpose: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """A namespace of the cluster, as kubectl's command line that works in it, and its name."""
    kubeconfig = output(TESTBED / "cluster", "up", *FOR_US)
    namespace = f"bench-{purpose}-{os.getpid()}"
    kubectl = (str(BIN / "kubectl"), "--kubeconfig", kubeconfig, "--namespace", namespace)
    try:
        output(*kubectl, "create", "namespace", namespace)
        yield kubectl, namespace
    finally:
        output(*kubectl, "delete", "namespace", namespace, "--wait=false")
        output(TESTBED / "cluster", "down", *FOR_US)


def driver_options(text: str) -> tuple[str, ...]:
    return ("--driver-opt", text, "--buildkitd-config", str(CACHE / "state/buildkitd.toml"))
