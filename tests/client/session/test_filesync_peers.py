"""The same folders through us and through the real buildctl: what the daemon got of them, and what came back."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import socket
import stat as posix
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from buildwright.client.client import Client
from buildwright.client.identity import new_id
from buildwright.client.session.filesend import DirectoryTarget, FileSend, FileTarget, Target
from buildwright.client.session.filesync import FileSync, LocalDir
from buildwright.client.session.session import Session
from buildwright.errors import ContextError, OutputError
from buildwright.model.solve import Exporter, SolveRequest
from buildwright.model.status import StatusUpdate, Vertex
from buildwright.wire.channel import Channel
from buildwright.wire.sockets import connect_unix
from tests.conftest import Buildkitd

pytestmark = pytest.mark.peers

NAMES = [
    *(b"a", b"b", b"a-b", b"a.b", b"a b", b"Z", b"c.go", b"d", b"e", b"node_modules", b"[x]", b"-x"),
    *(b"caf\xc3\xa9", b"\xe9", b"\xff\xfe", b"\xf0\x9f\x90\xb3", b"new\nline", b"x" * 200),
]
IGNORED = [
    "",
    "*.go\nnode_modules\n",
    "**/a\n!a\n!b/a\n",
    "*\n!a*\n!café\n!**/c.go\n",
    "# c\nd/**\n!d/a\n",
    "Dockerfile\n",
]
MODES = [0o644, 0o4755, 0o600, 0o1644, 0o2711, 0o444]
TARGETS = [b"a", b"../a", b"/a/b", b"nowhere", b"\xff"]


def make_tree(root: Path, seed: int) -> None:
    """A folder with about every kind of entry, and an ignore file beside a Dockerfile that copies the rest."""
    chance = random.Random(seed)
    files: list[bytes] = []

    def fill(folder: bytes, depth: int) -> None:
        os.mkdir(folder)
        for name in chance.sample(NAMES, chance.randint(2, 9)):
            path = folder + b"/" + name
            kind = chance.random()
            if kind < 0.3 and depth < 3:
                fill(path, depth + 1)
            elif kind < 0.4:
                os.symlink(chance.choice(TARGETS), path)
            elif kind < 0.55 and files:
                os.link(chance.choice(files), path)
            elif kind < 0.6:
                os.mkfifo(path, 0o640)
            elif kind < 0.63:
                os.mknod(path, posix.S_IFCHR | 0o600, os.makedev(1, 3))
            elif kind < 0.68 and len(name) < 50:
                bind_socket(folder, name)
            else:
                with open(path, "wb") as file:
                    file.write(chance.randbytes(chance.choice([0, 1, 9, 5000, 70_000, 600_000])))
                os.chmod(path, chance.choice(MODES))
                files.append(path)
                if chance.random() < 0.2:
                    os.setxattr(path, "user.note", b"v\0")
        os.chmod(folder, chance.choice([0o755, 0o700, 0o555, 0o1777]))
        os.utime(folder, ns=(1, chance.randrange(10**18)))

    fill(os.fsencode(root), 0)
    (root / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    ignored = IGNORED[seed % len(IGNORED)]
    if ignored:
        (root / chance.choice([".dockerignore", "Dockerfile.dockerignore"])).write_text(ignored)


def bind_socket(folder: bytes, name: bytes) -> None:
    # By a short way: the path of a socket has room for a hundred bytes.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(b"/proc/self/fd/%d/" % descriptor + name)
    finally:
        os.close(descriptor)


@dataclass
class Tree:
    """All that can be seen of a folder; folders' times apart."""

    entries: dict[bytes, tuple[object, ...]]
    folder_times: dict[bytes, int]
    links: list[list[bytes]]


def look_at(root: Path) -> Tree:
    entries: dict[bytes, tuple[object, ...]] = {}
    times: dict[bytes, int] = {}
    inodes: dict[int, list[bytes]] = {}
    top = os.fsencode(root)
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, top)
            status = os.lstat(path)
            seen: list[object] = [posix.filemode(status.st_mode), status.st_uid, status.st_gid, status.st_rdev]
            if posix.S_ISDIR(status.st_mode):
                # A tar archive has whole seconds, rounded.
                times[relative] = (status.st_mtime_ns + 500_000_000) // 10**9
            else:
                seen.append(status.st_mtime_ns)
            if posix.S_ISLNK(status.st_mode):
                seen.append(os.readlink(path))
            else:
                seen.append({key: os.getxattr(path, key) for key in os.listxattr(path)})
            if posix.S_ISREG(status.st_mode):
                seen.append(hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest())
                inodes.setdefault(status.st_ino, []).append(relative)
            entries[relative] = tuple(seen)
    return Tree(entries, times, sorted(sorted(names) for names in inodes.values() if len(names) > 1))


class Sink:
    def __init__(self) -> None:
        self.vertexes: dict[str, Vertex] = {}

    def write(self, update: StatusUpdate, /) -> None:
        self.vertexes |= {vertex.digest: vertex for vertex in update.vertexes}


def build(buildkitd: Buildkitd, context: Path, target: Target | None = None, exporter: str = "local") -> list[Vertex]:
    """Build `context` with our client; returns the steps as they ended."""

    async def run() -> list[Vertex]:
        services: list[FileSync | FileSend] = [
            FileSync({"context": LocalDir(str(context)), "dockerfile": LocalDir(str(context))})
        ]
        if target is not None:
            services.append(FileSend({0: target}))
        sink = Sink()
        async with Channel(await connect_unix(buildkitd.address.removeprefix("unix://"))) as channel:
            request = SolveRequest(
                ref=new_id(),
                frontend="dockerfile.v0",
                exporters=(Exporter(type=exporter),) if target else (),
            )
            await Client(channel).solve(request, session=Session(services), sink=sink)
        return list(sink.vertexes.values())

    return asyncio.run(run())


def buildctl(buildkitd: Buildkitd, context: Path, output: str) -> None:
    local = [f"--local=context={context}", f"--local=dockerfile={context}"]
    buildkitd.buildctl("build", "--frontend=dockerfile.v0", *local, f"--output={output}", "--progress=plain")


@pytest.mark.parametrize("seed", range(12))
def test_the_daemon_gets_and_gives_the_same_as_with_buildctl(tmp_path: Path, buildkitd: Buildkitd, seed: int) -> None:
    context = tmp_path / "context"
    make_tree(context, seed)
    buildctl(buildkitd, context, f"type=local,dest={tmp_path}/theirs")
    steps = build(buildkitd, context, DirectoryTarget(f"{tmp_path}/ours"))
    # The copy is keyed by the content hash of what was sent: names, modes, attributes, sizes, bytes.
    assert [step.cached for step in steps if "COPY . /" in step.name] == [True]
    theirs, ours = look_at(tmp_path / "theirs"), look_at(tmp_path / "ours")
    assert ours.entries == theirs.entries
    assert ours.links == theirs.links
    # buildctl at times leaves a folder the time at which it was filled; the image knows better.
    buildctl(buildkitd, context, f"type=tar,dest={tmp_path}/theirs.tar")
    assert ours.folder_times == folder_times(tmp_path / "theirs.tar")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def folder_times(archive: Path) -> dict[bytes, int]:
    with tarfile.open(archive) as members:
        return {
            os.fsencode(member.name): int(member.mtime // 1)
            for member in members
            if member.isdir() and member.name != "."
        }


def test_what_we_send_first_buildctl_finds_in_the_cache(tmp_path: Path, buildkitd: Buildkitd) -> None:
    context = tmp_path / "context"
    make_tree(context, 100)
    build(buildkitd, context)
    told = buildkitd.buildctl(
        "build",
        "--frontend=dockerfile.v0",
        f"--local=context={context}",
        f"--local=dockerfile={context}",
        "--progress=plain",
    )
    assert "CACHED" in told.stderr


def test_a_file_output_is_what_buildctl_gets(tmp_path: Path, buildkitd: Buildkitd) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (context / "blob").write_bytes(random.Random(1).randbytes(5_000_000))
    buildctl(buildkitd, context, f"type=tar,dest={tmp_path}/theirs.tar")
    build(buildkitd, context, FileTarget(f"{tmp_path}/ours.tar"), "tar")
    assert (tmp_path / "ours.tar").read_bytes() == (tmp_path / "theirs.tar").read_bytes()


def test_a_destination_without_room_is_told_as_such(tmp_path: Path, buildkitd: Buildkitd) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (context / "blob").write_bytes(random.Random(2).randbytes(3_000_000))
    (tmp_path / "small").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path / "small"], check=True)
    try:
        for target, exporter in (
            (FileTarget(f"{tmp_path}/small/out.tar"), "tar"),
            (DirectoryTarget(f"{tmp_path}/small/out"), "local"),
        ):
            with pytest.raises(OutputError, match="no space left on device; make room"):
                build(buildkitd, context, target, exporter)
        assert [path.name for path in (tmp_path / "small").rglob("*") if path.is_file()] in ([], ["Dockerfile"])
    finally:
        subprocess.run(["umount", tmp_path / "small"], check=True)


def test_an_unreadable_file_is_told_as_such(
    tmp_path: Path, buildkitd: Buildkitd, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (tmp_path / "secret").write_text(str(tmp_path))
    real = os.open

    def opened(path: bytes | str, flags: int, *mode: int) -> int:
        if path == os.fsencode(tmp_path / "secret"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(ContextError, match=r"cannot read '.*/secret' of the build context: permission denied"):
        build(buildkitd, tmp_path)
