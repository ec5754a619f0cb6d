"""What a daemon says of a failed solve, as a SolveError.

BuildKit hangs typed details on a status: `google.protobuf.Any` values whose body is JSON, not protobuf
(util/grpcerrors). Those that are known are read, unknown or damaged ones are left out: a detail may add to the
message and never takes its place.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

from buildwright.errors import Detail, RpcError, SolveError, SourceExcerpt

_PREFIX = "github.com/moby/buildkit/"
VERTEX = _PREFIX + "errdefs.Vertex+json"
SOURCE = _PREFIX + "errdefs.Source+json"
EXIT = _PREFIX + "gatewayapi.ExitMessage+json"
STACK = _PREFIX + "stack.Stack+json"
FRONTEND_CAP = _PREFIX + "errdefs.FrontendCap+json"
SUBREQUEST = _PREFIX + "errdefs.Subrequest+json"

_PUSH_REFUSED = re.compile(
    r"failed to push ([^\s/]+)/.*(401 Unauthorized|403 Forbidden|authorization failed|access denied|no basic auth)"
)
_PASSWORD = re.compile(r"(://[^\s/:@]*):[^\s/]+@")
_TOKEN = re.compile(r"(https?://)[^\s/:@]+@", re.IGNORECASE)
_SIGNATURE = re.compile(
    r"([?&][^\s=&]*(?:signature|token|credential|password|secret|sig|key)[^\s=&]*)=[^\s&\"']+", re.IGNORECASE
)


def solve_error(error: RpcError) -> SolveError:
    """The failure of a Solve call in terms of the build."""
    vertex, process_exit_code, sources, stacks = "", None, [], []
    message = redact(str(error))
    for type_url, body in _bodies(error.details):
        if type_url == VERTEX:
            vertex = str(body.get("digest", ""))
        elif type_url == EXIT and isinstance(code := body.get("Code"), int):
            process_exit_code = code
        elif type_url == SOURCE and (excerpt := _excerpt(body)) is not None and excerpt not in sources:
            sources.append(excerpt)
        elif type_url == STACK:
            stacks.append(_trace(body))
        elif type_url in (FRONTEND_CAP, SUBREQUEST):
            message += (
                "; a newer frontend may have it, named in the Dockerfile's first line: # syntax=docker/dockerfile:1"
            )
    if (refused := _PUSH_REFUSED.search(message)) and "docker login" not in message:
        message += f"; run {_login(refused[1])} with an account that may push there"
    return SolveError(
        message,
        code=error.code,
        vertex=vertex,
        process_exit_code=process_exit_code,
        sources=tuple(sources),
        stack="\n".join(stacks),
    )


def _login(host: str) -> str:
    return "docker login" if host == "docker.io" else f"docker login {host}"


def redact(text: str) -> str:
    """`text` on one line, without the passwords and signatures that URLs in it may carry."""
    text = " ".join(text.splitlines())
    # A user name alone is a token, except for protocols that have other ways to prove who one is (`ssh://git@`).
    text = _TOKEN.sub(r"\1xxxxx@", _PASSWORD.sub(r"\1:xxxxx@", text))
    return _SIGNATURE.sub(r"\1=xxxxx", text)


def _bodies(details: tuple[Detail, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    for detail in details:
        try:
            body = json.loads(detail.value)
        except ValueError:
            continue
        if isinstance(body, dict):
            yield detail.type_url, body


def _excerpt(body: dict[str, Any]) -> SourceExcerpt | None:
    try:
        info = body["info"]
        text = base64.b64decode(info.get("data") or "").decode(errors="replace")
        ranges = tuple(_lines(told) for told in body.get("ranges") or ())
        return SourceExcerpt(str(info.get("filename", "")), text, ranges)
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error):
        return None


def _lines(told: dict[str, Any]) -> tuple[int, int]:
    first = int((told.get("start") or {}).get("line") or 0)
    # A range without an end, or that ends before it starts, is one line (solver/errdefs/source.go).
    return first, max(first, int((told.get("end") or {}).get("line") or 0))


def _trace(body: dict[str, Any]) -> str:
    """One process's frames as Go prints them: a line that names the process, then two lines for each frame."""
    command = " ".join(str(word) for word in _list(body, "cmdline"))
    lines = [f"{body.get('pid', 0)} {body.get('version', '')} {command}".rstrip()]
    for frame in _list(body, "frames"):
        if isinstance(frame, dict):
            lines += [str(frame.get("Name", "")), f"\t{frame.get('File', '')}:{frame.get('Line', 0)}"]
    return "\n".join(lines)


def _list(body: dict[str, Any], key: str) -> list[Any]:
    value = body.get(key)
    return value if isinstance(value, list) else []
