"""How many columns of a terminal a text takes, and texts made safe and short enough for it."""

from __future__ import annotations

import unicodedata

_CONTROLS = dict.fromkeys((*range(32), *range(127, 160))) | {9: " ", 10: " "}


def printable(text: str) -> str:
    """`text` without control characters; tabs and ends of lines become spaces."""
    return text if text.isprintable() else text.translate(_CONTROLS)


def char_width(char: str) -> int:
    """Columns of one character: 0 for one that joins the character before it, 2 for a wide one."""
    if char.isascii():
        return 1
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def width(text: str) -> int:
    """Columns of a text that is printable."""
    return len(text) if text.isascii() else sum(map(char_width, text))


def clip(text: str, columns: int) -> str:
    """The longest start of `text` that fits into `columns`."""
    if text.isascii():
        return text[: max(columns, 0)]
    taken = 0
    for index, char in enumerate(text):
        taken += char_width(char)
        if taken > columns:
            return text[:index]
    return text


def align(left: str, right: str, columns: int) -> str:
    """`left`, then `right` at the end of the columns with at least one space before it; cut at the end."""
    gap = max(columns - width(left) - width(right), 1)
    return clip(left + " " * gap + right, columns)
