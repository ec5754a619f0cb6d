"""Which objects are left behind."""

from __future__ import annotations

from typing import Any

import pytest

from buildwright.drivers.kubernetes.building.lease import written
from buildwright.drivers.kubernetes.lifecycle.leftovers import PARTS, YOUNG, find
from buildwright.kube.api import (
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    LEASE,
    POD,
    SECRET,
    STATEFUL_SET,
    Kind,
)

NOW = 1_800_000_000.0
HOUR = 3600.0
OTHERS = (CONFIG_MAP, SECRET, CLAIM, DISRUPTION_BUDGET)


def item(
    name: str, *, of: str = "b0", age: float = HOUR, namespace: str = "ci", **annotations: str
) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": {"app": of, "builder": "b", "app.kubernetes.io/managed-by": "buildwright"},
        "creationTimestamp": written(NOW - age),
        "annotations": {f"buildwright/{key.replace('_', '-')}": value for key, value in annotations.items()},
    }
    return {"metadata": metadata}


def lease(renewed: float, **options: Any) -> dict[str, Any]:
    made = item("b0-lease", age=3 * HOUR, protects_until=written(NOW + HOUR), **options)
    return {**made, "spec": {"renewTime": written(NOW - renewed), "leaseDurationSeconds": 60}}


def left(found: dict[Kind, list[dict[str, Any]]]) -> dict[str, str]:
    return {f"{one.kind.kind}/{one.name}": one.why for one in find(found, NOW)}


def test_a_builder_unused_for_longer_than_its_ttl_goes_with_all_that_is_its() -> None:
    workload = item("b0", age=9 * HOUR, ttl="7200s", last_used=written(NOW - 3 * HOUR))
    found = {STATEFUL_SET: [workload], **{kind: [item("part")] for kind in OTHERS}}
    assert left(found) == {
        "StatefulSet/b0": "unused for 3 hours, its ttl is 2 hours",
        **{f"{kind.kind}/part": "goes with b0" for kind in OTHERS},
    }
    (first, *_) = find(found, NOW)
    assert (first.namespace, first.builder, first.used) == ("ci", "b", NOW - 3 * HOUR)


@pytest.mark.parametrize(
    "annotations",
    [
        {"ttl": "7200s", "last_used": written(NOW - HOUR)},
        {"ttl": "0s"},
        {"ttl": "soon"},
        {},
        {"ttl": "36000s"},
    ],
)
def test_a_builder_in_use_or_without_a_ttl_stays_with_its_parts(annotations: dict[str, str]) -> None:
    workload = item("b0", age=9 * HOUR, **annotations)
    assert left({DEPLOYMENT: [workload], **{kind: [item("part")] for kind in OTHERS}}) == {}


def test_without_a_use_the_ttl_counts_from_when_it_was_made() -> None:
    assert left({DEPLOYMENT: [item("b0", age=3 * HOUR, ttl="7200s")]}) == {
        "Deployment/b0": "unused for 3 hours, its ttl is 2 hours"
    }
    renewed = item("b0", age=HOUR, ttl="7200s", last_used=written(NOW - 9 * HOUR))
    assert left({DEPLOYMENT: [renewed]}) == {}


def test_a_running_build_holds_its_builder() -> None:
    workload = item("b0", age=9 * HOUR, ttl="60s")
    assert left({DEPLOYMENT: [workload], LEASE: [lease(renewed=30)]}) == {}
    assert set(left({DEPLOYMENT: [workload], LEASE: [lease(renewed=90)]})) == {"Deployment/b0", "Lease/b0-lease"}
    elsewhere = lease(renewed=30, namespace="other")
    assert set(left({DEPLOYMENT: [workload], LEASE: [elsewhere]})) == {"Deployment/b0"}


def test_parts_without_their_workload_are_left_behind() -> None:
    found = {DEPLOYMENT: [item("b0", namespace="other")], **{kind: [item("part")] for kind in OTHERS}}
    assert left(found) == {f"{kind.kind}/part": "its workload b0 is gone" for kind in OTHERS}
    assert all(one.orphan for one in find(found, NOW))


def test_parts_of_pods_that_lost_their_workload_stay_since_the_next_build_makes_it_again() -> None:
    assert left({POD: [item("b0-0")], **{kind: [item("part")] for kind in OTHERS}}) == {}


def test_what_is_being_made_is_not_left_behind() -> None:
    assert left({CONFIG_MAP: [item("b0-config", age=YOUNG - 1)]}) == {}
    assert left({CONFIG_MAP: [item("b0-config", age=YOUNG + 1)]}) != {}


def test_what_is_going_already_is_not_left_behind() -> None:
    going = item("buildkitd-b0-0")
    going["metadata"]["deletionTimestamp"] = written(NOW)
    assert left({CLAIM: [going]}) == {}


def test_a_claim_that_was_kept_on_purpose_stays() -> None:
    assert left({CLAIM: [item("buildkitd-b0-0", kept="2026-01-01T00:00:00+00:00")]}) == {}


def test_a_claim_that_was_kept_once_goes_with_the_builder_that_uses_it_again() -> None:
    workload = item("b0", age=9 * HOUR, ttl="60s")
    claim = item("buildkitd-b0-0", kept="2026-01-01T00:00:00+00:00")
    assert "PersistentVolumeClaim/buildkitd-b0-0" in left({STATEFUL_SET: [workload], CLAIM: [claim]})


def test_leases_and_labels_of_builds_that_are_over_go() -> None:
    found = {DEPLOYMENT: [item("b0")], LEASE: [lease(renewed=90)], POD: [item("b0-x"), item("b0-y")]}
    found[POD][0]["metadata"]["labels"]["buildwright/lease"] = "b0-lease"
    assert left(found) == {
        "Lease/b0-lease": "its build ended without giving it back",
        "Pod/b0-x": "its label buildwright/lease is that of a build that is over",
    }
    found[LEASE] = [lease(renewed=30)]
    assert left(found) == {}


def test_what_does_not_say_whose_part_it_is_stays() -> None:
    for kind in PARTS:
        nobodys = item("x")
        del nobodys["metadata"]["labels"]["app"]
        nobodys["spec"] = {"renewTime": written(NOW), "leaseDurationSeconds": 60}
        assert left({kind: [nobodys]}) == {}
