"""The colors of the terminal display: BUILDKIT_COLORS and NO_COLOR as BuildKit reads them.

`BUILDKIT_COLORS=run=green:warning=yellow:error=255,0,0:cancel=light-red`; names are from a fixed list, three numbers
are red, green and blue. What cannot be read is left out (BuildKit v0.29 util/progress/progressui/colors.go).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

RESET = "\x1b[0m"
FAINT = "\x1b[2m"

_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_CODES = {"default": 39} | {
    prefix + name: base + index for base, prefix in ((30, ""), (90, "light-")) for index, name in enumerate(_NAMES)
}


@dataclass(slots=True)
class Palette:
    """Escape sequences that switch a color on; "" for none."""

    run: str = ""
    cancel: str = ""
    warning: str = ""
    error: str = ""


def palette(environ: Mapping[str, str]) -> Palette:
    """The colors to draw with. NO_COLOR wins over BUILDKIT_COLORS."""
    if environ.get("NO_COLOR"):
        return Palette()
    run = "cyan" if sys.platform == "win32" else "blue"
    colors = Palette(_sequence(run), _sequence("yellow"), _sequence("yellow"), _sequence("red"))
    for entry in environ.get("BUILDKIT_COLORS", "").split(":"):
        key, _, value = entry.replace('"', "").partition("=")
        sequence = _sequence(value.lower())
        if sequence and key.lower() in ("run", "cancel", "warning", "error"):
            setattr(colors, key.lower(), sequence)
    return colors


def _sequence(value: str) -> str:
    if value in _CODES:
        return f"\x1b[{_CODES[value]}m"
    parts = value.split(",")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and int(part) <= 255 for part in parts):
        return ""
    red, green, blue = (int(part) // 43 for part in parts)
    return f"\x1b[38;5;{16 + 36 * red + 6 * green + blue}m"
