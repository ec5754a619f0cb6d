"""Who still answers when a pod's stream does not: the pod's node, only the API server, or nobody."""

from __future__ import annotations

import asyncio
from enum import Enum, auto

from buildwright.drivers.kubernetes.building.tail import Tail
from buildwright.errors import BuildwrightError, ClusterError, ConnectError
from buildwright.kube import exec as pod_exec
from buildwright.kube.api import FORBIDDEN, POD, Cluster
from buildwright.kube.objects import Pod

GRACE = 0.5
"""Seconds that a node has for its answer after that of the API server, before it counts as lost."""

_UNASKED = (401, 429)
"""What an API server answers by itself, before it asks a kubelet."""


class Answer(Enum):
    NODE = auto()
    """The kubelet answers, so the node lives."""
    SERVER = auto()
    """The API server answers and the node does not."""
    NOBODY = auto()


async def inquire(cluster: Cluster, pod: Pod, container: str, tail: Tail, *, limit: float) -> Answer:
    """Ask the node's kubelet for the daemon's log, which `tail` keeps, and the API server for the pod.

    Takes `limit` seconds at most and never raises.
    """
    node = asyncio.create_task(_node_answers(cluster, pod, container, tail), name=f"question to {pod.node}")
    server = asyncio.create_task(_server_answers(cluster, pod), name="question to the API server")
    try:
        await asyncio.wait((node,), timeout=limit - GRACE)
        if node.done():
            await asyncio.wait((server,), timeout=0.0 if node.result() else GRACE)
            return _judged(node.result(), server)
        # A server that has only just come back says nothing about its nodes.
        before = _judged(False, server)
        await asyncio.wait((node,), timeout=GRACE)
        return _judged(node.result(), server) if node.done() else before
    finally:
        for task in (node, server):
            task.cancel()
        await asyncio.wait((node, server))


def _judged(node: bool | None, server: asyncio.Task[bool]) -> Answer:
    if node:
        return Answer.NODE
    return Answer.SERVER if node is False and server.done() and server.result() else Answer.NOBODY


async def _node_answers(cluster: Cluster, pod: Pod, container: str, tail: Tail) -> bool | None:
    """None when it could not be asked."""
    try:
        await tail.fetch()
        return True
    except ClusterError as error:
        if error.status == FORBIDDEN:
            return await _runs_commands(cluster, pod, container)
        return _speaks_for_the_node(error)
    except BuildwrightError:
        return None


async def _runs_commands(cluster: Cluster, pod: Pod, container: str) -> bool | None:
    """For who may not read logs. Whatever becomes of the command, a node that says so lives."""
    try:
        _, end = await pod_exec.output_of(cluster, pod.name, container, ("true",))
        return pod_exec.UNREACHED not in end.message
    except ClusterError as error:
        return _speaks_for_the_node(error)
    except BuildwrightError:
        return None


def _speaks_for_the_node(refusal: ClusterError) -> bool | None:
    """Whether its node has answered; None when it was not asked."""
    return None if refusal.status in _UNASKED else refusal.status < 500


async def _server_answers(cluster: Cluster, pod: Pod) -> bool:
    try:
        await cluster.list(POD, name=pod.name)
        return True
    except ConnectError:
        return False
    except BuildwrightError as error:
        return isinstance(error, ClusterError) and error.status < 500
