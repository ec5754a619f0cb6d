"""Help texts, drawn from a command's declaration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from buildwright.cli.command import Command
from buildwright.cli.flags import Flag, Kind
from buildwright.cli.table import COMMANDS
from buildwright.model import csvvalue, duration

_PLACEHOLDERS = {
    Kind.STRING: "string",
    Kind.ARRAY: "string",
    Kind.SLICE: "list",
    Kind.DURATION: "duration",
    Kind.INT: "int",
    Kind.SIZE: "bytes",
}


def root(program: str, flags: Sequence[Flag]) -> str:
    """What the program prints without a command."""
    width = max(map(len, COMMANDS))
    lines = [
        "Build container images with BuildKit: on Kubernetes, on any daemon, as a drop-in for docker buildx",
        "",
        "Usage:",
        f"  {program} [OPTIONS] COMMAND",
        "",
        "Commands:",
        *(f"  {name.ljust(width)}  {short}" for name, (_, short) in COMMANDS.items()),
        "",
        "Options:",
        *_flag_lines(flags),
        "",
        f'Use "{program} COMMAND --help" for more information about a command.',
    ]
    return "\n".join(lines) + "\n"


def command(described: Command, program: str, root_flags: Sequence[Flag]) -> str:
    """What `COMMAND --help` prints: groups of flags in the order in which they first appear."""
    lines = [described.short, "", "Usage:", f"  {program} {described.usage}"]
    if described.long:
        lines[1:1] = ["", *described.long.strip().splitlines()]
    if described.aliases:
        lines += ["", "Aliases:", f"  {', '.join((described.name, *described.aliases))}"]
    if described.examples:
        lines += ["", "Examples:"]
        for what, line in described.examples:
            lines += [f"  # {what}", f"  {program} {line}", ""]
        lines.pop()
    width = max(len(_left(flag)) for flag in (*described.flags, *root_flags) if not flag.hidden)
    shown = [flag for flag in described.flags if not flag.hidden]
    for group in dict.fromkeys(flag.group for flag in shown):
        lines += ["", f"{group or 'Options'}:", *_flag_lines([f for f in shown if f.group == group], width)]
    lines += ["", "Global options:", *_flag_lines(root_flags, width)]
    return "\n".join(lines) + "\n"


def _flag_lines(flags: Iterable[Flag], width: int = 0) -> list[str]:
    rows = [(_left(flag), flag.help + _origin(flag)) for flag in flags if not flag.hidden]
    width = width or max((len(left) for left, _ in rows), default=0)
    return [f"  {left.ljust(width)}   {text}" for left, text in rows]


def _left(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else "    "
    value = "" if flag.kind is Kind.BOOL else " " + (flag.value or _PLACEHOLDERS[flag.kind])
    repeated = "..." if flag.kind in (Kind.ARRAY, Kind.SLICE) else ""
    return f"{short}--{flag.name}{value}{repeated}"


def _origin(flag: Flag) -> str:
    parts = []
    if flag.default is not None:
        default = flag.default
        if flag.kind is Kind.DURATION and isinstance(default, int):
            parts.append(f"default {duration.write(default)}")
        else:
            parts.append(f"default {csvvalue.join(default) if isinstance(default, tuple) else default}")
    if flag.env:
        parts.append(f"${flag.env}")
    return f" ({', '.join(parts)})" if parts else ""
