"""What every session service offers: the methods that it serves and their handlers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from buildwright.wire.rpc import Handler


class Service(Protocol):
    """A service attachable to a session. It is given all it needs when made and never looks at `build` or `cli`."""

    def handlers(self) -> Mapping[str, Handler]:
        """Handlers by full method path, such as `/moby.filesync.v1.FileSync/DiffCopy`."""
        ...
