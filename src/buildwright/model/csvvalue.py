"""The one-line CSV that structured flag values are written in (github.com/tonistiigi/go-csvvalue).

A field that starts with `"` runs to the next lone `"`, and `""` in it is a literal quote; after it only a comma
or the end may follow. A quote inside any other field is an error, so a value with a comma needs the whole
`key=value` quoted: `"nodeselector=a=b,c=d",replicas=2`. Nothing is trimmed.
"""

from __future__ import annotations

from collections.abc import Iterable

_BARE = 'a field that holds a quote must start with one, and double those inside: write "key={""a"":1,""b"":2}"'
_OPEN = 'a field that starts with a quote must end with one, and inside it a quote is written ""'


def fields(line: str) -> tuple[str, ...]:
    """Split one record. One line end at its end is dropped; ValueError for an empty line or misplaced quotes."""
    if line.endswith("\n"):
        line = line[:-2] if line.endswith("\r\n") else line[:-1]
    if not line:
        raise ValueError("the value is empty")
    found: list[str] = []
    at = 0
    while True:
        if line.startswith('"', at):
            field, at = _quoted(line, at + 1)
        else:
            end = line.find(",", at)
            field = line[at:] if end < 0 else line[at:end]
            if '"' in field:
                key, _, rest = field.partition("=")
                right = f'quote the pair as a whole: "{key}=..."' if rest.startswith('"') else _BARE
                raise ValueError(f"column {at + field.index(chr(34)) + 1}: {right}")
            at += len(field)
        found.append(field)
        if at == len(line):
            return tuple(found)
        at += 1


def _quoted(line: str, at: int) -> tuple[str, int]:
    """The field whose opening quote is before `at`, and the index after its closing quote."""
    parts: list[str] = []
    while True:
        end = line.find('"', at)
        if end < 0:
            raise ValueError(f"column {at + 1}: {_OPEN}")
        parts.append(line[at:end])
        following = line[end + 1 : end + 2]
        if following in ("", ","):
            return "".join(parts), end + 1
        if following != '"':
            raise ValueError(f"column {end + 1}: {_OPEN}")
        parts.append('"')
        at = end + 2


def join(values: Iterable[str]) -> str:
    """Write one record that `fields` splits into the same values; quotes only where they are needed."""
    return ",".join(_quote(value) for value in values)


def _quote(value: str) -> str:
    if value and not any(character in value for character in ',"\r\n'):
        return value
    return '"' + value.replace('"', '""') + '"'


def pair(field: str) -> tuple[str, str]:
    """Split `key=value` at its first `=`; ValueError when there is none."""
    key, equals, value = field.partition("=")
    if not equals:
        raise ValueError(f'invalid value "{field}": write it as key=value')
    return key, value
