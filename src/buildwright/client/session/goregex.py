"""Go's regular expressions (regexp/syntax in Perl mode) as Python's, as far as include and exclude patterns reach.

moby's pattern matcher pastes most of a pattern into a Go expression as it is, so `foo\\bar` holds a word
boundary, `[[:alpha:]]` a class and `a|b*` an alternative. A build sees the same files as with Go only if these
accidents are kept. Not kept: classes of Unicode properties (`\\p{Greek}`), which are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

Range: TypeAlias = tuple[int, int]

_MAX_RUNE = 0x10FFFF
_MAX_REPEAT = 1000
_DIGIT = ((0x30, 0x39),)
_SPACE = ((0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20))
_WORD = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_PERL = {"d": _DIGIT, "s": _SPACE, "w": _WORD}
_POSIX: dict[str, tuple[Range, ...]] = {
    "alnum": ((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)),
    "alpha": ((0x41, 0x5A), (0x61, 0x7A)),
    "ascii": ((0x00, 0x7F),),
    "blank": ((0x09, 0x09), (0x20, 0x20)),
    "cntrl": ((0x00, 0x1F), (0x7F, 0x7F)),
    "digit": _DIGIT,
    "graph": ((0x21, 0x7E),),
    "lower": ((0x61, 0x7A),),
    "print": ((0x20, 0x7E),),
    "punct": ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    "space": ((0x09, 0x0D), (0x20, 0x20)),
    "upper": ((0x41, 0x5A),),
    "word": _WORD,
    "xdigit": ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66)),
}
_CONTROL = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_ASSERTIONS = {"A": r"(?:\A)", "b": r"(?:(?a:\b))", "B": r"(?:(?a:\B))", "z": r"(?:\Z)"}
_REPEAT = re.compile(r"\{(0|[1-9][0-9]*)(?:(,)(0|[1-9][0-9]*)?)?\}")
_HEX = re.compile(r"\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{2})")
_OCTAL = re.compile(r"[0-7]{1,3}")
_POSIX_NAME = re.compile(r"\[:(\^?)([a-z]+):\]")


class GoSyntaxError(ValueError):
    """Go's compiler would refuse the expression (or it is one of the few that are not kept)."""


def translate(expression: str) -> str:
    """The Python expression that, by `re.search`, finds what `expression` finds in Go. Raises GoSyntaxError."""
    return _Translator(expression).run()


class _Translator:
    def __init__(self, expression: str) -> None:
        self._text = expression
        self._at = 0

    def run(self) -> str:
        out: list[str] = []
        # What a repetition would apply to: nothing yet, one atom, or something that is a repetition already.
        before = ""
        while self._at < len(self._text):
            char = self._text[self._at]
            repeat = self._repetition(char)
            if repeat:
                if before != "atom":
                    raise GoSyntaxError("missing argument to repetition operator or nested repetition operator")
                out.append(repeat)
                before = "repeat"
                continue
            if char == "\\":
                literal = self._escape()
                out.append(literal)
                before = "atom" if literal else before
                continue
            out.append(self._class() if char == "[" else self._plain(char))
            before = "" if char in "(|" else "atom"
        return "".join(out)

    def _repetition(self, char: str) -> str:
        if char in "*?":
            self._at += 1
            return char
        found = _REPEAT.match(self._text, self._at) if char == "{" else None
        if found is None:
            return ""
        self._at = found.end()
        low, high = int(found[1]), int(found[3] or found[1])
        if low > _MAX_REPEAT or high > _MAX_REPEAT or high < low:
            raise GoSyntaxError("invalid repeat count")
        return found[0]

    def _plain(self, char: str) -> str:
        self._at += 1
        if char == "(":
            return "(?:"
        if char in ")|":
            return char
        if char == ".":
            return r"[^\n]"
        if char == "^":
            return r"(?:\A)"
        if char == "$":
            return r"(?:\Z)"
        return re.escape(char)

    def _escape(self) -> str:
        following = self._text[self._at + 1 : self._at + 2]
        if following in _ASSERTIONS and following:
            self._at += 2
            return _ASSERTIONS[following]
        if following == "Q":
            literal, _, _ = self._text[self._at + 2 :].partition(r"\E")
            self._at = min(self._at + 4 + len(literal), len(self._text))
            return re.escape(literal)
        perl = self._perl_class()
        if perl is not None:
            return _python_class(perl, negated=False)
        return re.escape(chr(self._escaped_rune()))

    def _perl_class(self) -> tuple[Range, ...] | None:
        name = self._text[self._at + 1 : self._at + 2]
        if name in ("p", "P"):
            raise GoSyntaxError("classes of Unicode properties are not supported")
        ranges = _PERL.get(name.lower())
        if ranges is None:
            return None
        self._at += 2
        return ranges if name.islower() else _complement(ranges)

    def _escaped_rune(self) -> int:
        """The character that an escape stands for; the position is on its backslash."""
        self._at += 1
        char = self._text[self._at : self._at + 1]
        if "0" <= char <= "7":
            found = _OCTAL.match(self._text, self._at)
            assert found is not None
            # A single digit but 0 would be a reference to a group, which Go does not have.
            if char != "0" and len(found[0]) == 1:
                raise GoSyntaxError("invalid escape sequence")
            self._at = found.end()
            return int(found[0], 8)
        if char == "x":
            hexadecimal = _HEX.match(self._text, self._at + 1)
            if hexadecimal is None or (value := int(hexadecimal[1] or hexadecimal[2], 16)) > _MAX_RUNE:
                raise GoSyntaxError("invalid escape sequence")
            self._at = hexadecimal.end()
            return value
        self._at += 1
        if char in _CONTROL:
            return _CONTROL[char]
        if char and char.isascii() and not char.isalnum():
            return ord(char)
        raise GoSyntaxError("invalid escape sequence")

    def _class(self) -> str:
        self._at += 1
        negated = self._text.startswith("^", self._at)
        self._at += negated
        ranges: list[Range] = []
        first = True
        while first or not self._text.startswith("]", self._at):
            ranges += self._class_item()
            first = False
        self._at += 1
        return _python_class(ranges, negated)

    def _class_item(self) -> Iterable[Range]:
        if self._text.startswith("[:", self._at) and ":]" in self._text[self._at + 2 :]:
            found = _POSIX_NAME.match(self._text, self._at)
            if found is None or found[2] not in _POSIX:
                raise GoSyntaxError("invalid character class range")
            self._at = found.end()
            return _complement(_POSIX[found[2]]) if found[1] else _POSIX[found[2]]
        if self._text.startswith("\\", self._at):
            perl = self._perl_class()
            if perl is not None:
                return perl
        low = high = self._class_rune()
        if self._text.startswith("-", self._at) and self._text[self._at + 1 : self._at + 2] not in ("", "]"):
            self._at += 1
            high = self._class_rune()
            if high < low:
                raise GoSyntaxError("invalid character class range")
        return ((low, high),)

    def _class_rune(self) -> int:
        if self._at >= len(self._text):
            raise GoSyntaxError("missing closing ]")
        if self._text[self._at] == "\\":
            return self._escaped_rune()
        self._at += 1
        return ord(self._text[self._at - 1])


def _complement(ranges: Iterable[Range]) -> tuple[Range, ...]:
    gaps = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            gaps.append((start, low - 1))
        start = max(start, high + 1)
    if start <= _MAX_RUNE:
        gaps.append((start, _MAX_RUNE))
    return tuple(gaps)


def _python_class(ranges: Iterable[Range], negated: bool) -> str:
    # Escapes of eight digits, so that nothing in a class has a meaning of Python's own.
    body = "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges)
    return f"[{'^' if negated else ''}{body}]"
