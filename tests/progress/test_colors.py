"""BUILDKIT_COLORS: what can be read is used, the rest is left out."""

from __future__ import annotations

import pytest

from buildwright.progress.colors import Palette, palette

DEFAULT = Palette("\x1b[34m", "\x1b[33m", "\x1b[33m", "\x1b[31m")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", DEFAULT),
        ("run=green:ERROR=Light-Red", Palette("\x1b[32m", "\x1b[33m", "\x1b[33m", "\x1b[91m")),
        ("cancel=255,165,0:warning=0,0,0", Palette("\x1b[34m", "\x1b[38;5;214m", "\x1b[38;5;16m", "\x1b[31m")),
        ("run=purple:error=256,0,0:cancel=1,2:walk=red:run", DEFAULT),
        ("run=default", Palette("\x1b[39m", "\x1b[33m", "\x1b[33m", "\x1b[31m")),
    ],
)
def test_colors_are_read(text, expected):
    assert palette({"BUILDKIT_COLORS": text}) == expected


def test_no_color_wins():
    assert palette({"NO_COLOR": "1", "BUILDKIT_COLORS": "run=green"}) == Palette()
    assert palette({"NO_COLOR": ""}) == DEFAULT
