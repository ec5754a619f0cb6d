"""What every session service offers: the methods that it serves and their handlers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from buildwright.errors import BuildwrightError
from buildwright.wire.rpc import Handler


class Service(Protocol):
    """A service attachable to a session. It is given all it needs when made and never looks at `build` or `cli`."""

    def handlers(self) -> Mapping[str, Handler]:
        """Handlers by full method path, such as `/moby.filesync.v1.FileSync/DiffCopy`."""
        ...


@runtime_checkable
class Failing(Protocol):
    """A service that records what fails on our side."""

    @property
    def failure(self) -> BuildwrightError | None:
        """The first failure, such as an unreadable file. It says more than what the daemon makes of it."""
        ...
