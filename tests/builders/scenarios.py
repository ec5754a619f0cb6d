"""Command lines that make builders, each to be run on an empty store by us and by the real buildx."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

RECORDED = Path(__file__).parent / "data" / "recorded.json"
DAEMON_CONFIG = """\
debug = true # a comment that is lost
insecure-entitlements = ["security.insecure"]
[registry."reg.example.com:5000"]
  http = true
  mirrors = ["a", "b'c", 'd"e']
  ca = ["ca.pem"]
[[registry."reg.example.com:5000".keypair]]
  key = "key.pem"
  cert = "cert.pem"
[worker.oci]
  max-parallelism = 4
  gc = true
  gckeepstorage = "10%"
  [worker.oci.labels]
    "odd key" = "tab\\there \\u0007"
  [[worker.oci.gcpolicy]]
    keepBytes = 512000000
    filters = ["type==x"]
  [[worker.oci.gcpolicy]]
    all = true
[log]
  format = "json"
[stargz]
  ratio = 0.5
  whole = 3.0
  mixed = [[1, 2], []]
"""


@dataclass(frozen=True)
class Scenario:
    name: str
    commands: tuple[tuple[str, ...], ...]
    files: dict[str, str] = field(default_factory=dict)


SCENARIOS = (
    Scenario("a capital name", (("create", "--name", "Alpha", "--driver", "remote", "unix:///srv/a.sock"),)),
    Scenario(
        "the driver by the address, platforms, a node's name and use",
        (
            (
                "create",
                "--name",
                "beta",
                "--driver-opt",
                "default-load=true",
                "--platform",
                "linux/amd64,linux/arm64",
                "--platform",
                "linux/arm/v7",
                "--node",
                "N1",
                "--use",
                "unix:///srv/b.sock",
            ),
        ),
    ),
    Scenario(
        "options with commas and flags with odd characters",
        (
            (
                "create",
                "--name",
                "kb",
                "--driver",
                "kubernetes",
                "--driver-opt",
                "namespace=ci,replicas=2",
                "--driver-opt",
                '"nodeselector=a=b,c=d"',
                "--buildkitd-flags",
                "--debug --foo='x y<&>é'",
            ),
        ),
    ),
    Scenario(
        "appending takes platforms from the others",
        (
            ("create", "--name", "kb", "--driver", "kubernetes", "--platform", "linux/amd64,linux/arm64"),
            ("create", "--name", "kb", "--append", "--node", "kb-arm", "--platform", "linux/arm64"),
            ("create", "--name", "kb", "--append", "--platform", "windows(10.0.17763)/amd64"),
        ),
    ),
    Scenario(
        "appending without platforms",
        (
            ("create", "--name", "two", "--driver", "remote", "unix:///srv/a.sock"),
            ("create", "--name", "two", "--append", "--node", "other", "unix:///srv/b.sock"),
        ),
    ),
    Scenario(
        "leaving",
        (
            ("create", "--name", "two", "--driver", "remote", "unix:///srv/a.sock"),
            ("create", "--name", "two", "--append", "unix:///srv/b.sock"),
            ("create", "--name", "two", "--leave", "--node", "two0"),
        ),
    ),
    Scenario(
        "changing a node's options",
        (
            ("create", "--name", "kb", "--driver", "kubernetes"),
            ("create", "--name", "kb", "--node", "kb0", "--platform", "linux/amd64", "--driver-opt", "rootless=true"),
        ),
    ),
    Scenario(
        "a daemon's configuration with certificates",
        (("create", "--name", "conf", "--driver", "kubernetes", "--buildkitd-config", "daemon.toml"),),
        {"daemon.toml": DAEMON_CONFIG, "ca.pem": "CA", "key.pem": "KEY", "cert.pem": "CERT"},
    ),
    Scenario(
        "entitlements that the user chose",
        (
            (
                "create",
                "--name",
                "own",
                "--driver",
                "kubernetes",
                "--buildkitd-flags",
                "--allow-insecure-entitlement=security.insecure",
            ),
        ),
    ),
    Scenario(
        "an entitlement of the configuration",
        (("create", "--name", "own", "--driver", "kubernetes", "--config", "d.toml"),),
        {"d.toml": 'insecure-entitlements = [ "network.host" ]\n'},
    ),
    Scenario(
        "the default configuration",
        (("create", "--name", "own", "--driver", "kubernetes"),),
        {"buildx/buildkitd.default.toml": "[worker.containerd]\nenabled = false\n"},
    ),
    Scenario(
        "global use",
        (
            ("create", "--name", "a", "--driver", "remote", "unix:///srv/a.sock"),
            ("create", "--name", "b", "--driver", "remote", "unix:///srv/b.sock", "--use"),
            ("use", "--global", "a"),
        ),
    ),
    Scenario(
        "default use, and back to docker's own",
        (
            ("create", "--name", "a", "--driver", "remote", "unix:///srv/a.sock"),
            ("use", "--default", "a"),
            ("use", "default"),
        ),
    ),
    Scenario(
        "default use", (("create", "--name", "a", "--driver", "remote", "tcp://h:1"), ("use", "--default", "a"))
    ),
    Scenario(
        "removing",
        (
            ("create", "--name", "Alpha", "--driver", "remote", "unix:///srv/a.sock", "--use"),
            ("create", "--name", "b", "--driver", "remote", "unix:///srv/b.sock"),
            ("rm", "--keep-daemon", "alpha"),
        ),
    ),
)


def files_of(store: Path, kubeconfig: str) -> dict[str, str]:
    """What a store holds, with all that differs from one run to the next made equal, but no activity."""
    found = {}
    for path in sorted(store.rglob("*")):
        name = path.relative_to(store).as_posix()
        if path.is_file() and name.split("/")[0] in ("instances", "current", "defaults"):
            text = re.sub(
                r"buildkit-[0-9a-f]{8}(-[0-9a-f]{4,12}){4}-[0-9a-z]{5}", "buildkit-RANDOM", path.read_text()
            )
            text = text.replace(quote(kubeconfig, safe=""), "KUBECONFIG")
            found[f"{name} {path.stat().st_mode & 0o777:o}"] = text
    return found


def recorded() -> dict[str, dict[str, str]]:
    """What the real buildx left for each scenario."""
    return json.loads(RECORDED.read_text())  # type: ignore[no-any-return]


def prepare(scenario: Scenario, folder: Path) -> Path:
    """Write the files of a scenario into `folder` and return the store's folder."""
    store = folder / "buildx"
    store.mkdir(mode=0o700)
    for name, content in scenario.files.items():
        (folder / name).write_text(content)
    return store
