"""The few calls to the Kubernetes API that a driver makes. Objects are plain JSON mappings.

Every failure is a ClusterError (the server refused), a ConnectError (it cannot be reached) or a ConfigurationError
(certificate, credentials).
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from urllib.parse import quote

from buildwright.errors import ClusterError, ProtocolError
from buildwright.kube.failure import refusal, status_of, translated

if TYPE_CHECKING:
    from buildwright.kube.config import ClusterConfig
    from buildwright.kube.http import Client
    from buildwright.kube.websocket import WebSocket

Object: TypeAlias = dict[str, Any]

FORBIDDEN, NOT_FOUND, CONFLICT, GONE, INVALID = 403, 404, 409, 410, 422

_MERGE_PATCH = "application/merge-patch+json"
_ANSWER = 20.0
_WATCH = 300
"""Seconds after which the server shall end a watch."""
_BRIEF = 1.0
"""Seconds that a watch lasts at least in which nothing happens; what ends it sooner would do so again at once."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource of the API."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
STATEFUL_SET = Kind("apps", "v1", "StatefulSet", "statefulsets")
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
SECRET = Kind("", "v1", "Secret", "secrets")
CLAIM = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
POD = Kind("", "v1", "Pod", "pods")
EVENT = Kind("", "v1", "Event", "events")
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
DISRUPTION_BUDGET = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
NODE = Kind("", "v1", "Node", "nodes", namespaced=False)
STORAGE_CLASS = Kind("storage.k8s.io", "v1", "StorageClass", "storageclasses", namespaced=False)
ACCESS_REVIEW = Kind(
    "authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False
)


class Cluster:
    """One namespace of a cluster, as `async with Cluster(config) as cluster`. Concurrent calls are fine."""

    def __init__(self, config: ClusterConfig, *, namespace: str = "") -> None:
        self.config = config
        self.namespace = namespace or config.namespace
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        self._connected()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Client:
        if self._client is None:
            from buildwright.kube.http import Client

            self._client = Client(self.config)
        return self._client

    async def get(self, kind: Kind, name: str) -> Object | None:
        """One object; None when there is none of that name."""
        try:
            return await self._ask("GET", self._path(kind, name))
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def create(self, manifest: Mapping[str, Any], kind: Kind, *, dry_run: bool = False) -> Object | None:
        """Make one object; None when one of that name exists already. `dry_run` asks whether it would be accepted."""
        try:
            return await self._ask("POST", self._place(kind, manifest), _change(dry_run), body=_typed(kind, manifest))
        except ClusterError as error:
            if error.status == CONFLICT and error.reason == "AlreadyExists":
                return None
            raise

    async def replace(self, manifest: Mapping[str, Any], kind: Kind, *, dry_run: bool = False) -> Object:
        """Put `manifest` in the place of the object that has its name, and return what the server makes of it.

        With a `resourceVersion` in it, a change meanwhile is a CONFLICT; `dry_run` only asks.
        """
        path = f"{self._place(kind, manifest)}/{quote(manifest['metadata']['name'], safe='')}"
        return await self._ask("PUT", path, _change(dry_run), body=_typed(kind, manifest))

    async def patch(self, kind: Kind, name: str, patch: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Apply a JSON merge patch; with a `resourceVersion` in it, a change meanwhile is a CONFLICT."""
        return await self._ask("PATCH", self._path(kind, name), _change(dry_run), body=patch, form=_MERGE_PATCH)

    async def delete(self, kind: Kind, name: str, *, orphan: bool = False, uid: str = "") -> bool:
        """Delete one object and, in the background, what it owns; False when there was none.

        With `orphan` all that it owns stays, and it goes itself some time later. One of that name which has not this
        `uid` is a CONFLICT.
        """
        options = ({"propagationPolicy": "Orphan"} if orphan else {}) | (
            {"preconditions": {"uid": uid}} if uid else {}
        )
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options} if options else None
        try:
            await self._ask("DELETE", self._path(kind, name), body=body)
            return True
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return False
            raise

    async def list(
        self, kind: Kind, *, labels: Mapping[str, str] | None = None, name: str = "", everywhere: bool = False
    ) -> tuple[tuple[Object, ...], str]:
        """The objects that have all of `labels` (and `name`), and the version of the list; of all namespaces if
        `everywhere`."""
        query = _selection(labels, name)
        objects: list[Object] = []
        while True:
            page = await self._ask("GET", self._path(kind, everywhere=everywhere), query)
            objects += page.get("items") or ()
            about = page.get("metadata") or {}
            if not about.get("continue"):
                return tuple(objects), str(about.get("resourceVersion") or "")
            query = {**query, "continue": about["continue"]}

    async def watch(
        self, kind: Kind, *, version: str = "", labels: Mapping[str, str] | None = None, name: str = ""
    ) -> AsyncGenerator[tuple[str, Object], None]:
        """Events (ADDED, MODIFIED, DELETED) after `version`, without one from the present state on.

        Goes on where it was when the server ends the watch; raises ClusterError GONE when that is too long ago, and
        ConnectError when a watch ends at once without an event.
        """
        path = self._path(kind)
        query = {**_selection(labels, name), "watch": "true", "timeoutSeconds": str(_WATCH)}
        while True:
            since = {"resourceVersion": version} if version else {}
            begun, brought = time.monotonic(), False
            async with aclosing(self._lines(path, {**query, **since}, silence=_WATCH + _ANSWER)) as lines:
                async for line in lines:
                    event, item = self._event(line)
                    version, brought = item["metadata"]["resourceVersion"], True
                    yield event, item
            if not brought and time.monotonic() - begun < _BRIEF:
                with translated(self.config):
                    raise ConnectionError("it ends a watch as soon as it has begun")

    def _event(self, line: bytes) -> tuple[str, Object]:
        with translated(self.config):
            told = _object(line)
            item = told.get("object") or {}
            if told.get("type") == "ERROR":
                raise self._refused(int(item.get("code") or 0), item)
            if "resourceVersion" not in (item.get("metadata") or {}):
                raise ConnectionError("what it answers is no event of a watch")
            return str(told.get("type")), item

    async def logs(
        self,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        previous: bool = False,
        timed: bool = False,
        since: str = "",
    ) -> AsyncGenerator[str, None]:
        """Lines of a container's log without their ends: its last `tail`, and with `follow` all that come after.

        With `previous` it is the log of the run before, which that of a container that waits to be restarted is in
        any case. A line is `timed` when it begins with its time and a space; `since` leaves out what was said before
        the second of such a time. Needs `get` on pods/log. Ends with the container; leaving it early needs `aclose`.
        """
        path = f"{self._path(POD, pod)}/log"
        query = {"container": container} | ({"tailLines": str(tail)} if tail is not None else {})
        flags = {"follow": follow, "previous": previous, "timestamps": timed}
        query |= {name: "true" for name, on in flags.items() if on}
        query |= {"sinceTime": since} if since else {}
        async with aclosing(self._lines(path, query, silence=None if follow else _ANSWER)) as lines:
            async for line in lines:
                yield line.decode(errors="replace")

    async def exec(self, pod: str, container: str, command: Sequence[str], protocols: tuple[str, ...]) -> WebSocket:
        """Run a command in a container; what goes in and comes out crosses a WebSocket, which the caller closes.

        stdin, stdout and stderr are all there, in the way of the protocol (core/v1 PodExecOptions). Raises
        ProtocolError when the server does not offer WebSocket, else as all calls do.
        """
        from buildwright.kube.http import Answer
        from buildwright.kube.websocket import WebSocket, accepted, offer

        query = [("command", word) for word in command]
        query += [("container", container), ("stderr", "true"), ("stdin", "true"), ("stdout", "true")]
        asked = offer(protocols)
        with translated(self.config):
            told = await self._connected().upgrade(f"{self._path(POD, pod)}/exec", query, asked)
            if isinstance(told, Answer):
                raise self._refused(told.status, status_of(told.content), told.fields)
            try:
                return WebSocket(told.reader, told.writer, accepted(asked, told.fields))
            except ValueError as error:
                told.writer.transport.abort()
                raise ProtocolError(f"{self.config.server} does not offer exec over WebSocket: {error}") from error

    async def _lines(
        self, path: str, query: Mapping[str, str], *, silence: float | None
    ) -> AsyncGenerator[bytes, None]:
        with translated(self.config):
            async with self._connected().stream(path, query, silence=silence) as answer:
                if not 200 <= answer.head.status < 300:
                    raise self._refused(answer.head.status, status_of(await answer.read()), answer.head.fields)
                async with aclosing(answer.lines()) as lines:
                    async for line in lines:
                        yield line

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        form: str = "application/json",
    ) -> Object:
        with translated(self.config):
            answer = await self._connected().ask(method, path, query, body=body, form=form)
            if not 200 <= answer.status < 300:
                raise self._refused(answer.status, status_of(answer.content), answer.fields)
            return _object(answer.content)

    def _refused(self, status: int, said: Mapping[str, Any], fields: Mapping[str, str] | None = None) -> ClusterError:
        reason, message = str(said.get("reason") or ""), str(said.get("message") or "")
        return refusal(self.config, status, reason, message, retry_after=(fields or {}).get("retry-after", ""))

    def _path(self, kind: Kind, name: str = "", *, everywhere: bool = False, namespace: str = "") -> str:
        base = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        if kind.namespaced and not everywhere:
            base += f"/namespaces/{quote(namespace or self.namespace, safe='')}"
        return f"{base}/{kind.plural}" + (f"/{quote(name, safe='')}" if name else "")

    def _place(self, kind: Kind, manifest: Mapping[str, Any]) -> str:
        """Where a manifest's kind is kept, in its namespace if it names one."""
        return self._path(kind, namespace=manifest["metadata"].get("namespace") or "")


def _selection(labels: Mapping[str, str] | None, name: str) -> dict[str, str]:
    chosen = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
    by_label = {"labelSelector": chosen} if chosen else {}
    return by_label | ({"fieldSelector": f"metadata.name={name}"} if name else {})


def _change(dry_run: bool) -> dict[str, str]:
    return {"fieldManager": "buildwright"} | ({"dryRun": "All"} if dry_run else {})


def _typed(kind: Kind, manifest: Mapping[str, Any]) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.kind, **manifest}


def _object(content: bytes) -> Object:
    """JSON's mapping; ConnectionError for what is none, as when something else answers in the server's place."""
    import json

    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConnectionError("what it answers is no JSON of a Kubernetes API")
    return found
