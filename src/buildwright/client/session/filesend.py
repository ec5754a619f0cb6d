"""`moby.filesync.v1.FileSend`: receives what exporters make, folders and files, and writes it on this side.

One call is one exporter's result. A folder comes as fsutil packets, a file as raw chunks after which the daemon
ends its side and waits for our status: OK says that the file is in place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from buildwright.client.session.receive import FolderWriter
from buildwright.client.session.sinks import Sink, file_sink, is_stream, stream_sink
from buildwright.errors import BuildwrightError, Code, OutputError, ProtocolError, RpcError
from buildwright.wire.proto import control_pb2
from buildwright.wire.rpc import Handler, Metadata, ServerCall, frame
from buildwright.wire.transfer import framed_error

DIFF_COPY = "/moby.filesync.v1.FileSend/DiffCopy"

_EXPORTER_ID = "buildkit-attachable-exporter-id"
_EXPORTER_METADATA = "exporter-md-"
_ALL_PLATFORMS = "buildkit-exporter-multi-platform"

_MESSAGES_PER_SLICE = 64


@dataclass(frozen=True, slots=True)
class DirectoryTarget:
    """A folder, made if missing. What is in it stays unless the result replaces it, or `delete` is set.

    `delete` needs a daemon that sends all platforms of a build at once; others are refused, for each transfer would
    remove what the one before it brought.
    """

    path: str
    delete: bool = False


@dataclass(frozen=True, slots=True)
class FileTarget:
    """A file that appears when it is whole; a device or pipe that is there already is written as it comes."""

    path: str


@dataclass(frozen=True, slots=True)
class StreamTarget:
    """An open stream, which is flushed and stays open."""

    stream: BinaryIO
    name: str = "stdout"


@dataclass(frozen=True, slots=True)
class SinkTarget:
    """A sink made when the result comes, from what the exporter says of it (such as `containerimage.digest`).

    None instead of a sink skips the result, which is no failure of the build.
    """

    open: Callable[[Mapping[str, str]], Awaitable[Sink | None]]


Target: TypeAlias = DirectoryTarget | FileTarget | StreamTarget | SinkTarget


class FileSend:
    """Serves `targets` by the index of their exporter in the solve.

    `failure` is the first error of this side (a full disk, a closed pipe); it says more than what the daemon makes
    of it. After a failure or cancellation no file is half-written: neither a FileTarget nor one in a folder.
    `on_stream` is called before the first byte goes to a stream, which cannot be told to forget it.
    """

    def __init__(self, targets: Mapping[int, Target], *, on_stream: Callable[[], None] = lambda: None) -> None:
        self._targets = dict(targets)
        self._on_stream = on_stream
        self.failure: BuildwrightError | None = None

    def handlers(self) -> Mapping[str, Handler]:
        return {DIFF_COPY: self._diff_copy}

    async def _diff_copy(self, call: ServerCall) -> None:
        index = _exporter(call.metadata)
        target = self._targets.get(index)
        if target is None:
            raise RpcError(Code.UNKNOWN, f"exporter {index} not found")
        try:
            if isinstance(target, DirectoryTarget):
                await _receive_folder(call, target)
            else:
                await _receive_file(call, target, self._on_stream)
        except OutputError as error:
            self.failure = self.failure or error
            raise RpcError(Code.UNKNOWN, str(error)) from error


def _exporter(metadata: Metadata) -> int:
    """The exporter's index; daemons before v0.13, which have one exporter, send none."""
    value = next((value for key, value in metadata if key == _EXPORTER_ID), "0")
    return int(value) if isinstance(value, str) and value.isdecimal() else 0


async def _receive_folder(call: ServerCall, target: DirectoryTarget) -> None:
    if target.delete and (_ALL_PLATFORMS, "1") not in call.metadata:
        raise OutputError(
            f"mode=delete for {target.path!r} needs a newer BuildKit daemon, one that exports all platforms at once; "
            "empty the folder yourself and leave mode=delete out"
        )
    try:
        writer = FolderWriter(target.path, delete=target.delete)
        try:
            await _write_folder(call, writer)
        finally:
            writer.close()
    except OutputError as error:
        await call.send_framed([framed_error(str(error))])
        raise


async def _write_folder(call: ServerCall, writer: FolderWriter) -> None:
    while not writer.finished:
        messages = await call.receive_many()
        if not messages:
            raise ProtocolError("the daemon ended the transfer of a folder before it was complete")
        for some in _slices(messages):
            replies = [frame(reply) for message in some for reply in writer.feed(message)]
            if replies:
                await call.send_framed(replies)
            await asyncio.sleep(0)


def _slices(messages: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """A window's worth may have arrived at once; the loop has other work, and copies are to stay small."""
    return (messages[start : start + _MESSAGES_PER_SLICE] for start in range(0, len(messages), _MESSAGES_PER_SLICE))


async def _receive_file(
    call: ServerCall, target: FileTarget | StreamTarget | SinkTarget, on_stream: Callable[[], None]
) -> None:
    sink = await _open(target, call.metadata)
    if sink is None:
        raise RpcError(Code.ALREADY_EXISTS, "target already exists")
    if is_stream(sink):
        on_stream()
    try:
        while messages := await call.receive_many():
            for some in _slices(messages):
                await sink.write([control_pb2.BytesMessage.FromString(message).data for message in some])
        await sink.commit()
    finally:
        sink.abort()


async def _open(target: FileTarget | StreamTarget | SinkTarget, metadata: Metadata) -> Sink | None:
    if isinstance(target, FileTarget):
        return await file_sink(target.path)
    if isinstance(target, StreamTarget):
        return stream_sink(target.stream, target.name)
    return await target.open(
        {
            key.removeprefix(_EXPORTER_METADATA): value
            for key, value in metadata
            if key.startswith(_EXPORTER_METADATA) and isinstance(value, str)
        }
    )
