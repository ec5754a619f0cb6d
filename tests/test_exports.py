"""What is public is listed: `__all__`, docs/python.md and what a type checker sees are the same names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import buildwright

ROOT = Path(__file__).resolve().parent.parent


def test_every_public_name_is_documented_and_nothing_else() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/python.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(buildwright.__all__)


def test_a_type_checker_sees_the_same_names() -> None:
    tree = ast.parse((ROOT / "src/buildwright/__init__.py").read_text())
    imported = [
        alias.asname or alias.name
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    ]
    assert sorted(imported) == sorted(buildwright.__all__)


@pytest.mark.parametrize("name", buildwright.__all__)
def test_a_public_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    member = getattr(buildwright, name)
    assert member.__module__.startswith("buildwright.")
    # a dataclass without a docstring is given its signature
    assert member.__doc__
    assert not member.__doc__.startswith(f"{name}(")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = buildwright.nothing
