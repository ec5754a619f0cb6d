"""The packets of tonistiigi/fsutil, which FileSync and FileSend carry for folders: codec, modes, path order.

The codec is written by hand because a context of 50,000 files is 150,000 packets, and because the names of
files are bytes: Go puts them on the wire as they are, where a protobuf `string` would refuse all but UTF-8.
Formats: fsutil's types/wire.proto and types/stat.proto; Go's os.FileMode.
"""

from __future__ import annotations

import os
import stat as posix
from collections.abc import Mapping
from enum import IntEnum
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from buildwright.errors import ProtocolError

MODE_DIR = 1 << 31
MODE_SYMLINK = 1 << 27
MODE_DEVICE = 1 << 26
MODE_NAMED_PIPE = 1 << 25
MODE_SOCKET = 1 << 24
MODE_SETUID = 1 << 23
MODE_SETGID = 1 << 22
MODE_CHAR_DEVICE = 1 << 21
MODE_STICKY = 1 << 20
MODE_IRREGULAR = 1 << 19
MODE_TYPE = MODE_DIR | MODE_SYMLINK | MODE_NAMED_PIPE | MODE_SOCKET | MODE_DEVICE | MODE_CHAR_DEVICE | MODE_IRREGULAR

_UINT32 = (1 << 32) - 1
_UINT64 = (1 << 64) - 1
_NO_XATTRS: Mapping[str, bytes] = MappingProxyType({})


class PacketType(IntEnum):
    STAT = 0
    REQ = 1
    DATA = 2
    FIN = 3
    ERR = 4


class Stat(NamedTuple):
    """One entry of a folder.

    `path` is relative to the root, with `/` between its components; `mode` is Go's os.FileMode; `mod_time` is in
    nanoseconds since the epoch. `linkname` is a symlink's target, or for a regular file the earlier path that it
    is a hard link to. A tuple, because one is made for every file of a context.
    """

    path: bytes
    mode: int
    size: int = 0
    mod_time: int = 0
    linkname: bytes = b""
    uid: int = 0
    gid: int = 0
    dev_major: int = 0
    dev_minor: int = 0
    xattrs: Mapping[str, bytes] = _NO_XATTRS

    @property
    def is_dir(self) -> bool:
        return self.mode & MODE_DIR != 0

    @property
    def is_symlink(self) -> bool:
        return self.mode & MODE_SYMLINK != 0

    @property
    def has_content(self) -> bool:
        """Whether a receiver may ask for content: sender and receiver must agree on this."""
        return self.mode & MODE_TYPE == 0


class Packet(NamedTuple):
    """A STAT without `stat` ends the listing; a DATA without `data` ends the file `id`."""

    type: int
    stat: Stat | None = None
    id: int = 0
    data: bytes = b""


_ONE_BYTE = tuple(bytes((value,)) for value in range(0x80))


def varint(value: int) -> bytes:
    """`value`, taken as 64 bits, in protobuf's base-128 form."""
    # Spelled out for the lengths that a listing is made of: lengths and sizes, ids, and times of our days.
    if 0 <= value < 0x80:
        return _ONE_BYTE[value]
    if 0 < value < 1 << 14:
        return bytes((value & 0x7F | 0x80, value >> 7))
    if 0 < value < 1 << 21:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    if 1 << 56 <= value < 1 << 63:
        return bytes(
            (
                value & 0x7F | 0x80,
                value >> 7 & 0x7F | 0x80,
                value >> 14 & 0x7F | 0x80,
                value >> 21 & 0x7F | 0x80,
                value >> 28 & 0x7F | 0x80,
                value >> 35 & 0x7F | 0x80,
                value >> 42 & 0x7F | 0x80,
                value >> 49 & 0x7F | 0x80,
                value >> 56,
            )
        )
    value &= _UINT64
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


@cache
def _mode_field(mode: int) -> bytes:
    return b"\x10" + varint(mode) if mode else b""


def _length_delimited(tag: bytes, value: bytes) -> bytes:
    return tag + varint(len(value)) + value


def encode_stat(stat: Stat) -> bytes:
    """`stat` as a `fsutil.types.Stat` message, fields in ascending order, as Go writes it."""
    path, mode, size, mod_time, linkname, uid, gid, dev_major, dev_minor, xattrs = stat
    encoded = b"\x0a" + varint(len(path)) + path + _mode_field(mode)
    if uid:
        encoded += b"\x18" + varint(uid)
    if gid:
        encoded += b"\x20" + varint(gid)
    if size:
        encoded += b"\x28" + varint(size)
    if mod_time:
        encoded += b"\x30" + varint(mod_time)
    if linkname:
        encoded += _length_delimited(b"\x3a", linkname)
    if dev_major:
        encoded += b"\x40" + varint(dev_major)
    if dev_minor:
        encoded += b"\x48" + varint(dev_minor)
    if xattrs:
        encoded += b"".join(_xattr(key, xattrs[key]) for key in sorted(xattrs))
    return encoded


def _xattr(key: str, value: bytes) -> bytes:
    return _length_delimited(
        b"\x52", _length_delimited(b"\x0a", os.fsencode(key)) + _length_delimited(b"\x12", value)
    )


def encode_packet(packet: Packet) -> bytes:
    """`packet` as a `fsutil.types.Packet` message. The end of a listing is b""."""
    encoded = b"" if packet.type == PacketType.STAT else b"\x08" + varint(packet.type)
    if packet.stat is not None:
        encoded += _length_delimited(b"\x12", encode_stat(packet.stat))
    if packet.id:
        encoded += b"\x18" + varint(packet.id)
    if packet.data:
        encoded += _length_delimited(b"\x22", packet.data)
    return encoded


def framed_stat(stat: Stat) -> bytes:
    """`stat` in a STAT packet in a gRPC message: the prefix and the packet in one piece of bytes."""
    encoded = encode_stat(stat)
    header = b"\x12" + varint(len(encoded))
    return b"\0" + (len(header) + len(encoded)).to_bytes(4, "big") + header + encoded


class ContentFraming:
    """The DATA packets of one file in gRPC messages, but for the content itself.

    `header(n)` is what comes before `n` bytes of content, `end` the message that ends the file.
    """

    __slots__ = ("_packet", "end")

    def __init__(self, file_id: int) -> None:
        self._packet = b"\x08\x02\x18" + varint(file_id) if file_id else b"\x08\x02"
        self.end = b"\0\0\0\0" + _ONE_BYTE[len(self._packet)] + self._packet

    def header(self, length: int) -> bytes:
        packet = self._packet + b"\x22" + varint(length)
        return b"\0" + (len(packet) + length).to_bytes(4, "big") + packet


def requested_id(message: bytes) -> int | None:
    """The id in a REQ packet; None for any other packet, and for a REQ written in some unusual way."""
    if not 3 < len(message) < 9 or not message.startswith(b"\x08\x01\x18"):
        return None
    file_id = 0
    for shift, byte in enumerate(message[3:]):
        file_id |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return file_id & _UINT32 if shift + 4 == len(message) else None
    return None


def decode_packet(message: bytes) -> Packet:
    """The packet in `message`; unknown fields are skipped, ProtocolError on what is no protobuf message."""
    kind = file_id = 0
    stat: bytes | None = None
    data = b""
    for field, value in _fields(message):
        if isinstance(value, int):
            if field == 1:
                kind = value
            elif field == 3:
                file_id = value & _UINT32
        elif field == 2:
            stat = value if stat is None else stat + value
        elif field == 4:
            data = value
    return Packet(kind, None if stat is None else decode_stat(stat), file_id, data)


def decode_stat(message: bytes) -> Stat:
    """The Stat in `message`; ProtocolError on what is no protobuf message."""
    numbers = [0] * 10
    path = linkname = b""
    xattrs: dict[str, bytes] = {}
    for field, value in _fields(message):
        if isinstance(value, int):
            if field < 10:
                numbers[field] = value
        elif field == 1:
            path = value
        elif field == 7:
            linkname = value
        elif field == 10:
            key, content = _map_entry(value)
            xattrs[key] = content
    return Stat(
        path=path,
        mode=numbers[2] & _UINT32,
        size=_signed(numbers[5]),
        mod_time=_signed(numbers[6]),
        linkname=linkname,
        uid=numbers[3] & _UINT32,
        gid=numbers[4] & _UINT32,
        dev_major=_signed(numbers[8]),
        dev_minor=_signed(numbers[9]),
        xattrs=xattrs or _NO_XATTRS,
    )


def _map_entry(message: bytes) -> tuple[str, bytes]:
    key = value = b""
    for field, part in _fields(message):
        if not isinstance(part, int):
            if field == 1:
                key = part
            elif field == 2:
                value = part
    return os.fsdecode(key), value


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _fields(message: bytes) -> list[tuple[int, int | bytes]]:
    """The varint and length-delimited fields of a message in order; fixed-width ones are skipped."""
    found: list[tuple[int, int | bytes]] = []
    at, end = 0, len(message)
    while at < end:
        key, at = _read_varint(message, at)
        field, wire_type = key >> 3, key & 7
        if field == 0:
            raise ProtocolError("a file transfer packet has a field with number 0; the peer does not speak fsutil")
        if wire_type == 0:
            value, at = _read_varint(message, at)
            found.append((field, value))
            continue
        if wire_type == 2:
            length, at = _read_varint(message, at)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ProtocolError(f"a file transfer packet has wire type {wire_type}; the peer does not speak fsutil")
        if length > end - at:
            raise ProtocolError("a file transfer packet ends inside a field; the peer does not speak fsutil")
        if wire_type == 2:
            found.append((field, message[at : at + length]))
        at += length
    return found


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for position in range(at, min(at + 10, len(message))):
        byte = message[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _UINT64, position + 1
        shift += 7
    raise ProtocolError("a file transfer packet holds a broken number; the peer does not speak fsutil")


_TYPES = {
    posix.S_IFDIR: MODE_DIR,
    posix.S_IFLNK: MODE_SYMLINK,
    posix.S_IFIFO: MODE_NAMED_PIPE,
    posix.S_IFSOCK: MODE_SOCKET,
    posix.S_IFBLK: MODE_DEVICE,
    posix.S_IFCHR: MODE_DEVICE | MODE_CHAR_DEVICE,
    posix.S_IFREG: 0,
}
_BITS = ((posix.S_ISUID, MODE_SETUID), (posix.S_ISGID, MODE_SETGID), (posix.S_ISVTX, MODE_STICKY))


@cache
def file_mode(st_mode: int) -> int:
    """Go's os.FileMode for a POSIX st_mode."""
    mode = posix.S_IMODE(st_mode) & 0o777 | _TYPES.get(posix.S_IFMT(st_mode), MODE_IRREGULAR)
    for bit, go_bit in _BITS:
        if st_mode & bit:
            mode |= go_bit
    return mode


@cache
def permissions(mode: int) -> int:
    """The bits that chmod takes for a Go os.FileMode."""
    bits = mode & 0o777
    for bit, go_bit in _BITS:
        if mode & go_bit:
            bits |= bit
    return bits


def path_key(path: bytes) -> bytes:
    """Sorts as fsutil orders paths: component by component, so `/` comes before every other byte."""
    return path.replace(b"/", b"\0")


class ListingCheck:
    """Holds a sender to the rules for a listing: clean paths in order, below a folder already sent, known links.

    `check` raises ProtocolError on the first entry that breaks one. What has passed can be created below a root
    without leaving it: no component of its path is anything but a folder that the same listing has named.
    """

    def __init__(self) -> None:
        self._parents: list[tuple[bytes, bytes]] = [(b"", b"")]
        self._linkable: set[bytes] = set()

    def check(self, stat: Stat) -> None:
        path = stat.path
        parts = path.split(b"/")
        if b"" in parts or b"." in parts or b".." in parts or b"\0" in path:
            raise ProtocolError(f"the sender named {os.fsdecode(path)!r}, which is no clean path below its folder")
        parent, _, name = path.rpartition(b"/")
        while self._parents and self._parents[-1][0] != parent:
            self._parents.pop()
        if not self._parents or self._parents[-1][1] >= name:
            raise ProtocolError(f"the sender named {os.fsdecode(path)!r} out of order or before its folder")
        self._parents[-1] = (parent, name)
        if stat.is_dir:
            self._parents.append((path, b""))
        elif not stat.is_symlink:
            if not stat.linkname:
                self._linkable.add(path)
            elif stat.linkname not in self._linkable:
                raise ProtocolError(
                    f"the sender named {os.fsdecode(path)!r} as a link to {os.fsdecode(stat.linkname)!r}, "
                    "which it has not sent"
                )
