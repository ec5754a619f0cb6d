"""What states of pods say about getting ready."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildwright.drivers.kubernetes.readiness import Boot
from buildwright.drivers.kubernetes.words import describe
from buildwright.kube.objects import Container, Pod, Workload

NOT_FOUND = 'rpc error: code = NotFound desc = failed to resolve reference "reg/nope:1": reg/nope:1: not found'
DENIED = "rpc error: code = Unknown desc = pull access denied, repository does not exist or may require authorization"
TIMED_OUT = "rpc error: code = Unknown desc = dial tcp 10.0.0.1:443: i/o timeout"


def starting(container: Container | None = None, name: str = "b0-x") -> Pod:
    return Pod(name=name, phase="Pending", node="node1", containers=(container,) if container else ())


def waiting(reason: str, message: str = "", *, init: bool = False, restarts: int = 0) -> Container:
    name = "qemu" if init else "buildkitd"
    return Container(
        name=name, waiting=reason, message=message, init=init, restarts=restarts, last_exit_code=1, last_ended="Error"
    )


def ready(name: str = "b0-x") -> Pod:
    return Pod(name=name, phase="Running", node="node1", conditions={"Ready": ("True", "", "")})


def test_a_node_is_ready_when_enough_pods_are() -> None:
    boot = Boot(want=2)
    boot.feed_pods([ready("a"), starting(name="b")])
    assert not boot.ready
    boot.feed_pods([ready("a"), ready("b")])
    assert boot.ready


def test_pods_that_a_workload_still_counts_while_they_leave_are_not_ready() -> None:
    boot = Boot(want=1)
    boot.feed_workload(Workload(name="b0", replicas=1, ready=1))
    boot.feed_pods([replace(ready(), terminating=True)])
    assert not boot.ready


def test_an_image_that_may_not_be_pulled_is_hopeless_at_the_first_back_off() -> None:
    boot = Boot(want=1)
    boot.feed_pods([starting(waiting("ErrImagePull", DENIED))])
    assert not boot.hopeless, "a secret may still come"
    boot.feed_pods([starting(waiting("ImagePullBackOff", "Back-off pulling image"))])
    assert "pull access denied" in boot.hopeless


def test_an_image_that_does_not_exist_is_hopeless_at_once() -> None:
    boot = Boot(want=1)
    boot.feed_pods([starting(waiting("ErrImagePull", NOT_FOUND))])
    assert "reg/nope:1: not found" in boot.hopeless
    assert "driver option image" in boot.hopeless
    assert "rpc error" not in boot.hopeless


def test_a_registry_that_does_not_answer_gets_a_second_try() -> None:
    boot = Boot(want=1)
    for reason in ("ErrImagePull", "ErrImagePull", "ImagePullBackOff"):
        boot.feed_pods([starting(waiting(reason, TIMED_OUT))])
        assert not boot.hopeless
    boot.feed_pods([starting(waiting("ErrImagePull", TIMED_OUT))])
    assert "i/o timeout" in boot.hopeless


def test_the_emulator_s_image_has_its_own_option() -> None:
    boot = Boot(want=1)
    boot.feed_pods([starting(waiting("ImagePullBackOff", NOT_FOUND, init=True))])
    assert "driver option qemu.image" in boot.hopeless


@pytest.mark.parametrize("reason", ["CreateContainerConfigError", "InvalidImageName", "ErrImageNeverPull"])
def test_what_kubelet_cannot_create_is_hopeless(reason: str) -> None:
    boot = Boot(want=1)
    boot.feed_pods([starting(waiting(reason, 'configmap "b0-config" not found'))])
    assert reason in boot.hopeless
    assert "b0-config" in boot.hopeless


def test_pods_that_the_cluster_refuses_to_create_are_hopeless() -> None:
    condition = ("True", "FailedCreate", 'pods "b0-" is forbidden: exceeded quota: small')
    boot = Boot(want=1)
    boot.feed_workload(Workload(name="b0", conditions={"ReplicaFailure": condition}))
    assert "exceeded quota: small" in boot.hopeless


def test_a_daemon_that_keeps_crashing_is_hopeless() -> None:
    boot = Boot(want=1)
    boot.feed_pods([starting(waiting("CrashLoopBackOff", restarts=1))])
    assert not boot.hopeless
    boot.feed_pods([starting(waiting("CrashLoopBackOff", restarts=2))])
    assert "ended 3 times, last with exit code 1 (Error)" in boot.hopeless


def test_pods_that_are_being_deleted_count_for_nothing() -> None:
    boot = Boot(want=1)
    gone = Pod(name="old", phase="Pending", terminating=True, containers=(waiting("InvalidImageName"),))
    boot.feed_pods([gone])
    assert not boot.hopeless
    assert "old" not in boot.summary()


def test_news_come_once() -> None:
    boot = Boot(want=1)
    boot.feed_pods([starting()])
    assert boot.news() == ["pod b0-x starts on node1"]
    boot.feed_pods([starting()])
    assert boot.news() == []
    boot.feed_pods([ready()])
    assert boot.news() == ["pod b0-x is ready on node1"]


def test_the_summary_says_for_each_pod_what_it_waits_for() -> None:
    boot = Boot(want=2)
    assert "no pod" in boot.summary()
    lonely = Pod(name="b", conditions={"PodScheduled": ("False", "Unschedulable", "0/2 nodes. preemption: 0/2.")})
    boot.feed_pods([ready("a"), lonely])
    assert boot.summary() == "1 of 2 pods ready; pod b is not scheduled, 0/2 nodes"


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        (Pod(name="a", phase="Pending"), "waits to be scheduled"),
        (starting(waiting("ContainerCreating")), "starts on node1"),
        (starting(waiting("ErrImagePull", NOT_FOUND)), "waits on node1 (ErrImagePull: failed to resolve"),
        (starting(Container(name="qemu", init=True)), "prepares on node1"),
        (starting(waiting("CrashLoopBackOff")), "to restart container buildkitd, which ended with exit code 1"),
        (Pod(name="a", phase="Running", node="n"), "runs on n, its daemon does not answer yet"),
        (
            Pod(name="a", phase="Failed", reason="Evicted", message="disk\npressure."),
            "failed (Evicted: disk pressure)",
        ),
        (Pod(name="a", phase="Running", terminating=True), "is being deleted"),
        (
            Pod(name="a", phase="Running", node="n", containers=(Container(name="buildkitd", exit_code=137),)),
            "ended with exit code 137",
        ),
    ],
)
def test_words_for_a_pod(pod: Pod, words: str) -> None:
    assert words in describe(pod)
