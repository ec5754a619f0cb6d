"""FileSync, as a daemon that asks for folders sees it."""

import asyncio
import os
import random
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from buildwright.client.session.filesync import FileSync, LocalDir
from buildwright.client.session.health import Health
from buildwright.errors import Code, ContextError, RpcError
from buildwright.wire.channel import Channel
from buildwright.wire.fsutil import Packet, PacketType, decode_packet, encode_packet
from buildwright.wire.memory import memory_pair
from buildwright.wire.rpc import Metadata
from buildwright.wire.serve import Server
from tests.client.session.daemon_side import SYNC, fetch, served, synced

CONTEXT: Metadata = (("dir-name", "context"),)


def service(root: Path) -> FileSync:
    return FileSync({"context": LocalDir(str(root))})


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


def failure_of(files: FileSync, metadata: Metadata = CONTEXT) -> RpcError:
    with pytest.raises(RpcError) as caught:
        synced(files, metadata)
    return caught.value


def test_a_folder_is_sent_with_the_content_of_its_files(tmp_path: Path) -> None:
    make(tmp_path, "Dockerfile", "src/a", "src/b")
    (tmp_path / "empty").touch()
    files = service(tmp_path)
    received = synced(files, CONTEXT)
    assert received.paths == ["Dockerfile", "empty", "src", "src/a", "src/b"]
    assert received.contents == {"Dockerfile": b"Dockerfile", "empty": b"", "src/a": b"src/a", "src/b": b"src/b"}
    assert (files.files_sent, files.bytes_sent) == (4, 20)


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    make(tmp_path, "a", "b", "c")
    files = service(tmp_path)
    assert synced(files, CONTEXT, wanted=["b"]).contents == {"b": b"b"}
    assert files.files_sent == 1


def test_large_files_arrive_whole(tmp_path: Path) -> None:
    contents = {f"file{size}": random.Random(size).randbytes(size) for size in (262_143, 262_144, 524_288, 3_000_001)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert synced(service(tmp_path), CONTEXT).contents == contents


def test_many_files_arrive_whole(tmp_path: Path) -> None:
    make(tmp_path, *(f"d{number % 7}/f{number}" for number in range(3000)))
    received = synced(service(tmp_path), CONTEXT)
    assert len(received.contents) == 3000
    assert all(content.decode() == path for path, content in received.contents.items())


def test_an_empty_folder_is_an_empty_listing(tmp_path: Path) -> None:
    assert synced(service(tmp_path), CONTEXT).stats == {}


def test_the_folder_may_be_reached_by_a_symlink(tmp_path: Path) -> None:
    make(tmp_path, "real/a")
    os.symlink("real", tmp_path / "link")
    assert synced(service(tmp_path / "link"), CONTEXT).paths == ["a"]


def test_patterns_of_the_daemon_are_applied(tmp_path: Path) -> None:
    make(tmp_path, "a/keep.go", "a/drop.md", "b/x", "c")
    metadata = (
        *CONTEXT,
        ("include-patterns", "a"),
        ("include-patterns", "b"),
        ("exclude-patterns", "**/*.md"),
        ("exclude-patterns", "b"),
    )
    assert synced(service(tmp_path), metadata).paths == ["a", "a/keep.go"]


@pytest.mark.parametrize("ignore_file", [".dockerignore", "Dockerfile.dockerignore"])
def test_an_ignore_file_is_sent_when_it_is_asked_for_and_means_nothing_here(tmp_path: Path, ignore_file: str) -> None:
    make(tmp_path, "Dockerfile", "other")
    (tmp_path / ignore_file).write_text("*\n")
    followed = ["Dockerfile", "Dockerfile.dockerignore", ".dockerignore"]
    received = synced(service(tmp_path), (*CONTEXT, *(("followpaths", path) for path in followed)))
    assert received.paths == sorted(["Dockerfile", ignore_file])
    assert received.contents[ignore_file] == b"*\n"


def test_followed_symlinks_bring_their_targets(tmp_path: Path) -> None:
    make(tmp_path, "build/Dockerfile.real", "other")
    os.symlink("build/Dockerfile.real", tmp_path / "Dockerfile")
    received = synced(service(tmp_path), (*CONTEXT, ("followpaths", "Dockerfile")))
    assert received.paths == ["Dockerfile", "build", "build/Dockerfile.real"]


def test_following_the_root_brings_everything(tmp_path: Path) -> None:
    make(tmp_path, "a", "b")
    assert synced(service(tmp_path), (*CONTEXT, ("followpaths", "."))).paths == ["a", "b"]


def test_names_that_are_no_header_fields_come_escaped(tmp_path: Path) -> None:
    make(tmp_path, "café 1%", "caf+", "other")
    metadata = (
        *CONTEXT,
        ("include-patterns", "caf%C3%A9+1%25"),
        ("include-patterns", "caf%2B"),
        ("include-patterns-encoded", "1"),
        ("exclude-patterns", "o%74her"),
    )
    assert synced(service(tmp_path), metadata).paths == ["caf+", "café 1%"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are no text")
def test_names_that_are_no_utf8_are_sent_as_they_are(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).write_text("x")
    received = synced(
        service(tmp_path), (*CONTEXT, ("include-patterns", "caf%E9"), ("include-patterns-encoded", "1"))
    )
    assert received.contents == {os.fsdecode(b"caf\xe9"): b"x"}


def test_a_folder_that_was_not_given_is_not_found(tmp_path: Path) -> None:
    error = failure_of(service(tmp_path), (("dir-name", "../secrets"),))
    assert (error.code, error.message) == (Code.NOT_FOUND, 'no access allowed to dir "../secrets"')


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    files = service(tmp_path / "gone")
    assert "is not there; check the path" in failure_of(files).message
    assert isinstance(files.failure, ContextError)


def test_a_malformed_pattern_is_named(tmp_path: Path) -> None:
    make(tmp_path, "a")
    for pattern in ("[", r"a\y"):
        files = service(tmp_path)
        failure_of(files, (*CONTEXT, ("exclude-patterns", pattern)))
        assert isinstance(files.failure, ContextError)
        assert f"syntax error in pattern {pattern!r}" in str(files.failure)
        assert str(files.failure).endswith("correct .dockerignore")


Refuse = Callable[[Path, int], None]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Makes opening a file fail, also for root."""

    def install(path: Path, number: int) -> None:
        real = os.open

        def opened(name: bytes, flags: int) -> int:
            if name == os.fsencode(path):
                raise OSError(number, os.strerror(number), name)
            return real(name, flags)

        monkeypatch.setattr(os, "open", opened)

    return install


def test_an_unreadable_file_is_named_here_and_to_the_daemon(tmp_path: Path, refuse: Refuse) -> None:
    make(tmp_path, "a", "b")
    refuse(tmp_path / "b", 13)
    files = service(tmp_path)
    sentence = (
        f"cannot read '{tmp_path}/b' of the build context: permission denied; "
        "make it readable or exclude it in .dockerignore"
    )

    async def run() -> tuple[Packet, RpcError]:
        async with served(files) as channel, channel.call(SYNC, metadata=CONTEXT, timeout=60) as call:
            for _ in range(3):
                await call.receive()
            await call.send(encode_packet(Packet(PacketType.REQ, id=1)))
            packet = decode_packet(await call.receive() or b"")
            with pytest.raises(RpcError) as caught:
                await call.receive()
            return packet, caught.value

    packet, error = asyncio.run(run())
    assert packet == Packet(PacketType.ERR, data=sentence.encode())
    assert error.message == sentence
    assert isinstance(files.failure, ContextError)
    assert str(files.failure) == sentence


def test_a_file_that_vanishes_after_it_was_listed_is_empty(tmp_path: Path, refuse: Refuse) -> None:
    make(tmp_path, "a", "b")
    refuse(tmp_path / "b", 2)
    files = service(tmp_path)
    assert synced(files, CONTEXT).contents == {"a": b"a", "b": b""}
    assert files.failure is None


@pytest.mark.parametrize("size", [0, 3, 200, 1_000_000])
def test_a_file_that_changes_after_it_was_listed_is_sent_as_it_is_then(tmp_path: Path, size: int) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)

    async def run() -> bytes:
        async with served(service(tmp_path)) as channel, channel.call(SYNC, metadata=CONTEXT, timeout=60) as call:
            listed = await call.receive()
            assert listed
            assert await call.receive() == b""
            (tmp_path / "a").write_bytes(b"y" * size)
            await call.send(encode_packet(Packet(PacketType.REQ, id=0)))
            content = b""
            while data := decode_packet(await call.receive() or b"").data:
                content += data
            return content

    assert asyncio.run(run()) == b"y" * size


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_a_pipe_in_the_place_of_a_file_does_not_hang_the_build(tmp_path: Path) -> None:
    make(tmp_path, "a")

    async def run() -> Packet:
        async with served(service(tmp_path)) as channel, channel.call(SYNC, metadata=CONTEXT, timeout=60) as call:
            await call.receive()
            await call.receive()
            (tmp_path / "a").unlink()
            os.mkfifo(tmp_path / "a")
            await call.send(encode_packet(Packet(PacketType.REQ, id=0)))
            return decode_packet(await call.receive() or b"")

    assert asyncio.run(run()) == Packet(PacketType.DATA)


@pytest.mark.skipif(os.name != "posix", reason="needs sockets in the file system")
def test_a_socket_arrives_as_an_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("s")
        assert synced(service(tmp_path), CONTEXT).contents == {"s": b""}


@pytest.mark.parametrize("packet", [Packet(PacketType.REQ, id=7), Packet(PacketType.REQ, id=1)])
def test_asking_for_what_has_no_content_or_does_not_exist_ends_the_call(tmp_path: Path, packet: Packet) -> None:
    make(tmp_path, "a", "d/x")

    async def run() -> None:
        async with served(service(tmp_path)) as channel, channel.call(SYNC, metadata=CONTEXT, timeout=60) as call:
            await call.send(encode_packet(packet))
            while await call.receive() is not None:
                pass

    with pytest.raises(RpcError, match=f"invalid file id {packet.id}"):
        asyncio.run(run())


def test_what_the_receiver_reports_ends_the_call(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(service(tmp_path)) as channel, channel.call(SYNC, metadata=CONTEXT, timeout=60) as call:
            await call.send(encode_packet(Packet(PacketType.ERR, data=b"no space left")))
            while await call.receive() is not None:
                pass

    with pytest.raises(RpcError, match="error from receiver: no space left"):
        asyncio.run(run())


def test_the_call_ends_at_fin_without_waiting_for_the_daemons_end(tmp_path: Path) -> None:
    make(tmp_path, "a")

    async def run() -> list[bytes]:
        async with served(service(tmp_path)) as channel, channel.call(SYNC, metadata=CONTEXT, timeout=60) as call:
            await call.send(encode_packet(Packet(PacketType.FIN)))
            messages = []
            while (message := await call.receive()) is not None:
                messages.append(message)
            return messages

    assert asyncio.run(run())[-1] == encode_packet(Packet(PacketType.FIN))


def test_the_session_stays_healthy_while_a_slow_daemon_takes_a_folder(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 8_000_000)
    files = service(tmp_path)

    async def run() -> None:
        ours, theirs = memory_pair()
        handlers = {**files.handlers(), **Health().handlers()}
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(Server(handlers).serve(theirs))
            async with Channel(ours) as channel, channel.call(SYNC, metadata=CONTEXT, timeout=60) as call:
                await call.receive()
                await call.send(encode_packet(Packet(PacketType.REQ, id=0)))
                for _ in range(3):
                    assert await channel.unary("/grpc.health.v1.Health/Check", b"", timeout=60) == b"\x08\x01"
                await call.send(encode_packet(Packet(PacketType.FIN)))
            serving.cancel()

    asyncio.run(run())


def test_two_calls_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    make(tmp_path, "context/a", "dockerfile/Dockerfile")
    files = FileSync({name: LocalDir(str(tmp_path / name)) for name in ("context", "dockerfile")})

    async def run() -> None:
        async with served(files) as channel:

            async def get(name: str) -> list[str]:
                async with channel.call(SYNC, metadata=(("dir-name", name),), timeout=60) as call:
                    return (await fetch(call)).paths

            assert await asyncio.gather(get("context"), get("dockerfile")) == [["a"], ["Dockerfile"]]

    asyncio.run(run())
