"""Where a build goes after one was lost."""

from __future__ import annotations

from dataclasses import replace

from buildwright.drivers.kubernetes.fleet import Fleet, Losses
from buildwright.kube.objects import Container, Controller, Pod, Workload
from buildwright.model.node import Node


def pod(name: str, node: str = "node1", *, restarts: int = 0, ready: bool = True) -> Pod:
    return Pod(
        name=name,
        uid=f"uid-{name}",
        phase="Running",
        node=node,
        conditions={"Ready": (str(ready), "", "")},
        containers=(Container(name="buildkitd", restarts=restarts),),
    )


def names(pods: list[Pod]) -> list[str]:
    return [pod.name for pod in pods]


def test_without_losses_any_pod_will_do() -> None:
    losses = Losses()
    assert not losses
    assert names(losses.whole([pod("a"), pod("b")])) == ["a", "b"]


def test_a_pod_that_was_lost_is_avoided() -> None:
    losses = Losses()
    losses.note(pod("a"))
    assert losses
    assert names(losses.whole([pod("a"), pod("b")])) == ["b"]


def test_other_nodes_come_first_as_long_as_they_have_a_ready_pod() -> None:
    losses = Losses()
    losses.note(pod("a"))
    assert names(losses.whole([pod("b"), pod("c", "node2")])) == ["c"]
    assert names(losses.whole([pod("b"), pod("c", "node2", ready=False)])) == ["b", "c"]


def test_a_container_that_was_started_anew_is_as_good_when_there_is_no_other_pod() -> None:
    losses = Losses()
    losses.note(pod("a"))
    losses.note(pod("b"))
    assert names(losses.whole([pod("a"), pod("b", restarts=1)])) == ["b"]
    assert names(losses.whole([pod("a"), pod("b", restarts=1), pod("c")])) == ["c"]


def test_a_pod_that_goes_on_as_before_is_taken_when_there_is_no_other() -> None:
    losses = Losses()
    losses.note(pod("a"))
    assert names(losses.whole([pod("a")])) == ["a"]


def test_a_pod_that_was_only_cut_off_is_as_good_as_before() -> None:
    losses = Losses()
    losses.note_cut()
    assert losses
    assert names(losses.whole([pod("a"), pod("b", "node2")])) == ["a", "b"]


def test_a_pod_of_the_same_name_is_another_one() -> None:
    losses = Losses()
    losses.note(pod("a"))
    again = replace(pod("a"), uid="uid-new")
    assert losses.whole([again, pod("a")]) == [again]


def test_all_are_waited_for_when_none_is_ready() -> None:
    losses = Losses()
    losses.note(pod("a"))
    assert names(losses.whole([pod("a", ready=False), pod("b", ready=False)])) == ["a", "b"]


def made(name: str, controller: str, *, at: float = 100.0, uid: str = "") -> Pod:
    """By the ReplicaSet of this name, or by what has this `uid`."""
    kind = "StatefulSet" if uid else "ReplicaSet"
    return replace(pod(name), created=at, controller=Controller(kind=kind, name=controller, uid=uid or controller))


def own(pods: list[Pod], *, counted: int, claim: str = "") -> list[str]:
    options = {"persistent-volume-claim.requests.storage": claim} if claim else {}
    fleet = Fleet.of(Node(name="b0", endpoint="kubernetes:///b?deployment=b0&kubeconfig=", driver_opts=options))
    return names(fleet.own(Workload(name="b0", uid="w", created=100.0, replicas=2, pods=counted), pods))


def test_pods_that_only_have_the_labels_of_a_workload_are_not_its_own() -> None:
    stray, theirs, ours = pod("stray"), made("theirs", "b0-x-5d9c7b9f6"), made("ours", "b0-5d9c7b9f6")
    assert own([stray, theirs, ours], counted=0) == ["ours"]
    assert own([stray, theirs], counted=1) == []


def test_pods_of_a_former_workload_of_the_name_are_not_of_the_present_one() -> None:
    former, ours = made("former", "b0-1", at=99.0), made("ours", "b0-2", at=100.0)
    assert own([former], counted=0) == []
    assert own([former, ours], counted=1) == ["ours"]


def test_pods_that_a_deployment_has_taken_over_are_its_own() -> None:
    former = made("former", "b0-1", at=99.0)
    assert own([former], counted=1) == ["former"]
    assert own([former, made("new", "b0-1", at=101.0)], counted=1) == ["former", "new"]
    for gone in ({"terminating": True}, {"phase": "Failed"}):
        leaving = replace(made("leaving", "b0-2"), **gone)
        assert own([former, leaving, made("new", "b0-2")], counted=2) == ["former", "leaving", "new"]


def test_the_pods_of_a_stateful_set_name_it() -> None:
    pods = [made("b0-0", "b0", uid="former"), made("b0-1", "b0", uid="w", at=1.0), made("b0-2", "b0-5d9c7b9f6")]
    assert own(pods, counted=3, claim="1Gi") == ["b0-1"]
