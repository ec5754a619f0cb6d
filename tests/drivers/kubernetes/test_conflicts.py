"""A change goes on although others change the same, and not for ever."""

from __future__ import annotations

import asyncio

import pytest

from buildwright.drivers.kubernetes.conflicts import despite_others
from buildwright.errors import ClusterError


def tried(*statuses: int) -> int:
    """How often a step is done that fails with each of `statuses` in turn, and then no more."""
    left = list(statuses)

    async def step() -> int:
        if left:
            raise ClusterError("no", status=left.pop(0))
        return len(statuses) + 1

    return asyncio.run(despite_others(step))


def test_a_step_is_done_again_when_others_have_changed_or_removed_the_object() -> None:
    assert tried() == 1
    assert tried(409, 404, 409, 409) == 5


def test_what_goes_on_for_ever_is_told() -> None:
    with pytest.raises(ClusterError):
        tried(409, 409, 409, 409, 409)


def test_another_failure_is_told_at_once() -> None:
    with pytest.raises(ClusterError) as caught:
        tried(403, 409)
    assert caught.value.status == 403
