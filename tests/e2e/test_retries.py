"""A build whose pod is lost begins again on another one; a build that fails, or cannot be had twice, does not."""

from __future__ import annotations

import io
import os
import re
import secrets
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from tests.conftest import OURS, peer_environment
from tests.e2e.front import Front, front_of
from tests.e2e.test_failures import SOON, assert_one_sentence, folder, last_line

if TYPE_CHECKING:
    from tests.conftest import Cluster

pytestmark = pytest.mark.cluster

HEALED = 60.0
"""Seconds in which a build is done again, with the new pod that it may have to wait for."""
AGAIN = re.compile(r"pod \S+ on node \S+ was lost \(Deleted\); building again on another pod \(retry 1 of 1\)")


class Counting(Front):
    """Notes the digest of every manifest that was put; `landed` is called before whoever did it is answered."""

    puts: list[str]
    landed: threading.Event
    answered: threading.Event

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        if self.command == "PUT" and "/manifests/" in self.path and status == 201:
            self.puts.append(dict(headers)["Docker-Content-Digest"])
            self.landed.set()
            self.answered.wait(SOON)
        super().answer(status, headers, body)


@dataclass(frozen=True, slots=True)
class Fleet:
    """A builder of two pods that may push to `registry`."""

    cluster: Cluster
    namespace: str
    config: Path
    registry: str

    @contextmanager
    def building(self, *words: str | Path, stdin: IO[bytes] | None = None, **env: str) -> Iterator[Building]:
        argv = [OURS, "build", "--builder", "again", "--progress", "plain", *map(str, words)]
        environment = peer_environment(self.config, KUBECONFIG=str(self.cluster.kubeconfig), **env)
        with subprocess.Popen(
            argv, env=environment, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                yield Building(process)
            finally:
                process.kill()

    def lose(self) -> None:
        """All pods go; their workload makes others."""
        self.kubectl("delete", "pods", "--all", "--force", "--grace-period=0")

    def kubectl(self, *words: str) -> None:
        self.cluster.kubectl(*words, "-n", self.namespace)


class Building:
    """Our command while it runs; `shown` is what it has printed to stderr."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.shown = ""

    def until(self, pattern: str) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.shown += line.decode()
            if re.search(pattern, line.decode()):
                return
        raise AssertionError(f"no {pattern!r} in\n{self.shown}")

    def end(self, code: int, *, within: float = HEALED) -> None:
        _, rest = self.process.communicate(timeout=within)
        self.shown += rest.decode()
        assert self.process.returncode == code, self.shown


@pytest.fixture(scope="module")
def fleet(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    namespace, place = f"test-{secrets.token_hex(4)}", tmp_path_factory.mktemp("fleet")
    host = cluster.registry.partition(":")[0]
    cluster.kubectl("create", "namespace", namespace)
    with front_of(cluster.registry, Counting, host) as registry:
        toml = place / "buildkitd.toml"
        toml.write_text(f'{cluster.buildkitd_config.read_text()}[registry."{registry}"]\n  http = true\n')
        cluster.buildwright(
            "create", "--driver", "kubernetes", "--driver-opt", f"namespace={namespace},replicas=2", "--bootstrap",
            "--name", "again", "--buildkitd-config", toml, config=place / "config",
        )  # fmt: skip
        yield Fleet(cluster, namespace, place / "config", registry)
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


STEP = r"^#\d+ [\d.]+ before"


def test_a_lost_build_is_done_again_with_its_archive_from_stdin(fleet: Fleet, tmp_path: Path) -> None:
    text = "FROM busybox AS b\nCOPY given /\nRUN echo before; sleep 3; cp given made\n"
    text += "FROM scratch\nCOPY --from=b made /\n"
    archive = tmp_path / "context.tar"
    with tarfile.open(archive, "w") as tar:
        for name, data in (("Dockerfile", text.encode()), ("given", os.urandom(1 << 20))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    with open(archive, "rb") as stdin, fleet.building("-o", tmp_path / "out", "-", stdin=stdin) as build:
        build.until(STEP)
        fleet.lose()
        build.end(0)
    assert AGAIN.search(build.shown)
    assert (tmp_path / "out" / "made").read_bytes() == data
    assert sorted(os.listdir(tmp_path / "out")) == ["made"]


def test_a_step_that_fails_is_run_once(fleet: Fleet, tmp_path: Path) -> None:
    mount = f"RUN --mount=type=cache,target=/c,id={secrets.token_hex(4)}"
    context = folder(tmp_path, f"FROM busybox\n{mount} echo x >>/c/count; exit 3\n")
    with fleet.building("--retries", "3", context) as build:
        build.end(1)
    assert "building again" not in build.shown
    assert "exit code: 3" in last_line(build.shown)
    folder(tmp_path, f'FROM busybox\n{mount} test "$(wc -l </c/count)" = 1\n')
    with fleet.building(context) as build:
        build.end(0)


def test_what_was_pushed_before_the_loss_is_not_pushed_again(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed, answered, puts = threading.Event(), threading.Event(), list[str]()
    for name, value in (("puts", puts), ("landed", landed), ("answered", answered)):
        monkeypatch.setattr(Counting, name, value, raising=False)
    context = folder(tmp_path, "FROM scratch\nCOPY Dockerfile /\n")
    name = f"{fleet.registry}/{fleet.namespace}/app:1"
    push = ("--push", "-t", name, "--provenance", "false", context)
    with fleet.building(*push, SOURCE_DATE_EPOCH="1700000000") as build:
        assert landed.wait(HEALED), "nothing was pushed"
        fleet.lose()
        build.until(AGAIN.pattern)
        answered.set()
        build.end(0)
    assert len(puts) == 1


def test_a_result_that_has_gone_to_stdout_in_part_is_not_made_again(fleet: Fleet, tmp_path: Path) -> None:
    context = folder(tmp_path, "FROM busybox\nRUN head -c 67108864 /dev/urandom >/random\n")
    with fleet.building("-o", "type=tar,dest=-", context) as build:
        assert build.process.stdout is not None
        build.process.stdout.read(1 << 20)
        fleet.lose()
        build.end(75)
    assert "building again" not in build.shown
    assert "did not begin again by itself, since part of its result" in last_line(build.shown)


def test_a_second_loss_ends_the_build_and_names_both(fleet: Fleet, tmp_path: Path) -> None:
    context = folder(tmp_path, f"FROM busybox\nRUN echo before; sleep 30; echo {secrets.token_hex(4)}\n")
    with fleet.building(context) as build:
        for _ in range(2):
            build.until(STEP)
            fleet.lose()
        build.end(75)
    assert_one_sentence(build.shown)
    first, second = re.findall(r"pod (\S+) on (?:node )?node\d", last_line(build.shown))
    assert first != second


def test_nothing_is_done_again_when_none_is_wanted(fleet: Fleet, tmp_path: Path) -> None:
    context = folder(tmp_path, f"FROM busybox\nRUN echo before; sleep 30; echo {secrets.token_hex(4)}\n")
    with fleet.building("--retries", "0", context) as build:
        build.until(STEP)
        fleet.lose()
        build.end(75)
    assert "building again" not in build.shown


def test_an_interrupt_ends_the_wait_for_another_pod(fleet: Fleet, tmp_path: Path) -> None:
    context = folder(tmp_path, f"FROM busybox\nRUN echo before; sleep 30; echo {secrets.token_hex(4)}\n")
    with fleet.building(context) as build:
        build.until(STEP)
        fleet.kubectl("create", "quota", "none", "--hard=pods=0")
        fleet.lose()
        build.until("waiting for another pod")
        build.process.send_signal(signal.SIGINT)
        interrupted = time.monotonic()
        build.end(130)
        assert time.monotonic() - interrupted < 3
    assert_one_sentence(build.shown)
    fleet.kubectl("delete", "quota", "none")


def test_deaths_in_the_middle_of_builds_are_named_and_healed(cluster: Cluster) -> None:
    argv = [sys.executable, "-m", "bench.chaos", "--runs", "4", "--parallel", "2", "--replicas", "2", "--limit", "1"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
