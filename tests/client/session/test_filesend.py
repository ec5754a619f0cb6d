"""FileSend, as a daemon that exports sees it."""

import asyncio
import io
import os
import stat as posix
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from buildwright.client.session.filesend import (
    DirectoryTarget,
    FileSend,
    FileTarget,
    SinkTarget,
    StreamTarget,
    Target,
)
from buildwright.errors import Code, OutputError, RpcError
from buildwright.wire.fsutil import Packet, PacketType, Stat, decode_packet, encode_packet
from buildwright.wire.proto import control_pb2
from buildwright.wire.rpc import ClientCall, Metadata
from tests.client.session.daemon_side import SEND, deliver, served

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs pipes that block")


def chunk(data: bytes) -> bytes:
    return control_pb2.BytesMessage(data=data).SerializeToString()


async def export(call: ClientCall, chunks: Iterable[bytes]) -> None:
    """Send a file as an exporter does: chunks, its end, and then our status."""
    for data in chunks:
        await call.send(chunk(data))
    await call.half_close()
    assert await call.receive() is None


def exported(target: Target, *chunks: bytes, metadata: Metadata = ()) -> FileSend:
    service = FileSend({0: target})

    async def run() -> None:
        async with served(service) as channel, channel.call(SEND, metadata=metadata, timeout=60) as call:
            await export(call, chunks)

    asyncio.run(run())
    return service


def failure(target: Target, *chunks: bytes) -> str:
    """The sentence that the target's failure is told in, to the caller and to the daemon."""
    service = FileSend({0: target})

    async def run() -> str:
        async with served(service) as channel, channel.call(SEND, timeout=60) as call:
            with pytest.raises(RpcError) as caught:
                await export(call, chunks)
            return caught.value.message

    told = asyncio.run(run())
    assert isinstance(service.failure, OutputError)
    assert str(service.failure) == told
    return told


def test_a_file_is_written(tmp_path: Path) -> None:
    service = exported(FileTarget(str(tmp_path / "out.tar")), b"one", b"", b"two" * 1_000_000)
    assert (tmp_path / "out.tar").read_bytes() == b"one" + b"two" * 1_000_000
    assert os.listdir(tmp_path) == ["out.tar"]
    assert service.failure is None


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        exported(FileTarget(str(tmp_path / "out.tar")), b"x")
    finally:
        os.umask(before)
    assert posix.S_IMODE((tmp_path / "out.tar").stat().st_mode) == 0o640


def test_a_file_is_replaced_with_its_mode_and_through_its_symlink(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/out.tar").write_bytes(b"old")
    (tmp_path / "real/out.tar").chmod(0o600)
    os.symlink("real/out.tar", tmp_path / "out.tar")
    exported(FileTarget(str(tmp_path / "out.tar")), b"new")
    assert (tmp_path / "out.tar").is_symlink()
    assert (tmp_path / "real/out.tar").read_bytes() == b"new"
    assert posix.S_IMODE((tmp_path / "real/out.tar").stat().st_mode) == 0o600
    assert os.listdir(tmp_path / "real") == ["out.tar"]


def test_a_cancelled_export_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "out.tar").write_bytes(b"old")
    service = FileSend({0: FileTarget(str(tmp_path / "out.tar"))})

    async def run() -> None:
        async with served(service) as channel:
            async with channel.call(SEND, timeout=60) as call:
                await call.send(chunk(b"half"))
                await until(lambda: len(os.listdir(tmp_path)) == 2)
            await until(lambda: len(os.listdir(tmp_path)) == 1)

    asyncio.run(run())
    assert (tmp_path / "out.tar").read_bytes() == b"old"


def test_the_folders_of_a_file_are_made(tmp_path: Path) -> None:
    exported(FileTarget(str(tmp_path / "a" / "b" / "out.tar")), b"x")
    assert (tmp_path / "a" / "b" / "out.tar").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("file/out.tar", "not a directory; "),
        ("", "a folder is there"),
    ],
)
def test_a_destination_that_cannot_be_written_is_named(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "file").touch()
    destination = str(tmp_path / path)
    assert failure(FileTarget(destination), b"x").startswith(f"cannot write {destination!r}: {reason}")


def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.tar").write_bytes(b"old")

    def refuse(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("buildwright.client.session.sinks.write_all", refuse)
    assert "no space left on device; make room" in failure(FileTarget(str(tmp_path / "out.tar")), b"new")
    assert os.listdir(tmp_path) == ["out.tar"]
    assert (tmp_path / "out.tar").read_bytes() == b"old"


@posix_only
def test_a_device_is_written_as_it_is(tmp_path: Path) -> None:
    exported(FileTarget(os.devnull), b"x")
    assert posix.S_ISCHR(Path(os.devnull).stat().st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device_is_told() -> None:
    assert failure(FileTarget("/dev/full"), b"x").startswith("cannot write '/dev/full': no space left on device")


@posix_only
def test_a_named_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    exported(FileTarget(str(pipe)), b"one", b"two")
    reader.join()
    assert got == [b"onetwo"]
    assert pipe.is_fifo()


def test_a_stream_without_a_descriptor_is_written() -> None:
    stream = io.BytesIO()
    exported(StreamTarget(stream), b"one", b"two")
    assert stream.getvalue() == b"onetwo"


@posix_only
def test_a_stream_with_a_descriptor_is_written_after_what_it_held() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as stream, os.fdopen(reading, "rb") as reader:
        stream.write(b"before ")
        exported(StreamTarget(stream), b"one", b"two")
        stream.write(b" after")
        stream.close()
        assert reader.read() == b"before onetwo after"


@posix_only
def test_a_reader_that_has_gone_away_is_told() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as stream:
        assert failure(StreamTarget(stream), b"x").startswith("cannot write 'stdout': broken pipe")


def test_a_closed_stream_is_told() -> None:
    stream = io.BytesIO()
    stream.close()
    assert failure(StreamTarget(stream, "the pipe"), b"x").startswith("cannot write 'the pipe': it is closed")


@posix_only
def test_a_build_can_be_cancelled_while_nobody_reads_its_output() -> None:
    reading, writing = os.pipe()

    async def run() -> None:
        with os.fdopen(writing, "wb") as stream:
            async with (
                served(FileSend({0: StreamTarget(stream)})) as channel,
                channel.call(SEND, timeout=60) as call,
            ):
                await call.send(chunk(b"x" * 1_000_000))
                await asyncio.to_thread(os.read, reading, 1)

    asyncio.run(run())
    os.close(reading)


@pytest.mark.parametrize("kind", ["stream", "device", "file"])
def test_what_cannot_be_taken_back_is_told_before_it_is_written(tmp_path: Path, kind: str) -> None:
    stream, seen = io.BytesIO(), list[bytes]()
    target: Target = FileTarget("/dev/null" if kind == "device" else str(tmp_path / "out"))
    if kind == "stream":
        target = StreamTarget(stream)
    service = FileSend({0: target}, on_stream=lambda: seen.append(stream.getvalue()))

    async def run() -> None:
        async with served(service) as channel, channel.call(SEND, timeout=60) as call:
            await export(call, (b"one", b"two"))

    asyncio.run(run())
    assert seen == ([] if kind == "file" else [b""])


@pytest.mark.parametrize("metadata", [(), (("buildkit-attachable-exporter-id", "0"),)])
def test_the_exporters_index_chooses_the_target(tmp_path: Path, metadata: Metadata) -> None:
    exported(FileTarget(str(tmp_path / "a")), b"a", metadata=metadata)
    assert (tmp_path / "a").exists()


def test_an_exporter_without_a_target_is_refused() -> None:
    async def run() -> None:
        async with (
            served(FileSend({})) as channel,
            channel.call(SEND, metadata=(("buildkit-attachable-exporter-id", "3"),), timeout=60) as call,
        ):
            await call.receive()

    with pytest.raises(RpcError, match="exporter 3 not found"):
        asyncio.run(run())


def test_a_sink_is_told_what_the_exporter_says() -> None:
    said: list[Mapping[str, str]] = []

    class Kept:
        def __init__(self) -> None:
            self.events: list[str] = []

        async def write(self, chunks: Sequence[bytes], /) -> None:
            self.events.extend(data.decode() for data in chunks)

        async def commit(self) -> None:
            self.events.append("commit")

        def abort(self) -> None:
            self.events.append("abort")

    sink = Kept()

    async def opened(metadata: Mapping[str, str]) -> Kept:
        said.append(metadata)
        return sink

    exported(SinkTarget(opened), b"one", metadata=(("exporter-md-image.name", "app"), ("other", "x")))
    assert said == [{"image.name": "app"}]
    assert sink.events[:2] == ["one", "commit"]


def test_a_result_can_be_skipped() -> None:
    async def skip(metadata: Mapping[str, str]) -> None:
        return None

    service = FileSend({0: SinkTarget(skip)})

    async def run() -> None:
        async with served(service) as channel, channel.call(SEND, timeout=60) as call:
            await call.receive()

    with pytest.raises(RpcError) as caught:
        asyncio.run(run())
    assert caught.value.code is Code.ALREADY_EXISTS
    assert service.failure is None


def delivered(target: Target, *entries: tuple[Stat, bytes], metadata: Metadata = ()) -> None:
    async def run() -> None:
        async with (
            served(FileSend({0: target})) as channel,
            channel.call(SEND, metadata=metadata, timeout=60) as call,
        ):
            await deliver(call, entries)

    asyncio.run(run())


def test_a_folder_is_written(tmp_path: Path) -> None:
    entries = [(Stat(f"f{number:03}".encode(), 0o644), os.urandom(number * 30)) for number in range(200)]
    delivered(DirectoryTarget(str(tmp_path / "out")), *entries)
    assert {path.name.encode(): path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        stat.path: content for stat, content in entries
    }


def test_delete_is_refused_from_a_daemon_that_sends_platforms_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    told = failure(DirectoryTarget(str(tmp_path), delete=True))
    assert "needs a newer BuildKit daemon" in told
    assert os.listdir(tmp_path) == ["kept"]


def test_delete_removes_what_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "gone").touch()
    metadata = (("buildkit-exporter-multi-platform", "1"),)
    delivered(DirectoryTarget(str(tmp_path), delete=True), (Stat(b"new", 0o644), b""), metadata=metadata)
    assert os.listdir(tmp_path) == ["new"]


def test_a_folder_that_cannot_be_written_is_named_in_an_err_packet_too(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    service = FileSend({0: DirectoryTarget(str(tmp_path / "out"))})

    async def run() -> Packet:
        async with served(service) as channel, channel.call(SEND, timeout=60) as call:
            packet = decode_packet(await call.receive() or b"")
            with pytest.raises(RpcError):
                await call.receive()
            return packet

    packet = asyncio.run(run())
    assert packet.type == PacketType.ERR
    assert packet.data.decode() == str(service.failure)
    assert str(service.failure).startswith(f"cannot write '{tmp_path}/out': file exists")


def test_a_folder_cut_off_half_way_holds_only_whole_files(tmp_path: Path) -> None:
    out = tmp_path / "out"

    async def run() -> None:
        async with served(FileSend({0: DirectoryTarget(str(out))})) as channel:
            async with channel.call(SEND, timeout=60) as call:
                await call.send(encode_packet(Packet(PacketType.STAT, Stat(b"a", 0o644))))
                await call.send(encode_packet(Packet(PacketType.STAT, Stat(b"b", 0o644))))
                for _ in range(2):
                    await call.receive()
                await call.send(encode_packet(Packet(PacketType.DATA, None, 0, b"whole")))
                await call.send(encode_packet(Packet(PacketType.DATA, None, 0)))
                await call.send(encode_packet(Packet(PacketType.DATA, None, 1, b"half")))
                await until(lambda: len(os.listdir(out)) == 2)
            await until(lambda: os.listdir(out) == ["a"])

    asyncio.run(run())
    assert (out / "a").read_bytes() == b"whole"


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a folder has no event to wait for
        await asyncio.sleep(0)
