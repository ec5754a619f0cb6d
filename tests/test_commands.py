"""The commands that the README names do what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.peers
def test_the_demo_builds_pushes_shows_the_manifest_and_leaves_nothing(registry):
    env = {**os.environ, "BUILDER_COMMAND": str(Path(sys.executable).with_name("buildwright"))}
    done = subprocess.run([ROOT / "scripts/demo"], env=env, capture_output=True, text=True)
    shown = done.stdout + done.stderr
    assert done.returncode == 0, shown
    assert "application/vnd.oci.image.index.v1+json" in shown
    assert "application/vnd.oci.image.layer.v1.tar+gzip" in shown
    assert "Hello from an image that buildwright built." in shown
    daemon = re.search(r"^daemon +unix://(.*)$", shown, re.MULTILINE)
    assert daemon
    assert not Path(daemon[1]).parent.exists()


@pytest.mark.peers
def test_the_bench_compares_with_buildx(registry):
    argv = [sys.executable, "-m", "bench", "--quick", "--only", "help"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^\| --help +\| wall, s +\| [\d.]+ +\| [\d.]+ +\| [\d.]+x \| 3.0x buildx", done.stdout, re.MULTILINE
    )
