"""The seam between a builder's node and the daemon behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from buildwright.errors import SolveError
from buildwright.model.platform import Platform
from buildwright.model.status import StatusSink
from buildwright.wire.stream import ByteStream


class NodeStatus(StrEnum):
    """buildx's words (driver/driver.go)."""

    INACTIVE = "inactive"
    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One daemon of a node that has several (a pod); `platforms` empty when the driver does not know them."""

    name: str
    platforms: tuple[Platform, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    status: NodeStatus
    instances: tuple[Instance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What holds for a driver's daemons without asking them. `authority` is the gRPC `:authority`."""

    authority: str = "localhost"
    default_load: bool = False
    dynamic: bool = False
    """A node is several daemons, one per instance, each with its own cache."""
    docker_exporter: bool = True
    oci_exporter: bool = True
    cache_export: bool = True
    multi_platform: bool = True
    direct_push: bool = True
    by_project: bool = False
    """The key of `open` is the project's, whatever folder it is in, and not the context's absolute path."""
    warnings: tuple[str, ...] = ()
    """Sentences that whoever creates the node should read."""


def quiet(sentence: str, /) -> None:
    """Tell nobody."""


@runtime_checkable
class Explaining(Protocol):
    """A stream of a driver's that may know more of why a build on it failed than the daemon does."""

    async def explain(self, error: SolveError, /) -> str:
        """What to add to the error's sentence, "" for nothing; takes a few seconds at most and never raises."""
        ...


class Driver(Protocol):
    """One node's daemons. Making a driver reads no network and raises DriverOptionError for a wrong option.

    Every method may raise ConnectError or ClusterError; a cancelled one leaves nothing half-made that a second
    call would not complete or remove. None waits for ever for a peer that says nothing: each has a limit of its
    own, and callers need none.
    """

    @property
    def traits(self) -> Traits: ...

    async def info(self) -> NodeInfo:
        """What state the node is in. A daemon that cannot be asked is INACTIVE, a refused question an error.

        Answers within a minute.
        """
        ...

    async def start(self, sink: StatusSink, /) -> None:
        """Make the daemons exist and wait until they are ready; progress goes to `sink`. No-op when running."""
        ...

    async def open(self, affinity: str = "", /, *, start: StatusSink | None = None) -> ByteStream:
        """Connect to one daemon; equal `affinity` keys go to the same one as long as the daemons are the same.

        With `start` daemons that do not run are started first, with progress to there: as `start` and then `open`,
        with fewer questions. Otherwise, and after that, there is a stream or an error within a minute; a peer that
        accepts and then says nothing is a ConnectError.
        """
        ...

    async def stop(self, *, tell: Callable[[str], None] = quiet) -> None:
        """End the daemons that are ours and keep their state, for `start` to wake; no error when none runs.

        Builds that run are let finish, within the driver's limits; `tell` is called with what the user should know.
        """
        ...

    async def remove(
        self, *, keep_state: bool = False, keep_daemon: bool = False, tell: Callable[[str], None] = quiet
    ) -> None:
        """Remove the daemons and, unless `keep_state`, what outlives them; `tell` is called before that goes."""
        ...
