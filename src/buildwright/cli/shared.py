"""What several commands have: flags, and asking before something goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from buildwright.cli.flags import Flag, Kind
from buildwright.model import duration

if TYPE_CHECKING:
    from buildwright.cli.command import Context

TIMEOUT = Flag(
    name="timeout",
    kind=Kind.DURATION,
    default=20 * duration.SECOND,
    help="Override the default timeout for loading builder status",
)


async def confirmed(what: str, out: TextIO, context: Context) -> bool:
    """Ask on `out` whether `what` is meant; the end of stdin is a no."""
    import asyncio

    out.write(f"WARNING! {what} Are you sure you want to continue? [y/N] ")
    out.flush()
    try:
        answer = await asyncio.to_thread(context.stdin.readline)
    except asyncio.CancelledError:
        out.write("\n")  # what is said next is no answer
        raise
    return answer.strip().lower() == "y"
