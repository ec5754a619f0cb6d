"""docs/kubernetes.md does what it says: every section runs on a real cluster, and prints what is written there."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import BIN, OURS, peer_environment

if TYPE_CHECKING:
    from tests.conftest import Cluster

pytestmark = pytest.mark.cluster

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kubernetes.md"
MARK = "--- end of command ---"
LONGEST = 120
STANDS_FOR_ARM64 = ("kubernetes.io/arch=arm64", "kubernetes.io/hostname=node2")
"""Both of the bed's nodes are amd64, and kubelet puts that label back: what the page asks of an arm64 node is asked
of the second one, which runs arm64 by the emulators of the section before."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command and the lines that it is said to print; `...` stands for anything in a line, or for any lines."""

    command: str
    expected: tuple[str, ...]

    def agrees(self, printed: str) -> bool:
        lines = [" ".join(line.split()) for line in printed.splitlines() if line.strip()]
        pattern = "".join(
            r"(.*\n)*?" if line == "..." else re.escape(" ".join(line.split())).replace(r"\.\.\.", ".*") + r"\n"
            for line in self.expected
        )
        return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None


def steps(section: str) -> Iterator[Step]:
    """The commands of a section in order; a here-document and lines after a backslash belong to their command."""
    for block in re.findall(r"^```console\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
        lines = iter(block.splitlines())
        command, printed = "", list[str]()
        for line in lines:
            if not line.startswith("$ "):
                printed.append(line)
                continue
            if command:
                yield Step(command, tuple(printed))
            command, printed = line[2:], []
            while command.endswith("\\"):
                command += "\n" + next(lines)
            if word := re.search(r"<<'(\w+)'$", command):
                while not command.endswith(f"\n{word[1]}"):
                    command += "\n" + next(lines)
        yield Step(command, tuple(printed))


def sections() -> list[tuple[str, list[Step]]]:
    """The page's sections that have commands, by title; what comes before the first one is for the reader alone."""
    _, *parts = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    return [(part.partition("\n")[0], list(steps(part))) for part in parts if "```console" in part]


class Shell:
    """A bash that goes on from command to command, as a reader's does. stdout and stderr come as one text."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str) -> tuple[str, int]:
        """What a command prints, and its exit code."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        guarded = re.sub(r"^(buildwright|kubectl) (?!.*&$)", rf"timeout {LONGEST} \1 ", command)
        guarded = guarded.replace(*STANDS_FOR_ARM64)
        stdin.write(f"{guarded}\ncode=$?; echo; echo '{MARK}' $code\n")
        stdin.flush()
        printed = ""
        for line in stdout:
            if line.startswith(MARK):
                return printed, int(line.rsplit(" ", 1)[1])
            printed += line
        raise AssertionError(f"the shell ended at {command}\n{printed}")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("kill $(jobs -p) 2>/dev/null\nexit\n")
        self._process.stdin.close()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture(scope="module")
def shell(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A reader's shell, whose new builders know the bed's registry."""
    home = tmp_path_factory.mktemp("tutorial")
    store = home / "config" / "buildx"
    store.mkdir(parents=True)
    shutil.copy(cluster.buildkitd_config, store / "buildkitd.default.toml")
    environment = peer_environment(home / "config", KUBECONFIG=str(cluster.kubeconfig))
    environment["PATH"] = f"{OURS.parent}:{BIN}:{environment['PATH']}"
    environment["REGISTRY"] = f"{cluster.registry}/{home.name}"
    reader = Shell(environment, home)
    yield reader
    reader.close()
    cluster.kubectl("delete", "namespace", "buildkit", "team-a", "--ignore-not-found", "--wait=false")


@pytest.mark.parametrize(("title", "commands"), [pytest.param(*part, id=part[0]) for part in sections()])
def test_the_guide_does_what_it_says(shell: Shell, title: str, commands: list[Step]) -> None:
    shell.run("buildwright rm kube")
    # No reader goes from one part to the next while pods of the last one still end.
    shell.run("kubectl -n buildkit wait --for=delete pod -l builder=kube --timeout=60s")
    for step in commands:
        printed, code = shell.run(step.command)
        assert code == 0, f"{step.command}\nexited {code}\n{printed}"
        assert step.agrees(printed), f"{step.command}\nprinted\n{printed}\ninstead of\n" + "\n".join(step.expected)


def test_the_guide_has_every_topic() -> None:
    titles = " ".join(title for title, _ in sections())
    for topic in ("pushed", "replicas", "quoting", "emulation", "nodes of their own", "Rootless", "life", "Service"):
        assert topic in titles
