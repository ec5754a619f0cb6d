"""WWW-Authenticate headers of real registries, and of none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.registry.challenge import Challenge, parse


@pytest.mark.parametrize(
    ("headers", "challenges"),
    [
        (
            [
                'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull,push"'
            ],
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a:pull,push",
                    },
                )
            ],
        ),
        (['Basic realm="Registry Realm"'], [Challenge("basic", {"realm": "Registry Realm"})]),
        (["Negotiate", "BASIC"], [Challenge("negotiate"), Challenge("basic")]),
        (
            ['Bearer realm=x , service = "a\\"b", Basic realm="y"'],
            [Challenge("bearer", {"realm": "x", "service": 'a"b'}), Challenge("basic", {"realm": "y"})],
        ),
        (["", ", ,", '"'], []),
    ],
)
def test_challenges_are_read(headers: list[str], challenges: list[Challenge]) -> None:
    assert list(parse(headers)) == challenges


@given(st.text(st.sampled_from('Bearer ="\\,x \t\x00é')))
def test_any_header_is_read(header: str) -> None:
    for challenge in parse([header]):
        assert challenge.scheme
