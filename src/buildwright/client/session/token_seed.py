"""Per-registry seeds of the key that proves to a daemon that two sessions are of the same user.

They are shared with docker buildx and buildctl: `.token_seed` in docker's configuration folder, a JSON object
from host to {"Seed": base64 of 16 random bytes}, under a lock on `.token_seed.lock`
(session/auth/authprovider/tokenseed.go).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import sys
from collections.abc import Iterator
from typing import Any

_SIZE = 16


class TokenSeeds:
    """The seeds in one folder. In a folder that cannot be written a seed lasts as long as this object."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._made: dict[str, bytes] = {}

    def get(self, host: str) -> bytes:
        """The seed of `host`, made and stored at the first question.

        Blocks while another process has the lock; on Windows for ten seconds, and goes on without it then, as it
        does where files cannot be locked: two processes may then store two seeds, and the later one lasts.
        """
        try:
            os.makedirs(self._folder, exist_ok=True)
            with _locked(os.path.join(self._folder, ".token_seed.lock")):
                return self._get(host)
        except OSError:
            return self._get(host)

    def _get(self, host: str) -> bytes:
        path = os.path.join(self._folder, ".token_seed")
        stored = _read(path)
        seed = self._made.get(host) or _seed(stored, host)
        if seed is None:
            seed = secrets.token_bytes(_SIZE)
            stored[host] = {"Seed": base64.b64encode(seed).decode()}
            with contextlib.suppress(OSError):
                _write(path, stored)
        self._made[host] = seed
        return seed


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            stored = json.loads(file.read())
    except (OSError, ValueError):
        # A writer that was killed may leave half a file: the seeds are made anew, at the cost of a cached token.
        return {}
    return stored if isinstance(stored, dict) else {}


def _seed(stored: dict[str, Any], host: str) -> bytes | None:
    entry = stored.get(host)
    try:
        return base64.b64decode(entry["Seed"], validate=True) or None if isinstance(entry, dict) else None
    except (KeyError, TypeError, ValueError):
        return None


def _write(path: str, stored: dict[str, Any]) -> None:
    staged = f"{path}.{os.getpid()}"
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(json.dumps(stored, indent=2, sort_keys=True))
        os.replace(staged, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(staged)
        raise


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold an exclusive lock on the file at `path`, which BuildKit's clients take too."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
