"""Folders as they are received: whole, in place, and nowhere else."""

import errno
import os
import random
import stat as posix
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from buildwright.client.session import receive
from buildwright.client.session.receive import FolderWriter
from buildwright.errors import OutputError, ProtocolError, RpcError
from buildwright.wire import fsutil
from buildwright.wire.fsutil import Packet, PacketType, Stat, decode_packet, encode_packet

MTIME = 1_600_000_000_123_456_789
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs what only Linux has")


def file(path: str, mode: int = 0o644, **fields: object) -> Stat:
    return Stat(path.encode(errors="surrogateescape"), mode, mod_time=MTIME, **fields)  # type: ignore[arg-type]


def folder(path: str, mode: int = 0o755) -> Stat:
    return file(path, fsutil.MODE_DIR | mode)


def symlink(path: str, target: str) -> Stat:
    return file(path, fsutil.MODE_SYMLINK | 0o777, linkname=target.encode())


def write(writer: FolderWriter, stats: Iterable[Stat], contents: dict[str, bytes] | None = None) -> None:
    """Play the sender to the end, giving each file its path as content unless `contents` says otherwise."""
    stats = list(stats)
    messages = [encode_packet(Packet(PacketType.STAT, stat)) for stat in stats] + [b""]
    while messages:
        for reply in writer.feed(messages.pop(0)):
            packet = decode_packet(reply)
            if packet.type == PacketType.FIN:
                messages.append(encode_packet(Packet(PacketType.FIN)))
                continue
            path = stats[packet.id].path.decode(errors="surrogateescape")
            content = (contents or {}).get(path, os.fsencode(path))
            messages += [
                encode_packet(Packet(PacketType.DATA, None, packet.id, content[start : start + 7]))
                for start in range(0, len(content), 7)
            ]
            messages.append(encode_packet(Packet(PacketType.DATA, None, packet.id)))
    assert writer.finished


def received(root: Path, *stats: Stat, delete: bool = False, contents: dict[str, bytes] | None = None) -> Path:
    writer = FolderWriter(str(root), delete=delete)
    try:
        write(writer, stats, contents)
    finally:
        writer.close()
    return root


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_files_and_folders_get_content_mode_and_time(tmp_path: Path) -> None:
    out = received(
        tmp_path / "out",
        folder("d", fsutil.MODE_STICKY | 0o751),
        file("d/f", fsutil.MODE_SETUID | 0o644),
        file("e", 0o400),
        file("empty"),
        contents={"empty": b""},
    )
    assert names(out) == ["d", "d/f", "e", "empty"]
    assert (out / "d/f").read_bytes() == b"d/f"
    assert (out / "empty").read_bytes() == b""
    modes = {path: posix.S_IMODE((out / path).stat().st_mode) for path in ("d", "d/f", "e")}
    assert modes == {"d": 0o1751, "d/f": 0o4644, "e": 0o400}
    assert {(out / path).stat().st_mtime_ns for path in names(out)} == {MTIME}


def test_everything_belongs_to_the_running_user(tmp_path: Path) -> None:
    out = received(tmp_path / "out", file("f", uid=4321, gid=4321))
    assert ((out / "f").stat().st_uid, (out / "f").stat().st_gid) == (os.geteuid(), os.getegid())


def test_the_root_and_what_is_missing_above_it_are_made_for_us_alone(tmp_path: Path) -> None:
    received(tmp_path / "a/b")
    assert [posix.S_IMODE((tmp_path / path).stat().st_mode) for path in ("a", "a/b")] == [0o700, 0o700]


def test_links_of_both_kinds_are_made(tmp_path: Path) -> None:
    out = received(
        tmp_path / "out", folder("d"), file("d/f"), symlink("d/l", "../nowhere"), file("z", linkname=b"d/f")
    )
    assert os.readlink(out / "d/l") == "../nowhere"
    assert (out / "d/l").lstat().st_mtime_ns == MTIME
    assert (out / "z").samefile(out / "d/f")
    assert (out / "z").read_bytes() == b"d/f"


def test_a_folder_that_nobody_may_write_is_filled_all_the_same(tmp_path: Path) -> None:
    for _ in range(2):
        out = received(tmp_path / "out", folder("d", 0o555), file("d/f"))
    assert posix.S_IMODE((out / "d").stat().st_mode) == 0o555


def test_what_was_there_stays_unless_it_is_replaced(tmp_path: Path) -> None:
    out = received(tmp_path / "out", folder("d"), file("d/old"), file("f"), file("g"))
    received(out, folder("d"), file("d/new"), file("f"), contents={"f": b"changed"})
    assert names(out) == ["d", "d/new", "d/old", "f", "g"]
    assert (out / "f").read_bytes() == b"changed"


def test_the_same_links_can_be_received_again(tmp_path: Path) -> None:
    stats = (file("f"), file("g", linkname=b"f"), symlink("l", "f"))
    for _ in range(2):
        out = received(tmp_path / "out", *stats)
    assert names(out) == ["f", "g", "l"]
    assert (out / "g").samefile(out / "f")


def test_an_entry_may_change_its_kind(tmp_path: Path) -> None:
    out = received(tmp_path / "out", folder("a"), file("a/x"), file("b"), symlink("c", "b"), folder("d"), file("d/x"))
    received(out, file("a"), folder("b"), file("b/y"), folder("c"), symlink("d", "b"))
    assert names(out) == ["a", "b", "b/y", "c", "d"]
    assert (out / "a").is_file()
    assert not (out / "c").is_symlink()
    assert os.readlink(out / "d") == "b"


def test_with_delete_what_is_not_sent_is_removed(tmp_path: Path) -> None:
    out = received(
        tmp_path / "out", folder("d"), folder("d/e"), file("d/e/f"), file("d/g"), symlink("l", "d"), file("x")
    )
    received(out, folder("d"), file("d/g"), file("y", linkname=b"d/g"), delete=True)
    assert names(out) == ["d", "d/g", "y"]
    assert (out / "d").stat().st_mtime_ns == MTIME


def test_delete_does_not_reach_through_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept").write_text("kept")
    (tmp_path / "out").mkdir()
    for name in ("gone", "kept"):
        os.symlink(tmp_path / "outside", tmp_path / "out" / name)
    received(tmp_path / "out", symlink("kept", "../outside"), delete=True)
    assert names(tmp_path / "out") == ["kept"]
    assert (tmp_path / "outside/kept").read_text() == "kept"


def test_a_symlink_in_the_way_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "out").mkdir()
    os.symlink(tmp_path / "outside", tmp_path / "out/d")
    os.symlink(tmp_path / "secret", tmp_path / "out/f")
    received(tmp_path / "out", folder("d"), file("d/x"), file("f"))
    assert names(tmp_path / "outside") == []
    assert (tmp_path / "secret").read_text() == "secret"
    assert (tmp_path / "out/f").read_bytes() == b"f"


@pytest.mark.parametrize(
    "stats",
    [
        [file("../x")],
        [file("/etc/x")],
        [folder("d"), file("d/../../x")],
        [symlink("d", ".."), file("d/x")],
        [file("x", linkname=b"../outside")],
        [file("x", linkname=b"/etc/passwd")],
    ],
)
def test_nothing_is_written_outside_the_root(tmp_path: Path, stats: list[Stat]) -> None:
    (tmp_path / "outside").write_text("")
    with pytest.raises(ProtocolError):
        received(tmp_path / "out", *stats)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "outside"]


@linux_only
def test_names_that_are_no_text_and_attributes_are_kept(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    out = received(tmp_path / "out", file(name, 0o444, xattrs={"user.note": b"\0v", "nonsense": b""}))
    assert os.listdir(os.fsencode(out)) == [b"caf\xe9"]
    assert os.getxattr(os.fsencode(out / name), "user.note") == b"\0v"


@linux_only
def test_pipes_are_made(tmp_path: Path) -> None:
    out = received(tmp_path / "out", file("p", fsutil.MODE_NAMED_PIPE | 0o620))
    assert (out / "p").is_fifo()
    assert posix.S_IMODE((out / "p").stat().st_mode) == 0o620


def test_a_device_that_may_not_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: bytes, mode: int, device: int) -> None:
        raise PermissionError(1, "Operation not permitted", path)

    monkeypatch.setattr(os, "mknod", refuse, raising=False)
    device = file("null", fsutil.MODE_DEVICE | fsutil.MODE_CHAR_DEVICE | 0o666, dev_major=1, dev_minor=3)
    with pytest.raises(OutputError, match=r"cannot write '.*/out/null': operation not permitted"):
        received(tmp_path / "out", device)
    assert names(tmp_path / "out") == []


def test_where_special_files_do_not_exist_they_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "mknod", raising=False)
    with pytest.raises(OutputError, match="'p' is a special file, which cannot be made on this system"):
        received(tmp_path / "out", file("p", fsutil.MODE_NAMED_PIPE | 0o600))


@pytest.mark.parametrize("root", ["out/", "out//", "out/.", "deep/er/out/"])
def test_the_root_may_end_in_a_slash(tmp_path: Path, root: str) -> None:
    writer = FolderWriter(f"{tmp_path}/{root}")
    write(writer, [file("f")])
    assert (tmp_path / root / "f").read_bytes() == b"f"


def test_where_names_fold_two_that_are_one_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "_FOLDS_NAMES", True)
    (tmp_path / "outside").mkdir()
    link, inside = symlink("X", str(tmp_path / "outside")), symlink("x/y", "anywhere")
    with pytest.raises(OutputError, match=r"cannot write '.*/out/x': this system takes its name for that of another"):
        received(tmp_path / "out", link, folder("x"), inside)
    assert names(tmp_path / "outside") == []
    assert names(received(tmp_path / "other", link, folder("y"), file("y/X"))) == ["X", "y", "y/X"]


def test_a_file_that_cannot_be_closed_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = FolderWriter(str(tmp_path / "out"))
    writer.feed(encode_packet(Packet(PacketType.STAT, file("f"))))
    writer.feed(encode_packet(Packet(PacketType.DATA, None, 0, b"half")))
    close = os.close

    def fail(fd: int) -> None:
        close(fd)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "close", fail)
    writer.close()
    assert names(tmp_path / "out") == []


def test_a_root_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match=r"cannot write '.*/out': file exists"):
        FolderWriter(str(tmp_path / "out"))


def test_a_file_is_not_seen_before_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    writer = FolderWriter(str(out))
    writer.feed(encode_packet(Packet(PacketType.STAT, file("f"))))
    writer.feed(encode_packet(Packet(PacketType.DATA, None, 0, b"half")))
    assert "f" not in names(out)
    writer.close()
    assert names(out) == []


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path: Path, full_disk: Callable[[], None]) -> None:
    out = received(tmp_path / "out", file("f"))
    full_disk()
    with pytest.raises(OutputError, match=r"cannot write '.*/out/f': no space left on device; make room"):
        received(out, file("f"), contents={"f": b"new"})
    assert names(out) == ["f"]
    assert (out / "f").read_bytes() == b"f"


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def refuse(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    return lambda: monkeypatch.setattr(os, "write", refuse)


def test_writes_that_are_taken_in_part_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
    out = received(tmp_path / "out", file("f"), contents={"f": b"0123456789"})
    assert (out / "f").read_bytes() == b"0123456789"


def test_what_the_sender_reports_ends_it(tmp_path: Path) -> None:
    writer = FolderWriter(str(tmp_path / "out"))
    with pytest.raises(RpcError, match="error from sender: no such snapshot"):
        writer.feed(encode_packet(Packet(PacketType.ERR, data=b"no such snapshot")))


@pytest.mark.parametrize(
    "packet",
    [
        Packet(PacketType.DATA, None, 3, b"x"),
        Packet(PacketType.DATA, None, 0, b"x"),
        Packet(9),
        Packet(PacketType.REQ),
    ],
)
def test_packets_out_of_place_are_refused(tmp_path: Path, packet: Packet) -> None:
    writer = FolderWriter(str(tmp_path / "out"))
    writer.feed(encode_packet(Packet(PacketType.STAT, folder("d"))))
    with pytest.raises(ProtocolError):
        writer.feed(encode_packet(packet))


def test_a_listing_does_not_go_on_after_its_end(tmp_path: Path) -> None:
    writer = FolderWriter(str(tmp_path / "out"))
    writer.feed(b"")
    with pytest.raises(ProtocolError, match="after the end"):
        writer.feed(encode_packet(Packet(PacketType.STAT, folder("d"))))


def test_contents_may_come_interleaved(tmp_path: Path) -> None:
    writer = FolderWriter(str(tmp_path / "out"))
    contents = [random.Random(number).randbytes(50) for number in range(4)]
    for number in range(4):
        writer.feed(encode_packet(Packet(PacketType.STAT, file(f"f{number}"))))
    writer.feed(b"")
    for start in range(0, 50, 10):
        for number, content in enumerate(contents):
            writer.feed(encode_packet(Packet(PacketType.DATA, None, number, content[start : start + 10])))
    replies = [writer.feed(encode_packet(Packet(PacketType.DATA, None, number))) for number in range(4)]
    assert replies == [[], [], [], [encode_packet(Packet(PacketType.FIN))]]
    assert [(tmp_path / f"out/f{number}").read_bytes() for number in range(4)] == contents
