"""Go's filepath.Match, chunk by chunk as the original does it, for the wildcards in followed paths.

A pattern falls into chunks at its stars. A chunk that is never reached is never looked at, so that a malformed
pattern may pass: BuildKit's pattern matcher relies on the same function to tell malformed patterns.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


class PatternError(ValueError):
    """A pattern is malformed; the text says which."""


_REPLACEMENT = 0xFFFD


def wildcard_matches(pattern: str, name: str, *, windows: bool = False) -> bool:
    """Whether `pattern` matches all of `name`. Raises PatternError when it is malformed as far as it is read."""
    try:
        return _match(os.fsencode(pattern), os.fsencode(name), not windows)
    except _MalformedError:
        raise PatternError(f"syntax error in pattern {pattern!r}") from None


def has_wildcards(name: str, *, windows: bool = False) -> bool:
    """Whether `name` holds an unescaped `*`, `?` or `[`."""
    at = 0
    while at < len(name):
        if name[at] == "\\" and not windows:
            at += 1
        elif name[at] in "*?[":
            return True
        at += 1
    return False


class _MalformedError(Exception):
    pass


def _match(pattern: bytes, name: bytes, escapes: bool) -> bool:
    while pattern:
        star, chunk, pattern = _next_chunk(pattern, escapes)
        if star and not chunk:
            return b"/" not in name
        for skip in range(len(name) + 1 if star else 1):
            if skip and name[skip - 1] == ord("/"):
                return False
            rest = _Chunk(chunk, escapes).match(name[skip:])
            if rest is not None and (not rest or pattern):
                name = rest
                break
        else:
            return False
    return not name


def _next_chunk(pattern: bytes, escapes: bool) -> tuple[bool, bytes, bytes]:
    rest = pattern.lstrip(b"*")
    star = len(rest) < len(pattern)
    in_class = False
    at = 0
    while at < len(rest):
        char = rest[at : at + 1]
        if char == b"\\" and escapes:
            at += 1
        elif char in b"[]":
            in_class = char == b"["
        elif char == b"*" and not in_class:
            return star, rest[:at], rest[at:]
        at += 1
    return star, rest, b""


@dataclass(slots=True)
class _Chunk:
    """A chunk while it is matched; `text` is what is left of it."""

    text: bytes
    escapes: bool

    def match(self, name: bytes) -> bytes | None:
        """What is left of `name` after this chunk; None if it does not begin so. Reads all of the chunk."""
        failed = False
        while self.text:
            failed = failed or not name
            char = self.text[:1]
            if char == b"[":
                rune, length = (-1, 0) if failed else _decode(name)
                failed = not self._class_holds(rune) or failed
            elif char == b"?":
                failed = failed or name[:1] == b"/"
                length = 0 if failed else _decode(name)[1]
                self.text = self.text[1:]
            else:
                if char == b"\\" and self.escapes:
                    self.text = self.text[1:]
                    if not self.text:
                        raise _MalformedError
                failed = failed or name[:1] != self.text[:1]
                length = 1
                self.text = self.text[1:]
            name = name[length:]
        return None if failed else name

    def _class_holds(self, rune: int) -> bool:
        self.text = self.text[1:]
        negated = self.text.startswith(b"^")
        self.text = self.text[negated:]
        found, first = False, True
        while first or not self.text.startswith(b"]"):
            first = False
            low = high = self._class_rune()
            if self.text.startswith(b"-"):
                self.text = self.text[1:]
                high = self._class_rune()
            found = found or low <= rune <= high
        self.text = self.text[1:]
        return found is not negated

    def _class_rune(self) -> int:
        if not self.text or self.text[:1] in (b"-", b"]"):
            raise _MalformedError
        if self.text[:1] == b"\\" and self.escapes:
            self.text = self.text[1:]
        if not self.text:
            raise _MalformedError
        rune, length = _decode(self.text)
        self.text = self.text[length:]
        # The class must still be closed, so something has to follow.
        if not self.text or (rune == _REPLACEMENT and length == 1):
            raise _MalformedError
        return rune


def _decode(text: bytes) -> tuple[int, int]:
    """Go's utf8.DecodeRune: the first character and its length; U+FFFD of length 1 for what is no UTF-8."""
    first = text[0]
    length = 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    try:
        return ord(text[:length].decode()), length
    except (UnicodeDecodeError, TypeError):
        return _REPLACEMENT, 1
