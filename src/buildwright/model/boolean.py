"""The words that options and variables take for true and false (Go's strconv.ParseBool)."""

from __future__ import annotations

_TRUE = frozenset("1 t T TRUE true True".split())
_FALSE = frozenset("0 f F FALSE false False".split())


def parse(text: str) -> bool:
    """Read a truth value; ValueError for any other word."""
    if text not in _TRUE and text not in _FALSE:
        raise ValueError(f'invalid value "{text}": write true or false')
    return text in _TRUE


def is_true(text: str) -> bool:
    """Read a truth value where any other word counts as false."""
    return text in _TRUE
