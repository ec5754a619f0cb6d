"""The byte stream that every driver yields and that gRPC runs on."""

from __future__ import annotations

from typing import Protocol, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview


class ByteStream(Protocol):
    """An ordered, reliable, full-duplex stream of bytes: a socket, a pod's exec stream, a tunnel in a gRPC call.

    One task reads and one task writes at a time; both may run at once. A cancelled read loses no bytes. After a
    cancelled or failed write the stream may only be closed. Failures are ConnectionLostError (the peer or the
    network ended it) whose text says what is known of the cause.

    A stream may have a `name`, such as `unix:///run/buildkit/buildkitd.sock`, by which errors call its other end, and
    `ping_after`: seconds of silence after which a protocol on it shall ask the peer for a sign of life. Such a stream
    finds out by itself when the peer gives none.
    """

    async def read(self, limit: int = 1 << 20, /) -> bytes:
        """Wait for at least one byte and return up to `limit`; b"" once the peer has ended its side."""
        ...

    async def write(self, data: Buffer, /) -> None:
        """Take all of `data`; returns when the stream is ready for more, so that a slow peer slows the caller."""
        ...

    async def close_write(self) -> None:
        """End our side; reading goes on. Idempotent."""
        ...

    async def aclose(self) -> None:
        """Release everything at once, in whatever state the stream is. Idempotent, never raises."""
        ...
