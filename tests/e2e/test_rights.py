"""The Roles that doctor prints suffice, and every verb that is missing from one is told at once or not needed."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from buildwright.drivers.kubernetes.checkup.rights import Right, Role, of_role, rights
from buildwright.drivers.kubernetes.checkup.role import rules
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.model.node import Node
from tests.e2e.test_failures import assert_one_sentence, folder

if TYPE_CHECKING:
    import subprocess

    from tests.conftest import Cluster

pytestmark = pytest.mark.cluster

AT_ONCE = 15.0
"""Seconds in which a refused command ends, on a machine that has other work as well."""
TELLING = ("ERROR: ", "failed to remove ")
"""How the lines begin that say why a command failed; `rm` says it for each builder."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of a namespace whose rights change, with a store of its own."""

    cluster: Cluster
    namespace: str
    home: Path

    def may(self, allowed: Sequence[Right]) -> None:
        """From now on exactly this."""
        made = self.cluster.account(self.namespace, f"account-{secrets.token_hex(4)}", rules(allowed))
        self.kubeconfig.write_text(made.read_text())

    @property
    def kubeconfig(self) -> Path:
        return self.home / "kubeconfig"

    def run(self, *argv: str | Path) -> subprocess.CompletedProcess[str]:
        return self.cluster.buildwright(
            *argv, config=self.home / "config", check=False, KUBECONFIG=str(self.kubeconfig)
        )

    def refused(self, right: Right, *argv: str | Path) -> None:
        """The command ends at once with one sentence that names what is missing."""
        began = time.monotonic()
        done = self.run(*argv)
        assert done.returncode == 1, done.stderr
        assert time.monotonic() - began < AT_ONCE
        assert_one_sentence(done.stderr)
        (said,) = [line for line in done.stderr.splitlines() if line.startswith(TELLING) and " cannot " in line]
        assert f'cannot {right.verb} resource "{right.resource}"' in said
        assert self.namespace in said
        assert "buildwright doctor --rbac" in said


def node(namespace: str, **options: str) -> Node:
    return Node(name="kube0", endpoint="", driver_opts={"namespace": namespace, **options})


def names(found: Sequence[Right]) -> list[str]:
    return [f"{right.verb} {right.resource}" for right in found]


USER = of_role(Role.USER, rights(Fleet.of(node("any"))))


@pytest.fixture(scope="module")
def shared(cluster: Cluster) -> Iterator[str]:
    """A namespace for all tests of this file."""
    name = f"rights-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def user(cluster: Cluster, shared: str, tmp_path_factory: pytest.TempPathFactory) -> Account:
    """Someone who builds on a builder that an admin has made."""
    home = tmp_path_factory.mktemp("user")
    options = ("--name", "kube", "--driver", "kubernetes", "--driver-opt", f"namespace={shared}")
    cluster.buildwright("create", *options, "--bootstrap", config=home / "admin")
    account = Account(cluster, shared, home)
    account.may(USER)
    done = account.run("create", *options)
    assert done.returncode == 0, done.stderr
    folder(home / "context", "FROM scratch\nCOPY Dockerfile /\n")
    return account


def build(account: Account) -> tuple[str | Path, ...]:
    return ("build", "--builder", "kube", account.home / "context")


def test_the_role_of_a_user_is_accepted_by_the_cluster(cluster: Cluster, shared: str, user: Account) -> None:
    printed = user.run("doctor", "kube", "--rbac", "user").stdout
    cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=printed)
    role, _ = yaml.safe_load_all(printed)
    granted = {(rule["resources"][0], verb) for rule in role["rules"] for verb in rule["verbs"]}
    assert granted == {(right.resource, right.verb) for right in USER}


def test_a_user_builds_with_the_required_rights_alone(user: Account) -> None:
    user.may([right for right in USER if right.required])
    done = user.run(*build(user))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("missing", USER, ids=names(USER))
def test_a_user_who_lacks_one_right_builds_or_is_told_which(user: Account, missing: Right) -> None:
    user.may([right for right in USER if right != missing])
    if missing.required and not missing.since:
        user.refused(missing, *build(user))
    else:
        done = user.run(*build(user))
        assert done.returncode == 0, done.stderr


def test_doctor_names_every_missing_verb(user: Account) -> None:
    user.may([])
    done = user.run("doctor", "kube", "--format", "json")
    assert done.returncode == 1
    checks = json.loads(done.stdout)["nodes"][0]["checks"]
    said = " ".join(check["detail"] for check in checks if "rights" in check["check"] and "cannot" in check["detail"])
    for right in of_role(Role.ADMIN, rights(Fleet.of(node(user.namespace)))):
        assert re.search(rf"\b{right.verb}\b[a-z, ]* {re.escape(right.target)}\b", said), right


# --- an admin ------------------------------------------------------------------------------------------------------

OPTIONS = {"persistent-volume-claim.requests.storage": "1Gi"}
FILES = {"buildkitd.toml": b"", "certs/r.example.com/key.pem": b"-----BEGIN PRIVATE KEY-----\n"}
FLEET = Fleet.of(Node(name="kube0", endpoint="", driver_opts={**OPTIONS, "namespace": "any"}, files=FILES))
ADMIN = of_role(Role.ADMIN, rights(FLEET))
REQUIRED = [right for right in ADMIN if right.required and not right.since]
CONFIGURATION = """debug = {debug}
[[registry."r.example.com".keypair]]
key = "{home}/key.pem"
cert = "{home}/cert.pem"
"""


@pytest.fixture(scope="module")
def admin(cluster: Cluster, shared: str, tmp_path_factory: pytest.TempPathFactory) -> Account:
    """Someone with a builder that runs, `made`, and one that was never started, `new`; all with claim and key."""
    account = Account(cluster, shared, tmp_path_factory.mktemp("admin"))
    account.may(ADMIN)
    (account.home / "key.pem").write_bytes(FILES["certs/r.example.com/key.pem"])
    (account.home / "cert.pem").write_text("C\n")
    for name, debug in (("first", "false"), ("second", "true")):
        (account.home / f"{name}.toml").write_text(CONFIGURATION.format(debug=debug, home=account.home))
    folder(account.home / "context", "FROM scratch\nCOPY Dockerfile /\n")
    for name in ("made", "new"):
        create(account, name)
    works(account, "inspect", "made", "--bootstrap")
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "buildkitd-new0-0", "labels": {"app": "new0"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    cluster.kubectl("-n", shared, "apply", "-f", "-", stdin=json.dumps(claim))
    return account


def create(account: Account, name: str, configuration: Path | None = None) -> None:
    options = ",".join(f"{key}={value}" for key, value in {**OPTIONS, "namespace": account.namespace}.items())
    works(
        account, "create", "--name", name, "--driver", "kubernetes", "--driver-opt", options,
        "--buildkitd-config", (configuration or account.home) / "first.toml",
    )  # fmt: skip


def works(account: Account, *argv: str | Path) -> None:
    done = account.run(*argv)
    assert done.returncode == 0, done.stderr


def needing(account: Account, right: Right) -> tuple[str | Path, ...]:
    """A command that a required right is for."""
    resource = right.resource.partition("/")[0]
    if resource == "pods":
        return ("build", "--builder", "made", account.home / "context")
    if right.verb == "patch":
        return ("stop", "made")
    if right.verb == "delete" or resource == "persistentvolumeclaims":
        return ("rm", "new")
    if right.verb == "create" or (right.verb == "get" and resource == "statefulsets"):
        return ("inspect", "new", "--bootstrap")
    return ("update", "made", "--driver-opt", "env.A=B", "--buildkitd-config", account.home / "second.toml")


@pytest.mark.parametrize("missing", REQUIRED, ids=names(REQUIRED))
def test_an_admin_who_lacks_a_right_is_told_which(admin: Account, missing: Right) -> None:
    admin.may([right for right in ADMIN if right != missing])
    admin.refused(missing, *needing(admin, missing))


def test_an_admin_needs_no_optional_right(admin: Account) -> None:
    admin.may([right for right in ADMIN if right.required])
    create(admin, "plain")
    works(admin, "inspect", "plain", "--bootstrap")
    works(admin, "update", "plain", "--driver-opt", "env.A=B", "--buildkitd-config", admin.home / "second.toml")
    works(admin, "build", "--builder", "plain", admin.home / "context")
    works(admin, "stop", "plain")
    works(admin, "rm", "plain")


STARTING = [
    right
    for right in ADMIN
    if not right.required
    and (right.verb, right.resource) not in (("create", "leases"), ("patch", "leases"), ("patch", "pods"))
    and (right.verb in ("watch", "create", "patch") or right.resource in ("events", "pods/log"))
]
"""The optional rights of which a start or a removal makes use."""


def test_an_admin_may_lack_any_one_optional_right(cluster: Cluster, shared: str, admin: Account) -> None:
    def live(missing: Right) -> None:
        """A builder's whole life, as somebody else."""
        home = admin.home / f"{missing.verb}-{missing.resource}".replace("/", "-")
        home.mkdir()
        account = Account(cluster, shared, home)
        account.may([right for right in ADMIN if right != missing])
        create(account, home.name, admin.home)
        works(account, "inspect", home.name, "--bootstrap")
        works(account, "rm", home.name)

    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(live, STARTING))) == len(STARTING) > 0
