"""The packages import each other only as docs/architecture.md says, and no modules import each other in a ring."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src"
NAME = "buildwright"
FACE = ""
"""The package's own `__init__` and `__main__`: the public API, which may name anything."""

_BUILDING = frozenset(
    {"errors", "model", "wire", "registry", "kube", "client", "drivers", "builders", "build", "progress"}
)
MAY_IMPORT: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "model": frozenset({"errors"}),
    "wire": frozenset({"errors", "model"}),
    "registry": frozenset({"errors", "model"}),
    "kube": frozenset({"errors", "model", "wire"}),
    "client": frozenset({"errors", "model", "wire", "registry"}),
    "drivers": frozenset({"errors", "model", "wire", "kube"}),
    "builders": frozenset({"errors", "model", "drivers"}),
    "build": frozenset({"errors", "model", "wire", "registry", "client", "drivers", "builders"}),
    "progress": frozenset({"errors", "model"}),
    "cli": _BUILDING,
    "testing": _BUILDING | {"cli"},
    FACE: _BUILDING | {"cli"},
}


@dataclass(frozen=True, slots=True)
class Edge:
    importer: str
    imported: str
    line: int
    on_load: bool
    """Followed when the importing module is loaded: not inside a function, not under TYPE_CHECKING."""


def test_packages_import_only_what_the_table_allows(edges: list[Edge]) -> None:
    wrong = [
        f"{edge.importer}:{edge.line} imports {edge.imported}"
        for edge in edges
        if (source := package(edge.importer)) != (target := package(edge.imported))
        and target not in MAY_IMPORT[source]
        and not (target == FACE and edge.imported == f"{NAME}.__version__")
    ]
    assert not wrong, "edges that the table does not have:\n" + "\n".join(wrong)


def test_the_table_names_every_package_and_only_existing_ones() -> None:
    found = {
        path.stem
        for path in (SOURCE / NAME).iterdir()
        if not path.name.startswith("_") and (path.is_dir() or path.suffix == ".py")
    }
    assert found - {"py"} == set(MAY_IMPORT) - {FACE}


def test_the_table_itself_has_no_cycle() -> None:
    assert not cycles({name: set(targets) for name, targets in MAY_IMPORT.items()})


def test_modules_do_not_import_each_other_in_a_ring(edges: list[Edge]) -> None:
    graph: dict[str, set[str]] = {}
    for edge in edges:
        if edge.on_load:
            graph.setdefault(edge.importer, set()).add(edge.imported)
    assert not cycles(graph)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import buildwright.errors", ["buildwright.errors"]),
        ("from buildwright.model import node", ["buildwright.model.node"]),
        ("from buildwright.model.node import Node", ["buildwright.model.node"]),
        ("from . import node", ["buildwright.model.node"]),
        ("from .node import Node", ["buildwright.model.node"]),
        ("from .. import errors", ["buildwright.errors"]),
        ("def f():\n    from buildwright import errors", ["buildwright.errors"]),
        ("if TYPE_CHECKING:\n    import buildwright.errors", ["buildwright.errors"]),
        ("import asyncio", []),
    ],
)
def test_every_form_of_import_is_an_edge(text: str, expected: list[str]) -> None:
    known = {"buildwright", "buildwright.errors", "buildwright.model", "buildwright.model.node"}
    assert [edge.imported for edge in imports("buildwright.model.status", False, ast.parse(text), known)] == expected


def test_a_ring_is_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c"]]


# --- reading the imports -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def edges() -> list[Edge]:
    paths = {module_name(path): path for path in (SOURCE / NAME).rglob("*.py")}
    return [
        edge
        for name, path in paths.items()
        for edge in imports(name, path.name == "__init__.py", ast.parse(path.read_text()), set(paths))
    ]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def package(module: str) -> str:
    first = module.split(".")[1:2]
    return FACE if not first or first[0].startswith("__") else first[0]


def imports(module: str, is_package: bool, tree: ast.Module, known: set[str]) -> Iterator[Edge]:
    """Every import of our own modules, wherever it stands. `from package import module` is an edge to the module."""

    def walk(node: ast.AST, on_load: bool) -> Iterator[tuple[ast.stmt, bool]]:
        for child in ast.iter_child_nodes(node):
            lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or is_type_checking(child)
            if isinstance(child, ast.Import | ast.ImportFrom):
                yield child, on_load
            yield from walk(child, on_load and not lazy)

    for node, on_load in walk(tree, True):
        for target in targets(node, module, is_package, known):
            if target.split(".")[0] == NAME and target != module:
                yield Edge(module, target, node.lineno, on_load)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def targets(node: ast.stmt, module: str, is_package: bool, known: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = module.split(".")[: None if is_package and node.level == 1 else -(node.level - is_package)]
            base = ".".join([*parents, *filter(None, [node.module])])
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield inner if inner in known or inner == f"{NAME}.__version__" else base


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (Tarjan's strongly connected components of two and more)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return found
