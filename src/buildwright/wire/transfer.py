"""Both sides of one fsutil transfer as state machines: feed packets, get what to do; no I/O.

    sender                                   receiver
    STAT for each entry, ids count up   -->
                                        <--  REQ{id} for each content that is wanted, at any time
    STAT without a stat: end of listing -->
    DATA{id, bytes}*, DATA{id}: its end -->
                                        <--  FIN once all is applied
    FIN, and the call ends at once      -->

Either side may send ERR instead. The sender must not wait for the receiver's half-close after its FIN: that
waits for ever. Described in fsutil's receive.go.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from buildwright.errors import Code, ProtocolError, RpcError
from buildwright.wire.fsutil import (
    ListingCheck,
    Packet,
    PacketType,
    Stat,
    decode_packet,
    encode_packet,
    framed_stat,
    requested_id,
)
from buildwright.wire.rpc import frame

END_OF_LISTING = frame(b"")
FIN = frame(encode_packet(Packet(PacketType.FIN)))


def framed_error(text: str) -> bytes:
    """An ERR packet in a gRPC message; the other side ends its call with `text`."""
    return frame(encode_packet(Packet(PacketType.ERR, data=text.encode(errors="replace"))))


class Requested(NamedTuple):
    """The receiver wants the content of `path`; `size` is what its STAT said."""

    id: int
    path: bytes
    size: int


class Sender:
    """The side that has the files. What it returns as bytes are whole gRPC messages, ready for `send_framed`."""

    def __init__(self) -> None:
        self._next_id = 0
        self._unrequested: dict[int, tuple[bytes, int]] = {}
        self.finished = False

    def stat(self, stat: Stat) -> bytes:
        """The message for the next entry of the listing."""
        if stat.has_content:
            self._unrequested[self._next_id] = (stat.path, stat.size)
        self._next_id += 1
        return framed_stat(stat)

    def feed(self, messages: Iterable[bytes]) -> list[Requested]:
        """Take in the receiver's messages; returns what it asks for now and sets `finished` at its FIN.

        Raises RpcError when the receiver reports that it failed, ProtocolError when it breaks the rules.
        """
        requested = []
        for message in messages:
            file_id = requested_id(message)
            if file_id is not None:
                requested.append(self._request(file_id))
                continue
            packet = decode_packet(message)
            if packet.type == PacketType.REQ:
                requested.append(self._request(packet.id))
            elif packet.type == PacketType.FIN:
                self.finished = True
            elif packet.type == PacketType.ERR:
                raise RpcError(Code.UNKNOWN, "error from receiver: " + packet.data.decode(errors="replace"))
        return requested

    def _request(self, file_id: int) -> Requested:
        entry = self._unrequested.pop(file_id, None)
        if entry is None:
            raise ProtocolError(f"the receiver of a folder asked for the invalid file id {file_id}")
        return Requested(file_id, *entry)


@dataclass(frozen=True, slots=True)
class Entry:
    """The next entry of the listing. Its content, if it has any and is wanted, must be asked for by `id`."""

    id: int
    stat: Stat


@dataclass(frozen=True, slots=True)
class EndOfListing:
    pass


@dataclass(frozen=True, slots=True)
class Content:
    """The next bytes of a file that was asked for; no bytes at its end."""

    id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """The sender has answered our FIN."""


Event: TypeAlias = Entry | EndOfListing | Content | Finished


class Receiver:
    """The side that wants the files. It checks the listing, so that entries can be created as they come."""

    def __init__(self) -> None:
        self._check = ListingCheck()
        self._next_id = 0
        self._offered: set[int] = set()
        self._open: set[int] = set()
        self._listed = False

    @property
    def complete(self) -> bool:
        """Whether the listing and all that was asked for have arrived, so that `finish` may be sent."""
        return self._listed and not self._open

    def feed(self, message: bytes) -> Event:
        """What the sender's next message means.

        Raises RpcError when the sender reports that it failed, ProtocolError when it breaks the rules.
        """
        packet = decode_packet(message)
        if packet.type == PacketType.STAT:
            return self._listing(packet.stat)
        if packet.type == PacketType.DATA:
            if packet.id not in self._open:
                raise ProtocolError(f"the sender of a folder sent content that was not asked for, id {packet.id}")
            if not packet.data:
                self._open.remove(packet.id)
            return Content(packet.id, packet.data)
        if packet.type == PacketType.FIN:
            return Finished()
        if packet.type == PacketType.ERR:
            raise RpcError(Code.UNKNOWN, "error from sender: " + packet.data.decode(errors="replace"))
        raise ProtocolError(f"the sender of a folder sent a packet of the unknown type {packet.type}")

    def _listing(self, stat: Stat | None) -> Event:
        if self._listed:
            raise ProtocolError("the sender of a folder went on with its listing after the end of it")
        if stat is None:
            self._listed = True
            return EndOfListing()
        if os.name == "nt" and (b"\\" in stat.path or b":" in stat.path):
            raise ProtocolError(f"{os.fsdecode(stat.path)!r} cannot be a name on Windows; rename it in the build")
        self._check.check(stat)
        entry = Entry(self._next_id, stat)
        if stat.has_content:
            self._offered.add(entry.id)
        self._next_id += 1
        return entry

    def request(self, file_id: int) -> bytes:
        """The message that asks for the content of an entry; each may be asked for once."""
        self._offered.remove(file_id)
        self._open.add(file_id)
        return encode_packet(Packet(PacketType.REQ, id=file_id))

    def finish(self) -> bytes:
        """The message that says that all is applied."""
        return encode_packet(Packet(PacketType.FIN))
