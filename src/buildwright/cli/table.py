"""The commands: a name, the module that holds it and the line that the root help shows. Nothing is imported here."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from buildwright.cli.command import Command

COMMANDS: dict[str, tuple[str, str]] = {
    "build": ("build", "Start a build"),
    "create": ("create", "Create a new builder instance"),
    "doctor": ("doctor", "Examine a builder, its cluster and its rights (not in buildx)"),
    "gc": ("gc", "Remove what builders have left behind in a cluster (not in buildx)"),
    "inspect": ("inspect", "Inspect current builder instance"),
    "logs": ("logs", "Show what a builder's daemons say (not in buildx)"),
    "ls": ("ls", "List builder instances"),
    "rm": ("rm", "Remove one or more builder instances"),
    "stop": ("stop", "Stop builder instance"),
    "update": ("update", "Change a builder and what it has in the cluster (not in buildx)"),
    "use": ("use", "Set the current builder instance"),
    "version": ("version", "Show version information"),
}
ALIASES = {"b": "build"}


def load(name: str) -> Command | None:
    """The command of that name or alias, None when there is none."""
    entry = COMMANDS.get(ALIASES.get(name, name))
    if entry is None:
        return None
    return cast(Command, import_module(f"buildwright.cli.{entry[0]}").COMMAND)
