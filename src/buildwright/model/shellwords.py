"""Splitting one string into arguments the way buildx splits `--buildkitd-flags` (github.com/google/shlex).

It differs from a POSIX shell, and from the `shlex` of Python, in small things: a backslash in double quotes
always disappears, and `#` starts a comment only where a word could start.
"""

from __future__ import annotations

from collections.abc import Iterator

_SPACES = " \t\r\n"


def split(text: str) -> tuple[str, ...]:
    """The words of `text`; ValueError when a quote or a backslash at the end leaves one open."""
    words: list[str] = []
    word: list[str] | None = None
    characters = iter(text)
    for character in characters:
        if character in _SPACES:
            if word is not None:
                words.append("".join(word))
                word = None
            continue
        if character == "#" and word is None:
            _skip_line(characters)
            continue
        word = [] if word is None else word
        if character == "\\":
            word.append(_following(characters))
        elif character in "\"'":
            _quoted(characters, character, word)
        else:
            word.append(character)
    if word is not None:
        words.append("".join(word))
    return tuple(words)


def _skip_line(characters: Iterator[str]) -> None:
    for character in characters:
        if character == "\n":
            return


def _following(characters: Iterator[str]) -> str:
    if (character := next(characters, None)) is None:
        raise ValueError("a backslash at the end escapes nothing")
    return character


def _quoted(characters: Iterator[str], quote: str, word: list[str]) -> None:
    for character in characters:
        if character == quote:
            return
        word.append(_following(characters) if character == "\\" and quote == '"' else character)
    raise ValueError(f"the quote {quote} is never closed")
