"""The Roles that doctor prints suffice, and every verb that is missing from one is told at once or not needed."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.drivers.kubernetes.rights import Right, Role, of_role, rights
from buildwright.drivers.kubernetes.role import rules
from buildwright.model.node import Node
from tests.e2e.test_failures import assert_one_sentence, folder, last_line

if TYPE_CHECKING:
    import subprocess

    from tests.conftest import Cluster

pytestmark = pytest.mark.cluster

AT_ONCE = 15.0
"""Seconds in which a refused command ends, on a machine that has other work as well."""


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
        said = last_line(done.stderr)
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
