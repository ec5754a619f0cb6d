"""What one repository of a registry holds: manifests and blobs, read and written (OCI distribution-spec)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildwright.errors import RegistryError
from buildwright.registry.access import Registry
from buildwright.registry.config import server_key
from buildwright.registry.index import Content
from buildwright.registry.manifest import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor, digest_of
from buildwright.registry.refusal import reason

if TYPE_CHECKING:
    import httpx2

_ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST))
_LIMIT = 8 << 20


class Repository:
    """A repository by its path, such as `library/busybox`.

    Every method raises RegistryError, whose text names registry, repository and cause and has no secret, or
    ConfigurationError when our credentials cannot be read. `writable` asks for leave to push as well.
    """

    def __init__(self, registry: Registry, path: str, *, writable: bool = False) -> None:
        self._registry = registry
        self._path = path
        self._scopes = (f"repository:{path}:pull{',push' if writable else ''}",)

    async def manifest(self, reference: str) -> Content:
        """The manifest or index of that tag or digest; its bytes are checked against a digest."""
        answer = await self._request("GET", f"manifests/{reference}", headers={"Accept": _ACCEPT})
        self._require(answer, f"read {reference}", 200)
        data = answer.content
        found = Descriptor.of(data, answer.headers.get("content-type", "").partition(";")[0].strip())
        if reference.startswith("sha256:") and found.digest != reference:
            raise RegistryError(
                f"{self._named} gave other content than {reference} for that digest; see to the registry or its proxy"
            )
        return Content(found, data)

    async def digest(self, reference: str) -> str:
        """The digest behind a tag, "" when there is no such tag or the registry does not say."""
        answer = await self._request("HEAD", f"manifests/{reference}", headers={"Accept": _ACCEPT})
        if answer.status_code == 404:
            return ""
        self._require(answer, f"look for {reference}", 200)
        return str(answer.headers.get("docker-content-digest", ""))

    async def put_manifest(self, reference: str, content: Content) -> None:
        """Write a manifest or index under a tag or its digest; all that it names must be there already."""
        headers = {"Content-Type": content.descriptor.media_type}
        answer = await self._request("PUT", f"manifests/{reference}", headers=headers, content=content.data)
        self._require(answer, f"write {reference}", 200, 201, 202)

    async def blob(self, digest: str) -> bytes:
        """A small blob, such as an image's configuration, checked against its digest."""
        answer = await self._request("GET", f"blobs/{digest}")
        self._require(answer, f"read {digest}", 200)
        if len(answer.content) > _LIMIT or digest_of(answer.content) != digest:
            raise RegistryError(f"{self._named} gave other content than {digest} for that digest")
        return answer.content

    async def _request(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, content: bytes | None = None
    ) -> httpx2.Response:
        return await self._registry.request(
            method, f"/v2/{self._path}/{path}", scopes=self._scopes, headers=headers, content=content
        )

    @property
    def _named(self) -> str:
        return f"{self._registry.host}/{self._path}"

    def _require(self, answer: httpx2.Response, what: str, *accepted: int) -> None:
        status = answer.status_code
        if status in accepted:
            return
        told = reason(answer.content)
        text = f"cannot {what} in {self._named}: the registry answered {status}{f' ({told})' if told else ''}"
        if status == 403:
            host = self._registry.host
            login = f"docker login {host}" if server_key(host) == host else "docker login"
            text += f"; run {login} with an account that may do this"
        raise RegistryError(text, status=status)
