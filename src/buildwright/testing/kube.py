"""A Kubernetes API server in memory: objects, watches and exec over WebSocket, on a real HTTP port.

async with ApiServer() as server:
    config = load(str(server.kubeconfig(folder)))

It keeps any namespaced resource as plain JSON. `controller` makes ready pods for a workload as it is created;
replace it to make others. `refuse` answers chosen requests with a Status. A pod's exec stream is served by
`exec_handler`, which gets its stdin and stdout as a byte stream. Objects of the cluster have the namespace "". An
access review allows all but what is `denied`, as (verb, resource); `logs` holds the lines of a pod's daemon, each a
second after the one before, `former_logs` those of its run before, and a log in `endless` goes on for as long as it
is followed. Requests in `mute`, as (verb, resource), are never answered. A watch from a version before `oldest` is
refused as too old.
"""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from buildwright.errors import ConnectionLostError
from buildwright.kube.frames import CLOSE, STATUS, STDERR, STDIN, STDOUT, V4, V5, split
from buildwright.wire.memory import memory_pair
from buildwright.wire.stream import ByteStream

if TYPE_CHECKING:
    import ssl

Object = dict[str, Any]
ExecHandler = Callable[[ByteStream], Awaitable[int]]

_KINDS = {
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "configmaps": "ConfigMap",
    "secrets": "Secret",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "pods": "Pod",
    "events": "Event",
    "leases": "Lease",
    "poddisruptionbudgets": "PodDisruptionBudget",
    "nodes": "Node",
    "storageclasses": "StorageClass",
}
_WORKLOADS = ("deployments", "statefulsets")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is a failure; `retry_after` is the header of that name, None for none."""

    status: int
    reason: str
    message: str
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    verb: str
    plural: str
    namespace: str
    name: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any
    head: bytes


@dataclass(eq=False, slots=True)
class _Watch:
    request: Request
    events: asyncio.Queue[Object | None] = field(default_factory=asyncio.Queue)


class ApiServer:
    """See the module. `requests` lists (verb, resource, name) of all that came."""

    def __init__(self, *, subprotocols: tuple[str, ...] = (V5, V4), tls: ssl.SSLContext | None = None) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.headers: list[Mapping[str, str]] = []
        self.refuse: dict[tuple[str, str], Refusal] = {}
        self.controller: Callable[[Object], None] = self.make_ready
        self.exec_handler: ExecHandler = _echo
        self.exec_stderr = b""
        self.version = "v1.34.0"
        self.clock = time.time
        self.logs: dict[str, list[str]] = {}
        self.former_logs: dict[str, list[str]] = {}
        self.endless: set[str] = set()
        self.denied: set[tuple[str, str]] = set()
        self.mute: set[tuple[str, str]] = set()
        self.oldest = 0
        self.address = ""
        self._subprotocols = subprotocols
        self._tls = tls
        self._version = 0
        self._came = asyncio.Event()
        self._watches: list[_Watch] = []
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.address = f"{'https' if self._tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._stack.push_async_callback(self._close, server)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _close(self, server: asyncio.Server) -> None:
        server.close()
        self.cut()
        tasks = [task for task in self._connections.values() if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def kubeconfig(self, folder: Path, *, namespace: str = "default", token: str = "t0p-secret") -> Path:
        """Write a kubeconfig for this server."""
        path = folder / "kubeconfig"
        context = {"cluster": "fake", "user": "fake", "namespace": namespace}
        content = {
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.address}}],
            "users": [{"name": "fake", "user": {"token": token}}],
            "contexts": [{"name": "fake", "context": context}],
        }
        path.write_text(json.dumps(content))
        return path

    async def called(self, verb: str, plural: str) -> None:
        """Wait until a request of this kind has come."""
        await self.until(lambda: any(request[:2] == (verb, plural) for request in self.requests))

    async def until(self, true: Callable[[], object]) -> None:
        """Wait until this holds; asked again whenever a request comes or an object changes."""
        while not true():
            self._came.clear()
            await self._came.wait()

    def cut(self) -> None:
        """End all connections, as a server does that is killed."""
        for writer in list(self._connections):
            writer.transport.abort()

    def end_watches(self) -> None:
        """End the watches that go on, as a server does after some minutes."""
        for watch in self._watches:
            watch.events.put_nowait(None)

    # --- objects ---------------------------------------------------------------------------------------------

    def put(self, plural: str, item: Object, namespace: str = "default") -> None:
        """Create or replace an object and tell the watches."""
        self._version += 1
        key = (plural, namespace, item["metadata"]["name"])
        item = copy.deepcopy(item)
        item["metadata"].setdefault("uid", f"uid-{self._version}")
        if plural == "pods":
            item["metadata"].setdefault("creationTimestamp", _written(self.clock()))
        item["metadata"]["resourceVersion"] = str(self._version)
        event = "MODIFIED" if key in self.objects else "ADDED"
        self.objects[key] = item
        self._tell(event, plural, namespace, item)

    def drop(self, plural: str, name: str, namespace: str = "default") -> Object | None:
        """Delete an object and tell the watches."""
        item = self.objects.pop((plural, namespace, name), None)
        if item is not None:
            self._version += 1
            item["metadata"]["resourceVersion"] = str(self._version)
            self._tell("DELETED", plural, namespace, item)
        return item

    def update_pod(self, name: str, namespace: str = "default", **status: Any) -> None:
        """Change fields of a pod's status."""
        pod = copy.deepcopy(self.objects["pods", namespace, name])
        pod["status"].update(status)
        self.put("pods", pod, namespace)

    def make_ready(self, deployment: Object, namespace: str = "default") -> None:
        """Give a Deployment or StatefulSet all its pods, ready, and the claims that these lack."""
        metadata, spec = deployment["metadata"], deployment["spec"]
        for number in range(spec["replicas"]):
            name = f"{metadata['name']}-{number}"
            made = pod(name, spec["template"])
            if deployment["kind"] == "StatefulSet":
                owner = {"kind": "StatefulSet", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
                made["metadata"]["ownerReferences"] = [owner]
            self.put("pods", made, namespace)
            for claim in spec.get("volumeClaimTemplates", ()):
                kept = {"name": f"{claim['metadata']['name']}-{name}", "labels": metadata["labels"]}
                if ("persistentvolumeclaims", namespace, kept["name"]) not in self.objects:
                    self.put("persistentvolumeclaims", {"metadata": kept, "spec": claim["spec"]}, namespace)
        status = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas"), spec["replicas"])
        self.put(f"{deployment['kind'].lower()}s", {**deployment, "status": status}, namespace)

    def _tell(self, event: str, plural: str, namespace: str, item: Object) -> None:
        self._came.set()
        for watch in self._watches:
            if (watch.request.plural, watch.request.namespace) == (plural, namespace) and _selected(
                item, watch.request.query
            ):
                watch.events.put_nowait({"type": event, "object": copy.deepcopy(item)})

    # --- HTTP ------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = asyncio.current_task()
        try:
            while True:
                request = await _read_request(reader)
                self.requests.append((request.verb, request.plural, request.name))
                self.headers.append(request.headers)
                self._came.set()
                refusal = self.refuse.get((request.verb, request.plural))
                if (request.verb, request.plural) in self.mute:
                    await asyncio.Event().wait()
                elif refusal is not None:
                    await _answer(writer, refusal.status, _status(refusal), retry_after=refusal.retry_after)
                elif request.verb == "exec":
                    await self._exec(request, reader, writer)
                    return
                elif request.verb == "watch":
                    await self._watch(request, writer)
                elif request.verb == "log":
                    await self._log(request, writer)
                else:
                    await _answer(writer, *self._call(request), date=self.clock())
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            del self._connections[writer]
            writer.transport.abort()

    def _call(self, request: Request) -> tuple[int, Object]:
        plural, namespace = request.plural, request.namespace
        name = request.name or (request.body or {}).get("metadata", {}).get("name", "")
        found = self.objects.get((plural, namespace, name))
        if plural == "selfsubjectaccessreviews":
            return 201, self._review(request.body)
        if plural == "version":
            return 200, {"gitVersion": self.version}
        if request.verb == "list":
            items = [
                item
                for (kind, space, _), item in self.objects.items()
                if kind == plural and namespace in ("", space) and _selected(item, request.query)
            ]
            return 200, {"kind": f"{_KINDS[plural]}List", "metadata": {"resourceVersion": str(self._version)}} | {
                "items": items
            }
        if request.verb == "create":
            if found is not None:
                return 409, _status(Refusal(409, "AlreadyExists", f'{plural} "{name}" already exists'))
            if "dryRun" in request.query:
                return 201, request.body
            metadata = {**request.body["metadata"], "creationTimestamp": _written(self.clock())}
            self.put(plural, {**request.body, "metadata": metadata}, namespace)
            if plural in _WORKLOADS:
                self.controller(self.objects[plural, namespace, name])
            return 201, self.objects[plural, namespace, name]
        if found is None:
            return 404, _status(Refusal(404, "NotFound", f'{plural} "{name}" not found'))
        if request.verb in ("update", "patch"):
            wanted = request.body.get("metadata", {}).get("resourceVersion", found["metadata"]["resourceVersion"])
            if wanted != found["metadata"]["resourceVersion"]:
                return 409, _status(Refusal(409, "Conflict", f'{plural} "{name}" has been modified'))
            kept = {"status": found["status"]} if "status" in found else {}
            changed = {**request.body, **kept} if request.verb == "update" else _merged(found, request.body)
            if "dryRun" in request.query:
                return 200, changed
            self.put(plural, changed, namespace)
            if plural in _WORKLOADS:
                self.controller(self.objects[plural, namespace, name])
        elif request.verb == "delete":
            wanted = ((request.body or {}).get("preconditions") or {}).get("uid", found["metadata"]["uid"])
            if wanted != found["metadata"]["uid"]:
                return 409, _status(Refusal(409, "Conflict", f"Precondition failed: UID in precondition: {wanted}"))
            self.drop(plural, name, namespace)
            return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"}
        return 200, self.objects[plural, namespace, name]

    def _review(self, review: Object) -> Object:
        asked = review["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        return {**review, "status": {"allowed": (asked["verb"], resource) not in self.denied}}

    async def _log(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """A container's lines; one that is followed ends with them, as that of a container which has ended."""
        found = self.former_logs if "previous" in request.query else self.logs
        if request.name not in found:
            refusal = Refusal(400, "BadRequest", f'container in pod "{request.name}" is waiting to start')
            await _answer(writer, 400, _status(refusal))
            return
        times = [f"2026-01-01T00:{at // 60:02}:{at % 60:02}.000000000Z" for at in range(len(found[request.name]))]
        timed = "timestamps" in request.query
        since = request.query.get("sinceTime", [""])[0]
        lines = [
            f"{at} {line}\n" if timed else f"{line}\n"
            for at, line in zip(times, found[request.name], strict=True)
            if at >= since
        ]
        tail = int(request.query.get("tailLines", [len(lines)])[0])
        data = "".join(lines[max(len(lines) - tail, 0) :]).encode()
        if "follow" in request.query and request.name in self.endless:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%s\r\n" % (len(data), data) if data else b"")
            await asyncio.Event().wait()
        await _send(writer, 200, data)

    async def _watch(self, request: Request, writer: asyncio.StreamWriter) -> None:
        watch = _Watch(request)
        since = int(request.query.get("resourceVersion", ["0"])[0] or 0)
        if 0 < since < self.oldest:
            await _answer(writer, 410, _status(Refusal(410, "Expired", f"too old resource version: {since}")))
            return
        for (plural, namespace, _), item in self.objects.items():
            newer = int(item["metadata"]["resourceVersion"]) > since
            if (
                (plural, namespace) == (request.plural, request.namespace)
                and newer
                and _selected(item, request.query)
            ):
                watch.events.put_nowait({"type": "MODIFIED", "object": copy.deepcopy(item)})
        self._watches.append(watch)
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            while (event := await watch.events.get()) is not None:
                line = json.dumps(event).encode() + b"\n"
                writer.write(b"%x\r\n%s\r\n" % (len(line), line))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        finally:
            self._watches.remove(watch)

    # --- exec ------------------------------------------------------------------------------------------------

    async def _exec(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from websockets.protocol import State
        from websockets.server import ServerProtocol

        pod = self.objects.get(("pods", request.namespace, request.name))
        if pod is None:
            refusal = Refusal(404, "NotFound", f'pods "{request.name}" not found')
            await _answer(writer, 404, _status(refusal))
            return
        protocol = ServerProtocol(subprotocols=list(self._subprotocols), max_size=None)  # type: ignore[arg-type]
        protocol.receive_data(request.head)
        protocol.send_response(protocol.accept(protocol.events_received()[0]))  # type: ignore[arg-type]
        ours, theirs = memory_pair()
        async with asyncio.TaskGroup() as group:
            incoming = group.create_task(_pump_in(protocol, reader, writer, ours))
            outgoing = group.create_task(_pump_out(protocol, writer, ours))
            code = await self.exec_handler(theirs)
            await theirs.aclose()
            await outgoing
            if protocol.state is State.OPEN:
                for data in split(STDERR, self.exec_stderr):
                    protocol.send_binary(data)
                protocol.send_binary(bytes((STATUS,)) + json.dumps(_exit_status(code)).encode())
                protocol.send_close(1000)
            _flush(protocol, writer)
            incoming.cancel()


async def _pump_in(protocol: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: ByteStream) -> None:
    from websockets.frames import Opcode

    _flush(protocol, writer)
    try:
        while data := await reader.read(1 << 20):
            protocol.receive_data(data)
            _flush(protocol, writer)
            for frame in protocol.events_received():
                if frame.opcode is not Opcode.BINARY:
                    continue
                if frame.data[0] == STDIN:
                    await to.write(frame.data[1:])
                elif frame.data[0] == CLOSE:
                    await to.close_write()
    except (ConnectionError, ConnectionLostError):
        pass
    await to.aclose()


async def _pump_out(protocol: Any, writer: asyncio.StreamWriter, source: ByteStream) -> None:
    from websockets.exceptions import InvalidState

    try:
        while data := await source.read(32 << 10):
            for message in split(STDOUT, data):
                protocol.send_binary(message)
            _flush(protocol, writer)
            await writer.drain()
        protocol.send_binary(bytes((CLOSE, STDOUT)))
        _flush(protocol, writer)
    except (ConnectionError, ConnectionLostError, InvalidState):
        pass


def _flush(protocol: Any, writer: asyncio.StreamWriter) -> None:
    for data in protocol.data_to_send():
        if data:
            writer.write(data)


async def _echo(stream: ByteStream) -> int:
    while data := await stream.read():
        await stream.write(data)
    return 0


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(name: str, template: Object, *, ready: bool = True) -> Object:
    """A running pod made from a template, by the ReplicaSet of a Deployment that is called as its label `app`."""
    containers = [{"name": entry["name"]} for entry in template["spec"]["containers"]]
    statuses = [{"name": entry["name"], "ready": ready, "restartCount": 0, "state": {}} for entry in containers]
    app = (template["metadata"].get("labels") or {}).get("app", "")
    owner = {"kind": "ReplicaSet", "name": f"{app}-5d9c7b9f6", "uid": f"uid-of-{app}", "controller": True}
    return {
        "metadata": {"name": name, "ownerReferences": [owner], **copy.deepcopy(template["metadata"])},
        "spec": {"containers": containers, "nodeName": "node1"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": statuses,
        },
    }


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = await reader.readuntil(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    method, target, _ = start.split(" ")
    headers: dict[str, str] = {}
    for name, _, value in (line.partition(":") for line in lines if line):
        said = headers.get(name.lower())
        headers[name.lower()] = value.strip() if said is None else f"{said}, {value.strip()}"
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    namespace, plural, name, *action = _address(parts.path.split("/")[1:])
    query = parse_qs(parts.query)
    verbs = {
        "GET": "get" if name else "list",
        "POST": "create",
        "PUT": "update",
        "PATCH": "patch",
        "DELETE": "delete",
    }
    verb = "exec" if "exec" in action else "log" if "log" in action else verbs[method]
    verb = "watch" if "watch" in query else verb
    return Request(verb, plural, namespace, name, query, headers, json.loads(body) if body else None, head)


def _address(words: list[str]) -> list[str]:
    """Namespace, resource, name and subresource of a path; those of the cluster have the namespace ""."""
    if words[0] in ("api", "apis"):
        words = words[2 if words[0] == "api" else 3 :]
    if words[0] == "namespaces" and len(words) > 2:
        return [*words[1:], "", ""][:4]
    return ["", *words, "", ""][:4]


async def _answer(
    writer: asyncio.StreamWriter, status: int, body: Object, *, date: float = 0.0, retry_after: int | None = None
) -> None:
    await _send(writer, status, json.dumps(body).encode(), date=date, retry_after=retry_after)


async def _send(
    writer: asyncio.StreamWriter, status: int, data: bytes, *, date: float = 0.0, retry_after: int | None = None
) -> None:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    head += f"Retry-After: {retry_after}\r\n" if retry_after is not None else ""
    head += f"Date: {formatdate(date, usegmt=True)}\r\n\r\n" if date else "\r\n"
    writer.write(head.encode() + data)
    await writer.drain()


def _status(refusal: Refusal) -> Object:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": refusal.message,
        "reason": refusal.reason,
        "code": refusal.status,
    }


def _exit_status(code: int) -> Object:
    if code == 0:
        return {"status": "Success"}
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}


def _selected(item: Object, query: Mapping[str, list[str]]) -> bool:
    labels = item["metadata"].get("labels") or {}
    wanted = [pair.partition("=") for pair in query.get("labelSelector", [""])[0].split(",") if pair]
    fields = [pair.partition("=") for pair in query.get("fieldSelector", [""])[0].split(",") if pair]
    return all(labels.get(key) == value.lstrip("=") for key, _, value in wanted) and all(
        item["metadata"]["name"] == value.lstrip("=") for key, _, value in fields if key == "metadata.name"
    )


def _merged(target: Object, patch: Object) -> Object:
    merged = dict(target)
    for key, value in patch.items():
        if isinstance(value, dict):
            merged[key] = _merged(merged.get(key) or {}, value)
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = value
    return merged
