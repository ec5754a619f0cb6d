"""Changes that are decided by what is there, while others change the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from buildwright.errors import ClusterError
from buildwright.kube.api import CONFLICT, NOT_FOUND

_T = TypeVar("_T")
_ATTEMPTS = 5


async def despite_others(step: Callable[[], Awaitable[_T]]) -> _T:
    """Do a step that reads, decides and writes, again when somebody else has changed or removed the object between.

    Raises what the step does; a ClusterError of CONFLICT or NOT_FOUND only when the step had it five times.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return await step()
        except ClusterError as error:
            if error.status not in (CONFLICT, NOT_FOUND):
                raise
    return await step()
