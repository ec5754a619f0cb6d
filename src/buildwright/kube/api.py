"""The few calls to the Kubernetes API that a driver makes, on lightkube. Objects are plain JSON mappings.

Every failure is a ClusterError (the server refused), a ConnectError (it cannot be reached) or a ConfigurationError
(certificate, credentials).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from urllib.parse import quote

from buildwright.errors import ClusterError
from buildwright.kube.failure import refusal, status_of, translated

if TYPE_CHECKING:
    from lightkube import AsyncClient

    from buildwright.kube.config import ClusterConfig

Object: TypeAlias = dict[str, Any]

FORBIDDEN, NOT_FOUND, CONFLICT, GONE = 403, 404, 409, 410


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
        self._client: AsyncClient | None = None

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
            await client.close()

    def _connected(self) -> AsyncClient:
        if self._client is None:
            import httpx2
            from lightkube import AsyncClient
            from lightkube.config.kubeconfig import SingleConfig
            from lightkube.config.models import Cluster as Address
            from lightkube.config.models import Context, User

            from buildwright.kube.credentials import tls
            from buildwright.kube.transport import Transport

            tls(self.config)
            # The transport knows what to trust and what to show.
            context = Context(cluster="cluster", namespace=self.namespace)
            address = Address(server=self.config.server, insecure=True)
            self._client = AsyncClient(
                SingleConfig(context_name="cluster", context=context, cluster=address, user=User()),
                namespace=self.namespace,
                timeout=httpx2.Timeout(20, connect=10),
                transport=Transport(self.config),
                field_manager="buildwright",
            )
        return self._client

    async def get(self, kind: Kind, name: str) -> Object | None:
        """One object; None when there is none of that name."""
        try:
            with translated(self.config):
                return _plain(await self._connected().get(_resource(kind), name))
        except ClusterError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def create(self, manifest: Mapping[str, Any], kind: Kind, *, dry_run: bool = False) -> Object | None:
        """Make one object; None when one of that name exists already. `dry_run` asks whether it would be accepted."""
        try:
            with translated(self.config):
                return _plain(await self._connected().create(_resource(kind)(manifest), dry_run=dry_run))
        except ClusterError as error:
            if error.status == CONFLICT and error.reason == "AlreadyExists":
                return None
            raise

    async def replace(self, manifest: Mapping[str, Any], kind: Kind, *, dry_run: bool = False) -> Object:
        """Put `manifest` in the place of the object that has its name, and return what the server makes of it.

        With a `resourceVersion` in it, a change meanwhile is a CONFLICT; `dry_run` only asks.
        """
        with translated(self.config):
            return _plain(await self._connected().replace(_resource(kind)(manifest), dry_run=dry_run))

    async def patch(self, kind: Kind, name: str, patch: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Apply a JSON merge patch; with a `resourceVersion` in it, a change meanwhile is a CONFLICT."""
        from lightkube.types import PatchType

        with translated(self.config):
            return _plain(
                await self._connected().patch(
                    _resource(kind), name, dict(patch), patch_type=PatchType.MERGE, dry_run=dry_run
                )
            )

    async def delete(self, kind: Kind, name: str, *, orphan: bool = False) -> bool:
        """Delete one object and, in the background, what it owns; False when there was none.

        With `orphan` all that it owns stays, and it goes itself some time later.
        """
        from lightkube.types import CascadeType

        cascade = CascadeType.ORPHAN if orphan else None
        try:
            with translated(self.config):
                await self._connected().delete(_resource(kind), name, cascade=cascade)
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
        with translated(self.config):
            namespace = "*" if everywhere else None
            found = self._connected().list(_resource(kind), namespace=namespace, **_selection(labels, name))
            objects = tuple([_plain(item) async for item in found])
            return objects, found.resourceVersion

    async def watch(
        self, kind: Kind, *, version: str = "", labels: Mapping[str, str] | None = None, name: str = ""
    ) -> AsyncGenerator[tuple[str, Object], None]:
        """Events (ADDED, MODIFIED, DELETED) after `version`, without one from the present state on.

        Goes on where it was when the server ends the watch; raises ClusterError GONE when that is too long ago.
        """
        with translated(self.config):
            events: Any = self._connected().watch(
                _resource(kind), resource_version=version or None, server_timeout=300, **_selection(labels, name)
            )
            async with aclosing(events):
                async for event, item in events:
                    yield event, _plain(item)

    async def logs(
        self, pod: str, container: str, *, follow: bool = False, tail: int | None = None
    ) -> AsyncGenerator[str, None]:
        """Lines of a container's log without their ends: its last `tail`, and with `follow` all that come after.

        Of a container that waits to be restarted it is the log before. Needs `get` on pods/log. Ends with the
        container; leaving it early needs `aclose`.
        """
        from buildwright.kube.http import client

        path = f"/api/v1/namespaces/{quote(self.namespace)}/pods/{quote(pod)}/log"
        query = {"container": container} | ({"follow": "true"} if follow else {})
        query |= {"tailLines": str(tail)} if tail is not None else {}
        with translated(self.config):
            async with (
                client(self.config, endless=follow) as http,
                http.stream("GET", path, params=query) as answer,
            ):
                if answer.is_error:
                    said = status_of(await answer.aread())
                    reason, message = str(said.get("reason") or ""), str(said.get("message") or "")
                    raise refusal(self.config, answer.status_code, reason, message)
                async for line in answer.aiter_lines():
                    yield line


def _selection(labels: Mapping[str, str] | None, name: str) -> dict[str, Any]:
    return {"labels": dict(labels) if labels else None, "fields": {"metadata.name": name} if name else None}


def _plain(item: Any) -> Object:
    return dict(item)


@cache
def _resource(kind: Kind) -> Any:
    from lightkube.generic_resource import create_global_resource, create_namespaced_resource

    make = create_namespaced_resource if kind.namespaced else create_global_resource
    return make(kind.group, kind.version, kind.kind, kind.plural)
