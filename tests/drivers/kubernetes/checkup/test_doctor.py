"""Examining a node: what is asked of a cluster, and what comes of answers and of none."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.kubernetes.checkup import doctor
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.table import make
from buildwright.errors import ConnectError
from buildwright.kube import exec as pod_exec
from buildwright.kube.frames import ExecEnd
from buildwright.model.finding import Finding, Level
from buildwright.model.node import Node
from buildwright.testing.drivers import Sink
from buildwright.testing.kube import ApiServer, Refusal
from buildwright.wire.stream import ByteStream

Scenario = Callable[[ApiServer, Node], Awaitable[None]]
FORBIDDEN = Refusal(403, "Forbidden", 'x is forbidden: User "u" cannot list resource "x" in API group ""')


def run(folder: Path, scenario: Scenario, **options: str) -> None:
    async def whole() -> None:
        async with ApiServer() as server:
            endpoint = f"kubernetes:///b?deployment=b0&kubeconfig={server.kubeconfig(folder)}"
            server.put("namespaces", {"metadata": {"name": "default"}}, "")
            server.exec_handler = says("v0.29.0")
            await scenario(server, Node(name="b0", endpoint=endpoint, driver_opts=options))

    asyncio.run(whole())


def says(version: str, *, ahead: float = 0.0) -> Callable[[ByteStream], Awaitable[int]]:
    """A pod's answer to what it is asked."""

    async def answer(stream: ByteStream) -> int:
        await stream.write(f"{int(time.time() + ahead)}\nbuildkitd github.com/moby/buildkit {version} x\n".encode())
        return 0

    return answer


async def examined(node: Node, *, planned: bool = False) -> dict[str, Finding]:
    seen = await doctor.examine(Fleet.of(node), planned=planned)
    return {finding.topic: finding for finding in seen.findings}


def test_a_builder_that_runs_is_healthy(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node) -> None:
        await make("kubernetes", node).start(Sink())
        seen = await doctor.examine(Fleet.of(node))
        assert seen.running
        assert seen.place.startswith('namespace default, context "fake" of ')
        wrong = [found for found in seen.findings if found.level is not Level.OK and found.topic != "nodes"]
        assert not wrong

    run(tmp_path, scenario, replicas="2")


def test_nothing_is_changed_in_the_cluster(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node) -> None:
        await examined(node, planned=True)
        assert {name for name in server.objects if name[0] not in ("namespaces", "pods")} == set()

    run(tmp_path, scenario)


def test_what_a_new_builder_lacks_is_a_failure_and_what_a_running_one_does_a_warning(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node) -> None:
        server.denied = {("create", "deployments"), ("create", "pods")}
        server.put("namespaces", {"metadata": {"name": "default", "labels": RESTRICTED}}, "")
        found = await examined(node)
        assert found["rights to manage"].level is Level.FAILED
        assert found["pod security"].level is Level.FAILED
        await make("kubernetes", node).start(Sink())
        found = await examined(node)
        assert found["rights to manage"].level is Level.WARNING
        assert found["pod security"].level is Level.WARNING
        assert found["rights to build"].level is Level.OK

    run(tmp_path, scenario)


RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def test_a_pod_that_would_be_refused_is_told(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node) -> None:
        said = 'pods "b0-doctor" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0'
        server.refuse["create", "pods"] = Refusal(403, "Forbidden", said)
        found = await examined(node)
        assert found["quota"].level is Level.FAILED
        assert said in found["quota"].text

    run(tmp_path, scenario)


def test_a_pod_that_could_not_be_tried_is_not_taken_for_a_refused_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = doctor.Cluster.create

    async def cut(cluster: doctor.Cluster, item: Any, *args: Any, **named: Any) -> Any:
        if item["kind"] == "Pod":
            raise ConnectError("the connection was lost")
        return await create(cluster, item, *args, **named)

    monkeypatch.setattr(doctor.Cluster, "create", cut)

    async def scenario(server: ApiServer, node: Node) -> None:
        found = await examined(node)
        assert found["admission"].level is Level.UNKNOWN
        assert "the connection was lost" in found["admission"].text
        assert not any("would refuse" in one.text for one in found.values())

    run(tmp_path, scenario)


def test_what_may_not_be_read_is_unknown_and_no_failure(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node) -> None:
        for plural in ("nodes", "storageclasses"):
            server.refuse["list", plural] = FORBIDDEN
        server.refuse["get", "namespaces"] = FORBIDDEN
        server.denied = {("create", "pods")}
        found = await examined(node)
        for topic in ("nodes", "storage class", "pod security"):
            assert found[topic].level is Level.UNKNOWN

    run(tmp_path, scenario, **{"persistent-volume-claim.requests.storage": "1Gi"})


def test_rights_that_cannot_be_asked_for_are_unknown(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node) -> None:
        server.refuse["create", "selfsubjectaccessreviews"] = Refusal(500, "InternalError", "etcd is away")
        found = await examined(node)
        assert found["rights"].level is Level.UNKNOWN
        assert "etcd is away" in found["rights"].text
        assert "rights to build" not in found

    run(tmp_path, scenario)


def test_a_builder_that_runs_needs_no_right_to_be_made_where_its_workload_is_not_shown(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node) -> None:
        await make("kubernetes", node).start(Sink())
        server.denied = {("get", "deployments"), ("create", "deployments")}
        server.refuse["get", "deployments"] = FORBIDDEN
        found = await examined(node)
        assert found["rights to build"].level is Level.FAILED
        assert found["rights to manage"].level is Level.WARNING

    run(tmp_path, scenario)


def test_what_options_name_is_looked_for(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node) -> None:
        server.denied = {("create", "pods")}
        server.put("secrets", {"metadata": {"name": "there"}})
        seen = (await doctor.examine(Fleet.of(node))).findings
        told = {found.text: found.level for found in seen}
        assert told["there"] is Level.OK
        assert told['"absent" does not exist'] is Level.FAILED
        assert told['"robot" does not exist'] is Level.FAILED

    run(tmp_path, scenario, imagepullsecrets="there,absent", serviceaccount="robot")


def test_a_namespace_that_is_not_there_is_told_once(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node) -> None:
        found = await examined(node, planned=True)
        assert "kubectl create namespace nowhere" in found["namespace"].advice
        assert "pod security" not in found

    run(tmp_path, scenario, namespace="nowhere")


@pytest.mark.parametrize(
    ("status", "words"), [({"phase": "Pending", "conditions": []}, "0 of 1 pods ready; pod b0-0 starts on node1")]
)
def test_pods_that_are_not_ready_say_why(tmp_path: Path, status: dict[str, object], words: str) -> None:
    async def scenario(server: ApiServer, node: Node) -> None:
        await make("kubernetes", node).start(Sink())
        server.update_pod("b0-0", **status)
        found = await examined(node)
        assert found["builder"].level is Level.FAILED
        assert words in found["builder"].text
        assert "daemons" not in found

    run(tmp_path, scenario)


def test_a_wrong_clock_in_a_pod_is_a_warning(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node) -> None:
        await make("kubernetes", node).start(Sink())
        server.exec_handler = says("v0.29.0", ahead=300)
        found = await examined(node)
        assert found["clock of the pods"].level is Level.WARNING
        assert "300 s ahead" in found["clock of the pods"].text

    run(tmp_path, scenario)


def test_a_pod_that_runs_no_command_is_a_failure(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node) -> None:
        await make("kubernetes", node).start(Sink())
        server.refuse["exec", "pods"] = Refusal(500, "InternalError", "error dialing backend: EOF")
        found = await examined(node)
        assert found["daemons"].level is Level.FAILED
        assert "error dialing backend" in found["daemons"].text

    run(tmp_path, scenario)


def test_a_pod_whose_node_does_not_answer_is_told_and_is_of_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = iter((b"", b"1\nbuildkitd github.com/moby/buildkit v0.29.0 abc"))

    async def output_of(*_: object) -> tuple[bytes, ExecEnd]:
        said = next(outputs)
        return said, ExecEnd(success=bool(said), message="" if said else "error sending request: refused")

    async def scenario(_server: ApiServer, node: Node) -> None:
        await make("kubernetes", node).start(Sink())
        monkeypatch.setattr(pod_exec, "output_of", output_of)
        seen = await doctor.examine(Fleet.of(node))
        first, second = (found for found in seen.findings if found.topic == "daemons")
        assert (first.level, second.level) == (Level.WARNING, Level.OK)
        assert first.text.startswith("no daemon answers in pod b0-")
        assert "on node node1 (" in first.text
        assert "kubectl describe node node1" in first.advice
        assert second.text == "BuildKit v0.29.0 in 1 pod"

    run(tmp_path, scenario, replicas="2")


def test_pods_that_a_former_builder_has_left_are_not_examined(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node) -> None:
        await make("kubernetes", node).start(Sink())
        server.drop("deployments", "b0")
        found = await examined(node)
        assert "not there yet" in found["builder"].text
        assert "daemons" not in found

    run(tmp_path, scenario)


def test_a_cluster_that_is_not_there_is_one_finding(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, node: Node) -> None:
        await server.__aexit__(None, None, None)
        (found,) = (await doctor.examine(Fleet.of(node))).findings
        assert (found.level, found.topic) == (Level.FAILED, "cluster")
        assert "cannot be reached" in found.text

    run(tmp_path, scenario)


def test_a_silent_cluster_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PATIENCE", 0.05)

    async def scenario(server: ApiServer, node: Node) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            server.address = f"http://127.0.0.1:{mute.getsockname()[1]}"
            server.kubeconfig(tmp_path)
            (found,) = (await doctor.examine(Fleet.of(node))).findings
            assert "no answer within" in found.text

    run(tmp_path, scenario)
