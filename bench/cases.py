"""What is compared: programs that do the same work, what happens before each run, and the limits for ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.measure import Cost
from bench.peers import BIN, ROOT, Daemon, Fleet, Workshop

OURS = "buildwright"


@dataclass(frozen=True, slots=True)
class Case:
    """`programs` maps a name to its command line; `limits` are ratios to `rival`'s median, or in MiB or s.

    `act` runs a program in another way than to its end, and `figures` are those of Cost that it then has.
    """

    name: str
    title: str
    rival: str
    programs: Mapping[str, Sequence[str | Path]]
    env: Mapping[str, str]
    runs: int
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    limits: Mapping[str, float] = field(default_factory=dict)
    act: Callable[[Sequence[str | Path], Mapping[str, str]], Cost] | None = None
    figures: Sequence[str] = ("cpu", "wall", "peak")


def daemon_cases(place: Workshop, daemon: Daemon) -> list[Case]:
    return [
        _transfer("files", "context of 50,500 files", place, daemon, place.many_files(), {"cpu": 0.4, "wall": 0.8}),
        _transfer(
            "large", "context of 1 GiB in one file", place, daemon, place.one_file(), {"cpu": 0.4, "wall": 0.8}
        ),
    ]


def cached_case(place: Workshop, daemon: Daemon) -> Case:
    context = ROOT / "examples/hello"
    secret = place.folder / "signature"
    secret.write_bytes(b"bench")
    options = ("--secret", f"id=signature,src={secret}")
    return Case(
        name="cached",
        title="a build that is all cached",
        rival="buildx",
        programs={
            OURS: (*_build(OURS, daemon, context), *options),
            "buildx": (*_build("buildx", daemon, context), *options),
            "buildctl": (*_buildctl(daemon, context), *options),
        },
        env=place.env,
        runs=15,
        limits={"wall": 2.5},
    )


def pod_cases(place: Workshop, pod: Daemon) -> list[Case]:
    files, large = place.many_files(), place.one_file()
    return [
        _transfer("pod-files", "50,500 files through pod exec", place, pod, files, {"cpu": 0.5, "wall": 0.8}),
        _transfer("pod-large", "1 GiB through pod exec", place, pod, large, {"cpu": 0.5, "wall": 1.0}),
    ]


def fleet_cases(place: Workshop, fleet: Fleet) -> list[Case]:
    """What a builder's life in a cluster takes: to be ready, to find everything cached, to be lost."""
    hello, ticks = ROOT / "examples/hello", fleet.ticking(place)
    secret = place.folder / "signature"
    secret.write_bytes(b"bench")
    options = ("--secret", f"id=signature,src={secret}")
    plain, configured = ("--driver-opt", f"namespace={fleet.namespace}"), fleet.options
    return [
        _bootstrap("create --bootstrap until the pod is ready", place, fleet, plain),
        _bootstrap("the same with a buildkitd.toml", place, fleet, configured),
        Case(
            name="pod-cached",
            title="a build through pod exec that is all cached",
            rival="buildx",
            programs={
                OURS: (*_build(OURS, fleet.daemon, hello), *options),
                "buildx": (*_build("buildx", fleet.daemon, hello), *options),
            },
            env=place.env,
            runs=15,
            limits={"wall": 1.5},
        ),
        Case(
            name="pod-death",
            title="from a pod's deletion to the end of its build",
            rival="buildx",
            programs={
                OURS: (*_build(OURS, fleet.daemon, ticks), "--retries", "0"),
                "buildx": _build("buildx", fleet.daemon, ticks),
            },
            env=place.env,
            runs=3,
            before=fleet.ready,
            act=fleet.lose,
            limits={"wall": 1.0},
            figures=("wall",),
        ),
    ]


def _bootstrap(title: str, place: Workshop, fleet: Fleet, options: Sequence[str]) -> Case:
    create = ("create", "--bootstrap", "--driver", "kubernetes", *options, "--name")
    return Case(
        name="pod-ready",
        title=title,
        rival="buildx",
        programs={OURS: (OURS, *create, "ours"), "buildx": (BIN / "buildx", *create, "theirs")},
        env=place.env,
        runs=15,
        before=lambda: fleet.remove("ours", "theirs"),
        limits={"wall": 1.0},
        figures=("wall",),
    )


def start_cases(place: Workshop) -> list[Case]:
    return [
        Case(
            name="help",
            title="--help",
            rival="buildx",
            programs={OURS: (OURS, "--help"), "buildx": (BIN / "buildx", "--help")},
            env=place.env,
            runs=21,
            limits={"wall": 3.0},
        ),
        _import(place, "import buildwright", {"wall beyond": 0.150}),
        # names are imported when they are first used, so the line above is not yet all that a program pays
        _import(place, "from buildwright import *", {}),
    ]


def _import(place: Workshop, statement: str, limits: Mapping[str, float]) -> Case:
    return Case(
        name="import",
        title=statement,
        rival="python",
        programs={OURS: (sys.executable, "-c", statement), "python": (sys.executable, "-c", "pass")},
        env=place.env,
        runs=21,
        limits=limits,
    )


def _transfer(
    name: str, title: str, place: Workshop, daemon: Daemon, context: Path, limits: Mapping[str, float]
) -> Case:
    # both are on memory disks, where a file takes the same number of blocks
    sent = sum(file.stat().st_blocks * 512 for file in context.rglob("*") if file.is_file())

    def arrived() -> None:
        held = daemon.contexts(least=sent)
        assert held >= sent, f"{name}: the daemon holds {held} bytes of a context of {sent}"

    through_pod = "kubectl" in daemon.buildctl[0]
    theirs = {"buildx": _build("buildx", daemon, context)}
    if not through_pod:
        theirs["buildctl"] = _buildctl(daemon, context)
    return Case(
        name=name,
        title=title,
        rival="buildx" if through_pod else "buildctl",
        programs={OURS: _build(OURS, daemon, context), **theirs},
        env=place.env,
        runs=5,
        before=daemon.forget_contexts,
        after=arrived,
        limits={**limits, "peak": 100},
    )


def _build(program: str, daemon: Daemon, context: Path) -> tuple[str | Path, ...]:
    path = BIN / "buildx" if program == "buildx" else program
    return (path, "build", "--builder", daemon.builder, "--progress", "plain", context)


def _buildctl(daemon: Daemon, context: Path) -> tuple[str | Path, ...]:
    folders = ("--local", f"context={context}", "--local", f"dockerfile={context}")
    return (*daemon.buildctl, "build", "--frontend", "dockerfile.v0", *folders, "--progress", "plain")


def compiled(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of an installed package: its byte code is on disk."""
    return {key: value for key, value in {**os.environ, **env}.items() if not key.startswith("PYTHON")}
