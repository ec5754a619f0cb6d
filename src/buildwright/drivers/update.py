"""The seam between a node whose options change and the daemons that shall follow."""

from __future__ import annotations

from typing import Protocol

from buildwright.model.status import StatusSink


class Update(Protocol):
    """One node's change, step by step in this order. Making one reads no network and refuses what is never possible.

    Every method may raise ConnectError, ClusterError, ConfigurationError or UsageError. None but `follow`
    waits for daemons: the others take as long as the answers to their requests, of which each is given up after some
    20 seconds, and `apply` up to a minute more where something has to be gone before it is made anew.
    """

    async def plan(self) -> tuple[str, ...]:
        """Lines that say what would change, none when nothing does. UsageError for what cannot be."""
        ...

    async def apply(self) -> None:
        """Do what was planned. What an error or a cancellation leaves half-done is completed by a second Update."""
        ...

    async def follow(self, sink: StatusSink, /) -> None:
        """Wait until all daemons that take builds are as they shall be, and then remove what new ones do not use.

        No-op when they are. Former ones may still finish builds, which `sink` hears of. NotReadyError when they do
        not become so in time or cannot. Then those of before that still run go on.
        """
        ...
