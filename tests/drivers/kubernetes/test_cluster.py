"""The kubernetes driver in a real cluster: with real buildx, with few rights, and when pods die."""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.driver import Driver, NodeStatus
from buildwright.drivers.table import make
from buildwright.errors import ClusterError, ConnectionLostError, NotReadyError
from buildwright.model.node import Node
from buildwright.testing.drivers import CONTROL, Sink
from buildwright.wire.channel import Channel

pytestmark = pytest.mark.cluster

RIGHTS = [
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "create", "delete"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "delete"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
]
"""What buildx needs, and `get` on pods/exec for WebSocket."""


@pytest.fixture
def namespace(cluster: Any) -> Iterator[str]:
    name = f"driver-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def driver_of(kubeconfig: Path | str, namespace: str, name: str = "kb0", **options: str) -> Driver:
    endpoint = f"kubernetes:///kb?deployment={name}&kubeconfig={kubeconfig}"
    node = Node(
        name=name, endpoint=endpoint, driver_opts={"namespace": namespace, **options}, files={"x.toml": b"\n"}
    )
    return make("kubernetes", node)


async def workers(driver: Driver) -> bytes:
    async with Channel(await driver.open()) as channel:
        return await channel.unary(f"{CONTROL}ListWorkers", b"", timeout=20)


def test_a_builder_of_buildx_is_used_and_removed(cluster: Any, namespace: str, tmp_path: Path) -> None:
    options = f"namespace={namespace},replicas=2"
    cluster.buildx(
        "create", "--name", "kb", "--driver", "kubernetes", "--driver-opt", options, "--bootstrap", config=tmp_path
    )

    async def use() -> None:
        driver = driver_of(cluster.kubeconfig, namespace, replicas="2")
        info = await driver.info()
        assert info.status is NodeStatus.RUNNING
        assert len(info.instances) == 2
        sink = Sink()
        await driver.start(sink)
        assert not sink.updates
        assert await workers(driver)
        await driver.remove()
        assert (await driver.info()).status is NodeStatus.INACTIVE

    asyncio.run(use())
    assert "inactive" in cluster.buildx("ls", config=tmp_path).stdout


def test_our_builder_is_used_and_removed_by_buildx(cluster: Any, namespace: str, tmp_path: Path) -> None:
    driver = driver_of(cluster.kubeconfig, namespace, replicas="2")
    asyncio.run(driver.start(Sink()))
    cluster.buildx(
        "create", "--name", "kb", "--driver", "kubernetes", "--driver-opt", f"namespace={namespace},replicas=2",
        config=tmp_path,
    )  # fmt: skip
    shown = cluster.buildx("inspect", "kb", config=tmp_path).stdout
    assert shown.count("running") == 2
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    cluster.buildx("build", "--builder", "kb", str(context), config=tmp_path)
    cluster.buildx("rm", "kb", config=tmp_path)
    assert asyncio.run(driver.info()).status is NodeStatus.INACTIVE


KEY = b"-----BEGIN PRIVATE KEY-----\n"


def with_key(cluster: Any, namespace: str) -> Driver:
    endpoint = f"kubernetes:///kb?deployment=kb0&kubeconfig={cluster.kubeconfig}"
    files = {"buildkitd.toml": b"debug = true\n", "certs/r.io/key.pem": KEY, "certs/r.io/cert.pem": b"C\n"}
    return make("kubernetes", Node(name="kb0", endpoint=endpoint, driver_opts={"namespace": namespace}, files=files))


def test_a_key_is_in_a_secret_that_goes_when_buildx_removes_the_builder(
    cluster: Any, namespace: str, tmp_path: Path
) -> None:
    driver = with_key(cluster, namespace)
    asyncio.run(driver.start(Sink()))
    assert "PRIVATE" not in cluster.kubectl("-n", namespace, "get", "configmaps", "-o", "json").stdout
    seen = cluster.kubectl(
        "-n", namespace, "exec", "deploy/kb0", "--", "cat", "/etc/buildkit/certs/r.io/key.pem"
    ).stdout
    assert seen.encode() == KEY
    cluster.buildx(
        "create", "--name", "kb", "--driver", "kubernetes", "--driver-opt", f"namespace={namespace}", config=tmp_path
    )
    cluster.buildx("rm", "kb", config=tmp_path)
    cluster.kubectl("-n", namespace, "wait", "--for=delete", "secret/kb0-config-1", "--timeout=30s")


def test_a_claim_outlives_its_builder_when_it_is_kept(cluster: Any, namespace: str) -> None:
    driver = driver_of(cluster.kubeconfig, namespace, **{"persistent-volume-claim.requests.storage": "1Gi"})
    said: list[str] = []
    claim = ("-n", namespace, "get", "pvc", "buildkitd-kb0-0", "-o", "jsonpath={.metadata.uid}")

    async def use(keep_state: bool) -> str:
        await driver.start(Sink())
        assert await workers(driver)
        uid: str = (await asyncio.to_thread(cluster.kubectl, *claim)).stdout
        await driver.remove(keep_state=keep_state, tell=said.append)
        return uid

    first = asyncio.run(use(keep_state=True))
    assert not said
    assert asyncio.run(use(keep_state=False)) == first
    assert len(said) == 1
    assert "buildkitd-kb0-0" in said[0]
    cluster.kubectl("-n", namespace, "wait", "--for=delete", "pvc/buildkitd-kb0-0", "--timeout=60s")


def test_a_rootless_daemon_may_write_to_its_volume(cluster: Any, namespace: str) -> None:
    options = {"rootless": "true", "persistent-volume-claim.requests.storage": "1Gi"}
    driver = driver_of(cluster.kubeconfig, namespace, **options)

    async def use() -> None:
        await driver.start(Sink())
        assert await workers(driver)
        await driver.remove()

    asyncio.run(use())


def test_a_list_of_kubeconfig_files_is_used(cluster: Any, namespace: str, tmp_path: Path) -> None:
    listed = os.pathsep.join((f"{tmp_path}/missing", str(cluster.kubeconfig)))
    assert asyncio.run(driver_of(listed, namespace).info()).status is NodeStatus.INACTIVE


def test_the_rights_that_buildx_needs_suffice(cluster: Any, namespace: str) -> None:
    kubeconfig = cluster.account(namespace, "builder", RIGHTS)

    async def use() -> None:
        driver = driver_of(kubeconfig, namespace)
        await driver.start(Sink())
        assert await workers(driver)
        await driver.remove()

    asyncio.run(use())


@pytest.mark.parametrize(
    ("resource", "verb"),
    [("deployments", "get"), ("deployments", "create"), ("configmaps", "create"), ("pods", "list")],
)
def test_a_missing_right_is_named(cluster: Any, namespace: str, resource: str, verb: str) -> None:
    rules = [
        {
            **rule,
            "verbs": [word for word in rule["verbs"] if (word, resource) != (verb, *rule["resources"])] or ["patch"],
        }
        for rule in RIGHTS
    ]
    kubeconfig = cluster.account(namespace, "builder", rules)
    with pytest.raises(ClusterError, match=f'cannot {verb} resource "{resource}".*"{namespace}".*Role') as caught:
        asyncio.run(driver_of(kubeconfig, namespace).start(Sink()))
    assert caught.value.status == 403


def test_a_rootless_builder_reads_its_configuration(cluster: Any, namespace: str) -> None:
    endpoint = f"kubernetes:///kb?deployment=kb0&kubeconfig={cluster.kubeconfig}"
    files = {"buildkitd.toml": b'[worker.oci]\n  labels = { "seen" = "yes" }\n'}
    node = Node(name="kb0", endpoint=endpoint, driver_opts={"namespace": namespace, "rootless": "true"}, files=files)
    driver = make("kubernetes", node)

    async def use() -> None:
        await driver.start(Sink())
        assert b"seen" in await workers(driver)

    asyncio.run(use())


CLAIM = {"persistent-volume-claim.requests.storage": "1Gi"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image": "10.214.0.254:5000/no/such:1"}, "cannot pull its image .*not found.*driver option image"),
        ({"serviceaccount": "absent"}, 'serviceaccount "absent" not found.*create serviceaccount absent'),
        (
            {"podtemplate": '{"spec": {"containers": [{"name": "buildkitd", "image": "Malformed:Name"}]}}'},
            "InvalidImageName",
        ),
        ({"image": "busybox"}, r"last with exit code 0 \(Completed\): check the driver option image"),
        ({"limits.memory": "10Mi"}, r"\(OOMKilled\).*: raise the driver option limits.memory=10Mi"),
        (
            {"nodeselector": "no=such", "timeout": "2s"},
            "after 2 seconds: 0 of 1 .*not scheduled.*nodeselector=no=such",
        ),
        (
            {**CLAIM, "persistent-volume-claim.storageclass": "absent"},
            '"absent" not found.*kubectl get storageclasses',
        ),
        ({**CLAIM, "priorityclass": "absent"}, "no PriorityClass with name absent.*driver option priorityclass"),
        ({"managed": "false", "labels": "no=such", "timeout": "1s"}, "no pod with the labels no=such"),
    ],
)
def test_what_keeps_a_node_from_being_ready_is_told(
    cluster: Any, namespace: str, options: dict[str, str], words: str
) -> None:
    with pytest.raises(NotReadyError, match=words):
        asyncio.run(driver_of(cluster.kubeconfig, namespace, **options).start(Sink()))


@pytest.mark.parametrize("claimed", [False, True])
def test_a_refused_pod_is_told_with_what_to_do(cluster: Any, namespace: str, claimed: bool) -> None:
    cluster.kubectl("-n", namespace, "create", "quota", "small", "--hard=limits.cpu=1")
    driver = driver_of(cluster.kubeconfig, namespace, **(CLAIM if claimed else {}))
    with pytest.raises(NotReadyError, match=r"failed quota: small.*set the driver options limits\.cpu"):
        asyncio.run(driver.start(Sink()))
    cluster.kubectl("-n", namespace, "delete", "quota", "small")
    asyncio.run(driver.start(Sink()))  # what was refused before does not count


def test_a_namespace_s_security_level_is_told_with_its_label(cluster: Any, namespace: str) -> None:
    level = "pod-security.kubernetes.io/enforce"
    cluster.kubectl("label", "namespace", namespace, f"{level}=baseline")
    driver = driver_of(cluster.kubeconfig, namespace, **CLAIM)
    with pytest.raises(NotReadyError, match=f"PodSecurity.*kubectl label --overwrite namespace {namespace} {level}="):
        asyncio.run(driver.start(Sink()))


def test_no_node_that_fits_ends_the_wait_when_no_autoscaler_answers(cluster: Any, namespace: str) -> None:
    began = time.monotonic()
    with pytest.raises(NotReadyError, match=r"no node fits .*no autoscaler adds one: .*nodeselector=no=such"):
        asyncio.run(driver_of(cluster.kubeconfig, namespace, nodeselector="no=such").start(Sink()))
    assert time.monotonic() - began < 60


def test_a_daemon_that_crashes_is_told_with_its_last_words(cluster: Any, namespace: str) -> None:
    endpoint = f"kubernetes:///kb?deployment=kb0&kubeconfig={cluster.kubeconfig}"
    node = Node(name="kb0", endpoint=endpoint, driver_opts={"namespace": namespace}, flags=("--nonsense",))
    with pytest.raises(NotReadyError, match='saying "buildkitd: flag provided but not defined: -nonsense"'):
        asyncio.run(make("kubernetes", node).start(Sink()))


@pytest.mark.parametrize("force", [True, False])
def test_a_deleted_pod_ends_its_stream_with_the_reason(cluster: Any, namespace: str, force: bool) -> None:
    driver = driver_of(cluster.kubeconfig, namespace, drain="0s")

    async def lose() -> None:
        await driver.start(Sink())
        stream = await driver.open()

        async def read_on() -> None:
            while await stream.read():
                pass

        pod = (await driver.info()).instances[0].name
        options = ("--force", "--grace-period=0") if force else ()
        await asyncio.to_thread(cluster.kubectl, "-n", namespace, "delete", "pod", pod, "--wait=false", *options)
        with pytest.raises(ConnectionLostError, match=f"pod {pod} on node. (was|is being) deleted"):
            await asyncio.wait_for(read_on(), 5)
        await stream.aclose()

    asyncio.run(lose())


def test_a_killed_daemon_ends_its_stream_with_the_exit_code(cluster: Any, namespace: str) -> None:
    driver = driver_of(cluster.kubeconfig, namespace)

    async def lose() -> None:
        await driver.start(Sink())
        stream = await driver.open()

        async def read_on() -> None:
            while await stream.read():
                pass

        pod = (await driver.info()).instances[0].name
        await asyncio.to_thread(kill_daemon, cluster, namespace, pod)
        with pytest.raises(ConnectionLostError, match=rf"container buildkitd of pod {pod} on node. .*exit code 137"):
            await asyncio.wait_for(read_on(), 5)
        await stream.aclose()

    asyncio.run(lose())


def kill_daemon(cluster: Any, namespace: str, pod: str) -> None:
    """SIGKILL to the first process of the pod's container, which only its node can send."""
    found = json.loads(cluster.kubectl("-n", namespace, "get", "pod", pod, "-o", "json").stdout)
    container = found["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    for path in Path("/proc").glob("[0-9]*"):
        try:
            ours = container in (path / "cgroup").read_text() and (path / "comm").read_text() == "buildkitd\n"
        except OSError:
            continue
        if ours:
            os.kill(int(path.name), 9)
            return
    raise AssertionError(f"no buildkitd of {pod} runs here")
