"""Flags as pflag reads them, so that a buildx command line keeps its meaning.

    --name value   --name=value   -n value   -nvalue   -n=value   -qf value (grouped)   --push=false

A bool flag takes a value only through `=`. Flags and arguments may be mixed, `--` ends the flags and `-` is an
argument. This file is pure; `default` and `env` of a Flag are resolved by `Values`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, TypeVar

from buildwright.errors import UsageError
from buildwright.model import boolean, csvvalue, duration, size

Value: TypeAlias = str | bool | int | tuple[str, ...]
_T = TypeVar("_T")


class Kind(Enum):
    """What a flag holds: its value is the type that `Values` returns for it."""

    STRING = "string"
    BOOL = "bool"
    ARRAY = "stringArray"
    """Every occurrence as it was written."""
    SLICE = "strings"
    """Every occurrence split as CSV."""
    DURATION = "duration"
    """Nanoseconds."""
    INT = "int"
    SIZE = "bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag of a command.

    `value` is the placeholder in the help, `default` what holds when it is not given, `env` a variable whose
    non-empty value replaces the default (for a BOOL: any value means true), `group` the heading it is listed under.
    """

    name: str
    help: str
    kind: Kind = Kind.STRING
    short: str = ""
    value: str = ""
    default: Value | None = None
    env: str = ""
    hidden: bool = False
    alias: str = ""
    """A second long name, never shown."""
    group: str = ""


class Values:
    """What one command line says. Asking for a flag that the command does not have is a KeyError."""

    def __init__(
        self,
        flags: Iterable[Flag],
        given: Mapping[str, Value],
        args: tuple[str, ...],
        environ: Mapping[str, str],
    ) -> None:
        self.args = args
        self._flags = {flag.name: flag for flag in flags}
        self._given = given
        self._environ = environ

    def given(self, name: str) -> bool:
        """Whether the flag was written on the command line."""
        return self._flags[name].name in self._given

    def string(self, name: str) -> str:
        return self._get(name, str, "")

    def boolean(self, name: str) -> bool:
        return self._get(name, bool, False)

    def strings(self, name: str) -> tuple[str, ...]:
        return self._get(name, tuple, ())

    def number(self, name: str) -> int:
        return self._get(name, int, 0)

    def seconds(self, name: str) -> float:
        """A duration flag in seconds."""
        return self.number(name) / duration.SECOND

    def arg(self, index: int = 0) -> str:
        """The argument at `index`, "" when there are not so many."""
        return self.args[index] if index < len(self.args) else ""

    def _get(self, name: str, kind: type[_T], nothing: _T) -> _T:
        flag = self._flags[name]
        value: Value | None = self._given.get(name)
        if value is None and flag.env and (text := self._environ.get(flag.env)):
            value = flag.kind is Kind.BOOL or _read(flag, text, f"the variable {flag.env}", None)
        if value is None:
            value = flag.default
        if value is None:
            return nothing
        if not isinstance(value, kind):
            raise TypeError(f"flag {name} is a {flag.kind.value}")
        return value


def parse(flags: Sequence[Flag], argv: Sequence[str], environ: Mapping[str, str], *, mixed: bool = True) -> Values:
    """Read a command line; UsageError names the flag that is unknown, malformed or lacks its value.

    With `mixed` false the first argument ends the flags, and is the first of `args` with all that follow.
    """
    reader = _Reader(flags)
    rest = list(reversed(argv))
    args: list[str] = []
    while rest:
        word = rest.pop()
        if word == "--":
            args.extend(reversed(rest))
            break
        if word == "-" or not word.startswith("-"):
            args.append(word)
            if not mixed:
                args.extend(reversed(rest))
                break
        elif word.startswith("--"):
            reader.long(word, rest)
        else:
            reader.shorts(word, rest)
    return Values(flags, reader.given, tuple(args), environ)


class _Reader:
    def __init__(self, flags: Sequence[Flag]) -> None:
        self.given: dict[str, Value] = {}
        self._long = {flag.name: flag for flag in flags} | {flag.alias: flag for flag in flags if flag.alias}
        self._short = {flag.short: flag for flag in flags if flag.short}

    def long(self, word: str, rest: list[str]) -> None:
        name, equals, text = word[2:].partition("=")
        flag = self._long.get(name)
        if flag is None:
            raise UsageError(f"unknown flag --{name}{self._nearest(name)}")
        if equals:
            self._set(flag, text, f"--{name}")
        elif flag.kind is Kind.BOOL:
            self.given[flag.name] = True
        else:
            self._set(flag, self._following(f"--{name}", rest), f"--{name}")

    def shorts(self, word: str, rest: list[str]) -> None:
        letters = word[1:]
        for at, letter in enumerate(letters):
            flag, tail = self._short.get(letter), letters[at + 1 :]
            if flag is None:
                inside = f" in {word}" if len(letters) > 1 else ""
                raise UsageError(f"unknown flag -{letter}{inside}{self._nearest(letters)}")
            if tail.startswith("="):
                return self._set(flag, tail[1:], f"-{letter}")
            if flag.kind is not Kind.BOOL:
                return self._set(flag, tail or self._following(f"-{letter}", rest), f"-{letter}")
            self.given[flag.name] = True
        return None

    def _following(self, shown: str, rest: list[str]) -> str:
        if not rest:
            raise UsageError(f"flag {shown} needs a value")
        return rest.pop()

    def _set(self, flag: Flag, text: str, shown: str) -> None:
        self.given[flag.name] = _read(flag, text, f"flag {shown}", self.given.get(flag.name))

    def _nearest(self, name: str) -> str:
        import difflib

        visible = [known for known, flag in self._long.items() if not flag.hidden and known == flag.name]
        near = difflib.get_close_matches(name, visible, n=1, cutoff=0.6) or [
            known for known in visible if len(name) > 1 and known.startswith(name)
        ]
        return f", did you mean --{near[0]}?" if near else ""


def _read(flag: Flag, text: str, where: str, before: Value | None) -> Value:
    try:
        match flag.kind:
            case Kind.STRING:
                return text
            case Kind.BOOL:
                return boolean.parse(text)
            case Kind.DURATION:
                return duration.parse(text)
            case Kind.SIZE:
                return size.parse(text)
            case Kind.INT:
                return int(text, 0)
            case Kind.ARRAY:
                more: tuple[str, ...] = (text,)
            case Kind.SLICE:
                more = csvvalue.fields(text) if text else ()
    except ValueError as error:
        reason = f'invalid number "{text}"' if flag.kind is Kind.INT else str(error)
        raise UsageError(f"{where}: {reason}") from None
    return (*(before if isinstance(before, tuple) else ()), *more)
