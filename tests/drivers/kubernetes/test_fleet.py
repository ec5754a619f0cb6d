"""Where a build goes after one was lost."""

from __future__ import annotations

from dataclasses import replace

from buildwright.drivers.kubernetes.fleet import Losses
from buildwright.kube.objects import Container, Pod


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
