"""The pod that a builder belongs to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.driver import Driver
from buildwright.drivers.table import make
from buildwright.errors import ClusterError, DriverOptionError
from buildwright.kube import config
from buildwright.model.node import Node
from buildwright.testing.drivers import Sink
from buildwright.testing.kube import ApiServer, Refusal

KEY = {"certs/r.io/key.pem": b"-----BEGIN PRIVATE KEY-----\n", "buildkitd.toml": b"debug = true\n"}


@pytest.fixture(autouse=True)
def laptop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with a host name that is no pod."""
    monkeypatch.setattr(config, "SERVICE_ACCOUNT", tmp_path / "serviceaccount")
    for name in ("POD_NAME", "POD_NAMESPACE", "POD_UID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOSTNAME", "laptop")


def inside(monkeypatch: pytest.MonkeyPatch, name: str = "ci-1", namespace: str = "default") -> None:
    """Be a pod with a service account."""
    monkeypatch.setenv("HOSTNAME", name)
    config.SERVICE_ACCOUNT.mkdir(exist_ok=True)
    (config.SERVICE_ACCOUNT / "namespace").write_text(namespace)


def driver_of(server: ApiServer, folder: Path, **options: str) -> Driver:
    endpoint = f"kubernetes:///b?deployment=b0&kubeconfig={server.kubeconfig(folder)}"
    return make("kubernetes", Node(name="b0", endpoint=endpoint, driver_opts=options, files=KEY))


def pod(name: str, uid: str) -> Any:
    return {"metadata": {"name": name, "uid": uid}, "spec": {}, "status": {}}


def owners(server: ApiServer, kind: str, name: str) -> list[tuple[str, str]]:
    found = server.objects[kind, "default", name]["metadata"].get("ownerReferences", [])
    return [(one["kind"], one["uid"]) for one in found]


def test_the_workload_belongs_to_our_pod_and_all_else_to_the_workload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside(monkeypatch)

    async def scenario() -> None:
        async with ApiServer() as server:
            server.put("pods", pod("ci-1", "u1"))
            claim = {"persistent-volume-claim.requests.storage": "1Gi"}
            await driver_of(server, tmp_path, owner="auto", **claim).start(Sink())
            assert owners(server, "statefulsets", "b0") == [("Pod", "u1")]
            workload = server.objects["statefulsets", "default", "b0"]
            assert workload["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete"
            for kind, name in (("configmaps", "b0-config"), ("secrets", "b0-config-1")):
                assert owners(server, kind, name) == [("StatefulSet", workload["metadata"]["uid"])]

    asyncio.run(scenario())


def test_a_builder_that_several_pods_use_goes_with_the_last_of_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with ApiServer() as server:
            server.put("pods", pod("one", "u1"))
            server.put("pods", pod("two", "u2"))
            for name in ("one", "two", "two", "one"):
                await driver_of(server, tmp_path, owner=f"pod/{name}").start(Sink())
            assert owners(server, "deployments", "b0") == [("Pod", "u1"), ("Pod", "u2")]

    asyncio.run(scenario())


def test_a_builder_that_belongs_to_nobody_is_not_taken(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with ApiServer() as server:
            server.put("pods", pod("one", "u1"))
            await driver_of(server, tmp_path).start(Sink())
            await driver_of(server, tmp_path, owner="pod/one").start(Sink())
            assert owners(server, "deployments", "b0") == []

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("owner", "namespace", "words"),
    [
        ("auto", "", 'owner="auto" cannot be followed: it names the pod that this runs in, and this is none'),
        ("auto", "elsewhere", "this pod is in namespace elsewhere and the builder in default, .*namespace=elsewhere"),
        ("auto", "default", "namespace default of http.* has no pod ci-1: check"),
        ("pod/gone", "", "has no pod gone: check"),
    ],
)
def test_an_owner_that_can_be_none_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str, namespace: str, words: str
) -> None:
    if namespace:
        inside(monkeypatch, namespace=namespace)

    async def scenario() -> None:
        async with ApiServer() as server:
            with pytest.raises(DriverOptionError, match=words):
                await driver_of(server, tmp_path, owner=owner).start(Sink())
            assert not server.objects

    asyncio.run(scenario())


def test_the_pod_of_another_cluster_that_has_our_name_is_no_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside(monkeypatch)
    monkeypatch.setenv("POD_UID", "ours")

    async def scenario() -> None:
        async with ApiServer() as server:
            server.put("pods", pod("ci-1", "theirs"))
            with pytest.raises(DriverOptionError, match="has no pod ci-1"):
                await driver_of(server, tmp_path, owner="auto").start(Sink())

    asyncio.run(scenario())


def test_without_the_right_to_see_the_pod_its_uid_is_taken_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from buildwright.drivers.kubernetes.lifecycle.owner import Owner
    from buildwright.kube.api import Cluster

    inside(monkeypatch)

    async def scenario() -> None:
        async with ApiServer() as server:
            server.refuse["list", "pods"] = Refusal(403, "Forbidden", "no")
            async with Cluster(config.load(str(server.kubeconfig(tmp_path)))) as cluster:
                with pytest.raises(ClusterError):
                    await Owner.of("auto", "default").reference(cluster)
                monkeypatch.setenv("POD_UID", "u1")
                found = await Owner.of("auto", "default").reference(cluster)
            assert found == {"apiVersion": "v1", "kind": "Pod", "name": "ci-1", "uid": "u1"}

    asyncio.run(scenario())
