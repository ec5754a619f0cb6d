"""What the daemons of a builder's nodes say: the logs of all their pods, line by line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any

from buildwright.drivers.kubernetes.choose import container_of
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.identity import connect
from buildwright.drivers.kubernetes.run_log import RunLog
from buildwright.drivers.kubernetes.startup.words import describe
from buildwright.drivers.logs import Wanted, Write
from buildwright.errors import BuilderNotFoundError, BuildwrightError, ClusterError, ConnectError
from buildwright.kube.api import FORBIDDEN, NOT_FOUND, POD, Cluster
from buildwright.kube.follow import follow as follow_objects
from buildwright.kube.objects import Container, Pod
from buildwright.model.node import Node

_PAUSE = 1.0
"""Seconds before a log whose stream was lost is taken up again."""


async def logs(nodes: Sequence[Node], wanted: Wanted, write: Write, tell: Callable[[str], None]) -> None:
    """Write the lines of the nodes' daemons, pod by pod, and with `follow` go on until cancelled.

    Following takes in pods that come later and daemons that are started again, from their first line on. `tell` hears
    of what has no log yet, and of pods whose log cannot be read if that of another can. Raises ClusterError,
    ConnectError, ConfigurationError, and BuilderNotFoundError for a pod that none of the nodes has.
    """
    async with AsyncExitStack() as stack:
        sources = []
        for node in nodes:
            fleet = Fleet.of(node)
            cluster = await stack.enter_async_context(await connect(fleet))
            items, _ = await cluster.list(POD, labels=fleet.labels)
            sources.append((fleet, cluster, _sorted(map(Pod.read, items))))
        known = [pod.name for _, _, pods in sources for pod in pods]
        _check(known, wanted.pods)
        if len(wanted.pods) == 1 or not (wanted.pods or wanted.follow or len(known) > 1):
            write = _nameless(write)
        outcomes = []
        for fleet, cluster, pods in sources:
            if not pods:
                tell(f"node {fleet.node.name} has no pods in namespace {cluster.namespace}")
            for pod in pods:
                if wanted.pods and pod.name not in wanted.pods:
                    continue
                if not _has_log(pod):
                    tell(f"pod {pod.name} has no log yet: it {describe(pod)}")
                elif not wanted.follow:
                    outcomes.append(await _copy(cluster, pod, wanted, write))
        _judge(outcomes, tell)
        if wanted.follow:
            await _together([_Follower(cluster, fleet, wanted, write).run() for fleet, cluster, _ in sources])


class _Follower:
    """Keeps one reader for each run of a daemon's container: a pod's uid and how often it was started again."""

    def __init__(self, cluster: Cluster, fleet: Fleet, wanted: Wanted, write: Write) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._wanted = wanted
        self._write = write
        self._begun: set[tuple[str, int]] = set()

    async def run(self) -> None:
        """Until cancelled; raises what makes following impossible."""
        tail = self._wanted.tail
        async with (
            asyncio.TaskGroup() as group,
            aclosing(follow_objects(self._cluster, POD, labels=self._fleet.labels)) as states,
        ):
            async for items in states:
                for pod in _sorted(map(Pod.read, items)):
                    if self._is_new(pod):
                        group.create_task(self._follow(pod, tail))
                tail = None

    def _is_new(self, pod: Pod) -> bool:
        """Whether the daemon in it is in a run that nobody reads yet; it counts as read from now on."""
        if (self._wanted.pods and pod.name not in self._wanted.pods) or not _has_log(pod):
            return False
        run = (pod.uid, _run_number(pod))
        fresh = run not in self._begun
        self._begun.add(run)
        return fresh

    async def _follow(self, pod: Pod, tail: int | None) -> None:
        """One run's log to its end. A lost connection is taken up where it was."""
        log = RunLog(self._cluster, pod.name, container_of(pod), tail)
        lost = False
        while True:
            try:
                if not lost:
                    await self._copy(pod, log.follow())
                elif (now := await self._run_of(pod)) is not None and now - _run_number(pod) in (0, 1):
                    await self._copy(pod, log.follow(ended=now > _run_number(pod)))
                return
            except ConnectError:
                pass
            except ClusterError as error:
                if error.status == FORBIDDEN:
                    raise
                if not error.retriable:
                    return
            lost = True
            await asyncio.sleep(_PAUSE)

    async def _copy(self, pod: Pod, log: AsyncGenerator[str, None]) -> None:
        async with aclosing(log) as lines:
            async for line in lines:
                self._write(pod.name, line)

    async def _run_of(self, pod: Pod) -> int | None:
        """In which run the daemon of a pod is now; None when the pod has gone."""
        items, _ = await self._cluster.list(POD, labels=self._fleet.labels, name=pod.name)
        return next((_run_number(now) for now in map(Pod.read, items) if now.uid == pod.uid), None)


async def _copy(cluster: Cluster, pod: Pod, wanted: Wanted, write: Write) -> ClusterError | None:
    """Write a pod's log; returns why it cannot be read where that may be so for this pod alone."""
    try:
        async with aclosing(cluster.logs(pod.name, container_of(pod), tail=wanted.tail)) as lines:
            async for line in lines:
                write(pod.name, line)
    except ClusterError as error:
        if error.status == FORBIDDEN:
            raise
        gone = error.status == NOT_FOUND
        text = f"pod {pod.name} has gone" if gone else f"the log of pod {pod.name} cannot be read: {error}"
        return ClusterError(text, status=error.status, reason=error.reason)
    return None


def _judge(outcomes: Sequence[ClusterError | None], tell: Callable[[str], None]) -> None:
    """Tell of the logs that could not be read; raises the last of these failures when no log could be."""
    failures = [failure for failure in outcomes if failure is not None]
    last = failures.pop() if failures and len(failures) == len(outcomes) else None
    for failure in failures:
        tell(str(failure))
    if last is not None:
        raise last


def _nameless(write: Write) -> Write:
    return lambda _, line: write("", line)


async def _together(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """All at once, to the first failure, which is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except BaseExceptionGroup as failures:
        raise _first(failures) from failures


def _first(failure: BaseException) -> BaseException:
    while isinstance(failure, BaseExceptionGroup):
        ours = failure.subgroup(BuildwrightError)
        failure = (ours or failure).exceptions[0]
    return failure


def _check(known: Collection[str], names: Collection[str]) -> None:
    for name in names:
        if name not in known:
            have = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise BuilderNotFoundError(f'the builder has no pod "{name}": {have}', name=name)


def _sorted(pods: Iterable[Pod]) -> list[Pod]:
    return sorted(pods, key=lambda pod: pod.name)


def _daemon(pod: Pod) -> Container | None:
    name = container_of(pod)
    return next((container for container in pod.containers if container.name == name and not container.init), None)


def _run_number(pod: Pod) -> int:
    daemon = _daemon(pod)
    return daemon.restarts if daemon else 0


def _has_log(pod: Pod) -> bool:
    """Whether the daemon was ever started."""
    daemon = _daemon(pod)
    return daemon is not None and (not daemon.waiting or daemon.restarts > 0)
