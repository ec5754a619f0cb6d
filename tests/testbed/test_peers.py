"""The test bed itself: real peers answer, and nothing of a killed session stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

SESSION = """
import os, signal, subprocess, sys
bed, name = sys.argv[1:]
subprocess.run([f"{bed}/buildkitd", "up", name, "--for", str(os.getpid())], check=True)
subprocess.Popen([f"{bed}/sweep", "--after", str(os.getpid())], start_new_session=True, stdout=subprocess.DEVNULL)
print(flush=True)
signal.pause()
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM busybox\nRUN echo built here\n")
    return folder


@pytest.mark.peers
def test_buildctl_builds_with_the_beds_images(buildkitd, context):
    local = ("--local", f"context={context}", "--local", f"dockerfile={context}")
    done = buildkitd.buildctl("build", "--frontend", "dockerfile.v0", *local, "--progress", "plain")
    assert "built here" in done.stderr


@pytest.mark.peers
def test_buildx_pushes_to_the_registry_through_a_builder_of_its_own(buildkitd, context, tmp_path):
    config = tmp_path / "docker"
    reference = f"{buildkitd.registry}/testbed/pushed:1"
    buildkitd.buildx("create", "--name", "one", "--driver", "remote", buildkitd.address, config=config)
    buildkitd.buildx("build", "--builder", "one", "--push", "-t", reference, context, config=config)
    request = urllib.request.Request(f"http://{buildkitd.registry}/v2/testbed/pushed/manifests/1")
    request.add_header("Accept", "application/vnd.oci.image.index.v1+json")
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["manifests"]


@pytest.mark.peers
def test_the_tls_daemon_refuses_a_client_without_a_certificate(buildkitd_tls):
    assert "Platforms" in buildkitd_tls.buildctl("debug", "workers", "-v").stdout
    stranger = type(buildkitd_tls)(buildkitd_tls.name, buildkitd_tls.address, buildkitd_tls.home)
    assert stranger.buildctl("--timeout", "2", "debug", "workers", check=False).returncode != 0


@pytest.mark.peers
def test_a_killed_daemon_comes_back_with_its_store(private_buildkitd, context):
    local = ("--local", f"context={context}", "--local", f"dockerfile={context}", "--progress", "plain")
    private_buildkitd.buildctl("build", "--frontend", "dockerfile.v0", *local)
    private_buildkitd.kill()
    assert private_buildkitd.buildctl("--timeout", "1", "debug", "workers", check=False).returncode != 0
    private_buildkitd.up()
    assert "CACHED" in private_buildkitd.buildctl("build", "--frontend", "dockerfile.v0", *local).stderr


@pytest.mark.peers
def test_what_a_killed_session_brought_up_goes_with_it(registry, request):
    bed = request.config.rootpath / "testbed"
    name = f"k{os.getpid()}"
    with subprocess.Popen([sys.executable, "-c", SESSION, bed, name], stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout is not None
        socket = Path(session.stdout.readline().strip().removeprefix("unix://"))
        session.stdout.readline()
        assert socket.exists()
        session.send_signal(signal.SIGKILL)
    # the keeper and this sweep take turns under the bed's lock: after it, nothing of that session is left
    subprocess.run([bed / "sweep"], check=True)
    assert not socket.parent.exists()
    assert (
        name not in subprocess.run([bed / "buildkitd", "status"], check=True, capture_output=True, text=True).stdout
    )


@pytest.mark.cluster
def test_both_nodes_are_ready_and_run_pods(cluster, namespace):
    nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json").stdout)["items"]
    assert {node["metadata"]["name"] for node in nodes} == {"node1", "node2"}
    here = ("-n", namespace)
    cluster.kubectl(
        *here, "run", "one", "--image=busybox", "--restart=Never", "--command", "--", "echo", "from a pod"
    )
    cluster.kubectl(*here, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/one", "--timeout=60s")
    assert cluster.kubectl(*here, "logs", "one").stdout == "from a pod\n"


@pytest.mark.cluster
def test_an_account_may_do_what_its_rules_say_and_nothing_else(cluster, namespace):
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    lister = type(cluster)(cluster.account(namespace, "lister", rules))
    assert lister.kubectl("get", "pods", "-o", "name").stdout == ""
    assert "forbidden" in lister.kubectl("get", "deployments", check=False).stderr.lower()
