"""Examining one node of a builder, or one that might be made: facts from the cluster go to `checks`.

Nothing is changed in the cluster, and everything is bounded in time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from buildwright.drivers.examination import Examination
from buildwright.drivers.kubernetes.checkup import checks
from buildwright.drivers.kubernetes.checkup.rights import Right, Role, rights
from buildwright.drivers.kubernetes.choose import container_of
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.identity import connect
from buildwright.drivers.kubernetes.startup.readiness import Boot
from buildwright.errors import BuildwrightError, ClusterError, ConnectError
from buildwright.kube.api import (
    ACCESS_REVIEW,
    FORBIDDEN,
    NAMESPACE,
    NODE,
    POD,
    SECRET,
    STORAGE_CLASS,
    Cluster,
    Kind,
    Object,
)
from buildwright.kube.failure import context_of
from buildwright.kube.objects import Pod, Workload
from buildwright.kube.server import Server, greet
from buildwright.model.finding import Finding, Level

SERVICE_ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts")
PRIORITY_CLASS = Kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", namespaced=False)

_PATIENCE = 15.0
_AT_ONCE = 8
_TRYING = Right(role=Role.ADMIN, verb="create", group="", resource="pods", without="no pod is tried")
_ASK = "date +%s; buildkitd --version"
_T = TypeVar("_T")


async def examine(fleet: Fleet, *, planned: bool = False) -> Examination:
    """Examine a node; `planned`: there is no such node yet. Raises nothing of the error tree."""
    result = Examination()
    try:
        cluster = await _bounded(connect(fleet))
        async with cluster:
            config = cluster.config
            result.place = f"namespace {cluster.namespace}, {context_of(config)}"
            seen = await _bounded(greet(config))
            result.findings += checks.server(seen, config.server)
            await _Examiner(fleet, cluster, seen, result, planned=planned).run()
    except BuildwrightError as error:
        result.findings.append(Finding(Level.FAILED, "cluster", str(error)))
    return result


class _Examiner:
    def __init__(self, fleet: Fleet, cluster: Cluster, seen: Server, result: Examination, *, planned: bool) -> None:
        self._fleet = fleet
        self._cluster = cluster
        self._seen = seen
        self._result = result
        self._planned = planned
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """In order: rights, the builder's own objects, what new pods would need, and the daemons."""
        wanted = rights(self._fleet, any_files=self._planned)
        options, cluster = self._fleet.options, self._cluster
        async with asyncio.TaskGroup() as group:

            def ask(work: Awaitable[_T]) -> asyncio.Task[_T | BuildwrightError]:
                return group.create_task(_asked(self._slots, work))

            reviews = [(right, ask(self._may(right))) for right in (*wanted, _TRYING)]
            workload = ask(cluster.get(self._fleet.kind, self._fleet.name)) if options.managed else None
            pods = ask(cluster.list(POD, labels=self._fleet.labels))
            namespace = ask(cluster.get(NAMESPACE, cluster.namespace))
            nodes, classes = ask(cluster.list(NODE)), ask(cluster.list(STORAGE_CLASS))
        missing = [right for right, review in reviews if review.result() is False]
        may_try = _TRYING not in missing
        found = [Pod.read(item) for item in _items(pods.result())]
        state = _state(workload.result() if workload else None, options.managed)
        if state is not None:
            found = self._fleet.own(state, found)
        elif workload is not None and workload.result() is None:
            found = []
        self._result.running = any(pod.ready for pod in found)
        stopped = state is not None and not state.replicas
        make = options.managed and (stopped or not self._result.running)
        level = Level.FAILED if make else Level.WARNING
        say = self._result.findings
        unasked = {
            right: error for right, review in reviews if isinstance(error := review.result(), BuildwrightError)
        }
        say += [Finding(Level.UNKNOWN, "rights", text) for text in sorted({str(error) for error in unasked.values()})]
        asked = [right for right in wanted if right not in unasked]
        say += checks.allowed([right for right in missing if right is not _TRYING], asked, self._seen, make=make)
        if not isinstance(pods.result(), BuildwrightError):
            say += self._readiness(state, found, workload.result() if workload else None)
        if options.managed:
            labels = namespace.result()
            if labels is None:
                text = f'"{cluster.namespace}" does not exist'
                say.append(Finding(level, "namespace", text, f"kubectl create namespace {cluster.namespace}"))
            else:
                say += await self._pods_to_come(labels, level, may_try=may_try)
            say += self._places(nodes.result(), classes.result(), level)
        say += await self._daemons([pod for pod in found if pod.ready])

    async def _may(self, right: Right) -> bool:
        resource, _, subresource = right.resource.partition("/")
        asked = {
            "namespace": self._cluster.namespace,
            "verb": right.verb,
            "group": right.group,
            "resource": resource,
            "subresource": subresource,
        }
        review = {
            "apiVersion": ACCESS_REVIEW.api_version,
            "kind": ACCESS_REVIEW.kind,
            "metadata": {},
            "spec": {"resourceAttributes": asked},
        }
        answer = await self._cluster.create(review, ACCESS_REVIEW)
        return bool(((answer or {}).get("status") or {}).get("allowed"))

    # --- the builder as it is ------------------------------------------------------------------------------------

    def _readiness(self, state: Workload | None, pods: Sequence[Pod], answer: object) -> list[Finding]:
        managed, topic = self._fleet.options.managed, "builder"
        if isinstance(answer, BuildwrightError):
            return []
        ready = sum(pod.ready for pod in pods)
        if managed and state is None:
            return [] if self._planned else [Finding(Level.OK, topic, "not there yet: the next build makes it")]
        if managed and state is not None and state.replicas == 0:
            return [Finding(Level.OK, topic, "stopped: the next build wakes it")]
        want = state.replicas if state is not None else max(len(pods), 1)
        boot = Boot(want)
        if state is not None:
            boot.feed_workload(state)
        boot.feed_pods(pods)
        if boot.ready:
            return [Finding(Level.OK, topic, boot.summary())]
        level = Level.WARNING if ready else Level.FAILED
        advice = f"kubectl -n {self._cluster.namespace} describe pods; buildwright logs shows what the daemons say"
        return [Finding(level, topic, boot.hopeless or boot.summary(), advice)]

    # --- pods that are still to be made --------------------------------------------------------------------------

    async def _pods_to_come(
        self, namespace: Object | BuildwrightError, level: Level, *, may_try: bool
    ) -> list[Finding]:
        """Whether the cluster would take another pod of this node."""
        labels = None if isinstance(namespace, BuildwrightError) else namespace["metadata"].get("labels") or {}
        place = self._fleet.options, self._cluster.namespace
        accepted: bool | None = None
        found: list[Finding] = []
        if may_try:
            tried = await _asked(self._slots, self._cluster.create(checks.example(self._fleet), POD, dry_run=True))
            if isinstance(tried, ClusterError):
                accepted = False
                found.append(checks.refused(str(tried), *place, level))
            elif isinstance(tried, BuildwrightError):
                found.append(Finding(Level.UNKNOWN, "admission", f"no pod could be tried: {tried}"))
            else:
                accepted = True
        if not any(finding.topic == "pod security" for finding in found):
            found.append(checks.pod_security(labels, *place, accepted=accepted, level=level))
        known = {finding.topic for finding in found}
        named = await self._references(level, accepted=accepted is True)
        return found + [finding for finding in named if finding.topic not in known]

    async def _references(self, level: Level, *, accepted: bool) -> list[Finding]:
        """Objects that the pods name. What a dry run proves is not asked again."""
        options = self._fleet.options
        named = [(SECRET, name, "imagepullsecrets") for name in options.pull_secrets]
        if options.service_account and not accepted:
            named.append((SERVICE_ACCOUNT, options.service_account, "serviceaccount"))
        if options.priority_class and not accepted:
            named.append((PRIORITY_CLASS, options.priority_class, "priorityclass"))
        found = []
        for kind, name, option in named:
            answer = await _asked(self._slots, self._cluster.get(kind, name))
            topic = _WORDS[option]
            if isinstance(answer, BuildwrightError):
                found.append(Finding(Level.UNKNOWN, topic, f"{name}: {_unread(answer, f'get {kind.plural}')}"))
            elif answer is None:
                advice = f"create it, or change the driver option {option}"
                found.append(Finding(level, topic, f'"{name}" does not exist', advice))
            else:
                found.append(Finding(Level.OK, topic, name))
        return found

    def _places(self, nodes: object, classes: object, level: Level) -> list[Finding]:
        found = []
        if isinstance(nodes, BuildwrightError):
            found.append(Finding(Level.UNKNOWN, "nodes", _unread(nodes, "list nodes")))
        else:
            found += checks.nodes(self._fleet, _items(nodes), level)
        if self._fleet.options.claim:
            if isinstance(classes, BuildwrightError):
                found.append(Finding(Level.UNKNOWN, "storage class", _unread(classes, "list storageclasses")))
            else:
                found.append(checks.storage(self._fleet.options.storage_class, _items(classes), level))
        return found

    # --- daemons -------------------------------------------------------------------------------------------------

    async def _daemons(self, pods: Sequence[Pod]) -> list[Finding]:
        """Version and clock of every ready pod."""
        async with asyncio.TaskGroup() as group:
            asked = [(pod, group.create_task(_asked(self._slots, self._ask(pod)))) for pod in pods]
        found: list[Finding] = []
        silent: list[tuple[Pod, BuildwrightError]] = []
        versions: dict[str, str] = {}
        skews: list[float] = []
        for pod, task in asked:
            answer = task.result()
            if isinstance(answer, tuple):
                versions[pod.name], skew = answer
                skews += [] if skew is None else [skew]
            elif not (isinstance(answer, ClusterError) and answer.status == FORBIDDEN):
                silent.append((pod, answer))
        found += [checks.silent(pod.name, pod.node, str(why), others=bool(versions)) for pod, why in silent]
        found += checks.versions(versions)
        if skews:
            found.append(checks.clock("clock of the pods", max(skews, key=abs)))
        return found

    async def _ask(self, pod: Pod) -> tuple[str, float | None]:
        """The daemon's version and by how many seconds its clock is ahead. Raises ConnectError and ClusterError."""
        from buildwright.kube.exec import UNREACHED, output_of

        before = time.time()
        said, end = await output_of(self._cluster, pod.name, container_of(pod), ("sh", "-c", _ASK))
        middle = (before + time.time()) / 2
        if not said and UNREACHED in end.message:
            raise ConnectError(" ".join(end.message.split()))
        first, _, rest = said.decode("utf-8", "replace").partition("\n")
        return checks.daemon_version(rest), float(first) + 0.5 - middle if first.strip().isdigit() else None


_WORDS = {
    "imagepullsecrets": "image pull secret",
    "serviceaccount": "service account",
    "priorityclass": "priority class",
}


def _state(answer: Object | BuildwrightError | None, managed: bool) -> Workload | None:
    return Workload.read(answer) if managed and isinstance(answer, dict) else None


def _items(answer: Any) -> Sequence[Object]:
    return () if isinstance(answer, BuildwrightError) else answer[0]


def _unread(error: BuildwrightError, right: str) -> str:
    """Why something is unknown; that an account may not see all of a cluster is no fault."""
    forbidden = isinstance(error, ClusterError) and error.status == FORBIDDEN
    return f"needs the right to {right} to be examined" if forbidden else str(error)


async def _asked(slots: asyncio.Semaphore, work: Awaitable[_T]) -> _T | BuildwrightError:
    """What `work` brings, or the error that it raised."""
    try:
        async with slots:
            return await _bounded(work)
    except BuildwrightError as error:
        return error


async def _bounded(work: Awaitable[_T]) -> _T:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await work
    except TimeoutError:
        raise ConnectError(f"no answer within {_PATIENCE:.0f} seconds") from None
