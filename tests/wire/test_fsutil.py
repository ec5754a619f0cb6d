"""The fsutil codec against the generated messages, modes both ways, and the rules for a listing."""

import stat as posix

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.errors import ProtocolError
from buildwright.wire import fsutil
from buildwright.wire.fsutil import ListingCheck, Packet, PacketType, Stat
from buildwright.wire.proto import fsutil_pb2

uint32 = st.integers(0, 2**32 - 1)
int64 = st.integers(-(2**63), 2**63 - 1)
text = st.text(max_size=40).map(lambda value: value.encode())
stats = st.builds(
    Stat,
    path=text,
    mode=uint32,
    size=int64,
    mod_time=int64,
    linkname=text,
    uid=uint32,
    gid=uint32,
    dev_major=int64,
    dev_minor=int64,
    xattrs=st.dictionaries(st.text(max_size=10), st.binary(max_size=10), max_size=3),
)
packets = st.builds(
    Packet,
    type=st.sampled_from(PacketType).map(int),
    stat=st.none() | stats,
    id=uint32,
    data=st.binary(max_size=300),
)


def generated(packet: Packet) -> fsutil_pb2.Packet:
    message = fsutil_pb2.Packet(type=packet.type, ID=packet.id, data=packet.data)
    if packet.stat is not None:
        entry = packet.stat
        message.stat.SetInParent()
        message.stat.path, message.stat.linkname = entry.path.decode(), entry.linkname.decode()
        message.stat.mode, message.stat.uid, message.stat.gid = entry.mode, entry.uid, entry.gid
        message.stat.size, message.stat.modTime = entry.size, entry.mod_time
        message.stat.devmajor, message.stat.devminor = entry.dev_major, entry.dev_minor
        for key, value in entry.xattrs.items():
            message.stat.xattrs[key] = value
    return message


@given(packets)
def test_what_is_encoded_here_is_read_by_the_generated_message(packet: Packet) -> None:
    assert fsutil_pb2.Packet.FromString(fsutil.encode_packet(packet)) == generated(packet)


@given(packets)
def test_what_the_generated_message_encodes_is_read_here(packet: Packet) -> None:
    assert fsutil.decode_packet(generated(packet).SerializeToString()) == packet


@given(stats)
def test_a_framed_stat_is_a_prefix_and_a_packet(entry: Stat) -> None:
    framed = fsutil.framed_stat(entry)
    assert framed[:5] == b"\0" + (len(framed) - 5).to_bytes(4, "big")
    assert fsutil.decode_packet(framed[5:]) == Packet(PacketType.STAT, entry)


@given(uint32, st.binary(min_size=1, max_size=300))
def test_framed_content_is_a_prefix_and_a_packet_and_so_is_its_end(file_id: int, data: bytes) -> None:
    framing = fsutil.ContentFraming(file_id)
    for framed, content in ((framing.header(len(data)) + data, data), (framing.end, b"")):
        assert framed[:5] == b"\0" + (len(framed) - 5).to_bytes(4, "big")
        assert fsutil.decode_packet(framed[5:]) == Packet(PacketType.DATA, None, file_id, content)


@given(packets)
def test_a_request_is_told_from_every_other_packet_at_a_glance(packet: Packet) -> None:
    found = fsutil.requested_id(fsutil.encode_packet(packet))
    assert found is None or packet == Packet(PacketType.REQ, None, found)


@given(st.integers(1, 2**32 - 1))
def test_a_plain_request_is_read_at_a_glance(file_id: int) -> None:
    assert fsutil.requested_id(fsutil.encode_packet(Packet(PacketType.REQ, id=file_id))) == file_id


@given(st.binary(max_size=8))
def test_what_is_read_at_a_glance_is_what_the_decoder_reads(tail: bytes) -> None:
    message = b"\x08\x01\x18" + tail
    found = fsutil.requested_id(message)
    assert found is None or fsutil.decode_packet(message) == Packet(PacketType.REQ, None, found)


def test_the_end_of_a_listing_is_an_empty_message() -> None:
    assert fsutil.encode_packet(Packet(PacketType.STAT)) == b""
    assert fsutil.decode_packet(b"") == Packet(PacketType.STAT)


def test_names_that_are_no_utf8_survive() -> None:
    entry = Stat(path=b"caf\xe9", mode=0o644, linkname=b"\xff")
    assert fsutil.decode_stat(fsutil.encode_stat(entry)) == entry


@given(st.binary(max_size=60))
def test_any_bytes_are_a_packet_or_a_protocol_error(message: bytes) -> None:
    try:
        packet = fsutil.decode_packet(message)
    except ProtocolError:
        return
    assert isinstance(packet, Packet)


def test_unknown_fields_are_skipped() -> None:
    unknown = b"\x78\x05" + b"\x7d\1\2\3\4" + b"\x79\1\2\3\4\5\6\7\x08" + b"\x7a\x02hi"
    assert fsutil.decode_packet(unknown + b"\x08\x01\x18\x07" + unknown) == Packet(PacketType.REQ, None, 7)


@pytest.mark.parametrize(
    ("st_mode", "mode"),
    [
        (posix.S_IFREG | 0o644, 0o644),
        (posix.S_IFDIR | 0o755, 1 << 31 | 0o755),
        (posix.S_IFDIR | posix.S_ISVTX | 0o777, 1 << 31 | 1 << 20 | 0o777),
        (posix.S_IFLNK | 0o777, 1 << 27 | 0o777),
        (posix.S_IFBLK | 0o660, 1 << 26 | 0o660),
        (posix.S_IFCHR | 0o666, 1 << 26 | 1 << 21 | 0o666),
        (posix.S_IFIFO | 0o600, 1 << 25 | 0o600),
        (posix.S_IFSOCK | 0o700, 1 << 24 | 0o700),
        (posix.S_IFREG | posix.S_ISUID | 0o755, 1 << 23 | 0o755),
        (posix.S_IFREG | posix.S_ISGID | 0o755, 1 << 22 | 0o755),
        (0o160000 | 0o644, 1 << 19 | 0o644),
    ],
)
def test_modes_are_those_of_go(st_mode: int, mode: int) -> None:
    assert fsutil.file_mode(st_mode) == mode
    assert fsutil.permissions(mode) == posix.S_IMODE(st_mode)


def test_a_slash_sorts_before_every_other_byte() -> None:
    paths = [b"a-b", b"a/b", b"a", b"a/b/c", b"a\x01", b"b"]
    assert sorted(paths, key=fsutil.path_key) == [b"a", b"a/b", b"a/b/c", b"a\x01", b"a-b", b"b"]


def listing(*entries: Stat | str) -> None:
    check = ListingCheck()
    for entry in entries:
        if isinstance(entry, str):
            is_dir = entry.endswith("/")
            entry = Stat(entry.removesuffix("/").encode(), fsutil.MODE_DIR | 0o755 if is_dir else 0o644)
        check.check(entry)


def test_a_listing_in_order_passes() -> None:
    listing(
        "Dockerfile", "src/", "src/a", "src/b/", "src/b/c", "src/d", "src-old", Stat(b"z", 0o644, linkname=b"src/a")
    )


@pytest.mark.parametrize("path", ["", "/etc", "..", "../a", "a/..", "a//b", ".", "./a", "a/.", "a\0b"])
def test_a_path_that_is_not_clean_is_refused(path: str) -> None:
    with pytest.raises(ProtocolError, match="no clean path"):
        listing("a/", Stat(path.encode(), 0o644))


@pytest.mark.parametrize(
    "entries",
    [("b", "a"), ("a", "a"), ("a/b",), ("a", "a/b"), ("a/", "b", "a/c"), ("a/", "a/b/", "a/c", "a/b/d")],
)
def test_an_entry_out_of_order_or_without_its_folder_is_refused(entries: tuple[str, ...]) -> None:
    with pytest.raises(ProtocolError, match="out of order or before its folder"):
        listing(*entries)


def test_a_link_to_what_was_not_sent_is_refused() -> None:
    with pytest.raises(ProtocolError, match="has not sent"):
        listing("a", Stat(b"b", 0o644, linkname=b"../etc/passwd"))


def test_a_symlink_is_no_folder_for_later_entries() -> None:
    with pytest.raises(ProtocolError, match="before its folder"):
        listing(Stat(b"a", fsutil.MODE_SYMLINK | 0o777, linkname=b"/etc"), "a/passwd")


@given(st.lists(st.lists(st.sampled_from(["a", "a-", "b", "\x01"]), min_size=1, max_size=3), max_size=8))
def test_exactly_the_sorted_listings_pass(names: list[list[str]]) -> None:
    folders = {"/".join(name[:end]) for name in names for end in range(1, len(name) + 1)}
    ordered = sorted((folder.encode() for folder in folders), key=fsutil.path_key)
    listing(*(path.decode() + "/" for path in ordered))
    for first in range(len(ordered) - 1):
        swapped = ordered.copy()
        swapped[first], swapped[first + 1] = swapped[first + 1], swapped[first]
        with pytest.raises(ProtocolError):
            listing(*(path.decode() + "/" for path in swapped))
