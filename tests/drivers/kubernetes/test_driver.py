"""The kubernetes driver, against the API server double."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.driver import Driver, NodeInfo, NodeStatus
from buildwright.drivers.kubernetes.building import stream as pod_stream
from buildwright.drivers.kubernetes.building.lease import written
from buildwright.drivers.table import make
from buildwright.errors import ClusterError, ConfigurationError, ConnectError, ConnectionLostError, NotReadyError
from buildwright.model.node import Node
from buildwright.model.platform import Platform
from buildwright.testing.drivers import Sink, serve_daemon
from buildwright.testing.kube import ApiServer, Refusal, pod
from buildwright.wire.stream import ByteStream

Scenario = Callable[[ApiServer, Driver], Awaitable[None]]


def run(folder: Path, scenario: Scenario, files: dict[str, bytes] | None = None, **options: str) -> None:
    async def once() -> None:
        async with ApiServer() as server:
            server.exec_handler = serve_daemon
            endpoint = f"kubernetes:///b?deployment=b0&kubeconfig={server.kubeconfig(folder)}"
            platforms = (Platform.parse("linux/amd64"),)
            node = Node(name="b_0", endpoint=endpoint, platforms=platforms, driver_opts=options, files=files or {})
            await scenario(server, make("kubernetes", node))

    asyncio.run(once())


def test_the_first_start_makes_config_maps_and_deployment(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        sink = Sink()
        await driver.start(sink)
        assert ("configmaps", "ci", "b-0-config") in server.objects
        assert ("deployments", "ci", "b-0") in server.objects
        assert sink.vertexes == ["[internal] booting buildkit"]
        names = [status.id for update in sink.updates for status in update.statuses]
        assert set(names) == {"waiting for 2 pods to be ready, timeout: 2 minutes"}
        info = await driver.info()
        assert info.status is NodeStatus.RUNNING
        assert [instance.name for instance in info.instances] == ["b-0-0", "b-0-1"]
        assert info.instances[0].platforms == (Platform.parse("linux/amd64"),)
        await driver.remove()
        assert {kind for kind, *_ in server.objects} <= {"pods", "poddisruptionbudgets"}

    def make_ready(server: ApiServer) -> Callable[[Any], None]:
        return lambda deployment: server.make_ready(deployment, "ci")

    async def in_ci(server: ApiServer, driver: Driver) -> None:
        server.controller = make_ready(server)
        await scenario(server, driver)

    run(tmp_path, in_ci, {"buildkitd.toml": b"debug = true\n"}, namespace="ci", replicas="2")


def test_what_another_builder_has_made_is_left_to_it(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        other = Node(name="b_0", endpoint=f"kubernetes:///other?kubeconfig={tmp_path / 'kubeconfig'}")
        said: list[str] = []
        await make("kubernetes", other).remove(tell=said.append)
        assert said == ["Deployment b-0 in namespace default stays: builder b has made it, and removes it"]
        assert ("deployments", "default", "b-0") in server.objects
        await driver.remove(tell=said.append)
        assert len(said) == 1
        assert ("deployments", "default", "b-0") not in server.objects

    run(tmp_path, scenario)


@pytest.mark.parametrize("builder", ["other", "o" * 64])
@pytest.mark.parametrize("claimed", [False, True])
def test_neither_files_nor_pods_of_another_builder_are_ended(tmp_path: Path, claimed: bool, builder: str) -> None:
    files = {"buildkitd.toml": b"debug = true\n", **KEY}

    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        before = set(server.objects)
        endpoint = f"kubernetes:///{builder}?deployment=b-0&kubeconfig={tmp_path / 'kubeconfig'}"
        other = Node(name="b-0", endpoint=endpoint, driver_opts=CLAIMED if claimed else {}, files=files)
        said: list[str] = []
        await make("kubernetes", other).stop(tell=said.append)
        assert server.objects["deployments", "default", "b-0"]["spec"]["replicas"] == 1
        await make("kubernetes", other).remove(tell=said.append)
        assert set(server.objects) == before
        kinds = [line.split()[0] for line in said]
        assert kinds == (["ConfigMap", "Secret"] if claimed else ["Deployment", "Deployment"])
        assert all("builder b has made it" in line for line in said)
        await driver.remove()
        assert not {kind for kind, *_ in server.objects} & {"deployments", "configmaps", "secrets"}

    run(tmp_path, scenario, files)


CLAIMED = {"persistent-volume-claim.requests.storage": "1Gi", "replicas": "2"}
KEY = {"certs/r.io/key.pem": b"-----BEGIN PRIVATE KEY-----\n"}


def test_claims_are_named_and_go_or_are_kept(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        said: list[str] = []
        foreign = {"name": "data-other-0", "labels": {"app": "b-0"}}
        await driver.start(Sink())
        server.put("persistentvolumeclaims", {"metadata": foreign})
        assert ("statefulsets", "default", "b-0") in server.objects
        assert (await driver.info()).status is NodeStatus.RUNNING
        await driver.remove(keep_state=True, tell=said.append)
        assert not said
        assert ("statefulsets", "default", "b-0") not in server.objects
        assert ("persistentvolumeclaims", "default", "buildkitd-b-0-1") in server.objects
        await driver.start(Sink())
        await driver.remove(tell=said.append)
        assert [key for key in server.objects if key[0] == "persistentvolumeclaims"] == [
            ("persistentvolumeclaims", "default", "data-other-0")
        ]
        assert said == [
            f"the volume claim buildkitd-b-0-{number} in namespace default is deleted with the cache in it"
            for number in (0, 1)
        ]

    run(tmp_path, scenario, **CLAIMED)


def test_what_buildx_does_not_know_of_goes_with_the_workload(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        uid = server.objects["statefulsets", "default", "b-0"]["metadata"]["uid"]
        for kind, name in (("configmaps", "b-0-config"), ("secrets", "b-0-config-1")):
            (owner,) = server.objects[kind, "default", name]["metadata"]["ownerReferences"]
            assert owner == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "b-0", "uid": uid}
        await driver.remove()
        assert not [key for key in server.objects if key[0] in ("configmaps", "secrets")]

    run(tmp_path, scenario, KEY, **CLAIMED)


def test_a_policy_that_refuses_the_workload_is_told_with_what_to_do(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        said = "ValidatingAdmissionPolicy 'small' with binding 'small' denied request: no such image"
        server.refuse["create", "deployments"] = Refusal(
            422, "Invalid", f'deployments.apps "b0" is forbidden: {said}'
        )
        with pytest.raises(ClusterError, match=r"denied request: no such image: adapt the pods to that rule"):
            await driver.start(Sink())

    run(tmp_path, scenario)


def test_a_workload_that_is_refused_leaves_no_files_behind(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        server.refuse["create", "deployments"] = Refusal(403, "Forbidden", "cannot create")
        with pytest.raises(ClusterError):
            await driver.start(Sink())
        assert not server.objects

    run(tmp_path, scenario, KEY)


def test_a_missing_right_to_hand_objects_over_is_no_failure(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        server.refuse["patch", "secrets"] = Refusal(403, "Forbidden", "cannot patch")
        await driver.start(Sink())
        assert (await driver.info()).status is NodeStatus.RUNNING

    run(tmp_path, scenario, KEY)


def test_keys_that_buildx_has_put_into_config_maps_go_too(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        server.put("configmaps", {"metadata": {"name": "b-0-config-1"}, "data": {"key.pem": "x"}})
        await driver.remove()
        assert not server.objects

    run(tmp_path, scenario, KEY)


def test_doubts_about_options_are_traits(tmp_path: Path) -> None:
    options = {**CLAIMED, "buildkit-root-volume-memory": "1Gi"}
    node = Node(name="b0", endpoint="", driver_opts=options, files={"buildkitd.toml": b"[worker.oci]\ngc = false\n"})
    warnings = make("kubernetes", node).traits.warnings
    assert len(warnings) == 2
    assert "garbage collection off" in warnings[0]
    assert "has no effect beside" in warnings[1]


def test_what_another_made_meanwhile_is_as_good(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        server.put("configmaps", {"metadata": {"name": "b-0-config"}, "data": {"old": "x"}})
        server.refuse["create", "deployments"] = Refusal(409, "AlreadyExists", "exists")
        template = {"metadata": {"labels": {"app": "b-0"}}, "spec": {"containers": [{"name": "buildkitd"}]}}

        def exists(deployment: Any) -> None:
            raise AssertionError

        server.controller = exists
        starting = asyncio.ensure_future(driver.start(Sink()))
        await server.called("create", "deployments")
        server.put("deployments", {"metadata": {"name": "b-0"}, "spec": {"replicas": 1, "template": template}})
        server.put("pods", pod("b-0-x", template))
        await starting
        assert server.objects["configmaps", "default", "b-0-config"]["data"] == {"buildkitd.toml": "x"}

    run(tmp_path, scenario, {"buildkitd.toml": b"x"})


def scale(server: ApiServer) -> Callable[[Any], None]:
    """A controller that also takes pods away."""

    def control(workload: Any) -> None:
        for kind, _, name in [key for key in server.objects if key[0] == "pods"]:
            server.drop(kind, name)
        server.make_ready(workload)

    return control


def test_a_stopped_node_is_woken_with_all_its_pods(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        server.controller = scale(server)
        await driver.start(Sink())
        said: list[str] = []
        await driver.stop(tell=said.append)
        assert server.objects["statefulsets", "default", "b-0"]["spec"]["replicas"] == 0
        assert ("persistentvolumeclaims", "default", "buildkitd-b-0-1") in server.objects
        assert (await driver.info()) == NodeInfo(status=NodeStatus.STOPPED)
        server.requests.clear()
        await driver.stop(tell=said.append)
        assert [verb for verb, _, _ in server.requests] == ["get"], "it is stopped already"
        assert not said
        await driver.start(Sink())
        info = await driver.info()
        assert info.status is NodeStatus.RUNNING
        assert len(info.instances) == 2

    run(tmp_path, scenario, **CLAIMED)


@pytest.mark.parametrize("removed", [True, False])
def test_pods_that_outlive_their_builder_for_a_moment_are_not_opened_but_started_anew(
    tmp_path: Path, removed: bool
) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        (left,) = [item for (kind, _, _), item in server.objects.items() if kind == "pods"]
        await (driver.remove() if removed else driver.stop())
        server.put("pods", left)
        sink = Sink()
        stream = await driver.open("key", start=sink)
        await stream.aclose()
        assert sink.vertexes == ["[internal] booting buildkit"]
        assert server.objects["deployments", "default", "b-0"]["spec"]["replicas"] == 1

    run(tmp_path, scenario)


def test_a_node_whose_pods_are_leaving_is_stopped_and_woken(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        workload = server.objects["deployments", "default", "b-0"]
        server.put("deployments", {**workload, "spec": {**workload["spec"], "replicas": 0}})
        assert (await driver.info()).status is NodeStatus.STOPPED, "its one pod is ready still"
        await driver.start(Sink())
        assert server.objects["deployments", "default", "b-0"]["spec"]["replicas"] == 1

    run(tmp_path, scenario)


@pytest.mark.parametrize(("drain", "words"), [("10m", "go on for up to 10 minutes"), ("0", "are lost")])
def test_stopping_says_whose_builds_run(tmp_path: Path, drain: str, words: str) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        for name, renewed in (("b-0-1", time.time()), ("b-0-2", time.time() - 600)):
            labels = {"app": "b-0", "app.kubernetes.io/managed-by": "buildwright"}
            spec = {"holderIdentity": f"{name}@ci", "renewTime": written(renewed), "leaseDurationSeconds": 60}
            server.put("leases", {"metadata": {"name": name, "labels": labels}, "spec": spec})
        said: list[str] = []
        await driver.stop(tell=said.append)
        assert said == [f"node b_0 is stopped while it builds: the builds of b-0-1@ci {words}"]

    run(tmp_path, scenario, drain=drain)


def test_stopping_what_was_never_started_is_no_error(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.stop()
        assert not server.objects

    run(tmp_path, scenario)


def test_waiting_ends_at_once_when_it_is_in_vain(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        def refuse(deployment: Any) -> None:
            condition = {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": "exceeded quota: small",
            }
            server.put("deployments", {**deployment, "status": {"conditions": [condition]}})

        server.controller = refuse
        sink = Sink()
        with pytest.raises(NotReadyError, match=r"node b_0 cannot become ready: .*exceeded quota: small"):
            await driver.start(sink)
        assert "exceeded quota" in sink.updates[-1].vertexes[0].error

    run(tmp_path, scenario)


def test_a_timeout_says_what_each_pod_waits_for(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        def make_slow(deployment: Any) -> None:
            server.put("pods", pod("b-0-x", deployment["spec"]["template"], ready=False))

        server.controller = make_slow
        sink = Sink()
        with pytest.raises(NotReadyError, match=r"0 of 1 pods ready; pod b-0-x runs on node1, its daemon"):
            await driver.start(sink)
        assert sink.lines == ["pod b-0-x runs on node1, its daemon does not answer yet"]

    run(tmp_path, scenario, timeout="200ms")


def test_a_refused_call_is_an_error_and_not_inactive(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        said = 'deployments.apps "b-0" is forbidden: User "u" cannot get resource "deployments" in API group "apps"'
        server.refuse["get", "deployments"] = Refusal(403, "Forbidden", said)
        with pytest.raises(ClusterError, match='cannot get resource "deployments"'):
            await driver.info()

    run(tmp_path, scenario)


def test_pods_that_are_not_ready_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buildwright.drivers.kubernetes.driver._REPLACEMENT", 0.1)

    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        server.update_pod("b-0-0", conditions=[{"type": "Ready", "status": "False"}])
        with pytest.raises(NotReadyError, match=r"no pod to build in namespace default .*inspect --bootstrap"):
            await driver.open()

    run(tmp_path, scenario)


def test_a_passing_failure_of_the_api_server_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buildwright.drivers.kubernetes.driver._FIRST_DELAY", 0.01)

    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        server.refuse["exec", "pods"] = Refusal(500, "InternalError", "remote error: tls: internal error")
        opening = asyncio.ensure_future(driver.open())
        await server.called("exec", "pods")
        server.refuse.clear()
        await (await opening).aclose()

    run(tmp_path, scenario)


def test_a_pod_that_the_api_server_cannot_reach_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buildwright.drivers.kubernetes.driver._FIRST_DELAY", 0.01)

    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        server.refuse["exec", "pods"] = Refusal(502, "BadGateway", "dial tcp 10.0.0.1:10250: connect: refused")
        with pytest.raises(ConnectError, match=r"pod b-0-\d on node1 cannot be reached: .*10250"):
            await driver.open()
        asked = [name for verb, _, name in server.requests if verb == "exec"]
        assert set(asked) == {"b-0-0", "b-0-1"}

    run(tmp_path, scenario, replicas="2")


def test_a_pod_that_went_just_now_is_replaced_before_it_is_missed(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        template = server.objects["deployments", "default", "b-0"]["spec"]["template"]
        server.drop("pods", "b-0-0")
        server.requests.clear()
        opening = asyncio.ensure_future(driver.open())
        await server.called("watch", "pods")
        server.put("pods", pod("b-0-new", template))
        await (await opening).aclose()
        assert ("exec", "pods", "b-0-new") in server.requests

    run(tmp_path, scenario)


def test_a_pod_that_ends_while_it_is_opened_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buildwright.drivers.kubernetes.driver._FIRST_DELAY", 0.01)

    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        server.refuse["exec", "pods"] = Refusal(404, "NotFound", 'pods "b-0-0" not found')
        server.requests.clear()
        opening = asyncio.ensure_future(driver.open())
        await server.called("exec", "pods")
        server.update_pod("b-0-0", conditions=[{"type": "Ready", "status": "False"}])
        await server.called("watch", "pods")
        server.refuse.clear()
        server.update_pod("b-0-0", conditions=[{"type": "Ready", "status": "True"}])
        await (await opening).aclose()

    run(tmp_path, scenario)


def test_a_start_does_not_believe_in_pods_that_are_leaving(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        leaving = server.objects["pods", "default", "b-0-0"]
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        server.put("pods", leaving)
        assert server.objects["deployments", "default", "b-0"]["status"]["readyReplicas"] == 1
        server.requests.clear()
        sink = Sink()
        starting = asyncio.ensure_future(driver.start(sink))
        await server.called("watch", "pods")
        server.put("pods", pod("b-0-new", server.objects["deployments", "default", "b-0"]["spec"]["template"]))
        await starting
        assert sink.vertexes == ["[internal] booting buildkit"]

    run(tmp_path, scenario)


async def lose(server: ApiServer, driver: Driver) -> None:
    """A build in pod b-0-0, which is deleted."""
    stream = await driver.open()
    server.drop("pods", "b-0-0")
    await loss(stream)


def test_after_a_loss_another_pod_is_waited_for(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        template = server.objects["deployments", "default", "b-0"]["spec"]["template"]
        await lose(server, driver)
        server.requests.clear()
        sink = Sink()
        starting = asyncio.ensure_future(driver.start(sink))
        await server.called("watch", "pods")
        server.put("pods", pod("b-0-new", template))
        await starting
        assert sink.vertexes == ["[internal] waiting for another pod"]
        assert sink.lines[-1] == "pod b-0-new is ready on node1"
        await (await driver.open()).aclose()
        assert ("exec", "pods", "b-0-new") in server.requests

    run(tmp_path, scenario)


def test_after_a_loss_the_api_server_is_waited_for(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        template = server.objects["deployments", "default", "b-0"]["spec"]["template"]
        await lose(server, driver)
        server.put("pods", pod("b-0-new", template))
        server.refuse["get", "deployments"] = Refusal(503, "ServiceUnavailable", "etcd is gone")
        server.requests.clear()
        starting = asyncio.ensure_future(driver.start(Sink()))
        await server.called("get", "deployments")
        server.refuse.clear()
        await starting

    run(tmp_path, scenario)


@pytest.mark.parametrize("answer", ["nothing", "503"])
def test_after_a_loss_an_api_server_that_stays_away_ends_the_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr("buildwright.drivers.kubernetes.driver._OUTAGE", 0.6)
    monkeypatch.setattr("buildwright.drivers.kubernetes.perseverance.POLL", 0.1)

    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        await lose(server, driver)
        if answer == "nothing":
            server.mute.add(("get", "deployments"))
        else:
            server.refuse["get", "deployments"] = Refusal(503, "ServiceUnavailable", "no backend")
        async with asyncio.timeout(10):
            with pytest.raises(
                ConnectError, match=r"^the API server was away for 1 s(, it does not answer|: .*no b)"
            ):
                await driver.start(Sink())

    run(tmp_path, scenario)


def test_waiting_after_a_loss_can_be_broken_off_at_once(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        await lose(server, driver)
        server.refuse["get", "deployments"] = Refusal(503, "ServiceUnavailable", "no backend")
        server.requests.clear()
        starting = asyncio.ensure_future(driver.start(Sink()))
        await server.called("get", "deployments")
        starting.cancel()
        async with asyncio.timeout(1):
            with pytest.raises(asyncio.CancelledError):
                await starting

    run(tmp_path, scenario)


@pytest.mark.parametrize("status", [429, 500, 503, 504])
def test_a_start_that_is_refused_for_the_moment_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("buildwright.drivers.kubernetes.perseverance.PAUSES", (0.05, 0.05, 0.05))

    async def scenario(server: ApiServer, driver: Driver) -> None:
        for refused in (("get", "deployments"), ("create", "deployments")):
            await driver.remove()
            server.requests.clear()
            server.refuse[refused] = Refusal(status, "Busy", "try again")
            starting = asyncio.ensure_future(driver.start(Sink()))
            await server.called(*refused)
            server.refuse.clear()
            await starting
            server.requests.clear()
        server.refuse["list", "pods"] = Refusal(status, "Busy", "try again")
        opening = asyncio.ensure_future(driver.open())
        await server.called("list", "pods")
        server.refuse.clear()
        await (await opening).aclose()

    run(tmp_path, scenario)


def test_a_refusal_that_stays_is_told_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buildwright.drivers.kubernetes.perseverance.PAUSES", (0.01, 0.01))

    async def scenario(server: ApiServer, driver: Driver) -> None:
        server.refuse["get", "deployments"] = Refusal(429, "TooManyRequests", "the server is busy")
        with pytest.raises(ClusterError, match="the server is busy"):
            await driver.start(Sink())
        assert [request[0] for request in server.requests if request[1] == "deployments"] == ["get"] * 3

    run(tmp_path, scenario)


def test_a_busy_api_server_is_not_held_against_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buildwright.drivers.kubernetes.driver._FIRST_DELAY", 0.01)

    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        server.refuse["exec", "pods"] = Refusal(429, "TooManyRequests", "later")
        with pytest.raises(ConnectError, match="later"):
            await driver.open()
        server.refuse.clear()
        sink = Sink()
        await driver.start(sink)
        assert sink.vertexes == []

    run(tmp_path, scenario)


def test_an_exec_that_is_refused_for_the_moment_is_repeated_when_the_server_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buildwright.drivers.kubernetes.driver._FIRST_DELAY", 0.01)

    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        server.refuse["exec", "pods"] = Refusal(429, "TooManyRequests", "later", retry_after=1)
        begun = time.monotonic()
        opening = asyncio.ensure_future(driver.open())
        await server.called("exec", "pods")
        server.refuse.clear()
        await (await opening).aclose()
        assert time.monotonic() - begun >= 1

    run(tmp_path, scenario)


def test_a_builder_that_was_stopped_meanwhile_is_not_woken_again(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        await lose(server, driver)
        await driver.stop()
        with pytest.raises(NotReadyError, match="stopped meanwhile"):
            await driver.start(Sink())
        assert server.objects["deployments", "default", "b-0"]["spec"]["replicas"] == 0

    run(tmp_path, scenario)


def test_a_builder_that_is_being_removed_meanwhile_is_not_made_again(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        await lose(server, driver)
        leaving = server.objects["deployments", "default", "b-0"]
        leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        server.put("deployments", leaving)
        with pytest.raises(NotReadyError, match="removed meanwhile"):
            await driver.start(Sink())

    run(tmp_path, scenario)


def test_a_builder_that_was_removed_meanwhile_is_not_made_again(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        await lose(server, driver)
        await driver.remove()
        with pytest.raises(NotReadyError, match="removed meanwhile"):
            await driver.start(Sink())
        assert ("deployments", "default", "b-0") not in server.objects

    run(tmp_path, scenario)


async def loss(stream: ByteStream) -> str:
    """What ends the stream, whatever the daemon says before."""

    async def read_on() -> None:
        while await stream.read():
            pass

    with pytest.raises(ConnectionLostError) as caught:
        await asyncio.wait_for(read_on(), 10)
    await stream.aclose()
    return str(caught.value)


@pytest.mark.parametrize("leaving", [True, False])
def test_a_deleted_pod_ends_its_streams_with_the_reason(
    tmp_path: Path, leaving: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_stream, "LEAVING", 0.05)

    async def scenario(server: ApiServer, driver: Driver) -> None:
        await driver.start(Sink())
        stream = await driver.open()
        if leaving:
            item = server.objects["pods", "default", "b-0-0"]
            item["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            server.put("pods", item)
            assert "pod b-0-0 on node1 is being deleted" in await loss(stream)
        else:
            server.drop("pods", "b-0-0")
            assert "pod b-0-0 on node1 was deleted" in await loss(stream)

    run(tmp_path, scenario)


def test_a_broken_stream_waits_for_the_cluster_to_say_why(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        dying = asyncio.Event()

        async def die(stream: ByteStream) -> int:
            await dying.wait()
            return 137

        await driver.start(Sink())
        server.exec_handler = die
        server.requests.clear()
        stream = await driver.open()
        losing = asyncio.ensure_future(loss(stream))
        await server.called("watch", "pods")
        dying.set()
        ended = {"exitCode": 137, "reason": "OOMKilled"}
        status = {
            "name": "buildkitd",
            "restartCount": 1,
            "state": {"running": {}},
            "lastState": {"terminated": ended},
        }
        server.update_pod("b-0-0", containerStatuses=[status])
        said = await losing
        assert "pod b-0-0 on node1" in said
        assert "limits.memory" in said

    run(tmp_path, scenario)


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    endpoint = f"kubernetes:///b?deployment=b0&kubeconfig={tmp_path}/gone"
    driver = make("kubernetes", Node(name="b0", endpoint=endpoint))
    with pytest.raises(ConfigurationError, match=f"{tmp_path}/gone does not exist"):
        asyncio.run(driver.info())
