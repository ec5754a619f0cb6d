"""Waiting for a node's pods, with what the cluster says of them shown meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from buildwright.drivers.kubernetes.fleet import Fleet, Losses
from buildwright.drivers.kubernetes.readiness import Boot
from buildwright.drivers.steps import Step
from buildwright.drivers.values import human
from buildwright.errors import BuildwrightError, NotReadyError
from buildwright.kube.api import POD, Cluster
from buildwright.kube.follow import follow
from buildwright.kube.objects import Pod, Workload


async def wait(cluster: Cluster, fleet: Fleet, want: int, shown: Step, losses: Losses | None = None) -> None:
    """Follow workload and pods until `want` of them are ready, not counting `losses`.

    Raises NotReadyError after the option `timeout`, or at once when waiting is in vain.
    """
    boot = Boot(want)
    changed = asyncio.Event()
    changed.set()

    async def follow_workload() -> None:
        async with aclosing(follow(cluster, fleet.kind, name=fleet.name)) as states:
            async for items in states:
                for item in items:
                    boot.feed_workload(Workload.read(item))
                changed.set()

    async def follow_pods() -> None:
        async with aclosing(follow(cluster, POD, labels=fleet.labels)) as states:
            async for items in states:
                pods = [Pod.read(item) for item in items]
                boot.feed_pods(losses.whole(pods) if losses else pods)
                changed.set()

    followed = [follow_pods()]
    if fleet.options.managed and not losses:
        followed.append(follow_workload())
    try:
        async with asyncio.timeout(fleet.options.timeout), asyncio.TaskGroup() as group:
            followers = [group.create_task(following) for following in followed]
            while not (boot.ready or boot.hopeless):
                await changed.wait()
                changed.clear()
                for line in boot.news():
                    shown.log(line)
            for follower in followers:
                follower.cancel()
    except TimeoutError:
        pass
    except BaseExceptionGroup as failures:
        matched, others = failures.split(BuildwrightError)
        raise (matched.exceptions[0] if matched is not None and others is None else failures) from failures
    if boot.ready:
        return
    if boot.hopeless:
        raise NotReadyError(f"node {fleet.node.name} cannot become ready: {boot.hopeless}")
    raise NotReadyError(
        f"node {fleet.node.name} was not ready after {human(fleet.options.timeout)}: {boot.summary()}"
    )
