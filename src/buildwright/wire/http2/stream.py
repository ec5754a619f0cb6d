"""One HTTP/2 stream: what was received and not taken yet, what waits to be sent, and both windows."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from buildwright.wire.http2.fields import Fields
from buildwright.wire.stream import Buffer


class Owner(Protocol):
    """Whoever uses the stream. Both are called from inside the loop's turn and must not block."""

    def changed(self) -> None:
        """Headers, data, trailers, the end or a reset arrived."""
        ...

    def drained(self) -> None:
        """Some of what was queued has been handed to the socket."""
        ...


class Stream:
    """State of one stream. Only `http2` writes it; its owner reads it and removes bytes from `received`."""

    __slots__ = (
        "closing",
        "credit",
        "ended",
        "fault",
        "headers",
        "id",
        "marked",
        "offset",
        "outgoing",
        "owner",
        "queued",
        "ready",
        "receive_window",
        "received",
        "reset",
        "send_window",
        "sent_end",
        "trailers",
    )

    def __init__(self, number: int, *, send_window: int, receive_window: int) -> None:
        self.id = number
        self.owner: Owner | None = None
        self.headers: Fields | None = None
        self.trailers: Fields | None = None
        self.received = bytearray()
        self.receive_window = receive_window
        self.credit = 0
        """Bytes that the application has taken and the peer has not been given back."""
        self.ended = False
        """The peer has ended its side."""
        self.reset: int | None = None
        """The error code of the RST_STREAM that ended the stream, sent or received."""
        self.fault = ""
        """Which rule the peer broke, when that was why we reset the stream."""
        self.marked = False
        self.outgoing: deque[Buffer] = deque()
        self.offset = 0
        """How much of `outgoing[0]` has been sent."""
        self.queued = 0
        self.send_window = send_window
        self.ready = False
        """Stands in the outbox's round."""
        self.closing: Fields | None = None
        """Trailers to send after the data; empty for a bare END_STREAM; None while our side is open."""
        self.sent_end = False
