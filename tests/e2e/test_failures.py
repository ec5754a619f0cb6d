"""Whatever goes wrong ends soon, in one sentence, with the right exit code and nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import OURS, peer_environment

if TYPE_CHECKING:
    from tests.conftest import Buildkitd

pytestmark = pytest.mark.peers

SOON = 20.0
"""Seconds that a failing test waits for what should have happened at once."""


def folder(path: Path, dockerfile: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "Dockerfile").write_text(dockerfile)
    return path


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Poll until `condition` holds; other processes give no event to wait on."""
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {SOON} s"
        os.sched_yield()


def runs(mark: str) -> bool:
    """Whether a process on this machine has `mark` among its arguments."""
    wanted = f"\0{mark}\0".encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if wanted in b"\0" + Path("/proc", pid, "cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


@contextmanager
def building(daemon: Buildkitd, tmp_path: Path, mark: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Our command in the middle of `RUN sleep MARK`."""
    context = folder(tmp_path / "context", f"FROM busybox\nRUN echo before && sleep {mark}\n")
    argv = [OURS, "build", "--progress", "plain", *more, str(context)]
    environment = peer_environment(tmp_path / "config", BUILDKIT_HOST=daemon.address)
    with subprocess.Popen(
        argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            wait_for(lambda: runs(mark) or process.poll() is not None, "the step")
            assert process.poll() is None, process.communicate()[1]
            yield process
        finally:
            process.kill()


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def assert_one_sentence(stderr: str) -> None:
    assert "Traceback" not in stderr
    assert "Exception ignored" not in stderr
    assert [line for line in stderr.splitlines() if line.startswith("ERROR: ")] == [last_line(stderr)], stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_cancels_the_daemons_solve(buildkitd: Buildkitd, tmp_path: Path, number: signal.Signals) -> None:
    mark = f"864{number:03d}"
    result = tmp_path / "out" / "image.tar"
    result.parent.mkdir()
    with building(buildkitd, tmp_path, mark, "-o", f"type=oci,dest={result}") as process:
        process.send_signal(number)
        stderr = process.communicate(timeout=SOON)[1]
        assert process.returncode == 130
        assert_one_sentence(stderr)
        wait_for(lambda: not runs(mark), "the end of the step")
    assert list(result.parent.iterdir()) == []


def test_a_killed_daemon_ends_the_build(private_buildkitd: Buildkitd, tmp_path: Path) -> None:
    with building(private_buildkitd, tmp_path, "865001") as process:
        private_buildkitd.kill()
        stderr = process.communicate(timeout=SOON)[1]
        assert process.returncode == 1
        assert_one_sentence(stderr)


def failing(buildkitd: Buildkitd, tmp_path: Path, dockerfile: str, *argv: str, code: int = 1) -> str:
    """stderr of a build that must fail with that exit code."""
    context = folder(tmp_path / "context", dockerfile)
    config = tmp_path / "config"
    done = buildkitd.buildwright("build", *argv, context, config=config, check=False, BUILDKIT_HOST=buildkitd.address)
    assert done.returncode == code, done.stderr
    assert_one_sentence(done.stderr)
    return done.stderr


def test_a_failing_step_shows_its_log_its_line_and_its_code(buildkitd: Buildkitd, tmp_path: Path) -> None:
    stderr = failing(buildkitd, tmp_path, "FROM busybox\nRUN echo oops-$((6*7)) && exit 42\n")
    assert " > [2/2] RUN echo oops-" in stderr
    assert "oops-42" in stderr
    assert "   2 | >>> RUN echo oops" in stderr
    assert last_line(stderr) == (
        'ERROR: failed to build: failed to solve: process "/bin/sh -c echo oops-$((6*7)) && exit 42" '
        "did not complete successfully: exit code: 42"
    )


def test_a_registry_that_refuses_is_named(buildkitd: Buildkitd, tmp_path: Path) -> None:
    stderr = failing(buildkitd, tmp_path, "FROM busybox\n", "-t", "127.0.0.1:9/none/app", "--push")
    assert "127.0.0.1:9" in last_line(stderr)
    assert "connection refused" in last_line(stderr)


def test_a_base_image_that_does_not_exist_is_named(buildkitd: Buildkitd, tmp_path: Path) -> None:
    stderr = failing(buildkitd, tmp_path, "FROM nowhere/nothing:1\n")
    assert "nowhere/nothing:1: not found" in last_line(stderr)
    assert "   1 | >>> FROM nowhere/nothing:1" in stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 64 KiB."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mounted], check=True)
    yield mounted
    subprocess.run(["umount", mounted], check=True)


@pytest.mark.parametrize("output", ["type=oci,dest={}/image.tar", "type=local,dest={}", "type=tar,dest={}/files.tar"])
def test_a_full_disk_is_said_and_leaves_nothing_half_written(
    buildkitd: Buildkitd, tmp_path: Path, small_disk: Path, output: str
) -> None:
    stderr = failing(buildkitd, tmp_path, "FROM busybox\n", "-o", output.format(small_disk), code=102)
    assert "no space left" in last_line(stderr).lower()
    assert str(small_disk) in last_line(stderr)
    assert not list(small_disk.rglob("*.tar*"))
    assert not list(small_disk.rglob(".buildwright*"))


def test_a_closed_stdout_is_one_sentence(buildkitd: Buildkitd, tmp_path: Path) -> None:
    context = folder(tmp_path / "context", "FROM busybox\n")
    environment = peer_environment(tmp_path / "config", BUILDKIT_HOST=buildkitd.address)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [OURS, "build", "-o", "-", str(context)], env=environment, stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert done.returncode == 1
    assert_one_sentence(done.stderr)
    assert "stdout" in last_line(done.stderr)


def test_a_secret_is_nowhere_to_be_seen(buildkitd: Buildkitd, tmp_path: Path) -> None:
    value = "correct-horse-battery"
    context = folder(
        tmp_path / "context", "FROM busybox\nRUN --mount=type=secret,id=s test -s /run/secrets/s && false\n"
    )
    metadata, config = tmp_path / "metadata.json", tmp_path / "config"
    for mode in ("plain", "rawjson"):
        done = buildkitd.buildwright(
            "--debug", "build", "--progress", mode, "--secret", "id=s,env=TOKEN",
            "--metadata-file", metadata, context,
            config=config, check=False, BUILDKIT_HOST=buildkitd.address, TOKEN=value,
        )  # fmt: skip
        assert done.returncode == 1
        assert value not in done.stdout + done.stderr
    histories = buildkitd.buildctl("debug", "histories", "--format", "{{json .}}").stdout
    assert value not in histories
    assert value not in buildkitd.log.read_text()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_closed_standard_stream_that_is_not_used_does_not_matter(
    buildkitd: Buildkitd, tmp_path: Path, closed: str
) -> None:
    context = folder(tmp_path / "context", "FROM scratch\nCOPY Dockerfile /\n")
    environment = peer_environment(tmp_path / "config", BUILDKIT_HOST=buildkitd.address)
    command = f'"{OURS}" build -o "{tmp_path / "out"}" "{context}" {closed}'
    assert subprocess.run(["sh", "-c", command], env=environment, capture_output=True).returncode == 0
    assert (tmp_path / "out" / "Dockerfile").exists()
