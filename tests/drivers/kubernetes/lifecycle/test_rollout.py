"""When a workload is done with replacing its pods."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.lifecycle import rollout
from buildwright.drivers.kubernetes.lifecycle.rollout import Former, farewell, settled
from buildwright.kube.api import Cluster
from buildwright.kube.config import load
from buildwright.kube.objects import Pod
from buildwright.model.node import Node
from buildwright.testing.drivers import Sink
from buildwright.testing.kube import ApiServer, Refusal, pod

DONE = {"observedGeneration": 3, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2}
REVISION = {"currentRevision": "b0-1", "updateRevision": "b0-1"}


def workload(want: int = 2, **status: Any) -> dict[str, Any]:
    return {"metadata": {"generation": 3}, "spec": {"replicas": want}, "status": {**DONE, **status}}


@pytest.mark.parametrize("more", [{}, REVISION])
def test_it_is_done_when_all_pods_are_new_and_ready(more: dict[str, str]) -> None:
    assert settled(workload(**more))
    assert settled(workload(want=0, replicas=0, readyReplicas=None, updatedReplicas=None, **more))


@pytest.mark.parametrize(
    "status",
    [
        {"observedGeneration": 2},
        {"replicas": 3},
        {"readyReplicas": 1},
        {"updatedReplicas": 1},
        {"currentRevision": "b0-1", "updateRevision": "b0-2"},
        {**REVISION, "updatedReplicas": None},
    ],
)
def test_it_is_not_done_before(status: dict[str, Any]) -> None:
    assert not settled(workload(**status))


def leaving(name: str, *, grace: int = 605, hooked: bool = True, terminating: bool = True) -> Pod:
    return Pod(name=name, terminating=terminating, hooked=("buildkitd",) if hooked else (), grace=grace)


@pytest.mark.parametrize(
    ("pods", "said"),
    [
        ([leaving("a")], "1 former pod takes no new builds and ends with its last one, after 10 minutes at most"),
        (
            [leaving("a", grace=60), leaving("b", grace=65), leaving("c", terminating=False)],
            "2 former pods take no new builds and end with their last ones, after about a minute at most",
        ),
        ([leaving("a", hooked=False), leaving("b", terminating=False)], ""),
    ],
)
def test_pods_that_let_their_builds_finish_are_told(pods: list[Pod], said: str) -> None:
    assert farewell(pods) == said


def test_a_rollout_that_is_done_does_not_fail_for_what_only_informs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with ApiServer() as server:
            config = server.kubeconfig(tmp_path)
            fleet = Fleet.of(Node(name="b0", endpoint=f"kubernetes:///b?deployment=b0&kubeconfig={config}"))

            async def done(*_: object) -> None:
                server.refuse["list", "pods"] = Refusal(503, "ServiceUnavailable", "later")

            monkeypatch.setattr(rollout, "_wait", done)
            server.put("deployments", {**fleet.workload, "status": {"replicas": 2}})
            async with Cluster(load(str(config), environ={})) as cluster:
                await rollout.follow(cluster, fleet, Former(), Sink())
            assert ("list", "pods", "") in server.requests

    asyncio.run(scenario())


REFUSED = 'pods "b0-x" is forbidden: exceeded quota: q, requested: requests.memory=8Gi, used: 0, limited: 1Gi'


@pytest.mark.parametrize(
    ("status", "events", "options"),
    [
        ({"conditions": [{"type": "ReplicaFailure", "status": "True", "message": REFUSED}]}, [], {}),
        ({}, [REFUSED], {"persistent-volume-claim.requests.storage": "1Gi"}),
    ],
)
def test_what_was_refused_before_the_change_is_no_refusal_of_it(
    tmp_path: Path, status: dict[str, Any], events: list[str], options: dict[str, str]
) -> None:
    async def run() -> None:
        async with ApiServer() as server:
            server.controller = lambda _: None
            path = server.kubeconfig(tmp_path)
            node = Node(name="b0", endpoint=f"kubernetes:///b?deployment=b0&kubeconfig={path}", driver_opts=options)
            fleet = Fleet.of(node)
            changed = copy.deepcopy(dict(fleet.workload))
            changed["metadata"] |= {"generation": 2, "uid": "w"}
            server.put(fleet.kind.plural, {**changed, "status": {"observedGeneration": 1, **status}})
            for number, message in enumerate(events):
                about = {"kind": fleet.kind.kind, "name": "b0", "uid": "w"}
                said = {"reason": "FailedCreate", "type": "Warning", "message": message, "involvedObject": about}
                server.put("events", {"metadata": {"name": f"e{number}"}, **said})

            async def heal() -> None:
                for plural in ("pods", "events", fleet.kind.plural):
                    await server.called("watch", plural)
                server.put("pods", pod("b0-new", fleet.workload["spec"]["template"]))
                counts = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas"), 1)
                server.put(fleet.kind.plural, {**changed, "status": {"observedGeneration": 2, **counts}})

            async with Cluster(load(str(path), environ={})) as cluster, asyncio.timeout(20):
                await asyncio.gather(rollout.follow(cluster, fleet, Former(), Sink()), heal())

    asyncio.run(run())
