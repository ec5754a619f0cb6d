"""A step that was killed for memory, and steps that were not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from buildwright.drivers.kubernetes.building.memory import shortage, victim
from buildwright.errors import SolveError
from buildwright.kube.api import Cluster
from buildwright.kube.config import load
from buildwright.kube.objects import Pod
from buildwright.testing.kube import ApiServer, pod
from buildwright.wire.stream import ByteStream

UID = "06e01434-4d5b-4c80-be8a-8d005b5f958f"
POD = Pod(name="p", uid=UID, memory_limits={"c": "150Mi"})
LINE = (
    "[13162.829613] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=plxu,mems_allowed=0,"
    "oom_memcg=/kubepods/burstable/pod{uid},task_memcg=/kubepods/burstable/pod{uid}/bf78/buildkit/plxu,task=tail,"
    "pid=5072,uid=0\n"
)
SYSTEMD = (
    "[13162.829613] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c,mems_allowed=0,oom_memcg=/x,"
    "task_memcg=/kubepods.slice/kubepods-burstable-pod06e01434_4d5b_4c80_be8a_8d005b5f958f.slice/cri-1.scope,"
    "task=cc1plus,pid=1,uid=0\n"
)


def said(*lines: str, uptime: str = "13170.10 1.0") -> str:
    return f"{uptime}\n\n{''.join(lines)}"


@pytest.mark.parametrize(
    ("output", "name"),
    [
        (said(LINE.format(uid=UID)), "tail"),
        (said(SYSTEMD), "cc1plus"),
        (said(LINE.format(uid=UID), SYSTEMD), "cc1plus"),
        (said(LINE.format(uid="another")), ""),
        (said(LINE.format(uid=UID), uptime="13190.0 1.0"), ""),
        (said(), ""),
        ("13170.10 1.0\n", None),
        ("", None),
        ("nonsense\n\n", None),
    ],
)
def test_the_kernels_log_names_who_was_killed_in_the_pod_during_the_build(output: str, name: str | None) -> None:
    assert victim(output, UID, since=10.0) == name


def told(folder: Path, output: str, error: SolveError, pod_of_it: Pod = POD) -> tuple[str, int]:
    """What is added to the error, and how often the pod was asked."""

    async def answer(stream: ByteStream) -> int:
        await stream.write(output.encode())
        return 0

    async def scenario() -> tuple[str, int]:
        async with ApiServer() as server:
            server.put("pods", pod("p", {"metadata": {}, "spec": {"containers": [{"name": "c"}]}}))
            server.exec_handler = answer
            async with Cluster(load(str(server.kubeconfig(folder)), environ={})) as cluster:
                words = await shortage(cluster, pod_of_it, "c", error, 10.0)
            return words, sum(verb == "exec" for verb, *_ in server.requests)

    return asyncio.run(scenario())


def test_a_killed_step_is_told_with_the_limit(tmp_path: Path) -> None:
    words, _ = told(tmp_path, said(LINE.format(uid=UID)), SolveError("exit code: 2", process_exit_code=2))
    assert words == (
        "process tail was killed for memory: pod p has limits.memory=150Mi, raise that driver option or let the step "
        "use less"
    )


def test_a_limit_that_nobody_asked_for_is_told_as_the_namespaces(tmp_path: Path) -> None:
    said_of_it = {"kubernetes.io/limit-ranger": "LimitRanger plugin set: memory limit for container c"}
    ranged = replace(POD, annotations=said_of_it)
    words, _ = told(tmp_path, said(LINE.format(uid=UID)), SolveError("exit code: 2", process_exit_code=2), ranged)
    assert words.endswith(
        "limits.memory=150Mi by the namespace's LimitRange, set that driver option or let the step use less"
    )


def test_a_step_that_failed_by_itself_is_left_as_it_is(tmp_path: Path) -> None:
    assert told(tmp_path, said(), SolveError("exit code: 137", process_exit_code=137))[0] == ""


@pytest.mark.parametrize(("code", "words"), [(137, "that may be for memory: pod p has"), (1, "")])
def test_where_the_kernels_log_is_not_readable_only_a_kill_is_suspect(tmp_path: Path, code: int, words: str) -> None:
    found, _ = told(tmp_path, "13170.10 1.0\n", SolveError(f"exit code: {code}", process_exit_code=code))
    assert found.startswith(words)
    assert bool(found) == bool(words)


def test_what_buildkit_calls_want_of_memory_is_that(tmp_path: Path) -> None:
    error = SolveError("exit code: 137: cannot allocate memory", process_exit_code=137)
    assert told(tmp_path, "", error)[0].startswith("it was killed for memory: ")


@pytest.mark.parametrize(
    ("error", "pod_of_it"),
    [
        (SolveError("failed to push"), POD),
        (SolveError("exit code: 137", process_exit_code=137), Pod(name="p", uid=UID)),
    ],
)
def test_without_a_process_or_a_limit_nobody_is_asked(tmp_path: Path, error: SolveError, pod_of_it: Pod) -> None:
    assert told(tmp_path, "", error, pod_of_it) == ("", 0)


def test_a_pod_that_cannot_be_asked_adds_no_failure_of_its_own(tmp_path: Path) -> None:
    gone = Pod(name="gone", uid=UID, memory_limits={"c": "150Mi"})
    assert "may be" in told(tmp_path, "", SolveError("exit code: 137", process_exit_code=137), gone)[0]
