"""create, use, ls, inspect, stop and rm: what they print and what they leave."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from buildwright.cli import columns, platforms
from buildwright.cli.command import Context
from buildwright.cli.main import main
from buildwright.drivers.driver import Driver
from buildwright.errors import ConnectError
from buildwright.model.node import Builder, Node
from buildwright.model.platform import Platform
from buildwright.testing.drivers import MemoryDriver
from tests.conftest import OURS, peer_environment
from tests.conftest import run as run_program

if TYPE_CHECKING:
    from tests.conftest import Buildkitd, Cluster

Run = Callable[..., tuple[int, str, str]]
NO_CLUSTER = (
    "{apiVersion: v1, kind: Config, current-context: a, users: [{name: a, user: {token: x}}],"
    " clusters: [{name: a, cluster: {server: 'https://127.0.0.1:9'}}],"
    " contexts: [{name: a, context: {cluster: a, user: a, namespace: n}}]}"
)
NOBODY = "unix:///nobody/listens.sock"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command line in this process on a store of its own: exit code, stdout and stderr."""

    def run(*argv: str, stdin: str = "", **environ: str) -> tuple[int, str, str]:
        out, said = io.StringIO(), io.StringIO()
        environ = {"HOME": str(tmp_path), **environ}
        context = Context(
            stdin=io.StringIO(stdin),
            stdout=out,
            stderr=said,
            environ=environ,
            cwd=str(tmp_path),
            program="buildwright",
        )
        return main(argv, context), out.getvalue(), said.getvalue()

    return run


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / ".docker" / "buildx"


def stored(store: Path) -> list[str]:
    return sorted(path.name for path in (store / "instances").iterdir())


def add(run: Run, *names: str) -> None:
    for name in names:
        assert run("create", "--name", name, "--driver", "remote", NOBODY) == (0, f"{name}\n", "")


# --- ls ----------------------------------------------------------------------------------------------------------


def test_ls_marks_the_current_builder_and_puts_those_in_error_last(run: Run, store: Path) -> None:
    add(run, "b", "A")
    (store / "instances" / "bad").write_text("{")
    assert run("use", "b") == (0, "", "")
    code, out, said = run("ls")
    assert code == 0
    rows = [re.split(r" {2,}", line.strip()) for line in out.splitlines()]
    assert rows == [
        ["NAME/NODE", "DRIVER/ENDPOINT", "STATUS", "BUILDKIT", "PLATFORMS"],
        ["A", "remote"],
        [r"\_ a0", rf"\_ {NOBODY}", "inactive"],
        ["b*", "remote"],
        [r"\_ b0", rf"\_ {NOBODY}", "inactive"],
        ["default", "error"],
        ["bad", "error"],
    ]
    assert said.startswith('\nCannot load builder default: "default" is a docker context')
    assert re.search(r"\nCannot load builder bad: .*instances/bad is damaged .*\n$", said)


def test_ls_as_json_is_a_line_for_each_builder(run: Run) -> None:
    add(run, "a")
    code, out, said = run("ls", "--format", "json")
    assert (code, said) == (0, "")
    first, second = map(json.loads, out.splitlines())
    assert first["Nodes"] == [{"Name": "a0", "Endpoint": NOBODY, "Status": "inactive"}]
    assert (first["Current"], first["Dynamic"], "Err" in first) == (False, False, False)
    assert (second["Name"], second["Current"], second["LastActivity"]) == ("default", True, "0001-01-01T00:00:00Z")
    assert list(second) == sorted(second)


def test_a_builder_of_the_environment_is_listed_while_it_is_the_current_one(run: Run) -> None:
    add(run, "a")
    assert re.search(r"\nbuildkit-host\* +remote", run("ls", BUILDKIT_HOST=NOBODY)[1])
    run("use", "a")
    assert "buildkit-host" not in run("ls", BUILDKIT_HOST=NOBODY)[1]


def test_private_keys_are_not_shown(run: Run, store: Path) -> None:
    add(run, "a")
    document = json.loads((store / "instances" / "a").read_text())
    key = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCg=="  # -----BEGIN PRIVATE KEY-----
    document["Nodes"][0]["Files"] = {"certs/r/key.pem": key, "buildkitd.toml": "YSA9IDEK"}
    document["Nodes"][0]["Driver"] = document["Driver"] = "kubernetes"
    (store / "instances" / "a").write_text(json.dumps(document))
    out = run("ls", "--format=json")[1] + run("inspect", "a")[1] + run("inspect", "-D", "a")[1]
    assert "PRIVATE" not in out
    assert key not in out


# --- inspect -----------------------------------------------------------------------------------------------------


def test_inspect_shows_the_current_builder(run: Run) -> None:
    add(run, "a")
    run("use", "a")
    code, out, said = run("inspect")
    assert (code, said) == (0, "")
    out = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC", "NOW", out)
    assert out == (
        "Name:          a\nDriver:        remote\nLast Activity: NOW\n\n"
        f"Nodes:\nName:     a0\nEndpoint: {NOBODY}\nStatus:   inactive\n"
    )
    assert run("inspect", "--builder", "a") == run("inspect", "A") == run("inspect", BUILDX_BUILDER="a")


def test_inspecting_what_is_not_there_or_damaged_fails(run: Run, store: Path) -> None:
    add(run, "a")
    (store / "instances" / "a").write_text("{")
    assert run("inspect", "none")[0] == 1
    code, out, said = run("inspect", "a")
    assert (code, out) == (1, "")
    assert re.fullmatch(r"ERROR: the builder file .*instances/a is damaged .*\n", said)


# --- use, stop, rm -----------------------------------------------------------------------------------------------


def test_removing_says_what_it_removed_on_stderr(run: Run, store: Path) -> None:
    add(run, "a", "B", "c")
    assert run("rm", "a", "B") == (0, "", "a removed\nB removed\n")
    assert stored(store) == ["c"]
    code, out, said = run("rm", "none", "c")
    assert (code, out) == (1, "")
    assert sorted(said.splitlines()) == [
        "ERROR: failed to remove one or more builders",
        "c removed",
        'failed to remove none: no builder "none" found: "buildwright ls" shows those that exist',
    ]


def test_without_a_name_the_current_builder_is_removed_and_named(run: Run, store: Path) -> None:
    add(run, "a", "b")
    run("use", "b")
    assert run("rm") == (0, "", "b removed\n")
    assert run("rm", "--builder", "a") == (0, "", "a removed\n")
    assert run("rm")[2].startswith(
        "failed to remove default: context builder cannot be removed, run `docker context rm"
    )


def test_removing_all_that_do_not_run_asks_first(run: Run, store: Path) -> None:
    add(run, "a", "b")
    (store / "instances" / "bad").write_text("{")
    code, out, said = run("rm", "--all-inactive", stdin="n\n")
    assert (code, said) == (0, "")
    assert out.endswith("[y/N] ")
    assert stored(store) == ["a", "b", "bad"]
    code, out, said = run("rm", "--all-inactive", "-f")
    assert (code, out) == (0, "")
    assert "a removed\n" in said
    assert "WARNING: builder bad is left alone: " in said
    assert stored(store) == ["bad"]
    assert run("rm", "--keep-daemon", "bad") == (0, "", "bad removed\n")
    assert run("rm", "--all-inactive", "x")[0] == 1


def test_a_builder_of_a_driver_that_we_lack_is_forgotten_only_when_asked(run: Run, store: Path) -> None:
    add(run, "a")
    path = store / "instances" / "a"
    path.write_text(path.read_text().replace('"remote"', '"docker-container"'))
    assert run("rm", "a")[2].startswith('failed to remove a: the driver "docker-container" is not supported')
    assert run("rm", "--all-inactive", "-f")[0] == 0
    assert stored(store) == ["a"]
    code, _, said = run("stop", "a")
    assert code == 1
    assert 'the driver "docker-container", which is not supported' in said
    assert run("rm", "--keep-daemon", "a") == (0, "", "a removed\n")


def test_a_builder_whose_pods_cannot_be_removed_is_kept_until_it_is_to_be_forgotten(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(NO_CLUSTER)
    environment = peer_environment(tmp_path, KUBECONFIG=str(kubeconfig))
    for name in ("a", "b"):
        run_program(OURS, "create", "--name", name, "--driver", "kubernetes", env=environment)
    done = run_program(OURS, "rm", "a", env=environment, check=False)
    assert done.returncode == 1
    assert "(the builder is kept: add --force to forget it nevertheless)" in done.stderr
    assert stored(tmp_path / "buildx") == ["a", "b"]
    forced = run_program(OURS, "rm", "--force", "a", env=environment, check=False)
    assert (forced.returncode, "failed to remove a: " in forced.stderr) == (1, True)
    assert run_program(OURS, "rm", "--keep-daemon", "b", env=environment).stderr == "b removed\n"
    assert stored(tmp_path / "buildx") == []


def test_a_node_leaves_and_the_last_one_stays(run: Run) -> None:
    add(run, "a")
    assert run("create", "--name", "a", "--append", f"{NOBODY}2")[0] == 0
    assert run("create", "--name", "a", "--leave", "--node", "a0") == (0, "", "")
    assert run("create", "--name", "a", "--leave", "--node", "a1")[0] == 1


def test_a_changed_node_is_said_to_need_a_restart(run: Run) -> None:
    add(run, "a")
    said = run("create", "--name", "a", "--node", "a0", "--driver-opt", "default-load=true")[2]
    assert said == "WARNING: new settings may not be used until builder is restarted\n"
    assert run("create", "--name", "a", "--node", "a0", "--platform", "linux/arm64")[2] == ""


def test_a_node_that_cannot_be_stopped_keeps_no_other_from_being_stopped(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(run, "a")
    for node in ("second", "third"):
        run("create", "--name", "a", "--append", "--node", node, "--driver", "remote", f"{NOBODY}.{node}")
    asked: list[str] = []

    def driver_for(_: Builder, node: Node) -> Driver:
        asked.append(node.name)
        if node.name != "third":
            raise ConnectError(f"{node.name} cannot be reached")
        return MemoryDriver()

    monkeypatch.setattr("buildwright.builders.open.driver_for", driver_for)
    assert run("stop", "a") == (1, "", "WARNING: second cannot be reached\nERROR: a0 cannot be reached\n")
    assert asked == ["a0", "second", "third"]


def test_stopping_a_daemon_that_is_not_ours_does_nothing(run: Run) -> None:
    add(run, "a")
    assert run("stop", "a") == (0, "", "")


# --- how things are written --------------------------------------------------------------------------------------


def test_columns_are_as_wide_as_their_widest_cell_in_consecutive_lines() -> None:
    assert columns.align(["a\tb", "long\tc", "alone", "x\ty", "\tk:\tv", "\tlonger:\tw"]) == (
        "a    b\nlong c\nalone\nx y\n  k:      v\n  longer: w\n"
    )
    assert columns.align(["a\tb", "ccccccccccc\t"], least=10, padding=3) == "a             b\nccccccccccc   \n"


def names(text: str) -> list[Platform]:
    return [Platform.parse(name) for name in text.split()]


@pytest.mark.parametrize(
    ("fixed", "found", "shown"),
    [
        ("", "", ""),
        ("", "linux/amd64 linux/amd64/v2 linux/386", "linux/amd64 (+2), linux/386"),
        ("linux/arm64", "linux/amd64 linux/arm64", "linux/amd64, linux/arm64*"),
        ("linux/amd64", "linux/amd64/v2", "linux/amd64* (+2)"),
        (
            "",
            "linux/386 linux/s390x linux/riscv64 linux/arm/v7 linux/arm/v6 linux/arm64 linux/amd64",
            "linux/amd64, linux/arm64, linux/arm (+2), linux/s390x, (2 more)",
        ),
        (
            "windows/amd64",
            "linux/amd64 linux/loong64 linux/mips linux/386",
            "linux/amd64, linux/386, linux/loong64, linux/mips, (1 more)",
        ),
    ],
)
def test_platforms_are_grouped_by_architecture(fixed: str, found: str, shown: str) -> None:
    assert platforms.shorten(platforms.mark(names(fixed), names(found))) == shown


# --- beside the real buildx --------------------------------------------------------------------------------------


def same(bed: Buildkitd | Cluster, config: Path, *argv: str) -> tuple[int, str]:
    """Run a command with both programs, and assert that they print the same and end with the same code."""
    theirs = bed.buildx(*argv, config=config, check=False)
    ours = bed.buildwright(*argv, config=config, check=False)
    assert (ours.returncode, comparable(ours.stdout)) == (theirs.returncode, comparable(theirs.stdout)), argv
    return ours.returncode, ours.stdout


def comparable(text: str) -> str:
    """Without the reason for which docker's own builder is in error, and with driver options in one order."""
    text = re.sub(r'(?m)^Error: .*docker.*$|"Err":".*?[^\\]",', "", text)
    return re.sub(r"(?m)(?<=^Driver Options:)(.*)$", lambda found: " ".join(sorted(found[0].split())), text)


@pytest.mark.peers
def test_both_list_and_inspect_a_running_daemon_alike(buildkitd: Buildkitd, tmp_path: Path) -> None:
    buildkitd.buildx("create", "--name", "Theirs", "--driver", "remote", buildkitd.address, config=tmp_path)
    fixed = ("--platform", "linux/arm64,linux/amd64", "--driver-opt", "default-load=true")
    buildkitd.buildwright("create", "--name", "ours", "--use", *fixed, buildkitd.address, config=tmp_path)
    buildkitd.buildwright("create", "--name", "off", "--driver", "remote", NOBODY, config=tmp_path)
    for argv in (
        ("ls",),
        ("ls", "--no-trunc"),
        ("ls", "--format", "json"),
        ("inspect",),
        ("inspect", "theirs"),
        ("inspect", "ours"),
        ("inspect", "off"),
        ("inspect", "default"),
        ("inspect", "none"),
        ("inspect", "--debug", "ours"),
        ("inspect", "--bootstrap", "ours"),
        ("stop", "ours"),
        ("use", "none"),
        ("use", "theirs"),
        ("inspect",),
        ("rm", "none"),
        ("rm", "--keep-daemon", "default"),
        ("rm", "x", "--all-inactive"),
        ("create", "--name", "ours", "--driver", "remote", buildkitd.address),
        ("create", "--append", "--driver", "remote", buildkitd.address),
        ("create", "--name", "ours", "--leave", "--node", "ours0"),
        ("create", "--name", "x", "--driver", "remote", "http://h"),
    ):
        same(buildkitd, tmp_path, *argv)
    assert buildkitd.buildx("rm", "ours", config=tmp_path).stderr == "ours removed\n"
    assert buildkitd.buildwright("rm", "Theirs", config=tmp_path).stderr == "Theirs removed\n"
    assert stored(tmp_path / "buildx") == ["off"]


@pytest.mark.peers
def test_the_real_buildx_builds_with_a_builder_that_we_made(buildkitd: Buildkitd, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    buildkitd.buildwright("create", "--name", "ours", "--driver", "remote", buildkitd.address, config=tmp_path)
    buildkitd.buildx("build", "--builder", "ours", "-o", str(tmp_path / "out"), str(tmp_path), config=tmp_path)
    assert (tmp_path / "out" / "Dockerfile").read_text().startswith("FROM scratch")


@pytest.mark.cluster
def test_a_fleet_of_pods_is_the_same_to_both(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    make = ("create", "--driver", "kubernetes", "--driver-opt", f"namespace={namespace},replicas=2", "--bootstrap")
    build = ("build", "-o", str(tmp_path / "out"), str(tmp_path))
    ours = cluster.buildwright(*make, "--name", "ours", "--platform", "linux/amd64", config=tmp_path)
    assert ours.stdout == "ours\n"
    cluster.buildx(*make, "--name", "theirs", "--buildkitd-config", cluster.buildkitd_config, config=tmp_path)
    listed = same(cluster, tmp_path, "ls")[1]
    assert listed.count(r" \_ ours0") == listed.count(r" \_ theirs0") == 2
    same(cluster, tmp_path, "ls", "--format", "json")
    shown = cluster.buildwright("inspect", "theirs", config=tmp_path).stdout
    assert len(set(re.findall(r"(?m)^Instance: +(theirs0-\S+)$", shown))) == 2
    without = re.sub(r"(?m)^Instance: .*\n", "", shown)
    assert comparable(without) == comparable(cluster.buildx("inspect", "theirs", config=tmp_path).stdout)
    cluster.buildx(*build, "--builder", "ours", config=tmp_path)
    cluster.buildwright(*build, "--builder", "theirs", config=tmp_path)
    assert cluster.buildwright("rm", "--all-inactive", "-f", config=tmp_path).stderr == ""
    same(cluster, tmp_path, "stop", "ours")
    assert cluster.buildwright("rm", "theirs", config=tmp_path).stderr == "theirs removed\n"
    assert cluster.buildx("rm", "ours", config=tmp_path).stderr == "ours removed\n"
    left = cluster.kubectl("get", "deployments,configmaps", "-n", namespace, "-o", "name").stdout.split()
    assert left == ["configmap/kube-root-ca.crt"]


@pytest.mark.cluster
def test_a_creation_that_the_cluster_refuses_leaves_nothing_behind(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    refused = cluster.account(namespace, "nobody", [])
    make = ("create", "--name", "kube", "--driver", "kubernetes", "--driver-opt", f"namespace={namespace}")
    done = cluster.buildwright(*make, config=tmp_path, check=False, KUBECONFIG=str(refused))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "forbidden" in done.stderr
    assert stored(tmp_path / "buildx") == []


@pytest.mark.cluster
def test_what_somebody_else_has_made_otherwise_is_told(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    def create(store: str, options: str) -> str:
        driver = ("--driver", "kubernetes", "--driver-opt", f"namespace={namespace}{options}")
        done = cluster.buildwright("create", "--name", "kube", *driver, "--bootstrap", config=tmp_path / store)
        assert done.stdout == "kube\n"
        return done.stderr

    assert "is there already" not in create("first", ",limits.memory=1Gi")
    assert not create("second", ",limits.memory=1Gi")
    told = create("third", ",limits.memory=2Gi,replicas=2")
    assert told.startswith("WARNING: node kube0 is there already, and not as it is asked for here (spec.")
    assert "spec.replicas, " in told
    assert "limits.memory" in told
    assert told.endswith("until buildwright update kube, whose --dry-run shows the difference\n")


def test_a_bootstrap_of_a_cluster_that_is_not_there_fails(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(NO_CLUSTER)
    environment = peer_environment(tmp_path, KUBECONFIG=str(kubeconfig))
    make = ("create", "--name", "kube", "--driver", "kubernetes", "--bootstrap")
    for words in (make, ("inspect", "--bootstrap", "kube")):
        done = run_program(OURS, *words, env=environment, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert "https://127.0.0.1:9 cannot be reached" in done.stderr


def test_a_damaged_builder_cannot_become_the_current_one(tmp_path: Path) -> None:
    instances = tmp_path / "buildx" / "instances"
    instances.mkdir(parents=True)
    (instances / "broken").write_text("{")
    done = run_program(OURS, "use", "broken", env=peer_environment(tmp_path), check=False)
    assert done.returncode == 1
    assert "damaged" in done.stderr
