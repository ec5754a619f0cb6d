"""The scheduler's messages, taken apart."""

from __future__ import annotations

import pytest

from buildwright.drivers.kubernetes.options import parse
from buildwright.drivers.kubernetes.startup import scheduling
from buildwright.drivers.kubernetes.startup.scheduling import Taint

HELPLESS = ". no new claims to deallocate, preemption: 0/{0} nodes are available: {0} Preemption is not helpful."
NO_VICTIMS = ". preemption: 0/{0} nodes are available: {0} No preemption victims found for incoming pod."


@pytest.mark.parametrize(
    ("reasons", "options", "remedy"),
    [
        (
            "2 node(s) didn't match Pod's node affinity/selector",
            {"nodeselector": "pool=ci,arch=x"},
            "change the driver option nodeselector=pool=ci,arch=x",
        ),
        (
            "2 node(s) didn't match Pod's node affinity/selector",
            {"affinity": '{"nodeAffinity":{}}'},
            "option affinity",
        ),
        ("2 node(s) had untolerated taint {ded: bk}", {}, '"tolerations=key=ded,value=bk"'),
        ("2 node(s) had untolerated taint {ded: }", {}, '"tolerations=key=ded,operator=Exists"'),
        ("2 Insufficient cpu", {"requests.cpu": "1000"}, "lower the driver option requests.cpu=1000"),
        ("2 Insufficient memory", {"limits.memory": "9Ti"}, "lower the driver option limits.memory=9Ti"),
        ("2 node(s) had volume node affinity conflict", {}, "buildwright rm"),
        (
            "1 node(s) had untolerated taint {ded: bk}, 1 node(s) didn't match Pod's node affinity/selector",
            {"nodeselector": "a=b"},
            'set the driver option "tolerations=key=ded,value=bk"; or change the driver option nodeselector=a=b',
        ),
    ],
)
def test_what_no_node_will_ever_fit_is_final(reasons: str, options: dict[str, str], remedy: str) -> None:
    message = f"0/2 nodes are available: {reasons}{HELPLESS.format(2)}"
    found = scheduling.read(message, parse(options))
    assert found.final
    assert remedy in found.remedy
    assert "reemption" not in found.text
    assert found.text.startswith("no node fits (")
    assert found.text.endswith(")")


@pytest.mark.parametrize(
    "message",
    [
        f"0/2 nodes are available: 2 Insufficient cpu{NO_VICTIMS.format(2)}",
        "0/2 nodes are available: 1 had taint {a: b}, 1 Insufficient cpu. preemption: 1 Preemption is not helpful",
        f"0/2 nodes are available: 2 node(s) were unschedulable{HELPLESS.format(2)}",
        f"0/2 nodes are available: 2 node(s) had taint {{node.kubernetes.io/not-ready: }}{HELPLESS.format(2)}",
        f"0/1 nodes are available: 1 node(s) had something new{HELPLESS.format(1)}",
        "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
        "waiting for first consumer to be created before binding",
        "no nodes available to schedule pods",
        "",
    ],
)
def test_what_time_may_heal_is_not_final(message: str) -> None:
    assert not scheduling.read(message, parse({})).final


@pytest.mark.parametrize(
    ("toleration", "borne"),
    [
        ({"key": "", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "ded", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": "ded", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "ded", "value": "bk"}, True),
        ({"key": "ded", "operator": "Equal", "value": "other"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_what_tolerates_a_taint(toleration: dict[str, str], borne: bool) -> None:
    assert Taint("ded", "bk").binds([toleration]) is not borne


UNNAMED = f"0/2 nodes are available: 2 node(s) had untolerated taint(s){HELPLESS.format(2)}"


def test_taints_that_the_scheduler_does_not_name_are_those_of_the_nodes() -> None:
    taints = [Taint("ded", "bk"), Taint("borne"), Taint("soft", "", "PreferNoSchedule")]
    found = scheduling.read(UNNAMED, parse({"tolerations": "key=borne,operator=Exists"}), taints)
    assert found.final
    assert found.text == "no node fits (2 had untolerated taints of ded)"
    assert found.remedy == 'set the driver option "tolerations=key=ded,value=bk"'


def test_taints_that_the_cluster_takes_away_by_itself_are_waited_for() -> None:
    taints = [Taint("ded", "bk"), Taint("node.kubernetes.io/not-ready", "", "NoExecute")]
    assert not scheduling.read(UNNAMED, parse({}), taints).final


def test_taints_that_nobody_names_are_looked_up_by_the_user() -> None:
    found = scheduling.read(UNNAMED, parse({}))
    assert found.final
    assert "kubectl describe nodes" in found.remedy


def test_obstacles_are_counted_by_nodes() -> None:
    message = "0/12 nodes are available: 11 node(s) had untolerated taint {a: b}, 1 Insufficient ephemeral-storage."
    assert [(found.nodes, found.text) for found in scheduling.parse(message, parse({}))] == [
        (11, "had untolerated taint {a: b}"),
        (1, "with insufficient ephemeral-storage"),
    ]


def test_a_missing_storage_class_is_final() -> None:
    assert scheduling.read('storageclass.storage.k8s.io "absent" not found', parse({})).final
