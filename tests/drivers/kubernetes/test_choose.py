"""Pods are chosen as buildx chooses them, and by rendezvous."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.drivers.kubernetes.choose import affinity, choose, container_of, point, sticky
from buildwright.drivers.kubernetes.options import LoadBalance
from buildwright.kube.objects import Pod

READY = {"Ready": ("True", "", "")}
ORDINALS = [f"mybuilder0-{number}" for number in range(4)]
HASHED = [f"mybuilder0-7c9d8f6b5d-{suffix}" for suffix in ("4x2kq", "9zz8w", "h5v6n")]
names = st.lists(st.text("abcdef0123456789-", min_size=1), min_size=1, max_size=12, unique=True)


def ready(name: str) -> Pod:
    return Pod(name=name, phase="Running", conditions=READY)


def test_a_point_of_the_ring() -> None:
    assert point("test") == (8346051122425466633, -669867398206136630)


@pytest.mark.parametrize(
    ("key", "name"),
    [("", "-1"), ("/home/me/app", "-1"), ("/srv/ctx", "-1"), ("/workspace", "-3"), ("/work/-", "-1")],
)
def test_keys_on_a_ring_of_ordinals(key: str, name: str) -> None:
    assert sticky(ORDINALS, key) == f"mybuilder0{name}"


@pytest.mark.parametrize(
    ("key", "suffix"), [("", "h5v6n"), ("/home/me/app", "9zz8w"), ("/srv/ctx", "h5v6n"), ("/work/-", "9zz8w")]
)
def test_keys_on_a_ring_of_hashes(key: str, suffix: str) -> None:
    assert sticky(HASHED, key).endswith(suffix)


@given(names, st.text())
def test_the_order_of_pods_does_not_matter(pods: list[str], key: str) -> None:
    assert sticky(pods, key) == sticky(sorted(pods), key) in pods


@given(names, st.text())
def test_a_pod_that_goes_moves_only_its_own_keys(pods: list[str], key: str) -> None:
    chosen = sticky(pods, key)
    for gone in pods:
        if gone != chosen:
            assert sticky([name for name in pods if name != gone], key) == chosen


@given(names, st.text(), st.text("xyz", min_size=1))
def test_rendezvous_moves_only_what_a_pod_wins_or_held(pods: list[str], key: str, new: str) -> None:
    chosen = affinity(pods, key)
    assert chosen == affinity(pods[::-1], key) in pods
    assert affinity([*pods, new], key) in (chosen, new)
    for gone in pods:
        if gone != chosen:
            assert affinity([name for name in pods if name != gone], key) == chosen


def test_rendezvous_shares_keys_evenly_and_moves_few() -> None:
    keys = [f"/builds/team-{number}/app" for number in range(20_000)]
    for pods in (ORDINALS, [*HASHED, "mybuilder0-7c9d8f6b5d-zz9zz"]):
        before = [affinity(pods, key) for key in keys]
        assert max(Counter(before).values()) <= 1.25 * len(keys) / len(pods)
        grown = [affinity([*pods, "mybuilder0-4"], key) for key in keys]
        shrunk = [affinity(pods[1:], key) for key in keys]
        assert sum(old != new for old, new in zip(before, grown, strict=True)) <= len(keys) / len(pods)
        assert sum(old != new for old, new in zip(before, shrunk, strict=True)) <= len(keys) / (len(pods) - 1)


@given(names, st.lists(st.text(), max_size=60))
def test_no_pod_runs_more_than_its_bound(pods: list[str], keys: list[str]) -> None:
    running = dict.fromkeys(pods, 0)
    for number, key in enumerate(keys, 1):
        running[affinity(pods, key, running)] += 1
        assert max(running.values()) <= math.ceil(1.25 * number / len(running))


def test_a_busy_pod_is_passed_over_for_the_key_s_next_choice() -> None:
    first = affinity(ORDINALS, "/srv/ctx")
    others = [name for name in ORDINALS if name != first]
    assert affinity(ORDINALS, "/srv/ctx", {first: 1}) == affinity(others, "/srv/ctx")
    assert affinity(ORDINALS, "/srv/ctx", {first: 1, others[0]: 1, others[1]: 1, others[2]: 1}) == first
    assert affinity(ORDINALS, "/srv/ctx", {"gone": 9}) == first


def test_pods_that_leave_or_are_not_ready_are_never_chosen() -> None:
    unfit = [
        Pod(name="mybuilder0-1", phase="Running"),
        Pod(name="mybuilder0-2", phase="Running", conditions=READY, terminating=True),
        Pod(name="mybuilder0-3", phase="Failed", conditions=READY),
    ]
    for how in LoadBalance:
        assert choose(unfit, "/srv/ctx", how) is None
        assert choose([*unfit, ready("mybuilder0-0")], "/srv/ctx", how) == ready("mybuilder0-0")


def test_random_choice_reaches_every_pod() -> None:
    pods = [ready(name) for name in HASHED]
    chosen = [choose(pods, "", LoadBalance.RANDOM) for _ in range(400)]
    assert all(pod in chosen for pod in pods)


def test_the_daemon_s_container_is_found_beside_sidecars() -> None:
    assert container_of(Pod(name="a", specified=("istio-proxy", "buildkitd"))) == "buildkitd"
    assert container_of(Pod(name="a", specified=("daemon", "other"))) == "daemon"
