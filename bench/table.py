"""Medians as a table: every program's figures, our ratio to the rival, and whether that is within the limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.cases import OURS, Case
from bench.measure import Cost, median

HEADER = """# Results

Written by `make bench ARGS=--write`: medians of interleaved runs on one machine in one session. Only the ratios carry
over to another machine.
"""
FIGURES = {"cpu": "client CPU, s", "wall": "wall, s", "peak": "peak memory, MiB"}
COLUMNS = ("case", "figure", OURS, "buildctl", "buildx", "python", "ratio", "limit", "")


@dataclass(frozen=True, slots=True)
class Row:
    case: str
    figure: str
    values: Mapping[str, float]
    ratio: float
    limit: str
    within: bool | None


def rows(case: Case, costs: Mapping[str, Sequence[Cost]]) -> list[Row]:
    found = {name: median(list(several)) for name, several in costs.items()}
    made = []
    for figure in case.figures:
        label = FIGURES[figure]
        values = {name: getattr(cost, figure) for name, cost in found.items()}
        ratio = values[OURS] / values[case.rival]
        limit, within = verdict(case, figure, values, ratio)
        made.append(Row(case.title, label, values, ratio, limit, within))
    return made


def verdict(case: Case, figure: str, values: Mapping[str, float], ratio: float) -> tuple[str, bool | None]:
    if figure == "peak" and figure in case.limits:
        return f"{case.limits[figure]:.0f} MiB", values[OURS] <= case.limits[figure]
    if figure == "wall" and (beyond := case.limits.get("wall beyond")):
        return f"+{beyond * 1000:.0f} ms", values[OURS] - values[case.rival] <= beyond
    if figure in case.limits:
        return f"{case.limits[figure]:.1f}x {case.rival}", ratio <= case.limits[figure]
    return "", None


def render(found: Sequence[Row]) -> str:
    shown = [
        name
        for name in COLUMNS
        if name not in ("buildctl", "buildx", "python") or any(name in r.values for r in found)
    ]
    lines = [[*shown]]
    lines += [[cell(row, column) for column in shown] for row in found]
    widths = [max(len(line[at]) for line in lines) for at in range(len(shown))]
    lines.insert(1, ["-" * max(width, 3) for width in widths])
    return "\n".join(
        "| " + " | ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def cell(row: Row, column: str) -> str:
    match column:
        case "case":
            return row.case
        case "figure":
            return row.figure
        case "ratio":
            return f"{row.ratio:.2f}x"
        case "limit":
            return row.limit
        case "":
            return "" if row.within is None else "ok" if row.within else "OVER"
    value = row.values.get(column)
    return "" if value is None else f"{value:.0f}" if "MiB" in row.figure else f"{value:.3f}"
