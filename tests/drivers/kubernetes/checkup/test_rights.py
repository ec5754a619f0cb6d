"""Which verbs a builder needs, and the Role that allows them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from buildwright.drivers.kubernetes.checkup import role
from buildwright.drivers.kubernetes.checkup.rights import Role, of_role, rights
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.model.node import Node

KEY = b"-----BEGIN PRIVATE KEY-----\n"


def node(files: dict[str, bytes] | None = None, **options: str) -> Node:
    return Node(name="kube0", endpoint="", driver_opts={"namespace": "ci", **options}, files=files or {})


def needed(name: Role, files: dict[str, bytes] | None = None, **options: str) -> set[str]:
    found = of_role(name, rights(Fleet.of(node(files, **options))))
    return {f"{right.verb} {right.resource}" for right in found if right.required}


def documents(name: Role, *nodes: Node) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(role.for_nodes(nodes, name)))


def test_a_user_needs_no_right_to_change_anything() -> None:
    assert needed(Role.USER) == {"get deployments", "list pods", "get pods/exec", "create pods/exec"}


def test_an_admin_has_all_of_a_users_rights() -> None:
    assert needed(Role.USER) < needed(Role.ADMIN)


@pytest.mark.parametrize(
    ("options", "files", "kinds"),
    [
        ({}, {}, {"deployments"}),
        ({"persistent-volume-claim.requests.storage": "1Gi"}, {},
         {"statefulsets", "configmaps", "persistentvolumeclaims"}),
        ({}, {"buildkitd.toml": b"debug = true\n"}, {"deployments", "configmaps"}),
        ({}, {"certs/a/key.pem": KEY, "buildkitd.toml": b""}, {"deployments", "configmaps", "secrets"}),
    ],
)  # fmt: skip
def test_what_is_deleted_depends_on_the_options(
    options: dict[str, str], files: dict[str, bytes], kinds: set[str]
) -> None:
    verbs = needed(Role.ADMIN, files, **options)
    assert {verb.removeprefix("delete ") for verb in verbs if verb.startswith("delete ")} == kinds


def test_pods_that_are_found_by_label_need_no_rights_on_workloads() -> None:
    assert needed(Role.ADMIN, managed="false", labels="a=b") == {"list pods", "get pods/exec", "create pods/exec"}


def test_the_role_and_its_binding_are_objects_of_the_namespace() -> None:
    made, binding = documents(Role.USER, node())
    assert (made["kind"], made["metadata"]["namespace"], made["metadata"]["name"]) == (
        "Role",
        "ci",
        "buildwright-user",
    )
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": made["metadata"]["name"],
    }
    assert "subjects" not in binding, "applying it again must take the Role from nobody"


@pytest.mark.parametrize("name", list(Role))
def test_the_role_grants_exactly_the_rights(name: Role) -> None:
    one = node({"buildkitd.toml": b""})
    granted = [
        (group, resource, verb)
        for rule in documents(name, one)[0]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
    assert len(granted) == len(set(granted))
    wanted = of_role(name, rights(Fleet.of(one)))
    assert set(granted) == {(right.group, right.resource, right.verb) for right in wanted}


def test_nodes_of_several_namespaces_have_a_role_in_each() -> None:
    other = Node(name="kube1", endpoint="", driver_opts={"namespace": "arm"})
    places = [document["metadata"]["namespace"] for document in documents(Role.ADMIN, node(), other)]
    assert places == ["ci", "ci", "arm", "arm"]


def test_every_optional_rule_says_what_is_lost_without_it() -> None:
    text = role.for_nodes([node()], Role.USER)
    assert "# Without: pods are read every second instead." in text


def test_leases_that_cannot_be_deleted_do_not_keep_builds_from_being_protected() -> None:
    of_user = of_role(Role.USER, rights(Fleet.of(node())))
    found = {right.verb: right.without for right in of_user if right.resource == "leases"}
    assert "of builds that are over stay" in found["delete"]
    assert "a drain or an eviction" in found["create"]


def test_what_only_the_whole_cluster_can_give_is_a_comment_that_is_yaml() -> None:
    nodes = [node(), Node(name="kube1", endpoint="", driver_opts={"namespace": "arm"})]
    text = role.for_nodes(nodes, Role.USER)
    assert "ClusterRole" not in {document["kind"] for document in yaml.safe_load_all(text)}
    (comment,) = text.split("\n# ---\n", 1)[1:]
    made, binding = yaml.safe_load_all(comment.replace("\n# ", "\n").removeprefix("# "))
    assert (made["kind"], binding["roleRef"]["name"]) == ("ClusterRole", made["metadata"]["name"])
    assert [(rule["resources"], rule["verbs"]) for rule in made["rules"]] == [
        (["namespaces"], ["get"]),
        (["nodes"], ["list"]),
    ]
