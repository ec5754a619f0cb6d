"""Names of builders and nodes: the rule for them, and new ones for those that the user leaves unnamed."""

from __future__ import annotations

import random
import re
import secrets
from collections.abc import Callable

from buildwright.errors import StoreError, UsageError

_RULE = re.compile(r"[a-zA-Z][a-zA-Z0-9.\-_]*")
_QUALITIES = (
    "agile amber ample brave bright brisk calm candid clear clever crisp deft eager early exact fair "
    "fleet fond frank gentle glad golden grand handy hardy humble ideal jolly keen kind level light "
    "lively lucid merry mild neat noble open patient plain prime proud quick quiet rapid ready robust "
    "sharp silver sleek solid sound steady still sunny swift tidy true upbeat vivid warm wise witty young "
    "zesty"
).split()
_SURNAMES = (
    "abel archimedes babbage banach bell bohr boole borg brunel cantor carson cauchy cerf church codd "
    "cray curie darwin dijkstra dirac eames edison eiffel engelbart erdos euclid euler faraday fermat "
    "feynman franklin galileo galois gauss germain goedel hamilton hamming hawking hilbert hopper hypatia "
    "joule kay kepler kilby knuth lamarr lamport leibniz liskov lovelace maxwell mccarthy mirzakhani "
    "moore neumann newton noether pascal perlman planck poincare ramanujan riemann ritchie sagan shannon "
    "tesla thompson torvalds turing volta watt wiles wirth wozniak zuse"
).split()


def check(name: str) -> str:
    """The name's form in file names, lower case; UsageError when it breaks the rule."""
    if not is_valid(name):
        raise UsageError(
            f'invalid name "{name}": a name starts with a letter and has only letters, digits and the symbols . - _'
        )
    return name.lower()


def is_valid(name: str) -> bool:
    return _RULE.fullmatch(name) is not None


def generate(taken: Callable[[str], bool]) -> str:
    """A new builder's name; StoreError when six of them were taken."""
    for attempt in range(6):
        digit = str(random.randrange(10)) if attempt else ""
        name = f"{random.choice(_QUALITIES)}_{random.choice(_SURNAMES)}{digit}"
        if not taken(name):
            return name
    raise StoreError("no free builder name was found: give one with --name")


def deployment() -> str:
    """A word that no other node's endpoint has."""
    import uuid

    return f"buildkit-{uuid.uuid4()}-"[:58] + secrets.token_hex(3)[:5]
