"""Fixtures for the tiers that need real peers: a buildkitd, a registry, a Kubernetes cluster, all from testbed/.

A tier whose needs are missing is left out and says so in one line; under CI (`CI` set) that is an error instead.
Whatever a session brings up is held for its process, so it goes when the process ends, however that ends.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TESTBED = Path(__file__).resolve().parent.parent / "testbed"
CACHE = Path(
    os.environ.get("BUILDWRIGHT_TESTBED")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "buildwright-testbed"
)
BIN = CACHE / "bin"
OURS = Path(sys.executable).with_name("buildwright")
REGISTRY = "10.214.0.254:5000"
PEER_PROGRAMS = ("buildkitd", "buildctl", "buildx", "runc", "docker-registry", "tini", "unshare", "openssl", "ip")
CLUSTER_PROGRAMS = (*PEER_PROGRAMS, "kube-apiserver", "kubelet", "kubectl", "etcd", "containerd", "nsenter")
TIERS = {"peers": PEER_PROGRAMS, "cluster": CLUSTER_PROGRAMS}
FIXTURES = {
    "registry": "peers",
    "buildkitd": "peers",
    "buildkitd_tls": "peers",
    "private_buildkitd": "peers",
    "cluster": "cluster",
    "namespace": "cluster",
}
FOR_US = ("--for", str(os.getpid()))


# --- tiers -------------------------------------------------------------------------------------------------------


def missing(tier: str) -> str:
    """What keeps a tier from running on this machine; empty when nothing does."""
    if sys.platform != "linux":
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root"
    absent = [name for name in TIERS[tier] if not (BIN / name).exists() and not shutil.which(name)]
    if absent:
        return f"no {', '.join(absent)} (`make bed` installs them)"
    return "" if (CACHE / "registry").exists() else "no container images (`make bed` makes them)"


def tier_of(item: pytest.Item) -> str | None:
    """The most demanding tier of a test: by its marker, or by the fixtures that it asks for."""
    named = {FIXTURES[name] for name in getattr(item, "fixturenames", ()) if name in FIXTURES}
    named |= {tier for tier in TIERS if item.get_closest_marker(tier)}
    return "cluster" if "cluster" in named else "peers" if named else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    by_tier: dict[str, list[pytest.Item]] = {}
    for item in items:
        if tier := tier_of(item):
            item.add_marker(tier)
            by_tier.setdefault(tier, []).append(item)
    left_out = [(tier, tests, why) for tier, tests in by_tier.items() if (why := missing(tier))]
    config.stash[LEFT_OUT] = [f"{tier} tier left out, {len(tests)} tests: {why}" for tier, tests, why in left_out]
    if left_out and in_ci():
        raise pytest.UsageError(*config.stash[LEFT_OUT])
    gone = {id(test) for _, tests, _ in left_out for test in tests}
    config.hook.pytest_deselected(items=[item for item in items if id(item) in gone])
    items[:] = [item for item in items if id(item) not in gone]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(LEFT_OUT, []):
        terminalreporter.write_line(line, yellow=True)


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


LEFT_OUT = pytest.StashKey[list[str]]()


# --- peers -------------------------------------------------------------------------------------------------------


def run(
    *argv: str | Path, env: Mapping[str, str] | None = None, check: bool = True, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a peer to its end; with `check`, a failure is an assertion that shows what it printed."""
    done = subprocess.run(
        [str(word) for word in argv],
        env=env,
        input=stdin if stdin is not None else "",
        text=True,
        capture_output=True,
    )
    assert not check or done.returncode == 0, f"{argv[0]} exited {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def peer_environment(config: Path, **more: str) -> dict[str, str]:
    """The environment of a docker tool that may see nothing of this user's: `config` is all that it has."""
    config.mkdir(parents=True, exist_ok=True)
    path = f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {
        "PATH": path,
        "HOME": str(config),
        "DOCKER_CONFIG": str(config),
        "BUILDX_CONFIG": str(config / "buildx"),
        "NO_COLOR": "1",
        **more,
    }


@dataclass(frozen=True, slots=True)
class Buildkitd:
    """A real buildkitd, with the registry that it pulls from and pushes to."""

    name: str
    address: str
    home: Path
    registry: str = REGISTRY
    tls: Sequence[str | Path] = field(default=())

    @property
    def cacert(self) -> Path:
        return self.home / "pki/ca.crt"

    @property
    def cert(self) -> Path:
        return self.home / "pki/client.crt"

    @property
    def key(self) -> Path:
        return self.home / "pki/client.key"

    @property
    def log(self) -> Path:
        return self.home.parent / "log" / f"buildkitd-{self.name}.log"

    def buildctl(
        self, *args: str | Path, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        env = peer_environment(self.home / "buildctl")
        return run(BIN / "buildctl", "--addr", self.address, *self.tls, *args, env=env, check=check, stdin=stdin)

    def buildx(
        self, *args: str | Path, config: Path, check: bool = True, stdin: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """The real buildx; `config` is its DOCKER_CONFIG, and `config/buildx` its store."""
        return run(BIN / "buildx", *args, env=peer_environment(config, **env), check=check, stdin=stdin)

    def buildwright(
        self, *args: str | Path, config: Path, check: bool = True, stdin: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Our own command as a process, in the same surroundings as `buildx`."""
        return run(OURS, *args, env=peer_environment(config, **env), check=check, stdin=stdin)

    def kill(self) -> None:
        """Its sudden death. Its store stays, so `up` brings the same daemon back."""
        run(TESTBED / "buildkitd", "kill", self.name)

    def up(self) -> None:
        run(TESTBED / "buildkitd", "up", self.name, *FOR_US, *(["--tls"] if self.tls else []))


@dataclass(frozen=True, slots=True)
class Cluster:
    """The test bed's Kubernetes cluster: two nodes, `kubeconfig` is the admin's."""

    kubeconfig: Path
    registry: str = REGISTRY

    @property
    def buildkitd_config(self) -> Path:
        """A buildkitd.toml with which any daemon uses the bed's registry, also as docker.io's mirror."""
        return self.kubeconfig.parent / "buildkitd.toml"

    def kubectl(self, *args: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return run(BIN / "kubectl", "--kubeconfig", self.kubeconfig, *args, check=check, stdin=stdin)

    def buildx(
        self, *args: str | Path, config: Path, check: bool = True, stdin: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """The real buildx as admin of this cluster, its store in `config/buildx`."""
        env = peer_environment(config, **{"KUBECONFIG": str(self.kubeconfig), **env})
        return run(BIN / "buildx", *args, env=env, check=check, stdin=stdin)

    def buildwright(
        self, *args: str | Path, config: Path, check: bool = True, stdin: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Our own command as a process, in the same surroundings as `buildx`."""
        env = peer_environment(config, **{"KUBECONFIG": str(self.kubeconfig), **env})
        return run(OURS, *args, env=env, check=check, stdin=stdin)

    def account(self, namespace: str, name: str, rules: Sequence[Mapping[str, object]] | None = None) -> Path:
        """A kubeconfig with exactly these Role rules in a namespace; None: what buildx's driver needs."""
        words = ["account", namespace, name]
        if rules is not None:
            path = self.kubeconfig.parent / f"{namespace}-{name}.rules.json"
            path.write_text(json.dumps(rules))
            words.append(str(path))
        return Path(self.bed(*words))

    def power_off(self, node: str) -> None:
        """A node's sudden death; `power_on` boots it again."""
        self.bed("power-off", node)

    def power_on(self, node: str) -> None:
        self.bed("power-on", node)
        self._until_ready(node)

    def unplug(self, node: str) -> None:
        """A node goes on and nobody hears of it, until `plug`."""
        self.bed("unplug", node)

    def plug(self, node: str) -> None:
        self.bed("plug", node)
        self._until_ready(node)

    def kill(self, program: str) -> None:
        """kube-apiserver or NODE-kubelet dies, and nothing else; `start` brings it back."""
        self.bed("kill", program)

    def start(self, program: str) -> None:
        self.bed("start", program)
        self._until_ready(*(f"node{number}" for number in (1, 2)))

    def _until_ready(self, *nodes: str) -> None:
        """The nodes' status may be as old as before; that the API server reaches their kubelets is asked as well."""
        self.kubectl("wait", "--for=condition=Ready", *(f"node/{node}" for node in nodes), "--timeout=60s")
        deadline = time.monotonic() + 60
        for node in nodes:
            while self.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/healthz", check=False).stdout != "ok":
                assert time.monotonic() < deadline, f"the API server does not reach the kubelet of {node}"
                time.sleep(0.2)

    def bed(self, *args: str) -> str:
        return run(TESTBED / "cluster", *args).stdout.strip()


# --- fixtures ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def bed() -> None:
    """What a killed session left is ended first; a keeper ends what this one leaves, should it be killed."""
    run(TESTBED / "sweep")
    # forked into a session of its own, so that it outlives us; it ends by itself right after us
    argv = ["setsid", "--fork", TESTBED / "sweep", "--after", str(os.getpid())]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def registry(bed: None) -> Iterator[str]:
    """Host and port of a real registry (plain HTTP), filled with the bed's images, docker.io's mirror."""
    yield run(TESTBED / "registry", "up", *FOR_US).stdout.strip()
    run(TESTBED / "registry", "down", *FOR_US)


@pytest.fixture(scope="session")
def buildkitd(registry: str) -> Iterator[Buildkitd]:
    """A real buildkitd on a unix socket, for the whole session: do not kill it, do not prune it."""
    yield from daemon(f"s{os.getpid()}")


@pytest.fixture(scope="session")
def buildkitd_tls(registry: str) -> Iterator[Buildkitd]:
    """A real buildkitd on TCP that asks for a client's certificate; `cacert`, `cert` and `key` are accepted ones."""
    yield from daemon(f"t{os.getpid()}", "--tls")


@pytest.fixture
def private_buildkitd(registry: str) -> Iterator[Buildkitd]:
    """A real buildkitd with an empty store for one test, which may kill it."""
    yield from daemon(f"p{os.getpid()}")


def daemon(name: str, *options: str) -> Iterator[Buildkitd]:
    address = run(TESTBED / "buildkitd", "up", name, *options, *FOR_US).stdout.strip()
    home = CACHE / "state" / f"buildkitd-{name}"
    pki = home / "pki"
    tls = ("--tlscacert", pki / "ca.crt", "--tlscert", pki / "client.crt", "--tlskey", pki / "client.key")
    yield Buildkitd(name, address, home, tls=tls if "--tls" in options else ())
    run(TESTBED / "buildkitd", "down", name)


@pytest.fixture(scope="session")
def cluster(registry: str) -> Iterator[Cluster]:
    """A real Kubernetes cluster, for the whole session; a test uses a namespace of its own."""
    yield Cluster(Path(run(TESTBED / "cluster", "up", *FOR_US).stdout.strip()))
    run(TESTBED / "cluster", "down", *FOR_US)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace for one test, empty and with a name that no other run has; all of it goes afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
