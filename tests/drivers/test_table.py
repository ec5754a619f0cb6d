"""Drivers are found by name."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from buildwright.drivers.examination import Examination
from buildwright.drivers.logs import Wanted
from buildwright.drivers.table import KNOWN, connect, examine, logs, make, roles
from buildwright.errors import UsageError
from buildwright.model.node import Node

NODE = Node(name="b0", endpoint="unix:///run/buildkit/buildkitd.sock")


def test_the_known_drivers() -> None:
    assert KNOWN == ("kubernetes", "remote")


@pytest.mark.parametrize("driver", ["docker", "docker-container", "cloud"])
def test_a_driver_of_buildx_that_is_not_here_yet_is_told(driver: str) -> None:
    with pytest.raises(UsageError, match="not available in this version: use kubernetes or remote"):
        make(driver, NODE)


def test_an_unknown_driver_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match='did you mean "kubernetes"'):
        make("kubernets", NODE)
    with pytest.raises(UsageError, match="use kubernetes or remote"):
        make("podman", NODE)


def test_making_a_driver_imports_no_client_library() -> None:
    program = (
        "import sys; from buildwright.drivers.table import make; from buildwright.model.node import Node;"
        "make('kubernetes', Node(name='a', endpoint='')); make('remote', Node(name='a', endpoint='unix:///x'));"
        "print([m for m in ('lightkube', 'httpx2', 'websockets', 'yaml', 'cryptography') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_a_daemon_that_someone_else_runs_is_there_to_be_asked() -> None:
    assert asyncio.run(examine("remote", NODE)) == Examination(place=NODE.endpoint, running=True)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: roles("remote", [NODE], "user"), "needs no Role"),
        (lambda: asyncio.run(logs("remote", [NODE], Wanted(), print, print)), "keeps its log where it runs"),
        (lambda: asyncio.run(connect("remote", NODE)), "is not in a cluster"),
    ],
)
def test_what_only_a_cluster_has_is_refused_elsewhere(ask: Callable[[], Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"node b0 .*{words}"):
        ask()
