"""What the code may cost: lines of a module or function, what start-up loads, modules that only Unix has."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src/buildwright"
LINES_OF_A_MODULE = 600
LINES_OF_A_FUNCTION = 60
HEAVY = (
    "asyncio",
    "ssl",
    "google",
    "hpack",
    "httpx2",
    "lightkube",
    "websockets",
    "cryptography",
    "tomllib",
)
UNIX_ONLY = ("fcntl", "grp", "pwd", "resource", "termios", "tty")


def modules() -> Iterator[Path]:
    return (path for path in SOURCE.rglob("*.py") if not path.stem.endswith("_pb2"))


def test_no_module_is_too_long() -> None:
    lengths = {str(path.relative_to(SOURCE)): len(path.read_text().splitlines()) for path in modules()}
    assert {name: length for name, length in lengths.items() if length > LINES_OF_A_MODULE} == {}


def test_no_function_is_too_long() -> None:
    too_long = {
        f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}": length
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > LINES_OF_A_FUNCTION
    }
    assert too_long == {}


@pytest.mark.parametrize(
    "statement",
    [
        "import buildwright",
        "from buildwright.cli.main import main; main(['--help'])",
    ],
)
def test_a_short_command_loads_nothing_heavy(statement: str) -> None:
    after = f"import sys\n{statement}\nprint(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", after], check=True, capture_output=True, text=True)
    assert done.stderr.split() == []


def test_a_module_of_one_system_is_imported_only_where_that_system_is_known() -> None:
    unguarded = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in modules()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom) and imported(node) & set(UNIX_ONLY)
    ]
    assert unguarded == []


def imported(node: ast.Import | ast.ImportFrom) -> set[str | None]:
    return {node.module} if isinstance(node, ast.ImportFrom) else {alias.name for alias in node.names}
