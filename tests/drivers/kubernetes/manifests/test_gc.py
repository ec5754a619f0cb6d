"""Policies for daemons whose space is bounded, and doubts about given ones."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from buildwright.drivers.kubernetes.manifests.gc import doubts, policy
from buildwright.drivers.kubernetes.options import CLAIM, parse
from buildwright.model.node import Node

PLAIN = Node(name="kb0", endpoint="")
CLAIMED = {CLAIM: "10Gi"}


def given(text: str) -> Node:
    return Node(name="kb0", endpoint="", files={"buildkitd.toml": text.encode()})


@pytest.mark.parametrize(
    ("options", "most"),
    [
        (CLAIMED, "7680MB"),
        ({"buildkit-root-volume-memory": "4Gi"}, "3072MB"),
        ({"buildkit-root-volume-memory": "4Gi", "limits.memory": "2Gi"}, "1536MB"),
        ({"limits.ephemeral-storage": "8Gi", "limits.memory": "1Gi"}, "6144MB"),
    ],
)
def test_a_bounded_daemon_keeps_three_quarters(options: dict[str, str], most: str) -> None:
    made = policy(PLAIN, parse(options))
    assert made is not None
    worker = tomllib.loads(made.decode())["worker"]["oci"]
    assert worker["maxUsedSpace"] == most
    assert worker["gc"] is True
    assert ("minFreeSpace" in worker) == ("limits.ephemeral-storage" not in options)
    assert doubts(given(made.decode()), parse(options)) == ()


@pytest.mark.parametrize("flag", ["--config=/x.toml", "--oci-worker-gc=false", "--oci-worker-gc-keepstorage=10"])
def test_what_the_user_configures_is_left_alone(flag: str) -> None:
    assert policy(given(""), parse(CLAIMED)) is None
    assert policy(Node(name="kb0", endpoint="", flags=(flag,)), parse(CLAIMED)) is None
    assert policy(PLAIN, parse({"limits.memory": "4Gi"})) is None


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("[worker.oci]\ngc = false\n", {}, "turns garbage collection off"),
        ("[[worker.oci.gcpolicy]]\nfilters = ['type==source.local']\nmaxUsedSpace = 5\n", {}, "none that bounds"),
        ("[[worker.oci.gcpolicy]]\nall = true\nkeepDuration = 5\nmaxUsedSpace = 5\n", {}, "none that bounds"),
        ("debug = true\n", {CLAIM: "2Gi"}, "does not keep the cache below the 2GiB of persistent-volume-claim"),
        ("debug = true\n", {"limits.ephemeral-storage": "8Gi"}, "set maxUsedSpace = '6144MB'"),
        ("[worker.oci]\nmaxUsedSpace = '20GB'\n", CLAIMED, "beyond the 10GiB"),
        ("[worker.oci]\nmaxUsedSpace = '50%'\n", {"limits.ephemeral-storage": "8Gi"}, "beyond the 8GiB"),
    ],
)
def test_a_configuration_without_a_real_cap_is_doubted(text: str, options: dict[str, str], words: str) -> None:
    (said,) = doubts(given(text), parse(options))
    assert words in said
    assert "maxUsedSpace" in said


@pytest.mark.parametrize(
    ("options", "filled"),
    [(CLAIMED, "fills the 10GiB of persistent-volume-claim"), ({}, "fills the disk of its node")],
)
def test_what_a_cache_without_collection_fills_is_told_whatever_turns_it_off(
    options: dict[str, str], filled: str
) -> None:
    (said,) = doubts(given("[worker.oci]\ngc = false\n"), parse(options))
    assert filled in said
    assert "leave gc = false out, and set maxUsedSpace" in said
    off = Node(name="kb0", endpoint="", flags=("--oci-worker-gc=false",))
    (said,) = doubts(off, parse(options))
    assert filled in said
    assert "--oci-worker-gc=false" in said
    on = Node(name="kb0", endpoint="", flags=("--oci-worker-gc=false", "--oci-worker-gc=true"))
    assert doubts(on, parse(options)) == ()
    both = replace(on, files=given("[worker.oci]\ngc = false\n").files)
    assert not any("off" in doubt for doubt in doubts(both, parse(options)))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("debug = true\n", {}),
        ("debug = true\n", CLAIMED),
        ("[worker.oci]\nmaxUsedSpace = '50%'\n", CLAIMED),
        ("[worker.oci]\nmaxUsedSpace = 1000000\n", CLAIMED),
        ("[worker.oci]\ngckeepstorage = '1GB'\n", CLAIMED),
        ("[[worker.oci.gcpolicy]]\nall = true\nreservedSpace = '1GB'\n", CLAIMED),
        ("worker = 1\n", CLAIMED),
        ("not toml", CLAIMED),
    ],
)
def test_a_configuration_with_one_is_not(text: str, options: dict[str, str]) -> None:
    assert doubts(given(text), parse(options)) == ()
