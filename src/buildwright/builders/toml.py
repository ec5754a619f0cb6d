"""Writing TOML in the form that buildx stores a daemon's configuration in (github.com/pelletier/go-toml v2).

Keys sorted, plain values before tables, strings in single quotes where they can be. What is written reads back as
the same document.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NOT_LITERAL = re.compile(r"['\x00-\x08\x0a-\x1f\x7f]")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def write(document: Mapping[str, object]) -> str:
    """The text of a document such as `tomllib.loads` returns."""
    return _table(document, ())


def _table(table: Mapping[str, object], path: tuple[str, ...]) -> str:
    values = sorted(key for key in table if not _is_table(table[key]) and not _is_tables(table[key]))
    lines = "".join(f"{_key(key)} = {_value(table[key])}\n" for key in values)
    inner = [_named(table[key], (*path, key)) for key in sorted(table) if key not in values]
    if not inner:
        return lines
    return lines + ("\n" if lines else "") + "\n".join(inner)


def _named(value: object, path: tuple[str, ...]) -> str:
    name = ".".join(map(_key, path))
    if isinstance(value, Mapping):
        return f"[{name}]\n{_table(value, path)}"
    assert isinstance(value, list)
    return "\n".join(f"[[{name}]]\n{_table(item, path)}" for item in value)


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_table, value))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    if not _NOT_LITERAL.search(text):
        return f"'{text}'"
    return '"' + "".join(_ESCAPES.get(c) or (f"\\u{ord(c):04X}" if _is_control(c) else c) for c in text) + '"'


def _is_control(character: str) -> bool:
    return character < " " or character == "\x7f"


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _float(value)
        case str():
            return _string(value)
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case Mapping():
            return "{" + ", ".join(f"{_key(key)} = {_value(value[key])}" for key in sorted(value)) + "}"
        case datetime() | date() | time():
            return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"TOML has no {type(value).__name__}")


def _float(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    text = format(Decimal(repr(value)), "f")
    return text if "." in text else f"{text}.0"
