"""Why a pod is no longer one to build in: what real clusters showed of pods that went."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from buildwright.drivers.kubernetes.building.death import Death, cut, death, node_lost, silent
from buildwright.kube.objects import Container, Pod

ALIVE = Pod(
    name="b0-x",
    uid="1",
    phase="Running",
    node="node1",
    specified=("buildkitd",),
    containers=(Container(name="buildkitd"),),
    memory_limits={"buildkitd": "150Mi"},
)
HOOKED = replace(ALIVE, hooked=("buildkitd",))


def found(*seen: Pod, before: Pod = ALIVE, last: Pod | None = None) -> Death:
    told = death(before, seen, "buildkitd", last)
    assert told is not None
    return told


def leaving(pod: Pod = ALIVE, cause: str = "", message: str = "", grace: int = 30) -> Pod:
    conditions = {"DisruptionTarget": ("True", cause, message)} if cause else {}
    return replace(pod, terminating=True, grace=grace, conditions=conditions)


def ended(pod: Pod, code: int = 0, reason: str = "Completed") -> Pod:
    return replace(pod, containers=(Container(name="buildkitd", exit_code=code, ended=reason),))


def at(pod: Pod, seconds: float, *, code: int = 0, reason: str = "Completed") -> Pod:
    """The pod, whose deadline is at 1000 s, with its container ended before or after that."""
    container = Container(name="buildkitd", exit_code=code, ended=reason, ended_at=1000 + seconds)
    return replace(leaving(pod, grace=605), deadline=1000.0, containers=(container,))


def test_a_pod_that_goes_on_is_alive() -> None:
    assert death(ALIVE, [ALIVE], "buildkitd") is None


def test_a_condition_alone_is_no_end() -> None:
    targeted = replace(leaving(cause="EvictionByEvictionAPI"), terminating=False)
    assert death(ALIVE, [targeted], "buildkitd") is None


def test_a_pod_that_is_gone_or_another_of_its_name_was_deleted() -> None:
    for told in (found(), found(replace(ALIVE, uid="2"))):
        assert (told.reason, told.text, told.final) == ("Deleted", "pod b0-x on node1 was deleted", True)


@pytest.mark.parametrize(
    ("cause", "message", "reason", "text"),
    [
        ("", "", "Deleted", "pod b0-x on node1 is being deleted"),
        (
            "EvictionByEvictionAPI",
            "Eviction API: evicting",
            "Evicted",
            "pod b0-x on node1 is being evicted (Eviction API: evicting)",
        ),
        (
            "DeletionByTaintManager",
            "Taint manager: deleting due to NoExecute taint",
            "Evicted",
            "pod b0-x on node1 is being evicted (Taint manager: deleting due to NoExecute taint)",
        ),
        (
            "PreemptionByScheduler",
            "default-scheduler: preempting to accommodate a higher priority pod",
            "Preempted",
            (
                "pod b0-x on node1 is being preempted by a pod of higher priority (default-scheduler: preempting to "
                "accommodate a higher priority pod)"
            ),
        ),
        (
            "DeletionByPodGC",
            "PodGC: node no longer exists",
            "NodeLost",
            "pod b0-x on node1 is being given up with its node (PodGC: node no longer exists)",
        ),
        ("ByNobodyKnown", "", "Deleted", "pod b0-x on node1 is being deleted"),
    ],
)
def test_a_pod_that_is_about_to_go_still_runs(cause: str, message: str, reason: str, text: str) -> None:
    told = found(leaving(cause=cause, message=message))
    assert (told.reason, told.text, told.final) == (reason, text, False)


def test_a_pod_that_is_gone_went_for_the_reason_that_was_last_seen() -> None:
    told = found(last=leaving(cause="PreemptionByScheduler"))
    assert (told.reason, told.final) == ("Preempted", True)
    assert told.text == "pod b0-x on node1 was preempted by a pod of higher priority"
    assert "priorityclass" in told.advice


def test_a_pod_that_is_held_by_its_hook_goes_on_as_long_as_its_container() -> None:
    assert death(HOOKED, [leaving(HOOKED)], "buildkitd") is None
    told = found(ended(leaving(HOOKED, "EvictionByEvictionAPI", "Eviction API: evicting", grace=60)), before=HOOKED)
    assert (told.reason, told.exit_code, told.final) == ("Drained", 0, True)
    assert told.text == (
        "pod b0-x on node1 was evicted, and its grace period of 60 s ended before the build (Eviction API: evicting)"
    )
    assert "drain" in told.advice


def test_a_shorter_grace_than_the_pods_own_is_told_as_such() -> None:
    hurried = replace(ended(leaving(HOOKED, grace=1)), own_grace=605)
    told = found(hurried, before=HOOKED)
    assert (told.reason, told.text) == ("Deleted", "pod b0-x on node1 was deleted with a grace period of 1 s")
    assert told.advice == "build again"
    assert found(replace(hurried, grace=605), before=HOOKED).reason == "Drained"


def test_a_forced_deletion_waits_for_no_hook() -> None:
    told = found(leaving(HOOKED, grace=0), before=HOOKED)
    assert (told.reason, told.final) == ("Deleted", False)
    assert found(before=HOOKED, last=HOOKED).reason == "Deleted"


def test_a_container_that_ends_while_its_pod_is_deleted_was_deleted() -> None:
    told = found(ended(leaving(), 2))
    assert (told.reason, told.exit_code, told.text) == ("Deleted", 2, "pod b0-x on node1 was deleted")


@pytest.mark.parametrize(
    ("reason", "message", "word", "text"),
    [
        ("Evicted", "The node was low on memory.", "Evicted", "was evicted (The node was low on memory)"),
        ("Preempting", "", "Preempted", "was preempted by a pod of higher priority"),
        ("DeadlineExceeded", "Too late", "Exited", "has failed (DeadlineExceeded: Too late)"),
        ("", "", "Exited", "has failed"),
    ],
)
def test_a_failed_pod_has_its_reason(reason: str, message: str, word: str, text: str) -> None:
    told = found(replace(ALIVE, phase="Failed", reason=reason, message=message))
    assert (told.reason, told.text) == (word, f"pod b0-x on node1 {text}")


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (
            "Pod ephemeral local storage usage exceeds the total limit of containers 200Mi. ",
            "raise the driver option limits.ephemeral-storage",
        ),
        (
            'Container buildkitd exceeded its local ephemeral storage limit "200Mi". ',
            "raise the driver option limits.ephemeral-storage",
        ),
        (
            'Usage of EmptyDir volume "state" exceeds the limit "100Mi". ',
            "raise that volume's sizeLimit in the driver option podtemplate",
        ),
        (
            "The node was low on resource: ephemeral-storage. Threshold quantity: 27055317401, available: 24Gi. ",
            "build again",
        ),
    ],
)
def test_a_pod_evicted_for_a_limit_of_its_own_is_helped_by_that_limit(message: str, advice: str) -> None:
    told = found(replace(ALIVE, phase="Failed", reason="Evicted", message=message))
    assert (told.reason, told.advice) == ("Evicted", advice)


def test_a_shut_down_node_is_told_by_the_condition() -> None:
    conditions = {"DisruptionTarget": ("True", "TerminationByKubelet", "")}
    gone = replace(ALIVE, phase="Failed", reason="Terminated", message="Node is shutting down", conditions=conditions)
    assert found(gone).reason == "Evicted"


@pytest.mark.parametrize(
    ("container", "reason", "words"),
    [
        (Container(name="buildkitd", exit_code=1, ended="Error"), "Exited", "ended with exit code 1 (Error)"),
        (Container(name="buildkitd", restarts=1, last_exit_code=2), "Exited", "ended with exit code 2"),
        (
            Container(name="buildkitd", restarts=1, last_exit_code=137, last_ended="OOMKilled"),
            "OOMKilled",
            "ran out of memory (OOMKilled, exit code 137, limits.memory=150Mi)",
        ),
    ],
)
def test_a_container_that_ended_is_told_with_its_exit_code(container: Container, reason: str, words: str) -> None:
    told = found(replace(ALIVE, containers=(container,)))
    assert (told.reason, told.text) == (reason, f"container buildkitd of pod b0-x on node1 {words}")
    assert told.exit_code in (1, 2, 137)
    assert ("limits.memory" in told.advice) == (reason == "OOMKilled")


def test_without_a_limit_it_was_the_node_that_had_no_memory_left() -> None:
    dead = Container(name="buildkitd", exit_code=137, ended="OOMKilled")
    told = found(replace(ALIVE, containers=(dead,), memory_limits={}))
    assert "no limits.memory" in told.text
    assert "node1 is out of memory" in told.advice


@pytest.mark.parametrize(
    ("ranger", "words"),
    [
        (
            (
                "LimitRanger plugin set: cpu, memory request for container buildkitd; "
                "cpu, memory limit for container buildkitd"
            ),
            "limits.memory=150Mi by the namespace's LimitRange",
        ),
        ("LimitRanger plugin set: memory request for container buildkitd", "limits.memory=150Mi"),
        ("LimitRanger plugin set: cpu limit for container buildkitd", "limits.memory=150Mi"),
        ("LimitRanger plugin set: memory limit for container side", "limits.memory=150Mi"),
    ],
)
def test_a_limit_that_a_limit_range_has_set_is_told_as_such(ranger: str, words: str) -> None:
    annotated = replace(ALIVE, annotations={"kubernetes.io/limit-ranger": ranger})
    told = found(
        replace(annotated, containers=(Container(name="buildkitd", exit_code=137, ended="OOMKilled"),)),
        before=annotated,
    )
    assert f"(OOMKilled, exit code 137, {words})" in told.text
    verb = "set" if "LimitRange" in words else "raise"
    assert told.advice == f"{verb} the driver option limits.memory"


def test_a_sidecar_may_end() -> None:
    over = Container(name="proxy", exit_code=1)
    assert death(ALIVE, [replace(ALIVE, containers=(*ALIVE.containers, over))], "buildkitd") is None


def test_an_error_has_every_fact_as_a_field() -> None:
    dead = Container(name="buildkitd", exit_code=137, ended="OOMKilled")
    error = found(replace(ALIVE, containers=(dead,))).error(ALIVE, "buildkitd", ["one", "two"])
    assert (error.pod, error.node, error.reason) == ("b0-x", "node1", "OOMKilled")
    assert (error.process_exit_code, error.memory_limit, error.log) == (137, "150Mi", ("one", "two"))
    assert (error.exit_code, error.retriable) == (75, True)


@pytest.mark.parametrize(
    ("told", "reason", "words"),
    [
        (node_lost(ALIVE), "NodeLost", "node node1 does not answer any more"),
        (silent(ALIVE, 31.4), "Silent", "has said nothing for 31 s"),
        (cut(ALIVE, "a reset"), "Disconnected", "is no longer connected (a reset)"),
    ],
)
def test_what_no_pod_tells_names_the_pod_as_well(told: Death, reason: str, words: str) -> None:
    assert told.reason == reason
    assert "b0-x" in told.text
    assert words in told.text


RECORDED = Path(__file__).parent / "data" / "deaths"


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.json")), ids=lambda path: path.stem)
def test_pods_as_a_real_cluster_showed_them(path: Path) -> None:
    """Each file has the pod as it was chosen, all states that followed, and the first verdict."""
    record = json.loads(path.read_text())
    before = Pod.read(record["chosen"])
    verdicts = [death(before, [Pod.read(item)], "buildkitd") for item in record["states"]]
    told = next(verdict for verdict in verdicts if verdict is not None)
    assert (told.reason, told.exit_code) == (record["reason"], record["exit_code"])
    assert before.name in told.text


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        (at(HOOKED, -5), "Drained"),
        (at(HOOKED, 1, code=137, reason="Error"), "Drained"),
        (at(HOOKED, -590), "Deleted"),
        (at(ALIVE, -5), "Deleted"),
        (at(HOOKED, -590, code=137, reason="OOMKilled"), "OOMKilled"),
        (at(ALIVE, -590, code=137, reason="OOMKilled"), "OOMKilled"),
        (replace(ended(ALIVE, 137, "OOMKilled"), phase="Failed"), "OOMKilled"),
        (replace(ended(ALIVE, 137, "OOMKilled"), phase="Failed", reason="Evicted"), "Evicted"),
    ],
)
def test_a_pod_whose_container_has_ended_tells_the_first_cause(pod: Pod, reason: str) -> None:
    told = found(pod, before=HOOKED)
    assert (told.reason, told.final) == (reason, True)
    assert ("limits.memory" in told.advice) == (reason == "OOMKilled")
