"""The README's Python example runs as it is written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.peers
def test_the_python_example_builds_on_the_current_builder(buildkitd, tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo hello > /hello\n")
    config = tmp_path / "docker"
    buildkitd.buildx("create", "--name", "mine", "--driver", "remote", "--use", buildkitd.address, config=config)
    env = {**os.environ, "DOCKER_CONFIG": str(config), "BUILDX_CONFIG": str(config / "buildx")}
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^sha256:[0-9a-f]{64}$", done.stdout, re.MULTILINE)
    with tarfile.open(tmp_path / "app.tar") as archive:
        assert "index.json" in archive.getnames()
