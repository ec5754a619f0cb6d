"""Why a pod is no longer one to build in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildwright.drivers.kubernetes.death import death
from buildwright.kube.objects import Container, Pod

ALIVE = Pod(name="b0-x", uid="1", phase="Running", node="node1", containers=(Container(name="buildkitd"),))


def text(*seen: Pod) -> str:
    found = death(ALIVE, seen, "buildkitd")
    return found.text if found else ""


def test_a_pod_that_goes_on_is_alive() -> None:
    assert death(ALIVE, [ALIVE], "buildkitd") is None


def test_a_pod_that_is_gone_or_another_of_its_name_was_deleted() -> None:
    assert text() == "pod b0-x on node1 was deleted"
    assert text(replace(ALIVE, uid="2")) == "pod b0-x on node1 was deleted"


def test_a_pod_that_is_about_to_go_still_runs() -> None:
    leaving = replace(
        ALIVE, terminating=True, conditions={"DisruptionTarget": ("True", "EvictionByEvictionAPI", "Eviction API.")}
    )
    found = death(ALIVE, [leaving], "buildkitd")
    assert found is not None
    assert not found.final
    assert found.text == "pod b0-x on node1 is being deleted (Eviction API)"


def test_an_eviction_has_its_message() -> None:
    evicted = replace(ALIVE, phase="Failed", reason="Evicted", message="The node was low on memory.")
    assert text(evicted) == "pod b0-x on node1 has failed (Evicted: The node was low on memory.)"


@pytest.mark.parametrize(
    ("container", "words"),
    [
        (Container(name="buildkitd", exit_code=1, ended="Error"), "ended with exit code 1 (Error)"),
        (Container(name="buildkitd", restarts=1, last_exit_code=137, last_ended="Error"), "exit code 137 (Error)"),
        (Container(name="buildkitd", restarts=1, last_exit_code=137, last_ended="OOMKilled"), "limits.memory"),
    ],
)
def test_a_container_that_ended_is_told_with_its_exit_code(container: Container, words: str) -> None:
    assert words in text(replace(ALIVE, containers=(container,)))


def test_a_sidecar_may_end() -> None:
    ended = Container(name="proxy", exit_code=1)
    assert text(replace(ALIVE, containers=(*ALIVE.containers, ended))) == ""
