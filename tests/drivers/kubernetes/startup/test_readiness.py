"""What states of pods say about getting ready."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildwright.drivers.kubernetes.options import parse
from buildwright.drivers.kubernetes.startup.readiness import UNBOUND, Boot
from buildwright.drivers.kubernetes.startup.scheduling import Taint
from buildwright.drivers.kubernetes.startup.words import describe
from buildwright.kube.objects import Container, Event, Pod, Workload

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


def test_a_pod_that_kubelet_overlooks_is_told_once() -> None:
    clock = Clock()
    boot = Boot(want=1, clock=clock)
    boot.feed_pods([starting()])
    assert (boot.overlooked(), boot.due) == ([], None)
    boot.feed_pods([replace(ready(), conditions={})])
    assert boot.overlooked() == []
    clock.now += boot.due or 0
    boot.judge()
    assert boot.overlooked() == ["b0-x"]
    clock.now += 60
    boot.judge()
    assert boot.overlooked() == []


def test_a_pod_that_is_made_anew_under_the_same_name_is_told_too() -> None:
    clock = Clock()
    boot = Boot(want=1, clock=clock)
    for uid in ("first", "second"):
        boot.feed_pods([replace(ready("b0-0"), uid=uid, conditions={})])
        assert boot.overlooked() == []
        clock.now += boot.due or 0
        boot.judge()
        assert boot.overlooked() == ["b0-0"]


def test_the_scheduler_is_reminded_of_a_pod_whose_claim_had_no_volume() -> None:
    clock = Clock()
    boot = Boot(want=1, options=CLAIMING, clock=clock)
    waits = {
        "PodScheduled": ("False", "Unschedulable", "pod has unbound immediate PersistentVolumeClaims. not found")
    }
    boot.feed_pods([replace(starting(), name="b0-0", conditions=waits)])
    for _ in range(2):
        assert boot.unbound() == []
        assert boot.due == UNBOUND
        clock.now += UNBOUND
        boot.judge()
        assert boot.unbound() == ["buildkitd-b0-0"]
    boot.feed_pods([replace(starting(), name="b0-0", conditions={"PodScheduled": ("True", "", "")})])
    clock.now += 60
    boot.judge()
    assert boot.unbound() == []


def test_pods_that_a_workload_still_counts_while_they_leave_are_not_ready() -> None:
    boot = Boot(want=1)
    boot.feed_workload(Workload(name="b0", replicas=1, pods=1))
    boot.feed_pods([replace(ready(), terminating=True)])
    assert not boot.ready


def test_an_image_that_may_not_be_pulled_is_hopeless_at_the_first_back_off() -> None:
    boot = Boot(want=1)
    boot.feed_pods([starting(waiting("ErrImagePull", DENIED))])
    assert not boot.hopeless, "a secret may still come"
    boot.feed_pods([starting(waiting("ImagePullBackOff", "Back-off pulling image"))])
    assert "pull access denied" in boot.hopeless


def test_a_pull_secret_that_is_not_there_is_named() -> None:
    boot = Boot(want=1)
    told = "Unable to retrieve some image pull secrets (nosuch); attempting to pull the image may not succeed."
    boot.feed_events([event("FailedToRetrieveImagePullSecret", told, uid="")])
    for reason in ("ErrImagePull", "ImagePullBackOff"):
        boot.feed_pods([starting(waiting(reason, DENIED))])
    assert "the secret nosuch is not there: make it, or change the driver option imagepullsecrets" in boot.hopeless


def test_a_pull_secret_that_may_not_is_named() -> None:
    boot = Boot(want=1, options=parse({"imagepullsecrets": "one,two"}))
    boot.feed_pods([starting(waiting("ErrImagePull", DENIED))])
    boot.feed_pods([starting(waiting("ImagePullBackOff", "Back-off pulling image"))])
    assert boot.hopeless.endswith("check the driver option image, and that the secret one or two may pull it")


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
            "is without container buildkitd, which ended with exit code 137",
        ),
    ],
)
def test_words_for_a_pod(pod: Pod, words: str) -> None:
    assert words in describe(pod)


# --- events --------------------------------------------------------------------------------------------------------

NO_NODE = (
    "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. "
    "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
)
SELECTING = parse({"nodeselector": "no=such"})
CLAIMING = parse({"persistent-volume-claim.requests.storage": "1Gi"})


def lonely(message: str = NO_NODE) -> Pod:
    conditions = {"PodScheduled": ("False", "Unschedulable", message)}
    return Pod(name="b0-x", uid="u", phase="Pending", conditions=conditions)


def event(reason: str, message: str = "", *, kind: str = "Pod", uid: str = "u", version: str = "1") -> Event:
    name = {"Pod": "b0-x", "StatefulSet": "b0", "PersistentVolumeClaim": "buildkitd-b0-x"}[kind]
    warning = reason.startswith(("Failed", "Unhealthy", "Provisioning"))
    return Event(
        kind=kind, name=name, reason=reason, message=message, object_uid=uid, warning=warning,
        uid=f"{reason}{message}", version=version, at=100.0,
    )  # fmt: skip


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_pod_that_fits_nowhere_is_hopeless_when_no_autoscaler_answers() -> None:
    clock = Clock()
    boot = Boot(1, SELECTING, clock=clock)
    boot.feed_events([])
    boot.feed_pods([lonely()])
    assert not boot.hopeless
    assert boot.due == 15
    clock.now = 15
    boot.judge()
    assert "no autoscaler adds one: change the driver option nodeselector=no=such" in boot.hopeless


def test_taints_are_asked_for_once_for_each_state() -> None:
    clock = Clock()
    boot = Boot(1, clock=clock)
    boot.feed_events([])
    boot.feed_pods([lonely()])
    assert not boot.puzzled()
    boot.feed_pods([lonely("0/1 nodes are available: 1 node(s) had untolerated taint(s). preemption: none")])
    assert [boot.puzzled(), boot.puzzled()] == [True, False]
    boot.feed_taints([Taint("ded", "bk")])
    clock.now = 15
    boot.judge()
    assert '"tolerations=key=ded,value=bk"' in boot.hopeless


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("reason", ["TriggeredScaleUp", "Nominated"])
def test_an_autoscaler_that_adds_a_node_is_waited_for(reason: str, made: bool) -> None:
    clock = Clock()
    boot = Boot(1, SELECTING, made=made, clock=clock)
    boot.feed_pods([lonely()])
    boot.feed_events([event(reason, "pod triggered scale-up: [{ng 1->2 (max: 9)}]")])
    clock.now = 60
    boot.judge()
    assert not boot.hopeless


def test_a_node_that_comes_too_late_is_told_with_the_timeout() -> None:
    boot = Boot(1, SELECTING, clock=Clock())
    boot.feed_pods([lonely()])
    boot.feed_events([event("TriggeredScaleUp", "pod triggered scale-up: [{ng 1->2 (max: 9)}]")])
    assert boot.summary().endswith(
        "and the autoscaler adds one (pod triggered scale-up: [{ng 1->2 (max: 9)}]): raise the driver option timeout"
    )


def test_full_nodes_are_waited_for_and_told_with_what_the_autoscaler_says() -> None:
    boot = Boot(1, parse({"requests.cpu": "2"}), clock=Clock())
    boot.feed_pods([lonely("0/1 nodes are available: 1 Insufficient cpu. preemption: none")])
    boot.feed_events([event("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached")])
    assert not boot.hopeless
    assert boot.summary().endswith(
        "and the autoscaler adds none (pod didn't trigger scale-up: 1 max node group size reached): "
        "lower the driver option requests.cpu=2"
    )


def test_what_an_autoscaler_says_is_shown() -> None:
    boot = Boot(1, SELECTING, clock=Clock())
    boot.feed_pods([lonely()])
    boot.feed_events([event("TriggeredScaleUp", "pod triggered scale-up: [{ng 1->2 (max: 9)}]")])
    assert boot.news()[-1] == "pod b0-x: pod triggered scale-up: [{ng 1->2 (max: 9)}]"


def test_an_autoscaler_that_adds_none_ends_the_wait_at_once() -> None:
    boot = Boot(1, SELECTING, clock=Clock())
    boot.feed_pods([lonely()])
    boot.feed_events([event("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached")])
    assert "the autoscaler adds none (pod didn't trigger scale-up: 1 max node group size reached)" in boot.hopeless


def test_where_no_autoscaler_could_be_heard_the_timeout_decides() -> None:
    clock = Clock()
    boot = Boot(1, SELECTING, clock=clock)
    boot.feed_pods([lonely()])
    clock.now = 60
    boot.judge()
    assert not boot.hopeless
    boot.feed_events([])
    boot.lose_events()
    clock.now = 120
    boot.judge()
    assert not boot.hopeless
    assert "change the driver option nodeselector=no=such" in boot.summary()


def test_a_scheduler_that_nobody_runs_is_named() -> None:
    clock = Clock()
    boot = Boot(1, parse({"schedulername": "absent"}), clock=clock)
    boot.feed_pods([Pod(name="b0-x", phase="Pending")])
    clock.now = 15
    boot.judge()
    assert "schedulername=absent" in boot.hopeless


REFUSED = (
    'create Pod b0-0 in StatefulSet b0 failed error: pods "b0-0" is forbidden: violates PodSecurity "baseline:latest"'
)


def test_a_stateful_set_s_refused_pods_are_known_from_its_events() -> None:
    boot = Boot(1, CLAIMING, "ci")
    boot.feed_workload(Workload(name="b0", uid="w"))
    boot.feed_events([event("FailedCreate", REFUSED, kind="StatefulSet", uid="of another")])
    assert not boot.hopeless
    boot.feed_events([event("FailedCreate", REFUSED, kind="StatefulSet", uid="w")])
    assert 'pods "b0-0" is forbidden: violates PodSecurity' in boot.hopeless
    assert "kubectl label --overwrite namespace ci" in boot.hopeless


def test_what_was_said_before_the_wait_is_of_the_past() -> None:
    boot = Boot(1, CLAIMING, made=False, clock=Clock())
    boot.feed_workload(Workload(name="b0", uid="w"))
    boot.feed_events([event("FailedCreate", REFUSED, kind="StatefulSet", uid="w")])
    assert boot.due is None
    boot.feed_events([event("FailedCreate", REFUSED, kind="StatefulSet", uid="w", version="2")])
    assert boot.due == 3


def test_an_old_refusal_gets_a_moment_to_be_taken_back() -> None:
    clock = Clock()
    boot = Boot(1, made=False, clock=clock)
    condition = ("True", "FailedCreate", 'pods "b0-" is forbidden: exceeded quota: small')
    boot.feed_workload(Workload(name="b0", conditions={"ReplicaFailure": condition}))
    assert not boot.hopeless
    clock.now = boot.due or 0
    boot.judge()
    assert "exceeded quota: small" in boot.hopeless


def test_a_quota_is_waited_for_while_pods_leave() -> None:
    used = 'pods "b0-" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'
    boot = Boot(1)
    boot.feed_pods([Pod(name="old", terminating=True)])
    boot.feed_workload(Workload(name="b0", conditions={"ReplicaFailure": ("True", "FailedCreate", used)}))
    assert not boot.hopeless
    boot.feed_pods([])
    assert "exceeded quota: q" in boot.hopeless


def test_a_refusal_that_may_pass_is_told_once() -> None:
    down = 'Internal error occurred: failed calling webhook "v.io": connection refused'
    boot = Boot(1)
    boot.feed_workload(Workload(name="b0", conditions={"ReplicaFailure": ("True", "FailedCreate", down)}))
    assert not boot.hopeless
    assert boot.news() == [f"the cluster creates no pod yet ({down})"]
    assert boot.news() == []
    assert "failed calling webhook" in boot.summary()


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("ProvisioningFailed", 'storageclass.storage.k8s.io "absent" not found'),
        ("FailedBinding", "no persistent volumes available for this claim and no storage class is set"),
    ],
)
def test_a_claim_without_a_storage_class_is_hopeless(reason: str, message: str) -> None:
    boot = Boot(1, CLAIMING)
    boot.feed_workload(Workload(name="b0", uid="w", created=99.0))
    boot.feed_pods([lonely("pod has unbound immediate PersistentVolumeClaims")])
    boot.feed_events([event(reason, message, kind="PersistentVolumeClaim", uid="c")])
    assert message in boot.hopeless
    assert "persistent-volume-claim.storageclass" in boot.hopeless


def test_what_a_kept_claim_suffered_before_is_of_the_past() -> None:
    boot = Boot(1, CLAIMING)
    boot.feed_workload(Workload(name="b0", uid="w", created=101.0))
    boot.feed_pods([lonely("pod has unbound immediate PersistentVolumeClaims")])
    boot.feed_events([event("FailedBinding", kind="PersistentVolumeClaim", uid="c")])
    assert not boot.hopeless


def test_a_volume_that_is_not_there_is_hopeless() -> None:
    boot = Boot(1)
    boot.feed_pods([replace(starting(waiting("ContainerCreating")), uid="u")])
    boot.feed_events([event("FailedMount", 'MountVolume.SetUp failed for volume "s" : secret "absent" not found')])
    assert 'secret "absent" not found' in boot.hopeless


def test_events_are_told_once_and_only_those_that_say_more_than_the_states() -> None:
    boot = Boot(1)
    boot.feed_pods([replace(starting(), uid="u")])
    boot.news()
    told = [
        event("Pulling", 'Pulling image "reg/b:1"'),
        event("Pulled", 'Successfully pulled image "reg/b:1" in 3.2s (3.2s including waiting). Image size: 9 bytes.'),
        event("FailedAttachVolume", "Multi-Attach error for volume"),
    ]
    noise = [
        event("Scheduled", "Successfully assigned"),
        event("Pulled", 'Container image "reg/b:1" already present on machine'),
        event("FailedScheduling", "of another pod", uid="other"),
    ]
    boot.feed_events(told + noise)
    assert boot.news() == [
        'pod b0-x: Pulling image "reg/b:1"',
        'pod b0-x: Successfully pulled image "reg/b:1" in 3.2s',
        "pod b0-x: FailedAttachVolume, Multi-Attach error for volume",
    ]
    boot.feed_events([replace(entry, version="2") for entry in told])
    assert boot.news() == []


def test_what_the_scheduler_says_is_not_said_twice() -> None:
    boot = Boot(1)
    boot.feed_pods([lonely()])
    boot.feed_events([event("FailedScheduling", NO_NODE)])
    assert len(boot.news()) == 1


def test_the_summary_has_the_last_event_and_the_end_of_the_log() -> None:
    boot = Boot(1)
    pod = Pod(name="b0-x", uid="u", phase="Running", node="n", containers=(Container(name="buildkitd"),))
    boot.feed_pods([pod])
    boot.feed_events([event("Unhealthy", "Readiness probe failed: nobody")])
    (run,) = boot.unready()
    boot.feed_log(run, ["running server"])
    assert boot.summary().endswith(
        'does not answer yet, its log ends with "running server", last event: Readiness probe failed: nobody'
    )


def test_pods_that_fail_one_after_the_other_are_hopeless() -> None:
    boot = Boot(1)
    for number in range(3):
        assert not boot.hopeless
        boot.feed_pods([Pod(name=f"b0-{number}", phase="Failed", reason="Evicted", message="disk pressure")])
    assert "3 of its pods have failed, the last: pod b0-2 has failed (Evicted: disk pressure)" in boot.hopeless


def test_pods_of_others_are_looked_for_by_their_labels() -> None:
    boot = Boot(1, parse({"managed": "false", "labels": "a=b"}), "ci")
    boot.feed_pods([])
    assert boot.news() == ["there is no pod with the labels a=b in namespace ci"]
    assert boot.news() == []
    assert "no pod with the labels a=b" in boot.summary()
