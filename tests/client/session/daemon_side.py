"""The daemon's part in a transfer of files, over a connection in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from buildwright.client.session.service import Service
from buildwright.wire.channel import Channel
from buildwright.wire.fsutil import Packet, PacketType, Stat, encode_packet
from buildwright.wire.memory import memory_pair
from buildwright.wire.rpc import ClientCall, Metadata
from buildwright.wire.serve import Server
from buildwright.wire.transfer import Content, EndOfListing, Entry, Finished, Receiver, Requested, Sender

SYNC = "/moby.filesync.v1.FileSync/DiffCopy"
SEND = "/moby.filesync.v1.FileSend/DiffCopy"


@contextlib.asynccontextmanager
async def served(service: Service) -> AsyncIterator[Channel]:
    """A channel to a server that offers `service` alone."""
    ours, theirs = memory_pair()
    serving = asyncio.ensure_future(Server(service.handlers()).serve(theirs))
    try:
        async with Channel(ours) as channel:
            yield channel
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@dataclass
class Received:
    """What a daemon got of a folder."""

    stats: dict[str, Stat] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        return list(self.stats)


async def fetch(call: ClientCall, wanted: Iterable[str] | None = None) -> Received:
    """Receive a folder, and the content of the `wanted` paths (of all, if None)."""
    receiver, received, names = Receiver(), Received(), {}
    finishing = False
    while messages := await call.receive_many():
        for message in messages:
            event = receiver.feed(message)
            if isinstance(event, Entry):
                path = event.stat.path.decode(errors="surrogateescape")
                received.stats[path] = event.stat
                asked = wanted is None or path in wanted
                if asked and event.stat.has_content and not event.stat.linkname:
                    names[event.id] = path
                    received.contents[path] = b""
                    await call.send(receiver.request(event.id))
            elif isinstance(event, Content):
                received.contents[names[event.id]] += event.data
            else:
                assert isinstance(event, EndOfListing | Finished)
        if receiver.complete and not finishing:
            finishing = True
            await call.send(receiver.finish())
    return received


def synced(service: Service, metadata: Metadata, wanted: Iterable[str] | None = None) -> Received:
    """What a daemon gets that asks for a folder with `metadata`."""

    async def run() -> Received:
        async with served(service) as channel, channel.call(SYNC, metadata=metadata, timeout=60) as call:
            return await fetch(call, wanted)

    return asyncio.run(run())


async def deliver(call: ClientCall, entries: Iterable[tuple[Stat, bytes]]) -> None:
    """Send a folder as an exporter does, and end only when the receiver has."""
    sender, contents = Sender(), {}
    for stat, content in entries:
        contents[stat.path] = content
        await call.send_framed([sender.stat(stat)])
    await call.send(b"")
    while not sender.finished:
        messages = await call.receive_many()
        assert messages, "the receiver ended before FIN"
        for request in sender.feed(messages):
            await send_content(call, request, contents[request.path])
    await call.send(encode_packet(Packet(PacketType.FIN)))
    assert await call.receive() is None


async def send_content(call: ClientCall, request: Requested, content: bytes) -> None:
    for start in range(0, len(content), 1000):
        data = content[start : start + 1000]
        await call.send(encode_packet(Packet(PacketType.DATA, None, request.id, data)))
    await call.send(encode_packet(Packet(PacketType.DATA, None, request.id)))
