"""Stopping, belonging to a pod, and pods that are not ours, in a real cluster and on the double."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.driver import Driver, NodeStatus
from buildwright.drivers.table import make
from buildwright.errors import NotReadyError
from buildwright.model.node import Node
from buildwright.testing.drivers import CONTROL, Sink, serve_daemon
from buildwright.testing.kube import ApiServer, Refusal, pod
from buildwright.wire.channel import Channel
from buildwright.wire.stream import ByteStream

KEY = {"certs/r.io/key.pem": b"-----BEGIN PRIVATE KEY-----\n", "buildkitd.toml": b"debug = true\n"}
UNMANAGED = {"managed": "false", "labels": "role=hand", "timeout": "10s"}


def driver_of(kubeconfig: Path, files: dict[str, bytes] | None = None, **options: str) -> Driver:
    endpoint = f"kubernetes:///b?deployment=b0&kubeconfig={kubeconfig}"
    return make("kubernetes", Node(name="b0", endpoint=endpoint, driver_opts=options, files=files or {}))


async def ask(driver: Driver) -> None:
    async with Channel(await driver.open("key")) as channel:
        await channel.unary(f"{CONTROL}ListWorkers", b"", timeout=20)


def changes(server: ApiServer) -> list[tuple[str, str, str]]:
    return [request for request in server.requests if request[0] in ("create", "update", "patch", "delete")]


def test_pods_that_are_not_ours_are_used_and_never_changed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with ApiServer() as server:
            server.exec_handler = serve_daemon
            driver = driver_of(server.kubeconfig(tmp_path), KEY, **UNMANAGED)
            template = {"metadata": {"labels": {"role": "hand"}}, "spec": {"containers": [{"name": "kit"}]}}
            starting = asyncio.ensure_future(driver.start(Sink()))
            await server.called("watch", "pods")
            server.put("pods", pod("hand-1", template))
            await starting
            assert (await driver.info()).status is NodeStatus.RUNNING
            await ask(driver)
            said: list[str] = []
            await driver.stop(tell=said.append)
            await driver.remove(tell=said.append)
            assert said == [
                "the pods of node b0 run on: they are not ours to stop (managed=false)",
                "the pods of node b0 stay: they are not ours to delete (managed=false)",
            ]
            assert not changes(server)
            assert list(server.objects) == [("pods", "default", "hand-1")]

    asyncio.run(scenario())


def test_options_without_effect_on_pods_of_others_are_named(tmp_path: Path) -> None:
    more = {"replicas": "2", "owner": "auto", "persistent-volume-claim.requests.storage": "1Gi"}
    (said,) = driver_of(tmp_path, KEY, **UNMANAGED, **more).traits.warnings
    assert said.endswith(": --buildkitd-config, owner, persistent-volume-claim.requests.storage, replicas")
    assert driver_of(tmp_path, **UNMANAGED, loadbalance="random").traits.warnings == ()


def test_a_pod_without_buildkit_is_told_and_not_tried_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with ApiServer() as server:

            async def refuse(stream: ByteStream) -> int:
                return 126

            server.exec_handler = refuse
            server.exec_stderr = b'OCI runtime exec failed: exec: "buildctl": executable file not found in $PATH'
            driver = driver_of(server.kubeconfig(tmp_path), **UNMANAGED)
            template = {"metadata": {"labels": {"role": "hand"}}, "spec": {"containers": [{"name": "web"}]}}
            server.put("pods", pod("hand-1", template))
            await driver.start(Sink())
            with pytest.raises(NotReadyError, match="container web of pod hand-1 has no buildctl"):
                await ask(driver)

    asyncio.run(scenario())


def test_without_such_a_pod_the_labels_are_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with ApiServer() as server:
            driver = driver_of(server.kubeconfig(tmp_path), **{**UNMANAGED, "timeout": "100ms"})
            assert (await driver.info()).status is NodeStatus.STOPPED
            with pytest.raises(NotReadyError, match="no pod with the labels role=hand in namespace default"):
                await driver.start(Sink())
            assert not changes(server)

    asyncio.run(scenario())


def test_who_may_only_build_wakes_a_builder_all_the_same(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with ApiServer() as server:
            driver = driver_of(server.kubeconfig(tmp_path), KEY)
            await driver.start(Sink())
            await driver.stop()
            for plural in ("configmaps", "secrets"):
                server.refuse["create", plural] = Refusal(403, "Forbidden", "no")
            await driver.start(Sink())
            assert server.objects["deployments", "default", "b0"]["spec"]["replicas"] == 1

    asyncio.run(scenario())


def test_files_that_are_missing_when_a_builder_wakes_come_back_and_go_with_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with ApiServer() as server:
            driver = driver_of(server.kubeconfig(tmp_path), KEY)
            await driver.start(Sink())
            await driver.stop()
            files = (("configmaps", "b0-config"), ("secrets", "b0-config-1"))
            for plural, name in files:
                server.drop(plural, name)
            await driver.start(Sink())
            for plural, name in files:
                (owner,) = server.objects[plural, "default", name]["metadata"]["ownerReferences"]
                assert owner["uid"] == server.objects["deployments", "default", "b0"]["metadata"]["uid"]

    asyncio.run(scenario())


def test_a_builder_stops_and_goes_although_its_builds_cannot_be_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with ApiServer() as server:
            driver = driver_of(server.kubeconfig(tmp_path), KEY)
            await driver.start(Sink())
            labels = {"app": "b0", "app.kubernetes.io/managed-by": "buildwright"}
            server.put("leases", {"metadata": {"name": "l", "labels": labels}, "spec": {}})
            server.refuse["list", "version"] = Refusal(401, "Unauthorized", "Unauthorized")
            await driver.stop()
            assert server.objects["deployments", "default", "b0"]["spec"]["replicas"] == 0
            await driver.remove()
            assert {plural for plural, _, _ in server.objects} <= {"pods", "leases", "poddisruptionbudgets"}

    asyncio.run(scenario())


@pytest.mark.cluster
def test_a_woken_builder_has_its_cache(cluster: Any, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo once > /x\n")
    options = f"namespace={namespace},persistent-volume-claim.requests.storage=1Gi"
    build = ("build", "--builder", "b", "--progress", "plain", str(tmp_path))
    cluster.buildwright(
        "create", "--name", "b", "--driver", "kubernetes", "--driver-opt", options,
        "--buildkitd-config", cluster.buildkitd_config, config=tmp_path / "config",
    )  # fmt: skip
    never_started = cluster.buildwright("stop", "b", config=tmp_path / "config")
    assert (never_started.stdout, never_started.stderr) == ("", "")
    assert "CACHED" not in cluster.buildwright(*build, config=tmp_path / "config").stderr
    cluster.buildwright("stop", "b", config=tmp_path / "config")
    listed = json.loads(
        cluster.buildwright("ls", "--format", "json", config=tmp_path / "config").stdout.splitlines()[0]
    )
    assert [node["Status"] for node in listed["Nodes"]] == ["stopped"]
    cluster.kubectl("-n", namespace, "wait", "--for=delete", "pod/b0-0", "--timeout=60s")
    assert "CACHED" in cluster.buildwright(*build, config=tmp_path / "config").stderr


@pytest.mark.cluster
def test_with_its_pod_all_of_a_builder_goes(cluster: Any, namespace: str) -> None:
    kubectl = ("-n", namespace)
    cluster.kubectl(*kubectl, "run", "ci", "--image", "docker.io/library/pause:1")
    claim = {"persistent-volume-claim.requests.storage": "1Gi"}
    driver = driver_of(cluster.kubeconfig, KEY, namespace=namespace, owner="pod/ci", **claim)
    asyncio.run(driver.start(Sink()))
    ours = ("statefulset,pod,pvc,configmap,secret,pdb", "-l", "builder=b")
    made = cluster.kubectl(*kubectl, "get", *ours, "-o", "name").stdout.split()
    assert {name.split("/")[0].split(".")[0] for name in made} == {
        "statefulset", "pod", "persistentvolumeclaim", "configmap", "secret", "poddisruptionbudget"
    }  # fmt: skip
    cluster.kubectl(*kubectl, "delete", "pod", "ci", "--grace-period=1")
    cluster.kubectl(*kubectl, "wait", "--for=delete", *ours, "--timeout=60s")


@pytest.mark.cluster
def test_a_claim_outlives_the_pod_that_its_builder_belongs_to_when_it_is_kept(cluster: Any, namespace: str) -> None:
    kubectl = ("-n", namespace)
    cluster.kubectl(*kubectl, "run", "ci", "--image", "docker.io/library/pause:1")
    claim = {"persistent-volume-claim.requests.storage": "1Gi"}
    driver = driver_of(cluster.kubeconfig, namespace=namespace, owner="pod/ci", **claim)

    async def use() -> None:
        await driver.start(Sink())
        await driver.stop()
        await driver.remove(keep_state=True)

    asyncio.run(use())
    cluster.kubectl(*kubectl, "wait", "--for=delete", "statefulset,pod", "-l", "builder=b", "--timeout=60s")
    (kept,) = json.loads(cluster.kubectl(*kubectl, "get", "pvc", "-o", "json").stdout)["items"]
    assert not kept["metadata"].get("ownerReferences")
    assert not kept["metadata"].get("deletionTimestamp")
    assert kept["metadata"]["annotations"]["buildwright/kept"]


HAND = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "hand"},
    "spec": {
        "selector": {"matchLabels": {"role": "hand"}},
        "template": {
            "metadata": {"labels": {"role": "hand"}},
            "spec": {
                "containers": [
                    {"name": "kit", "image": "moby/buildkit:buildx-stable-1", "securityContext": {"privileged": True}}
                ]
            },
        },
    },
}


@pytest.mark.cluster
def test_a_deployment_written_by_hand_builds_and_stays(cluster: Any, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    options = f'"labels=role=hand",managed=false,namespace={namespace}'
    cluster.buildwright(
        "create", "--name", "b", "--driver", "kubernetes", "--driver-opt", options, config=tmp_path / "config"
    )
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(HAND))
    out = tmp_path / "out"
    cluster.buildwright("build", "--builder", "b", "-o", str(out), str(tmp_path), config=tmp_path / "config")
    assert (out / "Dockerfile").exists()
    said = cluster.buildwright("rm", "b", config=tmp_path / "config").stderr
    assert said == "WARNING: the pods of node b0 stay: they are not ours to delete (managed=false)\nb removed\n"
    (left,) = json.loads(cluster.kubectl("-n", namespace, "get", "deployments", "-o", "json").stdout)["items"]
    assert left["metadata"]["generation"] == 1
    assert "Lease" not in cluster.kubectl("-n", namespace, "get", "lease,pdb", "-o", "json").stdout
