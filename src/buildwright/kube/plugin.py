"""Credential plugins: programs that a kubeconfig names to get a user's token or certificate from.

The form is client-go's (client.authentication.k8s.io, ExecCredential). What a plugin said is kept for the process
until it expires, or the server refuses it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from buildwright.errors import ConfigurationError

_GROUP = "client.authentication.k8s.io"
_VERSIONS = tuple(f"{_GROUP}/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
_MODES = ("Never", "IfAvailable", "Always")
_OF_CLUSTER = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
_UNATTENDED, _ATTENDED, _LAST = 60.0, 600.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """How a program is run. `mode` says whether it may ask the user; `cluster` is JSON that it is told, if any."""

    command: tuple[str, ...]
    environ: tuple[tuple[str, str], ...] = ()
    version: str = _VERSIONS[0]
    mode: str = "IfAvailable"
    cluster: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a plugin said; certificate and key are PEM. `expires` is in seconds since 1970, None for never."""

    token: str = ""
    certificate: str = ""
    key: str = ""
    expires: float | None = None


class _Kept:
    """One plugin's credential in this process. The lock belongs to one event loop."""

    def __init__(self) -> None:
        self.credential: Credential | None = None
        self.failures = 0
        self.failure = ""
        self._lock = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def lock(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._lock = loop, asyncio.Lock()
        return self._lock


_kept: dict[Plugin, _Kept] = {}


def read(stated: Mapping[str, Any], cluster: Mapping[str, Any], folder: str, where: str) -> Plugin:
    """A user's `exec` entry; a command with a slash counts from `folder`. ConfigurationError names `where`."""
    version = str(stated.get("apiVersion") or _VERSIONS[0])
    mode = str(stated.get("interactiveMode") or "IfAvailable")
    command, words, environ = str(stated.get("command") or ""), stated.get("args") or [], stated.get("env") or []
    for wrong, why in (
        (not command, "names no command"),
        (version not in _VERSIONS, f'has the apiVersion "{version}": write one of {", ".join(_VERSIONS)}'),
        (mode not in _MODES, f'has the interactiveMode "{mode}": write one of {", ".join(_MODES)}'),
        (not isinstance(words, list), "has args that are no list"),
        (
            not isinstance(environ, list) or not all(isinstance(item, dict) and item.get("name") for item in environ),
            "has an env that is no list of names and values",
        ),
    ):
        if wrong:
            raise ConfigurationError(f"the credential plugin of {where} {why}")
    if os.path.dirname(command):
        command = os.path.normpath(os.path.join(folder, command))
    return Plugin(
        command=(command, *map(str, words)),
        environ=tuple((str(item["name"]), str(item.get("value") or "")) for item in environ),
        version=version,
        mode=mode,
        cluster=json.dumps(_told(cluster, where)) if stated.get("provideClusterInfo") else "",
        hint=" ".join(str(stated.get("installHint") or "").split()),
    )


def _told(cluster: Mapping[str, Any], where: str) -> dict[str, Any]:
    told = {name: cluster[name] for name in _OF_CLUSTER if cluster.get(name)}
    if file := cluster.get("certificate-authority"):
        import base64

        try:
            with open(file, "rb") as opened:
                told["certificate-authority-data"] = base64.b64encode(opened.read()).decode()
        except OSError as error:
            raise ConfigurationError(
                f"the certificate-authority of {where} cannot be read from {file}: {error.strerror or error}: "
                "restore the file, or get a new kubeconfig for this cluster"
            ) from error
    for extension in cluster.get("extensions") or ():
        if isinstance(extension, dict) and extension.get("name") == f"{_GROUP}/exec":
            told["config"] = extension.get("extension")
    return told


async def credential(plugin: Plugin, where: str, *, refused: Credential | None = None) -> Credential:
    """What `plugin` says, or said before; `refused` is what the server does not accept any more.

    Several callers at once make one run, and share its failure. Raises ConfigurationError, with what the plugin
    wrote, when it fails or does not end in time. A run that is cancelled is killed.
    """
    kept = _kept.setdefault(plugin, _Kept())
    before = kept.failures
    async with kept.lock:
        if kept.failures > before:
            raise ConfigurationError(kept.failure)
        known = kept.credential
        if known is None or known == refused or (known.expires is not None and time.time() >= known.expires):
            kept.credential = None
            try:
                known = kept.credential = _read_answer(await _run(plugin, where), plugin, where)
            except ConfigurationError as error:
                kept.failures, kept.failure = kept.failures + 1, str(error)
                raise
        return known


async def _run(plugin: Plugin, where: str) -> bytes:
    attended = plugin.mode != "Never" and _has_terminal()
    if plugin.mode == "Always" and not attended:
        raise _failed(plugin, where, "it has to ask the user, and there is no terminal: log in first")
    spec: dict[str, Any] = {"interactive": attended}
    if plugin.cluster:
        spec["cluster"] = json.loads(plugin.cluster)
    info = {"apiVersion": plugin.version, "kind": "ExecCredential", "spec": spec}
    pipe = asyncio.subprocess.PIPE
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *plugin.command,
            env={**os.environ, **dict(plugin.environ), "KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdin=None if attended else asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=None if attended else pipe,
            start_new_session=not attended,
        )
    )
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:
        # Cancelled itself, it would end the plugin alone and leave what that has started.
        with suppress(OSError, ValueError):
            await _kill(await starting, whole=not attended)
        raise
    except (OSError, ValueError) as error:
        why = (
            "it was not found"
            if isinstance(error, FileNotFoundError)
            else getattr(error, "strerror", "") or str(error)
        )
        raise _failed(plugin, where, f"{why}: install it" + (f" ({plugin.hint})" if plugin.hint else "")) from error
    limit = _ATTENDED if attended else _UNATTENDED
    try:
        async with asyncio.timeout(limit):
            answer, said = await process.communicate()
    except TimeoutError:
        raise _failed(plugin, where, f"it did not end within {limit:.0f} seconds") from None
    finally:
        if process.returncode is None:
            await _kill(process, whole=not attended)
    if process.returncode:
        words = " ".join((said or b"").decode(errors="replace").split())
        raise _failed(
            plugin, where, f"it ended with exit code {process.returncode}" + (f": {words}" if words else "")
        )
    return answer


def _has_terminal() -> bool:
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


async def _kill(process: asyncio.subprocess.Process, *, whole: bool) -> None:
    """End a plugin and, with `whole`, what it has started; one that asks the user shares our session, and its own may
    keep its pipes open, for which nobody waits."""
    with suppress(ProcessLookupError):
        if whole and hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST):
            await process.wait()


def _read_answer(answer: bytes, plugin: Plugin, where: str) -> Credential:
    from datetime import datetime

    try:
        status = json.loads(answer)["status"]
        found = Credential(
            token=str(status.get("token") or ""),
            certificate=str(status.get("clientCertificateData") or ""),
            key=str(status.get("clientKeyData") or ""),
            expires=datetime.fromisoformat(expiry).timestamp()
            if (expiry := status.get("expirationTimestamp"))
            else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _failed(plugin, where, "its answer is no ExecCredential with a status") from error
    if bool(found.certificate) != bool(found.key):
        raise _failed(plugin, where, "its answer has a certificate or a key without the other")
    if not found.token and not found.certificate:
        raise _failed(plugin, where, "its answer has neither a token nor a certificate")
    return found


def _failed(plugin: Plugin, where: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"credentials for {where} could not be got from the plugin {plugin.command[0]}: {why}")
