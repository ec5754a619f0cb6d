"""Where a build's files come from: decides by the context argument and `-f`, as buildx's loadInputs does.

The result says what the frontend is told and what the session serves; `.dockerignore` is the frontend's business.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import IO

from buildwright.build.archive import Archive
from buildwright.build.remote import has_git_query, is_http, is_remote
from buildwright.build.stdin import InputReader
from buildwright.client.failure import redact
from buildwright.errors import ContextError, UsageError
from buildwright.model.request import BuildRequest

_ARCHIVE_MAGIC = (b"BZh", b"\x1f\x8b\x08", b"\xfd7zXZ\x00")
_PEEK = 1024
_MAX_REMOTE_DOCKERFILE = 2 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """`local_dirs` maps the names that the daemon asks for to folders; `shared_key` names the context, so that the
    daemon can start from what it was sent before. `archive` is a context on stdin, uploaded by every session anew."""

    frontend_attrs: Mapping[str, str]
    local_dirs: Mapping[str, str]
    shared_key: str = ""
    archive: Archive | None = None


@asynccontextmanager
async def load_inputs(
    request: BuildRequest, stdin: InputReader, *, keep_archive: bool = False
) -> AsyncIterator[Inputs]:
    """Look at the context and the Dockerfile. With `keep_archive` an archive on stdin can be sent several times.
    Temporary files live as long as the `async with`.

    Raises UsageError for combinations that make no sense and ContextError for what is missing or unreadable.
    """
    if not request.context:
        raise UsageError('please specify build context (e.g. "." for the current directory)')
    if request.context == "-" and request.dockerfile == "-":
        raise UsageError("invalid argument: can't use stdin for both build context and dockerfile")
    with ExitStack() as folders:
        loader = _Loader(request, stdin, folders, keep_archive)
        yield await loader.load()


class _Loader:
    def __init__(self, request: BuildRequest, stdin: InputReader, folders: ExitStack, keep_archive: bool) -> None:
        self._context = request.context
        self._dockerfile = request.dockerfile or ""
        self._stdin = stdin
        self._folders = folders
        self._attrs: dict[str, str] = {}
        self._dirs: dict[str, str] = {}
        self._keep_archive = keep_archive
        self._archive: Archive | None = None
        self._shared_key = ""

    async def load(self) -> Inputs:
        if self._context == "-":
            folder, name = await self._from_stdin()
        elif os.path.isdir(self._context):
            folder, name = await self._from_folder()
        elif is_remote(self._context):
            folder, name = await self._from_remote()
        else:
            raise ContextError(
                f'unable to prepare context: path "{self._context}" not found: give an existing folder, '
                "a git or http address, or - for stdin"
            )
        if is_http(self._dockerfile):
            folder, name = self._temporary_dockerfile(await _download_dockerfile(self._dockerfile))
        if folder:
            name = _existing_dockerfile(folder, name)
            self._dirs["dockerfile"] = folder
        self._attrs["filename"] = name.replace(os.sep, "/")
        return Inputs(
            frontend_attrs=self._attrs, local_dirs=self._dirs, shared_key=self._shared_key, archive=self._archive
        )

    async def _from_stdin(self) -> tuple[str, str]:
        head = await self._stdin.peek(_PEEK)
        if not head:
            raise ContextError("stdin is empty: pipe in a tar archive or a Dockerfile")
        if is_archive(head):
            self._archive = Archive(self._stdin, self._temporary_file() if self._keep_archive else None)
            return "", self._dockerfile or "Dockerfile"
        if self._dockerfile:
            raise UsageError("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles")
        self._dirs["context"] = self._temporary_folder()
        return self._temporary_dockerfile(await self._stdin.read_all())

    async def _from_folder(self) -> tuple[str, str]:
        self._dirs["context"] = _readable_folder(self._context)
        self._shared_key = os.path.basename(os.path.abspath(self._context))
        if self._dockerfile == "-":
            return self._temporary_dockerfile(await self._stdin.read_all())
        if not self._dockerfile or is_http(self._dockerfile):
            return self._context, "Dockerfile"
        return os.path.dirname(self._dockerfile) or ".", os.path.basename(self._dockerfile)

    async def _from_remote(self) -> tuple[str, str]:
        self._attrs["context"] = self._context
        if has_git_query(self._context):
            self._attrs["frontend.caps"] = "moby.buildkit.frontend.gitquerystring"
        if self._dockerfile == "-":
            return self._temporary_dockerfile(await self._stdin.read_all())
        if os.path.isabs(self._dockerfile):
            self._attrs["dockerfilekey"] = "dockerfile"
            return os.path.dirname(self._dockerfile), os.path.basename(self._dockerfile)
        return "", self._dockerfile or "Dockerfile"

    def _temporary_file(self) -> IO[bytes] | None:
        import tempfile

        try:
            return self._folders.enter_context(tempfile.TemporaryFile(prefix="buildwright-"))
        except OSError:
            return None  # a machine without a place for it builds all the same, once

    def _temporary_folder(self) -> str:
        import tempfile

        return self._folders.enter_context(tempfile.TemporaryDirectory(prefix="buildwright-"))

    def _temporary_dockerfile(self, text: bytes) -> tuple[str, str]:
        folder = self._temporary_folder()
        with open(os.path.join(folder, "Dockerfile"), "wb") as file:
            file.write(text)
        self._attrs["dockerfilekey"] = "dockerfile"
        return folder, "Dockerfile"


def is_archive(head: bytes) -> bool:
    """Whether `head`, the first bytes of a file, starts a tar archive, plain or compressed."""
    if head.startswith(_ARCHIVE_MAGIC):
        return True
    import tarfile

    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _readable_folder(path: str) -> str:
    if not os.access(path, os.R_OK | os.X_OK):
        raise ContextError(f'unable to prepare context: folder "{path}" cannot be read: check its permissions')
    return path


def _existing_dockerfile(folder: str, name: str) -> str:
    """The file's name in `folder`; `dockerfile` stands in for a missing `Dockerfile`, as in docker."""
    path = os.path.join(folder, name)
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise ContextError(
            f"failed to read dockerfile: open {path}: {_reason(error)}: check the path given by -f"
        ) from error
    if name == "Dockerfile" and name not in names and "dockerfile" in names:
        name = "dockerfile"
        path = os.path.join(folder, name)
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        advice = "give its path by -f" if isinstance(error, FileNotFoundError) else "check the path given by -f"
        raise ContextError(f"failed to read dockerfile: open {path}: {_reason(error)}: {advice}") from error
    return name


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


async def _download_dockerfile(address: str) -> bytes:
    import httpx2

    shown = redact(address)
    try:
        async with (
            httpx2.AsyncClient(follow_redirects=True, timeout=60) as http,
            http.stream("GET", address) as answer,
        ):
            if answer.status_code != 200:
                raise ContextError(f"failed to read dockerfile: {shown} answered {answer.status_code}")
            body = b""
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > _MAX_REMOTE_DOCKERFILE:
                    raise ContextError(f"failed to read dockerfile: {shown} is larger than 2 MB")
            return body
    except (httpx2.HTTPError, httpx2.InvalidURL, ImportError, ValueError) as error:
        # The last two are a proxy of a kind that httpx has no code for.
        raise ContextError(f"failed to read dockerfile: {shown} cannot be fetched: {redact(str(error))}") from None
