"""What facts about a cluster mean for a builder."""

from __future__ import annotations

from typing import Any

import pytest

from buildwright.drivers.kubernetes.checkup import checks
from buildwright.drivers.kubernetes.checkup.rights import Right, rights
from buildwright.drivers.kubernetes.fleet import Fleet
from buildwright.kube.server import Server
from buildwright.model.finding import Finding, Level
from buildwright.model.node import Node
from buildwright.model.platform import Platform

NEW, OLD = Server(version="v1.35.0", release=(1, 35)), Server(version="v1.34.4", release=(1, 34))


def fleet(**options: str) -> Fleet:
    return Fleet.of(Node(name="kube0", endpoint="", driver_opts=options))


def lacking(*named: str, seen: Server = NEW, make: bool = False) -> list[Finding]:
    """What is found when these rights, as "verb resource", are missing."""
    found = rights(fleet())
    missing = [right for right in found if f"{right.verb} {right.resource}" in named]
    return checks.allowed(missing, found, seen, make=make)


def test_all_rights_are_two_good_findings() -> None:
    found = lacking()
    assert [(one.level, one.topic) for one in found] == [
        (Level.OK, "rights to build"),
        (Level.OK, "rights to manage"),
    ]
    assert "get, create pods/exec" in found[0].text


def test_a_missing_right_is_named_with_where_to_get_it() -> None:
    (failed,) = [one for one in lacking("list pods") if one.level is Level.FAILED]
    assert failed.text == "cannot list pods"
    assert "doctor --rbac user" in failed.advice


@pytest.mark.parametrize(("make", "level"), [(True, Level.FAILED), (False, Level.WARNING)])
def test_a_right_to_manage_is_needed_where_the_builder_is_still_to_be_made(make: bool, level: Level) -> None:
    (found,) = [one for one in lacking("create deployments", make=make) if one.topic == "rights to manage"]
    assert (found.level, found.text) == (level, "cannot create deployments.apps")
    assert "doctor --rbac admin" in found.advice


def test_what_one_goes_without_is_a_warning() -> None:
    (found,) = [one for one in lacking("watch pods") if one.level is not Level.OK]
    assert found.level is Level.WARNING
    assert "cannot watch pods: pods are read every second" in found.text


def test_a_right_that_only_later_clusters_ask_for_is_a_warning_before() -> None:
    assert next(one.level for one in lacking("create pods/exec")) is Level.FAILED
    levels = {one.topic: one for one in lacking("create pods/exec", seen=OLD)}
    assert levels["rights to build"].level is Level.OK
    assert "Kubernetes 1.35 will refuse" in levels["optional rights"].text


def test_an_old_cluster_and_a_wrong_clock_are_told() -> None:
    old, late = checks.server(Server(version="v1.20.1", release=(1, 20), skew=-95.0), "https://k")
    assert (old.level, late.level) == (Level.FAILED, Level.WARNING)
    assert "older than 1.21" in old.text
    assert "95 s behind" in late.text
    unknown, right = checks.server(Server(skew=2.0), "https://k")
    assert (unknown.level, right.level) == (Level.OK, Level.OK)


# --- pods ----------------------------------------------------------------------------------------------------------


def test_the_example_of_a_pod_has_the_volume_of_its_claim() -> None:
    options = {"persistent-volume-claim.requests.storage": "1Gi"}
    pod = checks.example(fleet(**options))
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in pod["spec"]["containers"][0]["volumeMounts"]} <= volumes
    assert "volumes" not in fleet(**options).workload["spec"]["template"]["spec"] or len(volumes) == 2


@pytest.mark.parametrize(
    ("said", "topic", "advice"),
    [
        ('pods "p" is forbidden: violates PodSecurity "baseline:latest": x', "pod security", "kubectl label"),
        ('pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1', "quota",
         "or have the quota q raised"),
        ('pods "p" is forbidden: error looking up service account a/b: serviceaccount "b" not found',
         "service account", "serviceaccount"),
        ('pods "p" is forbidden: no PriorityClass with name zap was found', "priority class", "priorityclass"),
        ('admission webhook "x" denied the request: no', "admission", "exempted"),
        ('namespaces "x" not found; create it with kubectl create namespace', "namespace", "create it"),
    ],
)  # fmt: skip
def test_a_refused_pod_comes_with_what_to_do(said: str, topic: str, advice: str) -> None:
    found = checks.refused(f"the cluster refused: {said}", fleet().options, "ci", Level.FAILED)
    assert (found.level, found.topic) == (Level.FAILED, topic)
    assert said in found.text
    assert advice in found.advice


@pytest.mark.parametrize(
    ("level", "accepted", "expected"),
    [
        ("restricted", None, Level.FAILED),
        ("baseline", False, Level.FAILED),
        ("restricted", True, Level.OK),
        ("privileged", None, Level.OK),
        ("", None, Level.OK),
        (None, None, Level.UNKNOWN),
        (None, True, Level.OK),
    ],
)
def test_an_accepted_pod_outweighs_the_label(level: str | None, accepted: bool | None, expected: Level) -> None:
    labels = None if level is None else {checks.ENFORCE: level} if level else {}
    found = checks.pod_security(labels, fleet().options, "ci", accepted=accepted, level=Level.FAILED)
    assert found.level is expected
    assert ("kubectl label --overwrite namespace ci" in found.advice) is (expected is Level.FAILED)


# --- nodes ---------------------------------------------------------------------------------------------------------


def node(arch: str = "amd64", *, ready: str = "True", taint: str = "", **spec: Any) -> dict[str, Any]:
    taints = [{"key": taint, "value": "x", "effect": "NoSchedule"}] if taint else []
    return {
        "metadata": {"name": "n", "labels": {"kubernetes.io/arch": arch}},
        "spec": {"taints": taints, **spec},
        "status": {"conditions": [{"type": "Ready", "status": ready}], "allocatable": {"cpu": "4", "memory": "8Gi"}},
    }


def nodes(*items: dict[str, Any], **options: str) -> Finding:
    (found,) = checks.nodes(fleet(**options), items, Level.FAILED)
    return found


def test_nodes_that_fit_are_counted_with_their_architectures() -> None:
    found = nodes(node(), node("arm64"), node(ready="False"), node(taint="gpu"), node(unschedulable=True))
    assert found.level is Level.OK
    assert found.text.startswith("2 of 5 fit, of architecture amd64, arm64")
    for reason in ("1 not ready", "1 cordoned", "1 with the taint gpu"):
        assert reason in found.text


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"nodeselector": "pool=ci"}, "2 without the labels of nodeselector"),
        ({"requests.cpu": "4500m"}, "2 too small"),
        ({"limits.memory": "9Gi"}, "2 too small"),
    ],
)
def test_no_node_that_fits_is_a_failure(options: dict[str, str], reason: str) -> None:
    found = nodes(node(), node(), **options)
    assert found.level is Level.FAILED
    assert f"0 of 2 fit; {reason}" in found.text


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ("key=gpu,operator=Exists", True),
        ("operator=Exists", True),
        ("key=gpu,value=x", True),
        ("key=gpu,value=y", False),
        ("key=gpu,operator=Exists,effect=NoExecute", False),
    ],
)
def test_a_taint_is_borne_by_its_toleration(toleration: str, fits: bool) -> None:
    assert (nodes(node(taint="gpu"), tolerations=toleration).level is Level.OK) is fits


def test_platforms_that_no_node_runs_are_told_unless_they_are_emulated() -> None:
    def told(**options: str) -> list[Finding]:
        platforms = (Platform.parse("linux/arm64"), Platform.parse("linux/amd64"))
        meant = Fleet.of(Node(name="kube0", endpoint="", driver_opts=options, platforms=platforms))
        return checks.nodes(meant, [node("amd64")], Level.FAILED)[1:]

    (found,) = told()
    assert (found.level, found.topic) == (Level.WARNING, "platforms")
    assert "runs linux/arm64 natively" in found.text
    assert not told(**{"qemu.install": "true"})


# --- what pods refer to, and daemons -------------------------------------------------------------------------------


def storage_class(name: str, *, default: bool = False) -> dict[str, Any]:
    notes = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {"metadata": {"name": name, "annotations": notes}}


@pytest.mark.parametrize(
    ("wanted", "default", "level", "words"),
    [
        ("", True, Level.OK, "slow, the cluster's default"),
        ("", False, Level.WARNING, "no default"),
        ("fast", False, Level.OK, "fast"),
        ("faster", True, Level.FAILED, '"faster" does not exist; there is fast, slow'),
    ],
)
def test_a_storage_class_is_named_or_the_default(wanted: str, default: bool, level: Level, words: str) -> None:
    found = checks.storage(wanted, [storage_class("slow", default=default), storage_class("fast")], Level.FAILED)
    assert found.level is level
    assert words in found.text


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("buildkitd github.com/moby/buildkit v0.29.0 abcdef", "v0.29.0"),
        ("buildkitd github.com/moby/buildkit 0.12.5 ", "v0.12.5"),
        ("sh: buildkitd: not found", ""),
    ],
)
def test_a_daemons_version_is_read(said: str, version: str) -> None:
    assert checks.daemon_version(said) == version


@pytest.mark.parametrize(
    ("versions", "level"),
    [
        (("v0.29.0", "v0.29.0"), Level.OK),
        (("v0.29.0", "v0.28.1"), Level.WARNING),
        (("v0.29.0", "v0.10.6"), Level.FAILED),
    ],
)
def test_daemons_that_differ_or_are_too_old_are_told(versions: tuple[str, ...], level: Level) -> None:
    (found,) = checks.versions({f"pod-{number}": version for number, version in enumerate(versions)})
    assert found.level is level
    assert all(version in found.text for version in versions)


def test_every_right_of_a_node_has_one_place() -> None:
    found = [(right.role, right.group, right.resource, right.verb) for right in rights(fleet(), any_files=True)]
    assert len(found) == len(set(found))
    assert all(isinstance(right, Right) for right in rights(fleet()))
