"""Credentials by registry host, from docker's configuration and the credential helpers that it names."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence

from buildwright.errors import ConfigurationError
from buildwright.registry import program
from buildwright.registry.config import HELPER_PREFIX, Credential, DockerConfig, server_key
from buildwright.registry.scope import ScopedConfig, choose

LIFETIME = 290.0
"""Seconds that an answer is kept: helpers hand out tokens that live five minutes."""
_HELPER_TIMEOUT = 60.0
_NOT_FOUND = "credentials not found in native keychain"
_TOKEN_USER = "<token>"
_TEXT_LIMIT = 200


class Credentials:
    """Looks credentials up and keeps them for a while. One lookup at a time, as some helpers demand."""

    def __init__(
        self,
        config: DockerConfig,
        *,
        scoped: Sequence[ScopedConfig] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._scoped = tuple(scoped)
        self._clock = clock
        self._lock = asyncio.Lock()
        self._kept: dict[tuple[str, str], tuple[float, Credential]] = {}

    async def get(self, host: str, scopes: Sequence[str] = ()) -> Credential:
        """The credential for `host`, the anonymous one when there is none.

        A configuration that is scoped to the host, and to the repository and actions in `scopes`, comes before
        docker's. A helper that is not installed counts as knowing nothing. Raises ConfigurationError when one fails.
        """
        config = choose(self._scoped, host, scopes) or self._config
        async with self._lock:
            since, found = self._kept.get((host, config.path), (float("-inf"), Credential()))
            if self._clock() - since <= LIFETIME:
                return found
            found = await _look_up(config, host)
            self._kept[host, config.path] = (self._clock(), found)
            return found


async def _look_up(config: DockerConfig, host: str) -> Credential:
    override = config.override(host)
    if override is not None:
        return override
    stored = config.stored(host)
    helper = config.helper(host)
    if not helper:
        return stored
    told = await ask_helper(helper, server_key(host))
    if not told:
        return stored
    return Credential(
        username=told.username,
        password=told.password,
        identity_token=told.identity_token,
        registry_token=stored.registry_token,
    )


async def ask_helper(name: str, server: str) -> Credential:
    """Ask `docker-credential-NAME get` about `server` (docker/docker-credential-helpers, credentials/helper.go).

    The anonymous credential when the helper knows none or is not installed. Raises ConfigurationError when it
    fails, answers nonsense or takes more than a minute. A cancelled call ends the helper.
    """
    path = program.find(HELPER_PREFIX + name)
    if path is None:
        return Credential()
    code, output, complaint = await _run(path, server)
    if code != 0:
        text = output.decode(errors="replace").strip()
        if text == _NOT_FOUND:
            return Credential()
        reason = _first_line(text) or _first_line(complaint.decode(errors="replace")) or f"exit code {code}"
        raise _failed(name, server, reason)
    try:
        answer = json.loads(output)
        username, secret = answer.get("Username") or "", answer.get("Secret") or ""
    except (ValueError, AttributeError):
        # Without the cause, which shows the answer.
        raise _failed(name, server, "its answer is not a JSON object") from None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise _failed(name, server, "its answer has no Username and Secret")
    if username == _TOKEN_USER:
        return Credential(identity_token=secret)
    return Credential(username=username, password=secret)


def _failed(name: str, server: str, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"{HELPER_PREFIX}{name} gave no credentials for {server}: {reason}; log in again or repair the helper"
    )


def _first_line(text: str) -> str:
    """What a failed helper says of the failure; nothing that looks like an answer, which would hold a secret."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return "" if "{" in line else line[:_TEXT_LIMIT]


async def _run(path: str, server: str) -> tuple[int, bytes, bytes]:
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(path, "get", stdin=pipe, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise ConfigurationError(f"cannot run {path}: {error.strerror}; install it anew or remove it") from error
    try:
        async with asyncio.timeout(_HELPER_TIMEOUT):
            output, complaint = await process.communicate(server.encode())
    except TimeoutError:
        raise ConfigurationError(
            f"{path} did not answer within {_HELPER_TIMEOUT:.0f} seconds; see whether it waits for a password"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output, complaint
