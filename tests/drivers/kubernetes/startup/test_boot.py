"""Waiting for pods, against the API server double."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.driver import Driver
from buildwright.drivers.kubernetes.startup import boot
from buildwright.drivers.table import make
from buildwright.errors import NotReadyError
from buildwright.model.node import Node
from buildwright.testing.drivers import Sink
from buildwright.testing.kube import ApiServer, Refusal, pod

EVENT = boot.Event.read

Scenario = Callable[[ApiServer, Driver], Awaitable[None]]


def run(folder: Path, scenario: Scenario, **options: str) -> None:
    async def once() -> None:
        async with ApiServer() as server:
            endpoint = f"kubernetes:///b?deployment=b0&kubeconfig={server.kubeconfig(folder)}"
            await scenario(server, make("kubernetes", Node(name="b0", endpoint=endpoint, driver_opts=options)))

    asyncio.run(once())


def logged(sink: Sink) -> str:
    return b"".join(log.data for update in sink.updates for log in update.logs).decode()


def event(about: dict[str, Any], kind: str, reason: str, message: str) -> dict[str, Any]:
    metadata = about["metadata"]
    return {
        "metadata": {"name": f"e-{reason.lower()}"},
        "involvedObject": {"kind": kind, "name": metadata["name"], "uid": metadata["uid"]},
        "reason": reason,
        "message": message,
        "type": "Warning",
    }


CRASHED = {
    "name": "buildkitd",
    "restartCount": 2,
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
}


def crash(server: ApiServer) -> Callable[[Any], None]:
    def make_crashed(workload: Any) -> None:
        server.put("pods", pod("b0-x", workload["spec"]["template"], ready=False))
        server.update_pod("b0-x", containerStatuses=[CRASHED])

    return make_crashed


def test_a_crash_loop_ends_with_the_daemon_s_last_words(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        server.controller = crash(server)
        server.logs["b0-x"] = ["usage", "buildkitd: no such flag"]
        sink = Sink()
        with pytest.raises(
            NotReadyError, match=r'ended 3 times, last with exit code 1 \(Error\), saying "buildkitd: no'
        ):
            await driver.start(sink)
        assert "buildkitd in pod b0-x: buildkitd: no such flag\n" in logged(sink)

    run(tmp_path, scenario)


def test_two_ends_in_one_state_are_known_by_both_logs(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        ended = {"terminated": {"exitCode": 1, "reason": "Error"}}

        def crash_twice(workload: Any) -> None:
            server.put("pods", pod("b0-x", workload["spec"]["template"], ready=False))
            twice = {"name": "buildkitd", "restartCount": 1, "state": ended, "lastState": ended}
            server.update_pod("b0-x", containerStatuses=[twice])

        server.controller = crash_twice
        server.former_logs["b0-x"] = server.logs["b0-x"] = ["buildkitd: no disk"]
        async with asyncio.timeout(20):
            with pytest.raises(NotReadyError, match=r'ended 2 times, .* saying "buildkitd: no disk"'):
                await driver.start(Sink())

    run(tmp_path, scenario)


def test_a_crash_loop_ends_also_where_logs_may_not_be_read(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        server.controller = crash(server)
        server.refuse["log", "pods"] = Refusal(403, "Forbidden", "cannot get resource pods/log")
        with pytest.raises(NotReadyError, match=r"ended 3 times, last with exit code 1 \(Error\): check"):
            await driver.start(Sink())

    run(tmp_path, scenario)


def test_events_are_shown(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        def make_slow(workload: Any) -> None:
            server.put("pods", pod("b0-x", workload["spec"]["template"], ready=False))
            about = server.objects["pods", "default", "b0-x"]
            server.put("events", event(about, "Pod", "FailedAttachVolume", "Multi-Attach error"))

        server.controller = make_slow
        sink = Sink()
        with pytest.raises(NotReadyError, match="last event: Multi-Attach error"):
            await driver.start(sink)
        assert "pod b0-x: FailedAttachVolume, Multi-Attach error\n" in logged(sink)

    run(tmp_path, scenario, timeout="500ms")


def test_events_of_others_are_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[str]()
    monkeypatch.setattr(boot.Event, "read", lambda item: read.append(item["metadata"]["name"]) or EVENT(item))

    async def scenario(server: ApiServer, driver: Driver) -> None:
        for number in range(50):
            other = event({"metadata": {"name": f"other-{number}", "uid": "u"}}, "Pod", "Pulling", "x")
            other["metadata"]["name"] = f"e-{number}"
            server.put("events", other)
        server.put(
            "pods", pod("mine", {"metadata": {"labels": {"its": "x"}}, "spec": {"containers": []}}, ready=False)
        )
        about = server.objects["pods", "default", "mine"]
        server.put("events", event(about, "Pod", "FailedAttachVolume", "Multi-Attach error"))
        sink = Sink()
        with pytest.raises(NotReadyError, match="last event: Multi-Attach error"):
            await driver.start(sink)
        assert set(read) == {"e-failedattachvolume"}

    run(tmp_path, scenario, timeout="500ms", managed="false", labels="its=x")


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_without_the_right_to_events_a_start_goes_without(tmp_path: Path, verb: str) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        server.refuse[verb, "events"] = Refusal(403, "Forbidden", "cannot list resource events")
        await driver.start(Sink())

    run(tmp_path, scenario)


@pytest.mark.parametrize("managed", [True, False])
def test_a_pod_of_ours_that_kubelet_overlooked_is_changed(tmp_path: Path, managed: bool) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        template = {"metadata": {"labels": {"its": "x", "app": "b0"}}, "spec": {"containers": []}}
        server.controller = lambda workload: None
        server.put("pods", pod("b0-x", template, ready=False))
        with pytest.raises(NotReadyError):
            await driver.start(Sink())
        metadata = server.objects["pods", "default", "b0-x"]["metadata"]
        assert ("buildwright/woken" in metadata.get("annotations", ())) is managed

    others = {} if managed else {"managed": "false", "labels": "its=x"}
    run(tmp_path, scenario, timeout="1500ms", **others)


def test_a_stateful_set_that_was_refused_is_asked_to_try_again(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        server.controller = lambda workload: None
        with pytest.raises(NotReadyError):
            await driver.start(Sink())
        server.controller = server.make_ready
        await driver.start(Sink())
        assert "buildwright/woken" in server.objects["statefulsets", "default", "b0"]["metadata"]["annotations"]

    run(tmp_path, scenario, timeout="500ms", **{"persistent-volume-claim.requests.storage": "1Gi"})


def test_a_stateful_set_whose_pods_are_refused_says_why(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        def refuse(workload: Any) -> None:
            said = 'create Pod b0-0 in StatefulSet b0 failed error: pods "b0-0" is forbidden: exceeded quota: q'
            server.put("events", event(workload, "StatefulSet", "FailedCreate", said))

        server.controller = refuse
        with pytest.raises(NotReadyError, match='pods "b0-0" is forbidden: exceeded quota: q'):
            await driver.start(Sink())

    run(tmp_path, scenario, **{"persistent-volume-claim.requests.storage": "1Gi"})


def test_the_end_of_a_short_patience_is_a_sentence(tmp_path: Path) -> None:
    async def scenario(server: ApiServer, driver: Driver) -> None:
        server.controller = lambda workload: None
        with pytest.raises(
            NotReadyError, match=r"^node b0 was not ready after less than a second: 0 of 1 pods ready"
        ):
            await driver.start(Sink())

    run(tmp_path, scenario, timeout="300ms")
