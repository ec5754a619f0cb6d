"""A command as its file declares it, and the process that it runs in."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TextIO, cast

from buildwright.cli.flags import Flag, Values
from buildwright.errors import OutputError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a command sees of the process; a test gives its own.

    `program` is how the user started us (`buildwright`, or `docker buildx` as its plugin). Binary data goes through
    `stdout.buffer` and `stdin.buffer`.
    """

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: str = field(default_factory=os.getcwd)
    program: str = "buildwright"
    debug: bool = False

    @classmethod
    def process(cls) -> Context:
        """The real one. A closed stdin or stdout fails when it is used, and not before; for a closed stderr nothing
        is told."""
        return cls(
            stdin=cast(TextIO, sys.stdin or _Closed("standard input")),
            stdout=cast(TextIO, sys.stdout or _Closed("standard output")),
            stderr=sys.stderr or open(os.devnull, "w", encoding="utf-8"),
        )

    def warn(self, sentence: str) -> None:
        """One line on stderr, in the form of buildx's log."""
        print(f"WARNING: {sentence}", file=self.stderr, flush=True)


class _Closed:
    """Stands for a standard stream that was closed before we started: each use fails."""

    def __init__(self, name: str) -> None:
        self._name = name

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False

    def __getattr__(self, name: str) -> object:
        raise OutputError(f"{self._name} is closed")


Run = Callable[[Values, Context], Awaitable[int]]
"""Does the work and returns the exit code. Failures are raised, see `buildwright.errors`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command. Its file holds a module-level `COMMAND` and imports what `run` needs inside of `run`.

    `usage` is the line after the program's name, like `create [OPTIONS] [CONTEXT|ENDPOINT]`; `examples` are pairs
    of what it does and the command line without the program's name. `builder` false hides and ignores the root
    flag `--builder`, as buildx does for commands that have no use for it.
    """

    name: str
    usage: str
    short: str
    run: Run
    long: str = ""
    flags: tuple[Flag, ...] = ()
    aliases: tuple[str, ...] = ()
    min_args: int = 0
    max_args: int | None = 0
    examples: tuple[tuple[str, str], ...] = ()
    builder: bool = True

    def check_args(self, args: tuple[str, ...], program: str) -> None:
        """Raise UsageError when there are too few or too many arguments."""
        least, most = self.min_args, self.max_args
        if len(args) >= least and (most is None or len(args) <= most):
            return
        if most == 0:
            wanted = "no arguments"
        elif least == most:
            wanted = f"exactly {_count(least)}"
        elif len(args) < least:
            wanted = f"at least {_count(least)}"
        else:
            wanted = f"at most {_count(most or 0)}"
        given = f"{len(args)} were given" if len(args) != 1 else "1 was given"
        raise UsageError(
            f'"{program} {self.name}" takes {wanted}, {given}; usage: {program} {self.usage}',
        )


def _count(number: int) -> str:
    return "1 argument" if number == 1 else f"{number} arguments"
