"""Platforms find the nodes that buildx gives them to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.build.match import itself, matches, ranks_before, runnable, serves
from buildwright.build.plan import BuildPlan, plan
from buildwright.errors import BuilderNotFoundError
from buildwright.model.node import Builder, Node
from buildwright.model.platform import Platform

AMD64, ARM64, S390X = (Platform.parse(f"linux/{name}") for name in ("amd64", "arm64", "s390x"))


def builder(**nodes: str) -> Builder:
    """Nodes by name, with the platforms that they were created for."""
    return Builder(
        name="b",
        driver="remote",
        nodes=tuple(Node(name=name, endpoint="", platforms=platforms(text)) for name, text in nodes.items()),
    )


def platforms(text: str) -> tuple[Platform, ...]:
    return tuple(Platform.parse(name) for name in text.split())


def shown(chosen: BuildPlan) -> dict[str, str]:
    return {share.node.name: " ".join(map(str, share.platforms)) for share in chosen.nodes}


def test_without_platforms_the_first_node_builds_its_own() -> None:
    chosen = plan((), builder(a="linux/amd64", b="linux/arm64"))
    assert (shown(chosen), chosen.certain) == ({"a": ""}, True)


def test_each_platform_goes_to_the_node_that_was_made_for_it() -> None:
    chosen = plan((ARM64, AMD64), builder(a="linux/amd64", b="linux/arm64"))
    assert (list(shown(chosen).items()), chosen.certain) == ([("b", "linux/arm64"), ("a", "linux/amd64")], True)


def test_platforms_of_one_node_are_one_solve_in_order_of_appearance() -> None:
    asked = platforms("linux/s390x linux/arm64 linux/amd64")
    chosen = plan(asked, builder(a="linux/amd64 linux/s390x", b="linux/arm64"))
    assert list(shown(chosen).items()) == [("a", "linux/s390x linux/amd64"), ("b", "linux/arm64")]


def test_of_two_equal_nodes_the_first_builds() -> None:
    assert shown(plan((AMD64,), builder(a="linux/amd64", b="linux/amd64"))) == {"a": "linux/amd64"}


def test_a_platform_that_no_node_was_made_for_makes_the_plan_uncertain_and_goes_to_the_first() -> None:
    chosen = plan((S390X, ARM64), builder(a="linux/amd64", b="linux/arm64"))
    assert (shown(chosen), chosen.certain) == ({"a": "linux/s390x", "b": "linux/arm64"}, False)


def test_the_first_pass_takes_platforms_to_the_letter() -> None:
    chosen = plan(platforms("linux/arm/v6"), builder(a="", b="linux/arm/v7"))
    assert (shown(chosen), chosen.certain) == ({"a": "linux/arm/v6"}, False)


def test_the_second_pass_counts_what_workers_run_and_older_variants() -> None:
    nodes = builder(a="linux/amd64", b="linux/arm64")
    workers = {"a": platforms("linux/amd64/v3 linux/386"), "b": platforms("linux/arm64 linux/s390x")}
    asked = platforms("linux/s390x linux/amd64/v2 linux/arm/v6 linux/386")
    assert shown(plan(asked, nodes, workers)) == {
        "b": "linux/s390x linux/arm/v6",
        "a": "linux/amd64/v2 linux/386",
    }


def test_the_second_pass_prefers_the_closer_of_two_platforms() -> None:
    nodes = builder(a="linux/arm64", b="linux/arm/v7")
    assert shown(plan(platforms("linux/arm/v7"), nodes, {})) == {"b": "linux/arm/v7"}


def test_a_single_node_is_certain_whatever_is_asked_for() -> None:
    assert plan((S390X, ARM64), builder(a="linux/amd64")).certain


def test_a_builder_without_nodes_says_how_to_add_one() -> None:
    with pytest.raises(BuilderNotFoundError, match="no nodes: add one with create --append"):
        plan((), Builder(name="b", driver="remote"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", "linux/amd64 linux/386"),
        ("linux/amd64/v3", "linux/amd64/v3 linux/amd64/v2 linux/amd64 linux/386"),
        ("linux/arm/v7", "linux/arm/v7 linux/arm/v6 linux/arm/v5"),
        ("linux/arm64", "linux/arm64 linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5"),
        (
            "linux/arm64/v8.1",
            "linux/arm64/v8.1 linux/arm64 linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5",
        ),
        ("linux/riscv64", "linux/riscv64"),
    ],
)
def test_what_a_platform_runs_is_what_containerd_says(text: str, expected: str) -> None:
    assert " ".join(map(str, runnable(Platform.parse(text)))) == expected


def test_a_ninth_arm64_runs_the_eighth_five_steps_on() -> None:
    names = " ".join(map(str, runnable(Platform.parse("linux/arm64/v9.1"))))
    assert names.startswith("linux/arm64/v9.1 linux/arm64/v9 linux/arm64/v8.6 linux/arm64/v8.5")


def test_a_windows_version_counts_to_its_build() -> None:
    host = Platform.parse("windows(10.0.17763.1)/amd64")
    assert matches(host, Platform.parse("windows(10.0.17763.9)/amd64"))
    assert not matches(host, Platform.parse("windows(10.0.20348)/amd64"))
    assert matches(host, Platform.parse("windows/amd64"))


ANY = st.sampled_from(
    platforms(
        "linux/amd64 linux/amd64/v3 linux/386 linux/arm64 linux/arm64/v9.2 linux/arm/v6 linux/arm/v7 darwin/arm64"
    )
)


@given(ANY, ANY, ANY)
def test_ranking_is_an_order_of_what_is_served(host: Platform, one: Platform, other: Platform) -> None:
    vector = runnable(host)
    assert serves(vector, host)
    assert serves(itself(host), one) <= serves(vector, one)
    assert not (ranks_before(vector, one, other) and ranks_before(vector, other, one))
    assert not ranks_before(vector, one, one)


@given(st.lists(ANY, unique=True, min_size=1), st.lists(st.lists(ANY), min_size=1, max_size=4))
def test_every_platform_is_built_exactly_once(asked: list[Platform], nodes: list[list[Platform]]) -> None:
    made = Builder(
        name="b",
        driver="remote",
        nodes=tuple(Node(name=str(n), endpoint="", platforms=tuple(own)) for n, own in enumerate(nodes)),
    )
    for workers in (None, {}):
        shares = plan(tuple(asked), made, workers).nodes
        assert sorted(str(p) for share in shares for p in share.platforms) == sorted(map(str, asked))
        assert len({share.node.name for share in shares}) == len(shares)
