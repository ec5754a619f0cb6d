"""From an exception to what the user reads: excerpts of the Dockerfile, one sentence and an exit code."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from buildwright.cli.entry import INTERRUPTED
from buildwright.cli.interrupt import Interrupted
from buildwright.errors import BuildwrightError, DaemonLostError, SolveError


@dataclass(frozen=True, slots=True)
class Failure:
    """`text` ends with a newline and is meant for stderr."""

    text: str
    exit_code: int


def explain(error: BaseException, *, debug: bool = False) -> Failure:
    """What to say of `error`. Only with `debug` is the trace part of it, before the sentence."""
    cause = _cause(error)
    excerpt = ""
    if isinstance(cause, SolveError):
        from buildwright.progress.summary import format_error

        excerpt = format_error(cause, debug)
    elif isinstance(cause, DaemonLostError) and cause.log:
        from buildwright.progress.summary import block

        excerpt = block(f"last lines of the daemon in pod {cause.pod}", cause.log)
    trace = "".join(traceback.format_exception(error)) if debug else ""
    return Failure(f"{trace}{excerpt}ERROR: {_sentence(cause)}\n", _exit_code(cause))


def _cause(error: BaseException) -> BaseException:
    """The failure that the others of a group follow from: a build's own error, else the first of ours."""
    leaves = list(_leaves(error))
    for kind in (SolveError, BuildwrightError, Exception):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    return leaves[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _leaves(member)
    else:
        yield error


def _exit_code(error: BaseException) -> int:
    if isinstance(error, BuildwrightError):
        return error.exit_code
    return INTERRUPTED if isinstance(error, (Interrupted, KeyboardInterrupt, asyncio.CancelledError)) else 1


def _sentence(error: BaseException) -> str:
    match error:
        case SolveError():
            return f"failed to build: failed to solve: {error}"
        case BuildwrightError():
            return str(error) or type(error).__name__
        case Interrupted():
            return f"canceled by {error}"
        case KeyboardInterrupt() | asyncio.CancelledError():
            return "canceled"
        case BrokenPipeError():
            return "the output was closed before all of it was written"
        case OSError(strerror=str(reason), filename=name):
            return f"{reason[:1].lower()}{reason[1:]}: {name}" if name else f"{reason[:1].lower()}{reason[1:]}"
        case _:
            return f"internal error ({type(error).__name__}): run again with --debug to see where"
