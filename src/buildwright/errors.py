"""The one error tree.

Every failure that a user or a program can meet is one of these. `str(error)` is one clear sentence with the
cause and what to do next; facts are attributes as well, never only text. No secret ever enters a message.

    BuildwrightError
    ├── UsageError                 a flag, an option or a combination of them is wrong
    │   └── DriverOptionError      a driver option is unknown or malformed
    ├── StoreError                 the builder store cannot be read or written
    ├── BuilderNotFoundError       no builder, node or docker context of that name
    ├── ConfigurationError         a configuration file (docker, kubeconfig, TOML, certificate) is unusable
    ├── ContextError               the build context, Dockerfile or a secret's source is missing or unreadable
    ├── OutputError                the destination of a result cannot be written
    ├── ConnectError               a daemon or cluster cannot be reached                            retry helps
    ├── ClusterError               the Kubernetes API refused or failed a request
    ├── NotReadyError              a builder did not become ready
    ├── RegistryError              a registry or its token server refused or failed
    ├── ProtocolError              the peer broke HTTP/2, gRPC or fsutil rules
    ├── ConnectionLostError        an established connection ended before its work did              retry helps
    │   └── DaemonLostError        what a daemon ran in (a pod) was lost; it says how and why       retry helps
    ├── RpcError                   the peer answered a call with a status other than OK
    └── SolveError                 the build itself failed: a step, an export, a push
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class BuildwrightError(Exception):
    """Root of the tree. `exit_code` is the process's, `retriable` says whether the same call may succeed later."""

    exit_code: int = 1
    retriable: bool = False


class UsageError(BuildwrightError):
    """A flag, an option value or a combination of them is wrong."""


class DriverOptionError(UsageError):
    """A driver option is unknown or malformed; `option` names it, `known` says whether the driver has it."""

    def __init__(self, message: str, *, option: str = "", known: bool = True) -> None:
        super().__init__(message)
        self.option = option
        self.known = known


class StoreError(BuildwrightError):
    """The builder store cannot be read or written; it was left as it was."""


class BuilderNotFoundError(BuildwrightError):
    """No builder, node or docker context has that name."""

    def __init__(self, message: str, *, name: str = "") -> None:
        super().__init__(message)
        self.name = name


class ConfigurationError(BuildwrightError):
    """A configuration file (docker's, kubeconfig, TOML, a certificate) is missing or unusable."""


class ContextError(BuildwrightError):
    """The build context, the Dockerfile or the source of a secret is missing or unreadable."""


class OutputError(BuildwrightError):
    """The destination of a build result cannot be written; nothing half-written was left there."""


class ConnectError(BuildwrightError):
    """A daemon or cluster cannot be reached."""

    retriable = True


class ClusterError(BuildwrightError):
    """The Kubernetes API refused or failed a request; `status` is the HTTP status, 0 when there was none.

    `retriable` when it was busy (429) or failed itself (5xx). `retry_after` is how many seconds it asked to wait
    before the next try, 0 when it did not say.
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.retriable = status == 429 or status >= 500


class NotReadyError(BuildwrightError):
    """A builder did not become ready in time, or cannot become ready."""


class RegistryError(BuildwrightError):
    """A registry or its token server refused or failed a request; `status` is the HTTP status, 0 without one."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ProtocolError(BuildwrightError):
    """The peer broke the rules of HTTP/2, gRPC or fsutil. The connection is unusable afterwards."""


class ConnectionLostError(BuildwrightError):
    """An established connection ended before the work on it did."""

    retriable = True


class DaemonLostError(ConnectionLostError):
    """A build's daemon went away with what it ran in, a pod, or is about to.

    `pod` and `node` name where, `reason` is one word for why: Deleted, Drained, Evicted, Preempted, OOMKilled,
    Exited (the container ended), NodeLost, Silent, or Disconnected (the pod lives on, as far as anybody can tell, and
    only the way to it was cut). `process_exit_code` is the container's (None when it has none),
    `memory_limit` the pod's as it was written ("" without one), `log` the daemon's last lines, oldest first.
    """

    exit_code = 75
    """EX_TEMPFAIL of sysexits.h: not the user's doing, and the same command may succeed."""

    def __init__(
        self,
        message: str,
        *,
        pod: str = "",
        node: str = "",
        reason: str = "",
        process_exit_code: int | None = None,
        memory_limit: str = "",
        log: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.pod = pod
        self.node = node
        self.reason = reason
        self.process_exit_code = process_exit_code
        self.memory_limit = memory_limit
        self.log = log


class Code(IntEnum):
    """gRPC status codes (grpc/doc/statuscodes.md)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


EXIT_CODES = {Code.INTERNAL: 100, Code.RESOURCE_EXHAUSTED: 102, Code.CANCELLED: 130}


@dataclass(frozen=True, slots=True)
class Detail:
    """One `google.protobuf.Any` of a `google.rpc.Status`; BuildKit's carry JSON in `value`."""

    type_url: str
    value: bytes


class RpcError(BuildwrightError):
    """A call ended with a status other than OK."""

    def __init__(self, code: Code, message: str, *, details: tuple[Detail, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.exit_code = EXIT_CODES.get(code, 1)

    def __str__(self) -> str:
        return self.message or self.code.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True)
class SourceExcerpt:
    """Where in a Dockerfile (or other source) an error lies. Lines are 1-based, `ranges` are (first, last)."""

    filename: str
    text: str
    ranges: tuple[tuple[int, int], ...]


class SolveError(BuildwrightError):
    """The daemon ran the build and it failed.

    `vertex` is the digest of the failing step ("" when unknown), `process_exit_code` that of its process (None
    when no process ended it), `sources` the places in the Dockerfile, `stack` the daemon's trace (debug only).
    """

    def __init__(
        self,
        message: str,
        *,
        code: Code = Code.UNKNOWN,
        vertex: str = "",
        process_exit_code: int | None = None,
        sources: tuple[SourceExcerpt, ...] = (),
        stack: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.vertex = vertex
        self.process_exit_code = process_exit_code
        self.sources = sources
        self.stack = stack
        self.exit_code = EXIT_CODES.get(code, 1)
