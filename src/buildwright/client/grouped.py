"""The one error that a group of tasks failed with."""

from __future__ import annotations

from collections.abc import Iterator

from buildwright.errors import BuildwrightError, ConnectionLostError, ProtocolError, RpcError


def most_telling(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error in `group` that says most of what went wrong; the others are added to it as notes.

    A programming error comes first, so that nothing hides it, then what failed on our side, then what the peer told,
    and last that the connection ended, which mostly follows from another.
    """
    leaves = list(_leaves(group))
    told = min(leaves, key=_rank)
    for other in leaves:
        if other is not told:
            told.add_note(f"at the same time: {type(other).__name__}: {other}")
    return told


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _leaves(member)
    else:
        yield error


def _rank(error: BaseException) -> int:
    if not isinstance(error, BuildwrightError):
        return 0
    kinds = (RpcError, ProtocolError, ConnectionLostError)
    return next((place for place, kind in enumerate(kinds, 2) if isinstance(error, kind)), 1)
