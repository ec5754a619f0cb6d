"""Which of several errors is told, and that the others are not lost."""

from __future__ import annotations

from itertools import permutations

import pytest

from buildwright.client.grouped import most_telling
from buildwright.errors import Code, ConnectionLostError, ContextError, ProtocolError, RpcError

BY_WEIGHT = (
    ZeroDivisionError("a bug"),
    ContextError("cannot read a file"),
    RpcError(Code.UNKNOWN, "told by the peer"),
    ProtocolError("nonsense came"),
    ConnectionLostError("gone"),
)


@pytest.mark.parametrize("weightier", range(len(BY_WEIGHT) - 1))
def test_what_says_most_is_told_in_whatever_order_it_came(weightier: int) -> None:
    for errors in permutations(BY_WEIGHT[weightier : weightier + 2]):
        assert most_telling(BaseExceptionGroup("tasks", errors)) is BY_WEIGHT[weightier]


def test_the_others_are_noted_also_from_groups_within() -> None:
    lost, ours = ConnectionLostError("gone"), ContextError("cannot read a file")
    told = most_telling(BaseExceptionGroup("tasks", [ExceptionGroup("inner", [lost]), ours]))
    assert told is ours
    assert told.__notes__ == ["at the same time: ConnectionLostError: gone"]
