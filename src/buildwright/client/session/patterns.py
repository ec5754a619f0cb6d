"""Include and exclude patterns, as github.com/moby/patternmatcher reads them.

BuildKit sends the lines of a `.dockerignore` as patterns; which files they select is part of what is built, so
the accidents of the original are kept: most of a pattern goes into a Go regular expression unquoted, a pattern
is compiled only when first needed, and a broken one is an error only then.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import TypeAlias

from buildwright.client.session.goregex import GoSyntaxError, translate
from buildwright.client.session.wildcards import PatternError, wildcard_matches

MatchInfo: TypeAlias = tuple[bool, ...]
"""For each pattern whether it matched a folder or one of its parents."""

# What Go's unicode.IsSpace holds for; str.strip() alone would take the separators U+001C to U+001F too.
_SPACES = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"


def clean(path: str) -> str:
    """Go's filepath.Clean for `/`: no empty, `.` or inner `..` components, "." for nothing."""
    normal = posixpath.normpath(path)
    return normal[1:] if normal.startswith("//") else normal


class _Kind(Enum):
    EXACT = auto()
    PREFIX = auto()
    SUFFIX = auto()
    REGEX = auto()


class Pattern:
    """One cleaned pattern. `text` is without its `!`, `exception` says whether it had one."""

    def __init__(self, text: str, exception: bool, windows: bool) -> None:
        self.text = text
        self.exception = exception
        self._windows = windows
        self._compiled = False
        self.kind = _Kind.EXACT
        self.regex: re.Pattern[str] | None = None

    @property
    def fixed_prefix(self) -> str:
        """The pattern without a `/**` and a `/*` at its end."""
        return self.text.removesuffix("/**").removesuffix("/*")

    def matches(self, path: str) -> bool:
        self.compile()
        if self.kind is _Kind.EXACT:
            return path == self.text
        if self.kind is _Kind.PREFIX:
            return path.startswith(self.text[:-2])
        if self.kind is _Kind.SUFFIX:
            suffix = self.text[2:]
            return path.endswith(suffix) or (suffix[0] == "/" and path == suffix[1:])
        assert self.regex is not None
        return self.regex.search(path) is not None

    def compile(self) -> None:
        """Raises PatternError when Go's expression for the pattern is malformed."""
        if self._compiled:
            return
        self.kind, expression = _expression(self.text, self._windows)
        if self.kind is _Kind.REGEX:
            try:
                self.regex = re.compile(translate(expression))
            except (GoSyntaxError, re.error) as error:
                raise PatternError(f"syntax error in pattern {self.text!r}: {error}") from error
        self._compiled = True


def _expression(pattern: str, windows: bool) -> tuple[_Kind, str]:
    """How the pattern is matched, and Go's regular expression for it when that is how."""
    out = ["^"]
    kind = _Kind.EXACT
    text = pattern.removeprefix("\ufeff")
    at, count = 0, 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "*" and text.startswith("*", at):
            at += 1
            at += text.startswith("/", at)
            if at < len(text):
                out.append("(.*/)?")
                kind = _Kind.REGEX
            elif kind is _Kind.EXACT:
                kind = _Kind.PREFIX
            else:
                out.append(".*")
                kind = _Kind.REGEX
            if count == 0:
                kind = _Kind.SUFFIX
        elif char in "*?":
            out.append("[^/]*" if char == "*" else "[^/]")
            kind = _Kind.REGEX
        elif char in ".+()$":
            # Not `{`, `|` and `}`: the original means to quote them, but its table of bits is too narrow.
            out.append("\\" + char)
        elif char == "\\" and not windows:
            out.append("\\" + text[at : at + 1])
            kind = _Kind.REGEX if at < len(text) else kind
            at += 1
        else:
            out.append(char)
            if char in "[]":
                kind = _Kind.REGEX
        count += 1
    return kind, "".join(out) + "$"


class PatternMatcher:
    """Decides for paths below a root, parents before children, whether the patterns match; the last one wins.

    Raises PatternError at once for what Go's filepath.Match calls malformed, and from `match` for what only
    turns out to be malformed when the pattern is compiled.
    """

    def __init__(self, patterns: Iterable[str], *, windows: bool = False) -> None:
        self.patterns = tuple(_parse(patterns, windows))
        self.exceptions = any(pattern.exception for pattern in self.patterns)
        self._none: MatchInfo = (False,) * len(self.patterns)
        self._screen = _Screen(self.patterns)

    def match(self, path: str, parent: MatchInfo | None = None) -> tuple[bool, MatchInfo]:
        """Whether `path` matches, and what to pass as `parent` for the entries of the folder that it is.

        Without `parent` the parents of `path` are tried one by one.
        """
        if (parent is None or parent == self._none) and not self._screen.may_match(path, parent is None):
            return False, self._none
        matched = False
        info = list(self._none)
        for index, pattern in enumerate(self.patterns):
            found = parent is not None and parent[index]
            if not found:
                # Only a pattern that would change the outcome is looked at.
                if pattern.exception is not matched:
                    continue
                found = pattern.matches(path)
                if not found and parent is None:
                    found = any(pattern.matches(above) for above in _parents(path))
            info[index] = found
            if found:
                matched = not pattern.exception
        return matched, tuple(info)


class _Screen:
    """Tells quickly that a path matches no pattern at all, which is so for nearly every file of a context."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._usable = True
        self._exact: set[str] = set()
        prefixes, suffixes, expressions = [], [], []
        for pattern in patterns:
            try:
                pattern.compile()
            except PatternError:
                self._usable = False
                continue
            if pattern.kind is _Kind.EXACT:
                self._exact.add(pattern.text)
            elif pattern.kind is _Kind.PREFIX:
                prefixes.append(pattern.text[:-2])
            elif pattern.kind is _Kind.SUFFIX:
                suffixes.append(pattern.text[2:])
                if pattern.text[2:3] == "/":
                    self._exact.add(pattern.text[3:])
            elif pattern.regex is not None:
                expressions.append(f"(?:{pattern.regex.pattern})")
        self._prefixes, self._suffixes = tuple(prefixes), tuple(suffixes)
        self._regex = re.compile("|".join(expressions)) if expressions else None

    def may_match(self, path: str, with_parents: bool) -> bool:
        """False only if no pattern matches `path` (nor, `with_parents`, one of its parents)."""
        if not self._usable or (with_parents and "/" in path):
            return True
        return (
            path in self._exact
            or path.endswith(self._suffixes)
            or path.startswith(self._prefixes)
            or (self._regex is not None and self._regex.search(path) is not None)
        )


def _parents(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:end]) for end in range(1, len(parts)))


def _parse(patterns: Iterable[str], windows: bool) -> Iterable[Pattern]:
    for given in patterns:
        text = given.strip(_SPACES)
        if not text:
            continue
        text = clean(text.replace("\\", "/") if windows else text)
        exception = text.startswith("!")
        if text == "!":
            raise PatternError('illegal exclusion pattern: "!"')
        text = text.removeprefix("!")
        wildcard_matches(text, ".", windows=windows)
        yield Pattern(text, exception, windows)
