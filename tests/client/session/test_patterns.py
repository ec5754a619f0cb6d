"""Include and exclude patterns: what github.com/moby/patternmatcher v0.6.1 answers, accidents included."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.client.session.patterns import PatternMatcher, clean
from buildwright.client.session.wildcards import PatternError


def walked(patterns: list[str], path: str) -> bool:
    """The match as a walk finds it: parents first, each with the results of the one above."""
    matcher = PatternMatcher(patterns)
    matched, info = False, None
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        matched, info = matcher.match("/".join(parts[:end]), info)
    return matched


@pytest.mark.parametrize(
    ("patterns", "path", "expected"),
    [
        # Plain names match themselves and what is below, at the root only.
        (["a"], "a", True),
        (["a"], "a/b/c", True),
        (["a"], "b/a", False),
        (["a"], "ab", False),
        (["a/b"], "a", False),
        (["./a/", ""], "a", True),
        (["/a"], "a", False),
        (["  a  "], "a", True),
        # One star stays within a component, two cross them.
        (["*.go"], "x.go", True),
        (["*.go"], "d/x.go", False),
        (["*/x"], "d/x", True),
        (["*/x"], "d/e/x", False),
        (["d/*"], "d/e/x", True),
        (["**/x"], "x", True),
        (["**/x"], "d/e/x", True),
        (["**/x"], "d/ex", False),
        (["**x"], "d/ex", True),
        (["d/**"], "d/e", True),
        (["d/**"], "d", False),
        (["d**"], "de/f", True),
        (["**"], "d/e", True),
        (["d/**/x"], "d/x", True),
        (["d/**/x"], "d/e/f/x", True),
        (["**/*.go"], "d/x.go", True),
        (["?"], "a", True),
        (["?"], "é", True),
        (["?"], "ab", False),
        (["a?b"], "a/b", False),
        # Classes and escapes.
        (["[a-c]x"], "bx", True),
        (["[a-c]x"], "dx", False),
        (["[^a]x"], "bx", True),
        ([r"\*"], "*", True),
        ([r"\*"], "x", False),
        ([r"[\]]"], "]", True),
        # The last pattern that matches decides.
        (["*", "!a"], "a", False),
        (["*", "!a"], "b", True),
        (["*", "!a"], "a/b", False),
        (["!a", "*"], "a", True),
        (["a", "!a/b", "a/b/c"], "a/b/c", True),
        (["a", "!a/b"], "a/b/c", False),
        (["**", "!**/*.md", "x.md"], "x.md", True),
        (["**", "!**/*.md", "x.md"], "d/x.md", False),
        # Names are quoted, but for what the original's table of bits misses.
        (["a.b*"], "a.bc", True),
        (["a.b*"], "axbc", False),
        (["a+*"], "a+", True),
        (["(*"], "(", True),
        (["a|b"], "a|b", True),
        (["a*|b"], "xb", True),
        (["?x{2}"], "axx", True),
        (["?x{2}"], "ax{2}", False),
        (["?x{a}"], "ax{a}", True),
        (["?^"], "a^", False),
        # An escaped letter is Go's escape, not the letter.
        ([r"a\d"], "a7", True),
        ([r"a\d"], "ad", False),
        ([r"\x61b"], "ab", True),
        ([r"\141b"], "ab", True),
        (["[[:alpha:]]1"], "a1", True),
        # A star in a class has become an expression by then.
        (["[*]"], "*", False),
        (["[*]"], "[]", True),
    ],
)
def test_what_patterns_match(patterns: list[str], path: str, expected: bool) -> None:
    assert walked(patterns, path) is expected


@pytest.mark.parametrize("pattern", ["!", "[", "[a", "[]", "a[^", "[z-]", "\\"])
def test_a_malformed_pattern_is_refused_at_once(pattern: str) -> None:
    with pytest.raises(PatternError):
        PatternMatcher([pattern])


@pytest.mark.parametrize("pattern", [r"a\y", r"\pL", "*{2}", "[b-a]", r"[\8]", "?{1001}", "[[:nothing:]]", r"\1"])
def test_a_pattern_that_go_cannot_compile_fails_when_it_is_needed(pattern: str) -> None:
    matcher = PatternMatcher([pattern])
    with pytest.raises(PatternError, match="syntax error"):
        matcher.match("a")


def test_a_pattern_that_is_never_needed_may_be_broken() -> None:
    assert walked(["a", r"a\y"], "a") is True


def test_without_what_the_parent_gave_the_parents_are_tried() -> None:
    matcher = PatternMatcher(["a/b", "!**/keep"])
    assert matcher.match("a/b/c")[0] is True
    assert matcher.match("a/b/keep/c")[0] is False
    assert matcher.match("a/c")[0] is False


def test_on_windows_a_backslash_separates() -> None:
    matcher = PatternMatcher(["a\\b", "!a\\b\\*.md"], windows=True)
    _, info = matcher.match("a")
    assert matcher.match("a/b", info)[0] is True
    assert matcher.match("a/b/x.md", info)[0] is False


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [("", "."), ("a//b/", "a/b"), ("./a", "a"), ("a/../..", ".."), ("//a", "/a"), ("/..", "/"), ("a/./b/..", "a")],
)
def test_paths_are_cleaned_as_go_does(path: str, cleaned: str) -> None:
    assert clean(path) == cleaned


names = st.sampled_from(["a", "b", "ab", "x.go", "node_modules", "é"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
words = st.sampled_from(["a", "b", "/", "*", "**", "?", "**/", "/**", "x.go", "*.go", "[ab]", "node_modules", "é"])
patterns = st.tuples(st.sampled_from(["", "", "!"]), st.lists(words, min_size=1, max_size=4).map("".join)).map(
    "".join
)


@given(st.lists(patterns, min_size=1, max_size=4), paths)
def test_a_name_that_no_pattern_matches_is_screened_out_with_the_same_answer(given: list[str], path: str) -> None:
    try:
        matcher = PatternMatcher(given)
    except PatternError:
        return
    one_by_one = PatternMatcher(given)
    one_by_one._screen._usable = False
    info = slow_info = None
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        name = "/".join(parts[:end])
        matched, info = matcher.match(name, info)
        slow_matched, slow_info = one_by_one.match(name, slow_info)
        assert (matched, info) == (slow_matched, slow_info)


@given(
    st.lists(st.text(alphabet="a*?[]^!\\/.|{}(2),-:x", max_size=8), max_size=3),
    st.text(alphabet="ab/*[]{2}", max_size=6),
)
def test_any_patterns_give_an_answer_or_a_pattern_error(given: list[str], path: str) -> None:
    try:
        matched, info = PatternMatcher(given).match(path)
    except PatternError:
        return
    assert isinstance(matched, bool)
    assert all(isinstance(part, bool) for part in info)
