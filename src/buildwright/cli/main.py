"""The program: from argv to an exit code.

Nothing but the chosen command's file is imported, and asyncio only to run it, so that help is quick. This is the
one place where an event loop starts, where signals are caught and where errors become text.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from buildwright.cli import plugin
from buildwright.cli.command import Command, Context
from buildwright.cli.flags import Flag, Kind, Values, parse
from buildwright.cli.table import ALIASES, COMMANDS, load
from buildwright.errors import UsageError

BUILDER = Flag(name="builder", value="name", env="BUILDX_BUILDER", help="Override the configured builder instance")
DEBUG = Flag(name="debug", kind=Kind.BOOL, short="D", env="DEBUG", help="Show the trace of an error")
HELP = Flag(name="help", kind=Kind.BOOL, short="h", help="Show this help")
VERSION = Flag(name="version", kind=Kind.BOOL, short="v", help="Show version information", hidden=True)


def entry() -> None:
    """The console script. It leaves without the interpreter's own clean-up: nothing is left to do there, and a
    thread that still waits for stdin would hold it up."""
    _secure_standard_streams()
    code = main(sys.argv[1:])
    os._exit(code)


def main(argv: Sequence[str], context: Context | None = None) -> int:
    """Run one command line and return its exit code; every failure is told on stderr and none is raised."""
    return _main(argv, context or Context.process())


def _main(argv: Sequence[str], context: Context) -> int:
    if plugin.is_metadata_request(argv):
        return _guarded(lambda: _print(context, plugin.metadata()), context)
    usage_code = 1
    if plugin.is_plugin(context.environ):
        argv, context = plugin.unwrap(argv, context)
        usage_code = 125
    try:
        start = _read_command_line(argv, context)
    except UsageError as error:
        error.exit_code = usage_code
        return report(error, context)
    if isinstance(start, str):
        return _guarded(lambda: _print(context, start), context)
    command, values = start
    debugging = replace(context, debug=values.boolean("debug"))
    return _guarded(lambda: _run(command, values, debugging), debugging)


def _read_command_line(argv: Sequence[str], context: Context) -> str | tuple[Command, Values]:
    """The command and its values, or a text to show instead of running one."""
    root_flags = (BUILDER, DEBUG, HELP, VERSION)
    root = parse(root_flags, argv, context.environ, mixed=False)
    if root.boolean("version"):
        return _help_or_command("version", [], context)
    if root.boolean("help") or not root.args:
        from buildwright.cli import help as texts

        return texts.root(context.program, (BUILDER, DEBUG, HELP))
    name, *rest = root.args
    if name == "help":
        return _help_or_command(rest[0], ["--help"], context) if rest else _read_command_line([], context)
    before = [word for word in argv[: len(argv) - len(root.args)] if word != "--"]
    return _help_or_command(name, [*before, *rest], context)


def _help_or_command(name: str, argv: Sequence[str], context: Context) -> str | tuple[Command, Values]:
    command = load(name)
    if command is None:
        raise UsageError(_unknown(name, context.program))
    shared = (BUILDER if command.builder else replace(BUILDER, hidden=True), DEBUG)
    try:
        values = parse((*command.flags, *shared, HELP), argv, context.environ)
    except UsageError as error:
        see = f'see "{context.program} {command.name} --help"'
        raise UsageError(f"{error}{'' if str(error).endswith('?') else ','} {see}") from None
    if values.boolean("help"):
        from buildwright.cli import help as texts

        return texts.command(command, context.program, (*shared, HELP))
    command.check_args(values.args, context.program)
    return command, values


def _unknown(name: str, program: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, [*COMMANDS, *ALIASES], n=1)
    meant = f', did you mean "{near[0]}"?' if near else ","
    return f'unknown command "{name}"{meant} see "{program} --help"'


def _print(context: Context, text: str) -> int:
    context.stdout.write(text)
    return 0


def _run(command: Command, values: Values, context: Context) -> int:
    import asyncio

    from buildwright.cli.interrupt import supervised

    return asyncio.run(supervised(command.run, values, context))


def _guarded(work: Callable[[], int], context: Context) -> int:
    """Do `work` and flush what it printed; whatever it raises ends here as one sentence."""
    try:
        code = work()
        context.stdout.flush()
        return code
    except BaseException as error:
        return report(error, context)


def report(error: BaseException, context: Context) -> int:
    """Tell `error` on stderr and return the exit code for it."""
    from buildwright.cli.failure import explain

    failure = explain(error, debug=context.debug)
    try:
        context.stdout.flush()
    except (OSError, ValueError):
        _discard(context)
    try:
        context.stderr.write(failure.text)
        context.stderr.flush()
    except (OSError, ValueError):
        pass
    return failure.exit_code


def _discard(context: Context) -> None:
    """Point a stdout that nobody reads at nothing, so that what is buffered for it fails no second time."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, context.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass


def _secure_standard_streams() -> None:
    """Keep the numbers 0 to 2 from going to a socket or a result file when they are closed, and let odd file names
    be printed on any terminal."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
