"""Where build secrets come from: files, pipes and variables of the environment."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping

from buildwright.errors import ContextError
from buildwright.model.request import SecretSource

LIMIT = 500 * 1024
"""The largest secret that BuildKit's own client takes, in bytes (secretsprovider.MaxSecretSize)."""


def check(sources: Iterable[SecretSource], environ: Mapping[str, str]) -> None:
    """Raise ContextError for a source that is missing, unreadable or too big; its text names the id and the source.

    Nothing is read, as a pipe can be read only once.
    """
    for source in sources:
        _check(source, environ)


def _check(source: SecretSource, environ: Mapping[str, str]) -> None:
    if source.file is None:
        from_environment(source, environ)
        return
    try:
        state = os.stat(source.file)
        if stat.S_ISREG(state.st_mode):
            with open(source.file, "rb"):
                pass
    except OSError as error:
        raise _unreadable(source, error) from error
    if stat.S_ISDIR(state.st_mode):
        raise ContextError(f'secret "{source.id}": {source.file} is a folder; name a file')
    if state.st_size > LIMIT:
        raise _too_big(source)


def from_environment(source: SecretSource, environ: Mapping[str, str]) -> bytes:
    """The value; raises ContextError as `check` does."""
    value = environ.get(source.env or "")
    if value is None:
        raise ContextError(f'secret "{source.id}": the environment variable {source.env} is not set; set it')
    encoded = os.fsencode(value)
    if len(encoded) > LIMIT:
        raise _too_big(source)
    return encoded


def from_file(source: SecretSource, path: str) -> tuple[bytes, bool]:
    """The file's content, and whether it can be read again; raises ContextError as `check` does."""
    try:
        with open(path, "rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            value = file.read(LIMIT + 1)
    except OSError as error:
        raise _unreadable(source, error) from error
    if len(value) > LIMIT:
        raise _too_big(source)
    return value, regular


def _unreadable(source: SecretSource, error: OSError) -> ContextError:
    return ContextError(f'secret "{source.id}": cannot read {source.file}: {error.strerror}; correct its src')


def _too_big(source: SecretSource) -> ContextError:
    origin = source.file or f"the environment variable {source.env}"
    return ContextError(
        f'secret "{source.id}": {origin} holds more than {LIMIT // 1024} KiB, the most that a secret may'
    )
