"""Whether a failed step was killed because its pod had no memory left.

Where the kernel kills a whole container the daemon goes with it, and `death` tells. Where it kills one process
(cgroup v1, and kubelet's singleProcessOOMKill), that mostly is one of a step, and no part of Kubernetes says so. The
kernel's log does, in a line of its oom killer (mm/oom_kill.c) with a cgroup whose path has the pod's uid:

    [13162.829613] oom-kill:constraint=CONSTRAINT_MEMCG,...,task_memcg=/kubepods/pod06e0.../buildkit/x,task=tail,...
"""

from __future__ import annotations

import asyncio
import re

from buildwright.drivers.kubernetes.building.death import memory_limit
from buildwright.errors import BuildwrightError, SolveError
from buildwright.kube import exec as pod_exec
from buildwright.kube.api import Cluster
from buildwright.kube.objects import Pod

KILLED = 137
"""128 and SIGKILL: what a shell makes of a killed process."""
LIMIT = 3.0
"""Seconds that the question may take."""
_QUESTION = "cat /proc/uptime; dmesg >/dev/null 2>&1 && echo && dmesg | grep -F oom-kill: | tail -n 50"
_VICTIM = re.compile(r"\[\s*(\d+\.\d+)\] oom-kill:.*task_memcg=([^,]*),task=([^,]*),")
_SAID = "cannot allocate memory"
"""How BuildKit itself calls it, from cgroup v2 on (executor/runcexecutor)."""


async def shortage(cluster: Cluster, pod: Pod, container: str, error: SolveError, since: float) -> str:
    """What to add to `error`, of a build that has gone on for `since` seconds; "" when it was not the memory.

    Asks the pod only when a process failed and the pod has a limit. Never raises.
    """
    limit, do = memory_limit(pod, container)
    if error.process_exit_code is None or not limit:
        return ""
    told: str | None = None
    try:
        async with asyncio.timeout(LIMIT):
            output, _ = await pod_exec.output_of(cluster, pod.name, container, ("sh", "-c", _QUESTION))
            told = victim(output.decode("utf-8", "replace"), pod.uid, since)
    except (TimeoutError, BuildwrightError):
        pass
    said = _SAID in str(error)
    fact = f"pod {pod.name} has {limit}, {do} that driver option or let the step use less"
    if told or said:
        return f"{f'process {told}' if told else 'it'} was killed for memory: {fact}"
    return f"that may be for memory: {fact}" if told is None and error.process_exit_code == KILLED else ""


def victim(output: str, uid: str, since: float) -> str | None:
    """The name of the process of this pod that the kernel killed last, not longer than `since` seconds ago.

    "" when it killed none, None when its log cannot be read, which needs a privileged container.
    """
    first, readable, log = output.partition("\n\n")
    try:
        begin = float(first.split()[0]) - since
    except (IndexError, ValueError):
        return None
    if not readable:
        return None
    killed = [
        name for at, group, name in _VICTIM.findall(log) if float(at) >= begin and uid in group.replace("_", "-")
    ]
    return killed[-1] if killed else ""
