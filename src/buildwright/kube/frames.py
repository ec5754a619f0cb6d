"""Messages of a pod's exec stream over WebSocket, `v5.channel.k8s.io` and `v4.channel.k8s.io`, without I/O.

Every binary message is one channel byte and its payload (k8s.io/streaming `wsstream`, KEP-4006). Channel 3 brings one
`Status` object at the end of the command. v5 adds channel 255, whose payload is the number of a channel that its
sender has closed; only v5 can therefore end stdin while output goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from buildwright.wire.stream import Buffer

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"

STDIN, STDOUT, STDERR, STATUS, CLOSE = 0, 1, 2, 3, 255

MESSAGE_SIZE = 256 << 10
"""Payload of the largest message that is sent; larger ones no longer make an upload cheaper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecEnd:
    """How the command in the pod ended. `exit_code` is None when it never ran or its end is not known."""

    success: bool
    exit_code: int | None = None
    reason: str = ""
    message: str = ""


def split(channel: int, data: Buffer) -> Iterator[bytes]:
    """Messages that carry `data` on `channel`, each of at most MESSAGE_SIZE bytes of payload."""
    prefix = bytes((channel,))
    if len(data) <= MESSAGE_SIZE:
        if len(data):
            yield b"".join((prefix, data))
        return
    view = memoryview(data)
    for start in range(0, len(view), MESSAGE_SIZE):
        yield b"".join((prefix, view[start : start + MESSAGE_SIZE]))


def closing(channel: int, protocol: str) -> bytes | None:
    """The message that ends one channel; None where the protocol has none."""
    return bytes((CLOSE, channel)) if protocol == V5 else None


def parse_end(payload: bytes) -> ExecEnd:
    """Read the Status (meta/v1) of channel 3; anything that is none is a failure with its text as the message."""
    try:
        status = json.loads(payload)
        if not isinstance(status, dict):
            raise ValueError
    except (ValueError, RecursionError):
        return ExecEnd(success=False, message=payload.decode("utf-8", "replace").strip())
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return ExecEnd(
        success=status.get("status") == "Success",
        exit_code=0 if status.get("status") == "Success" else _exit_code(causes),
        reason=str(status.get("reason") or ""),
        message=str(status.get("message") or ""),
    )


def _exit_code(causes: object) -> int | None:
    for cause in causes if isinstance(causes, list) else ():
        if isinstance(cause, dict) and cause.get("reason") == "ExitCode":
            try:
                return int(str(cause.get("message")))
            except ValueError:
                return None
    return None


class ExecOutput:
    """What arrives on an exec stream: `feed` each message, then read the facts.

    `stderr` keeps the last few KiB; `end` is set once the command has ended; `stdout_closed` once the peer said that
    no more output follows.
    """

    def __init__(self, *, stderr_limit: int = 4096) -> None:
        self.end: ExecEnd | None = None
        self.stdout_closed = False
        self.stderr = b""
        self._stderr_limit = stderr_limit

    def feed(self, message: bytes) -> bytes:
        """Take one message and return its stdout, b"" when it brought none."""
        if not message:
            return b""
        channel = message[0]
        if channel == STDOUT:
            return message[1:]
        if channel == STDERR:
            self.stderr = (self.stderr + message[1:])[-self._stderr_limit :]
        elif channel == STATUS and len(message) > 1:
            self.end = parse_end(message[1:])
        elif channel == CLOSE and message[1:2] == bytes((STDOUT,)):
            self.stdout_closed = True
        return b""

    def last_words(self) -> str:
        """The last line that the command wrote to stderr."""
        lines = [line.strip() for line in self.stderr.decode("utf-8", "replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")
