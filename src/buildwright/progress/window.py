"""The log window of a running step: a very small terminal that keeps the last rows of output.

Output of a build may move the cursor, erase lines, set titles and colors. All of that happens in here: what comes
out is rows of printable characters that cannot disturb the real terminal. Colors are dropped. The moves that are
understood are those of tonistiigi/vt100, which buildx uses; the rest of the escape sequences is skipped whole.
"""

from __future__ import annotations

import codecs
import re

from buildwright.progress.cells import char_width

_TOKEN = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
    r"|(?:\x1b\[|\x9b)(?P<args>[0-?]*)[ -/]*(?P<command>[@-~])"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b[ -/]+[0-~]"
    r"|\x1b(?P<plain>[0-~])"
    r"|(?P<control>[\x00-\x1f\x7f-\x9f])"
)
_UNFINISHED = re.compile(r"(?:\x1b[ -/]*|(?:\x1b\[|\x9b)[0-?]*[ -/]*|\x1b[\]PX^_][^\x07\x1b]{0,255}\x1b?)\Z")
_TAB = 8


class LogWindow:
    """`feed` output in any pieces, read `rows`."""

    __slots__ = ("_cells", "_decoder", "_held", "_saved", "_x", "_y", "height", "width")

    def __init__(self, height: int, width: int) -> None:
        self.height = max(height, 1)
        self.width = max(width, 2)
        self._cells = [[" "] * self.width for _ in range(self.height)]
        self._x = self._y = 0
        self._saved = (0, 0)
        self._held = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes | bytearray) -> None:
        """Take output in. A character or sequence that is not complete waits for the next piece."""
        text = self._held + self._decoder.decode(bytes(data))
        self._held = ""
        if "\x1b" in text or "\x9b" in text:
            if unfinished := _UNFINISHED.search(text):
                text, self._held = text[: unfinished.start()], unfinished.group()
        else:
            text = self._without_scrolled_off(text)
        for token in _TOKEN.finditer(text):
            kind = token.lastgroup
            if kind == "text":
                self._put(token["text"])
            elif kind == "control":
                self._control(token["control"])
            elif kind == "command":
                self._command(token["command"], token["args"])
            elif kind == "plain":
                self._command(token["plain"], "")

    def rows(self) -> list[str]:
        """The rows that are not empty, from above, without spaces at their ends."""
        rows = ("".join(row).rstrip(" ") for row in self._cells)
        return [row for row in rows if row]

    def resize(self, height: int, width: int) -> None:
        height, width = max(height, 1), max(width, 2)
        if (height, width) == (self.height, self.width):
            return
        surplus = max(min(self._y, self.height - 1) + 1 - height, 0)
        cells = [row[:width] + [" "] * (width - self.width) for row in self._cells[surplus:][:height]]
        self._cells = cells + [[" "] * width for _ in range(height - len(cells))]
        self._y -= surplus
        self.height, self.width = height, width

    def _without_scrolled_off(self, text: str) -> str:
        """Cut lines that would have left the window at the end of `text` anyway: output can be long."""
        cut = len(text)
        seen = 0
        while seen <= 2 * self.height:
            cut = text.rfind("\n", 0, cut)
            if cut < 0:
                return text
            seen += text[cut + 1 : cut + 2] not in ("\n", "")
        if text.count("\n", 0, cut) < self.height:
            return text
        self._y = max(self._y, self.height)
        self._x = 0
        return text[cut + 1 :]

    def _put(self, text: str) -> None:
        if text.isascii():
            while text:
                row = self._row()
                piece, text = text[: self.width - self._x], text[self.width - self._x :]
                row[self._x : self._x + len(piece)] = piece
                self._x += len(piece)
            return
        for char in text:
            self._put_char(char)

    def _put_char(self, char: str) -> None:
        columns = char_width(char)
        if columns == 0:
            if self._x > 0 and 0 <= self._y < self.height and len(self._cells[self._y][self._x - 1]) < 8:
                self._cells[self._y][self._x - 1] += char
            return
        if self._x + columns > self.width:
            self._x, self._y = 0, self._y + 1
        row = self._row()
        row[self._x] = char
        if columns == 2:
            row[self._x + 1] = ""
        self._x += columns

    def _row(self) -> list[str]:
        """The row to write to, after wrapping and scrolling."""
        if self._x >= self.width:
            self._x, self._y = 0, self._y + 1
        if self._y >= self.height:
            # Empty lines at the bottom scroll once, not once each: a window of six rows has none to spare.
            self._cells.append([" "] * self.width)
            del self._cells[0]
            self._y = self.height - 1
        return self._cells[self._y]

    def _control(self, control: str) -> None:
        if control == "\n":
            self._x, self._y = 0, self._y + 1
        elif control == "\r":
            self._x = 0
        elif control == "\b":
            self._x = max(self._x - 1, 0)
        elif control == "\t":
            self._x = min((self._x // _TAB + 1) * _TAB, self.width)

    def _command(self, command: str, args: str) -> None:
        numbers = [
            int(part) if part.isascii() and part.isdigit() and len(part) < 6 else 0 for part in args.split(";")
        ]
        first = numbers[0]
        if command in "ABCD":
            count = max(first, 1)
            rows, columns = {"A": (-count, 0), "B": (count, 0), "C": (0, count), "D": (0, -count)}[command]
            self._move(self._y + rows, self._x + columns)
        elif command in "Hf":
            self._move(first - 1, numbers[1] - 1 if len(numbers) > 1 else 0)
        elif command == "K":
            self._erase_columns(first)
        elif command == "J":
            self._erase_rows(first)
        elif command in "s7":
            self._saved = (self._y, self._x)
        elif command in "u8":
            self._move(*self._saved)

    def _move(self, y: int, x: int) -> None:
        self._y = min(max(y, 0), self.height - 1)
        self._x = min(max(x, 0), self.width - 1)

    def _erase_columns(self, direction: int) -> None:
        if self._y < self.height:
            start = self._x if direction == 0 else 0
            stop = self._x + 1 if direction == 1 else self.width
            row = self._cells[self._y]
            row[start:stop] = [" "] * len(row[start:stop])

    def _erase_rows(self, direction: int) -> None:
        start = self._y if direction == 0 else 0
        stop = self._y + 1 if direction == 1 else self.height
        for y in range(start, min(stop, self.height)):
            self._cells[y] = [" "] * self.width
