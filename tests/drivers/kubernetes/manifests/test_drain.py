"""The hook that waits for running builds, run by a real shell on process tables of our own."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from buildwright.drivers.kubernetes.manifests import drain

BUILD = b"buildctl\0dial-stdio\0"


def hooked(proc: Path, bound: float) -> subprocess.Popen[bytes]:
    """The hook at work on the processes in `proc`."""
    shell, option, script = drain.hook(bound)["preStop"]["exec"]["command"]
    return subprocess.Popen([shell, option, script.replace("/proc/[", f"{proc}/[")])


def process(proc: Path, number: int, cmdline: bytes) -> Path:
    (proc / str(number)).mkdir(parents=True)
    path = proc / str(number) / "cmdline"
    path.write_bytes(cmdline)
    return path


@pytest.mark.parametrize("others", [(), (b"buildkitd\0",), (b"", b"buildctl\0debug\0workers\0")])
def test_an_idle_pod_ends_at_once(tmp_path: Path, others: tuple[bytes, ...]) -> None:
    for number, cmdline in enumerate(others, 1):
        process(tmp_path, number, cmdline)
    itself = "\0".join(drain.hook(600)["preStop"]["exec"]["command"])
    process(tmp_path, 99, itself.encode())
    assert hooked(tmp_path, 600).wait(timeout=10) == 0


def test_it_waits_for_the_last_build(tmp_path: Path) -> None:
    process(tmp_path, 1, b"buildkitd\0")
    first, last = (process(tmp_path, number, BUILD) for number in (7, 8))
    with hooked(tmp_path, 600) as waiting:
        first.unlink()
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(timeout=0.5)
        last.unlink()
        assert waiting.wait(timeout=10) == 0


def test_it_waits_no_longer_than_the_bound(tmp_path: Path) -> None:
    process(tmp_path, 7, BUILD)
    began = time.monotonic()
    assert hooked(tmp_path, 0.5).wait(timeout=10) == 0
    assert time.monotonic() - began >= 1


def test_without_a_bound_nothing_is_waited_for() -> None:
    assert drain.hook(0) == {}
    assert drain.grace(0) is None
    assert drain.grace(5.5) == 11
