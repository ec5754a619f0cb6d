"""The logs of a real builder, followed over a cable that is pulled."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import OURS, peer_environment, run

if TYPE_CHECKING:
    from tests.conftest import Cluster

pytestmark = pytest.mark.cluster

BRIDGE = "bwbed0"


@pytest.fixture
def machine(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """A machine on the bed's network: the name of its network namespace, and of the bridge's end of its cable."""
    name = f"bw{secrets.token_hex(4)}"
    ours, theirs = f"{name}o", f"{name}t"
    run("ip", "netns", "add", name)
    try:
        run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        run("ip", "link", "set", ours, "master", BRIDGE, "up")
        run("ip", "-n", name, "address", "add", f"10.214.0.{64 + secrets.randbelow(128)}/24", "dev", theirs)
        run("ip", "-n", name, "link", "set", theirs, "up")
        yield name, ours
    finally:
        run("ip", "netns", "delete", name)


def until(true: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_pulled_cable_is_noticed_and_the_log_taken_up_where_it_was(
    cluster: Cluster, namespace: str, machine: tuple[str, str], tmp_path: Path
) -> None:
    network, cable = machine
    config = tmp_path / "config"
    options = ("--driver", "kubernetes", "--driver-opt", f"namespace={namespace}", "--name", "kube", "--bootstrap")
    cluster.buildwright("create", *options, config=config)

    def say(words: str) -> None:
        pod = cluster.kubectl("-n", namespace, "get", "pods", "-o", "name").stdout.strip()
        cluster.kubectl("-n", namespace, "exec", pod, "--", "sh", "-c", f"echo {words} >/proc/1/fd/2")

    def connections() -> str:
        return run("ip", "netns", "exec", network, "ss", "-Htn", "state", "established").stdout

    environ = peer_environment(config, KUBECONFIG=str(cluster.kubeconfig))
    shown = tmp_path / "shown"
    words = ("ip", "netns", "exec", network, OURS, "logs", "-f", "kube")
    with shown.open("w") as out:
        following = subprocess.Popen(words, stdout=out, env=environ)
    try:
        say("before")
        until(lambda: "before" in shown.read_text(), 20)
        run("ip", "link", "set", cable, "nomaster")
        say("meanwhile")
        until(lambda: not connections(), 60)
        assert following.poll() is None
        assert "meanwhile" not in shown.read_text()
        run("ip", "link", "set", cable, "master", BRIDGE)
        until(lambda: "meanwhile" in shown.read_text(), 60)
        say("after")
        until(lambda: "after" in shown.read_text(), 20)
    finally:
        following.terminate()
        following.wait()
    said = [line.rpartition(" | ")[2] for line in shown.read_text().splitlines()]
    assert [line for line in said if line in ("before", "meanwhile", "after")] == ["before", "meanwhile", "after"]
    assert len(said) == len(set(said))
