"""Go's filepath.Match: what it matches, what it calls malformed and what it overlooks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.client.session.wildcards import PatternError, has_wildcards, wildcard_matches


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("abc", "abc", True),
        ("*", "abc", True),
        ("*", "a/b", False),
        ("*c", "abc", True),
        ("a*", "ab/c", False),
        ("a*b*c", "axbybzc", True),
        ("a*/b", "abc/b", True),
        ("a?c", "aéc", True),
        ("?", "/", False),
        ("[a-cx]", "x", True),
        ("[^a-c]", "b", False),
        ("[^a]", "é", True),
        (r"\*", "*", True),
        (r"[\-]", "-", True),
        ("[", "a", None),
        ("[a", "a", None),
        ("[]a]", "]", None),
        ("[-a]", "-", None),
        ("a\\", "a", None),
        # A chunk that is never reached is never looked at.
        ("x*[", "a", False),
    ],
)
def test_what_a_wildcard_matches(pattern: str, name: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(PatternError):
            wildcard_matches(pattern, name)
    else:
        assert wildcard_matches(pattern, name) is expected


@given(st.text(max_size=12))
def test_a_name_with_everything_escaped_matches_itself(name: str) -> None:
    escaped = "".join("\\" + char if char in "*?[\\" else char for char in name)
    assert wildcard_matches(escaped, name)
    assert not has_wildcards(escaped)


@given(st.text(alphabet="a*?[]^\\-/é", max_size=10), st.text(alphabet="ab[]-/é", max_size=6))
def test_any_pattern_gives_an_answer_or_a_pattern_error(pattern: str, name: str) -> None:
    try:
        assert wildcard_matches(pattern, name) in (True, False)
    except PatternError:
        assert has_wildcards(pattern) or "\\" in pattern


@pytest.mark.parametrize(
    ("name", "expected"), [("a", False), ("a*", True), (r"a\*", False), ("[", True), ("a?", True)]
)
def test_wildcards_are_found(name: str, expected: bool) -> None:
    assert has_wildcards(name) is expected


def test_on_windows_a_backslash_escapes_nothing() -> None:
    assert has_wildcards("\\*", windows=True)
    assert wildcard_matches("\\*", "\\a", windows=True)
