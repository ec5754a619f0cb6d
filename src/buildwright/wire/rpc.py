"""What a gRPC call looks like to the code on either side of it. Messages are bytes here; codecs live above.

`wire.channel.Channel` makes `ClientCall`s, `wire.serve.Server` hands `ServerCall`s to handlers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeAlias

from buildwright.wire.stream import Buffer

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]
"""Header fields in order, keys in lower case, repeated keys allowed; a key that ends in `-bin` has bytes."""

PREFIX = 5
"""Length of a gRPC message prefix: one flag byte (0: not compressed) and a 4-byte big-endian length."""


def frame(message: Buffer) -> bytes:
    """`message` with its gRPC prefix."""
    data = bytes(message)
    return b"\0" + len(data).to_bytes(4, "big") + data


class Call(Protocol):
    """One direction-neutral call. `receive*` by one task and `send*` by one task at a time."""

    async def receive(self) -> bytes | None:
        """The next message; None when the peer has ended its side well.

        Raises RpcError when the call ended with another status, ConnectionLostError when the connection did.
        """
        ...

    async def receive_many(self) -> Sequence[bytes]:
        """All messages that have arrived, waiting for at least one; empty when the peer has ended its side."""
        ...

    async def send(self, message: Buffer, /) -> None:
        """Queue one message; waits while more than the high-water mark is unsent, so memory stays flat."""
        ...

    async def send_framed(self, chunks: Iterable[Buffer], /) -> None:
        """Queue bytes that already hold whole prefixed messages, without joining or copying them.

        The hot path: many small messages cost one call, and a message may be spread over several chunks.
        """
        ...


class ClientCall(Call, Protocol):
    async def half_close(self) -> None:
        """Say that no more messages follow."""
        ...

    async def initial_metadata(self) -> Metadata:
        """The server's first header fields, waiting for them."""
        ...

    @property
    def trailing_metadata(self) -> Metadata:
        """The trailers; empty before the call has ended."""
        ...

    def cancel(self) -> None:
        """Reset the call (RST_STREAM CANCEL); a pending receive or send raises RpcError(CANCELLED)."""
        ...


class ServerCall(Call, Protocol):
    """A call as its handler sees it. Returning ends it with OK; raising RpcError ends it with that status."""

    @property
    def path(self) -> str: ...

    @property
    def metadata(self) -> Metadata: ...

    async def send_initial_metadata(self, metadata: Metadata = (), /) -> None:
        """Send the first header fields now; otherwise they go with the first message."""
        ...

    def set_trailing_metadata(self, metadata: Metadata, /) -> None: ...


Handler: TypeAlias = Callable[[ServerCall], Awaitable[None]]
"""Serves one call. It is cancelled when the peer resets the call, its deadline passes or the connection ends."""
