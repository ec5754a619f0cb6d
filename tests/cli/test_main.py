"""The program as a whole: help, unknown words, errors, signals, closed streams, and being docker's plugin."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from buildwright.cli import table
from buildwright.cli.command import Command, Context
from buildwright.cli.failure import explain
from buildwright.cli.flags import Values
from buildwright.cli.main import main
from buildwright.errors import (
    BuildwrightError,
    Code,
    ConnectError,
    DaemonLostError,
    RpcError,
    SolveError,
    SourceExcerpt,
    UsageError,
)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command line in this process: exit code, stdout and stderr."""

    def run(*argv: str, **environ: str) -> tuple[int, str, str]:
        out, said = io.StringIO(), io.StringIO()
        environ = {"HOME": str(tmp_path), **environ}
        code = main(argv, Context(stdin=io.StringIO(), stdout=out, stderr=said, environ=environ, cwd=str(tmp_path)))
        return code, out.getvalue(), said.getvalue()

    return run


def command(monkeypatch: pytest.MonkeyPatch, work: Callable[[Values, Context], object]) -> None:
    """Make `work` what the command `version` does."""

    async def run(values: Values, context: Context) -> int:
        work(values, context)
        return 0

    made = Command(name="version", usage="version", short="", run=run, max_args=None)
    monkeypatch.setattr(table, "load", lambda name: made)
    monkeypatch.setattr("buildwright.cli.main.load", lambda name: made)


# --- help --------------------------------------------------------------------------------------------------------


def test_without_a_command_there_is_help(run: Run) -> None:
    code, out, said = run()
    assert (code, said) == (0, "")
    assert run("--help") == run("-h") == run("help") == (0, out, "")
    for name in table.COMMANDS:
        assert f"\n  {name} " in out


@pytest.mark.parametrize("name", table.COMMANDS)
def test_every_command_explains_itself(run: Run, name: str) -> None:
    found = table.load(name)
    assert found is not None
    code, out, said = run(name, "--help")
    assert (code, said) == (0, "")
    assert run("help", name) == (0, out, "")
    assert out.startswith(f"{table.COMMANDS[name][1]}\n")
    assert f"\nUsage:\n  buildwright {found.usage}\n" in out
    for flag in found.flags:
        assert (f"--{flag.name}" in out) is not flag.hidden
    for _, line in found.examples:
        assert f"  buildwright {line}\n" in out
    assert ("--builder" in out) is found.builder


@pytest.mark.parametrize("name", table.COMMANDS)
def test_every_example_is_a_command_line_that_is_understood(run: Run, name: str) -> None:
    import shlex

    found = table.load(name)
    assert found is not None
    for _, line in found.examples:
        code, out, said = run(*shlex.split(line), "--help")
        assert (code, said) == (0, "")
        assert out


def test_defaults_and_variables_are_shown(run: Run) -> None:
    assert "(default 20s)" in run("ls", "--help")[1]
    assert "($BUILDX_BUILDER)" in run("use", "--help")[1]


def test_help_imports_no_event_loop() -> None:
    script = (
        "import sys; from buildwright.cli.main import main\n"
        "main(['create', '--help']); print('asyncio' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\nFalse\n")


# --- what is wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["biuld"], 'ERROR: unknown command "biuld", did you mean "build"? see "buildwright --help"\n'),
        (["zzz"], 'ERROR: unknown command "zzz", see "buildwright --help"\n'),
        (["help", "zzz"], 'ERROR: unknown command "zzz", see "buildwright --help"\n'),
        (["ls", "--frmat"], 'ERROR: unknown flag --frmat, did you mean --format? see "buildwright ls --help"\n'),
        (["--zzz", "ls"], "ERROR: unknown flag --zzz\n"),
        (["ls", "x"], 'ERROR: "buildwright ls" takes no arguments, 1 was given; usage: buildwright ls [OPTIONS]\n'),
        (
            ["stop", "a", "b"],
            'ERROR: "buildwright stop" takes at most 1 argument, 2 were given; usage: buildwright stop [NAME]\n',
        ),
        (["ls", "--format", "x"], 'ERROR: flag --format: unknown format "x": choose table or json\n'),
    ],
)
def test_a_wrong_command_line_is_one_sentence(run: Run, argv: list[str], said: str) -> None:
    assert run(*argv) == (1, "", said)


def test_root_flags_stand_before_or_after_the_command(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, bool]] = []
    command(monkeypatch, lambda values, context: seen.append((values.string("builder"), context.debug)))
    assert run("--builder", "a", "-D", "version")[0] == 0
    assert run("version", "--builder=a", "--debug")[0] == 0
    assert run("version", BUILDX_BUILDER="a", DEBUG="1")[0] == 0
    assert seen == [("a", True)] * 3


def raised(error: BaseException) -> Callable[[Values, Context], None]:
    def work(_values: Values, _context: Context) -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("wrong"), 1, "ERROR: wrong\n"),
        (RpcError(Code.RESOURCE_EXHAUSTED, "full"), 102, "ERROR: full\n"),
        (RpcError(Code.CANCELLED, ""), 130, "ERROR: cancelled\n"),
        (SolveError("failed", code=Code.INTERNAL), 100, "ERROR: failed to build: failed to solve: failed\n"),
        (FileNotFoundError(2, "No such file or directory", "/x"), 1, "ERROR: no such file or directory: /x\n"),
        (BrokenPipeError(32, "Broken pipe"), 1, "ERROR: the output was closed before all of it was written\n"),
        (KeyError("token"), 1, "ERROR: internal error (KeyError): run again with --debug to see where\n"),
        (KeyboardInterrupt(), 130, "ERROR: canceled\n"),
        (ExceptionGroup("", [ValueError("a"), ExceptionGroup("", [ConnectError("gone")])]), 1, "ERROR: gone\n"),
        (
            ExceptionGroup("", [ConnectError("gone"), SolveError("no")]),
            1,
            "ERROR: failed to build: failed to solve: no\n",
        ),
    ],
)
def test_a_failure_is_one_sentence_and_its_exit_code(error: BaseException, code: int, said: str) -> None:
    assert (explain(error).exit_code, explain(error).text) == (code, said)


def test_only_debugging_shows_the_trace(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, raised(BuildwrightError("wrong")))
    assert run("version") == (1, "", "ERROR: wrong\n")
    code, out, said = run("version", "--debug")
    assert (code, out) == (1, "")
    assert said.startswith("Traceback")
    assert said.endswith("\nERROR: wrong\n")


def test_a_failed_step_is_shown_in_its_dockerfile() -> None:
    excerpt = SourceExcerpt(filename="Dockerfile", text="FROM a\nRUN b\n", ranges=((2, 2),))
    text = explain(SolveError("failed", sources=(excerpt,))).text
    assert text.startswith("Dockerfile:2\n")
    assert text.endswith("\nERROR: failed to build: failed to solve: failed\n")


def test_a_lost_daemon_has_its_last_words_before_the_sentence() -> None:
    failure = explain(DaemonLostError("pod p was deleted", pod="p", log=("one", "\x1b[2Jtwo\tx")))
    assert failure.exit_code == 75
    assert failure.text == (
        "------\n > last lines of the daemon in pod p:\none\n\ufffd[2Jtwo\tx\n------\nERROR: pod p was deleted\n"
    )
    assert explain(DaemonLostError("pod p was deleted", pod="p")).text == "ERROR: pod p was deleted\n"


# --- signals and streams -----------------------------------------------------------------------------------------

WAITS = """
import asyncio, sys
from buildwright.cli import main, table
from buildwright.cli.command import Command

async def run(values, context):
    if "stdin" in values.args:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
    try:
        print("ready", flush=True)
        await asyncio.Event().wait()
    finally:
        if "slow" in values.args:
            print("cleaning", flush=True)
            try:
                await asyncio.Event().wait()
            finally:
                if "slower" in values.args:
                    print("still cleaning", flush=True)
                    await asyncio.Event().wait()

main.load = lambda name: Command(name="wait", usage="wait", short="", run=run, max_args=None)
sys.argv = ["buildwright", *sys.argv[1:]]
main.entry()
"""


def waiting(*arguments: str, hangup: signal.Handlers = signal.SIG_DFL) -> subprocess.Popen[str]:
    """A process whose command waits, and has said so; `hangup` is what it begins with, whoever runs the tests."""
    pipe, ours = subprocess.PIPE, signal.signal(signal.SIGHUP, hangup)
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", WAITS, "wait", *arguments], stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
    finally:
        signal.signal(signal.SIGHUP, ours)
    expect(process, "ready")
    return process


def expect(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == f"{line}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_the_command(number: signal.Signals) -> None:
    process = waiting()
    process.send_signal(number)
    assert process.communicate() == ("", f"ERROR: canceled by {number.name}\n")
    assert process.returncode == 130


def test_a_command_under_nohup_outlives_its_terminal() -> None:
    process = waiting(hangup=signal.SIG_IGN)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.communicate() == ("", "ERROR: canceled by SIGTERM\n")


def test_a_read_of_stdin_that_never_ends_does_not_hold_the_program() -> None:
    process = waiting("stdin")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    process.communicate()


def test_a_second_signal_hurries_the_clean_up() -> None:
    process = waiting("slow")
    process.send_signal(signal.SIGINT)
    expect(process, "cleaning")
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == "ERROR: canceled by SIGINT\n"
    assert process.returncode == 130


def test_a_third_signal_ends_the_program() -> None:
    process = waiting("slow", "slower")
    process.send_signal(signal.SIGINT)
    expect(process, "cleaning")
    process.send_signal(signal.SIGINT)
    expect(process, "still cleaning")
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == ""
    assert process.returncode == 1


def shell(line: str, **environ: str) -> tuple[int, str]:
    """Run a shell line with `$BW` for us: its exit code and stderr."""
    environ = {**os.environ, "BW": f"{sys.executable} -m buildwright", **environ}
    done = subprocess.run(["bash", "-c", line], env=environ, capture_output=True, text=True)
    return done.returncode, done.stderr


def test_a_reader_that_has_gone_is_one_sentence() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-m", "buildwright", "--help"]
    done = subprocess.run(argv, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "ERROR: the output was closed before all of it was written\n")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_under_stdout_is_one_sentence() -> None:
    assert shell("$BW version > /dev/full") == (1, "ERROR: no space left on device\n")


def test_a_closed_stdout_is_one_sentence_and_a_closed_stdin_none() -> None:
    assert shell("$BW version >&-") == (1, "ERROR: standard output is closed\n")
    assert shell("$BW version <&-") == (0, "")
    assert shell("$BW zzz 2>&-") == (1, "")


# --- docker's plugin ---------------------------------------------------------------------------------------------


def test_docker_is_told_what_we_are(run: Run) -> None:
    code, out, _ = run("docker-cli-plugin-metadata")
    assert code == 0
    assert json.loads(out)["SchemaVersion"] == "0.1.0"
    assert '\n     "Vendor"' in out


def test_docker_starts_us_with_its_own_flags_first(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Context] = []
    command(monkeypatch, lambda _, context: seen.append(context))
    plugin = {"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": "/usr/bin/docker"}
    assert run("--config=/c", "-c", "desktop", "-D", "-H", "tcp://h", "buildx", "version", **plugin)[0] == 0
    assert seen[0].environ["DOCKER_CONFIG"] == "/c"
    assert seen[0].environ["DOCKER_CONTEXT"] == "desktop"
    assert seen[0].environ["DOCKER_HOST"] == "tcp://h"
    assert (seen[0].program, seen[0].debug) == ("docker buildx", True)


def test_a_wrong_command_line_has_dockers_exit_code(run: Run) -> None:
    plugin = {"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": "/usr/bin/docker"}
    assert run("buildx", "ls", "--zzz", **plugin) == (
        125,
        "",
        'ERROR: unknown flag --zzz, see "docker buildx ls --help"\n',
    )
    assert "\n  docker buildx [OPTIONS] COMMAND\n" in run("buildx", **plugin)[1]
