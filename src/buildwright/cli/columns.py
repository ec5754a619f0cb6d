"""Aligning columns as Go's text/tabwriter does: cells end at a tab, and what follows the last one is not aligned.

A column is as wide as its widest cell in consecutive lines that have it, so a line without tabs starts anew.
"""

from __future__ import annotations

from collections.abc import Sequence


def align(lines: Sequence[str], *, least: int = 0, padding: int = 1) -> str:
    """The lines with their tabs made blanks, each ended by a newline; `least` is the smallest width of a column."""
    rows = [line.split("\t") for line in lines]
    _align(rows, 0, least, padding)
    return "".join("".join(row) + "\n" for row in rows)


def _align(rows: list[list[str]], column: int, least: int, padding: int) -> None:
    start = 0
    while start < len(rows):
        if len(rows[start]) <= column + 1:
            start += 1
            continue
        end = start
        while end < len(rows) and len(rows[end]) > column + 1:
            end += 1
        block = rows[start:end]
        width = max(least, max(len(row[column]) for row in block) + padding)
        for row in block:
            row[column] = row[column].ljust(width)
        _align(block, column + 1, least, padding)
        start = end
