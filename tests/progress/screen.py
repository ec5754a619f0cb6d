"""A terminal for tests: enough of one to see what frames leave on it, with rows that scroll off kept in `history`."""

from __future__ import annotations

import re
import unicodedata

from buildwright.progress.cells import char_width

_TOKEN = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|(\n)|(\r)|([^\x1b\n\r]+)|(\x1b)")


class Screen:
    def __init__(self, columns: int, rows: int, *, strict: bool = True) -> None:
        self.columns, self.height = columns, rows
        self.history: list[str] = []
        self.rows = [[" "] * columns for _ in range(rows)]
        self.x = self.y = 0
        self.cursor_visible = True
        self.wrapped = False
        self.strict = strict

    def feed(self, data: bytes) -> None:
        for args, command, newline, back, text, stray in _TOKEN.findall(data.decode("utf-8", "replace")):
            assert not (stray and self.strict), "an escape sequence that no frame should have"
            if newline:
                self._down()
                self.x = 0
            elif back:
                self.x = 0
            elif text:
                for char in text:
                    self._put(char)
            else:
                self._command(command, args)

    def text(self) -> list[str]:
        """Everything that was left on the terminal, without empty rows at the end."""
        rows = [*self.history, *("".join(row).rstrip() for row in self.rows)]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def _put(self, char: str) -> None:
        assert not (self.strict and unicodedata.category(char) == "Cc"), f"{char!r} reached the terminal"
        if self.x + char_width(char) > self.columns:
            self.wrapped = True
            self._down()
            self.x = 0
        if char_width(char):
            self.rows[self.y][self.x : self.x + char_width(char)] = [char, *[""] * (char_width(char) - 1)]
            self.x += char_width(char)

    def _down(self) -> None:
        self.y += 1
        if self.y == self.height:
            self.history.append("".join(self.rows.pop(0)).rstrip())
            self.rows.append([" "] * self.columns)
            self.y -= 1

    def _command(self, command: str, args: str) -> None:
        match command, args:
            case "h" | "l", "?25":
                self.cursor_visible = command == "h"
            case "A", _:
                self.y = max(self.y - int(args or 1), 0)
            case "B", _:
                self.y = min(self.y + int(args or 1), self.height - 1)
            case "G", _:
                self.x = max(int(args or 1) - 1, 0)
            case "K", "":
                self.rows[self.y][self.x :] = [" "] * (self.columns - self.x)
            case "J", "":
                self._command("K", "")
                self.rows[self.y + 1 :] = [[" "] * self.columns for _ in self.rows[self.y + 1 :]]
            case "m", _:
                pass
            case _:
                raise AssertionError(f"no frame should have {command!r} with {args!r}")
