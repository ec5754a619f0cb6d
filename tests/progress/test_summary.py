"""What is said at the end: excerpts as BuildKit prints them, warnings counted once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from buildwright.errors import SolveError, SourceExcerpt, UsageError
from buildwright.model.status import SourceInfo, SourceRange, VertexWarning
from buildwright.progress.summary import distinct, excerpt, format_error, format_warnings

DOCKERFILE = "FROM busybox\nARG N=0\nRUN echo eating $N; tail /dev/zero\n"


def marked(text: str, *ranges: tuple[int, int]) -> str:
    return excerpt(SourceExcerpt("Dockerfile", text, ranges))


def test_one_line_is_marked_among_its_neighbours():
    assert marked(DOCKERFILE, (3, 3)) == (
        "Dockerfile:3\n"
        "--------------------\n"
        "   1 |     FROM busybox\n"
        "   2 |     ARG N=0\n"
        "   3 | >>> RUN echo eating $N; tail /dev/zero\n"
        "   4 |     \n"
        "--------------------\n"
    )


def test_a_long_command_has_one_line_on_each_side():
    numbered = "\n".join(map(str, range(1, 21)))
    assert [line[:11] for line in marked(numbered, (5, 8)).splitlines()[2:-1]] == [
        "   4 |     ",
        *(f"   {line} | >>> " for line in range(5, 9)),
        "   9 |     ",
    ]


def test_several_places_are_marked_in_one_excerpt():
    lines = marked("a\nb\nc\nd\ne\nf", (2, 0), (4, 5)).splitlines()[2:-1]
    assert [line[7:10] for line in lines] == ["   ", ">>>", "   ", ">>>", ">>>", "   "]


def test_places_outside_of_the_text_give_no_excerpt():
    assert marked(DOCKERFILE) == marked(DOCKERFILE, (9, 9)) == marked(DOCKERFILE, (0, 0)) == ""
    assert marked(DOCKERFILE, (3, 99)).count(">>>") == 2


@settings(deadline=None)
@given(st.text(max_size=30), st.lists(st.tuples(st.integers(-2, 9), st.integers(-2, 9))))
def test_any_source_gives_lines_of_it_or_nothing(text, ranges):
    shown = marked(text, *ranges)
    assert not shown or shown.endswith("-\n")


def test_only_errors_of_the_build_have_excerpts():
    source = SourceExcerpt("Dockerfile", DOCKERFILE, ((1, 1),))
    error = SolveError("failed", sources=(source, source), stack="trace\n")
    assert format_error(error) == excerpt(source) * 2
    assert format_error(error, debug=True) == excerpt(source) * 2 + "trace\n"
    assert format_error(UsageError("wrong")) == ""


def test_warnings_are_counted_once_each():
    first, second = (VertexWarning(vertex=digest, level=1, short="careful") for digest in "ab")
    other = VertexWarning(vertex="a", level=1, short="more careful")
    assert distinct([first, other, second]) == (first, other)
    assert format_warnings([]) == ""
    assert format_warnings([first]) == "\n 1 warning found (use --debug to expand):\n - careful\n"
    assert format_warnings([first, other], color=True) == (
        "\n \x1b[33m2 warnings found (use --debug to expand):\n\x1b[0m - careful\n - more careful\n"
    )


def test_debug_shows_all_of_a_warning():
    warning = VertexWarning(
        vertex="a",
        level=1,
        short="careful",
        detail=("one", "two"),
        url="https://example.com",
        source=SourceInfo("Dockerfile", DOCKERFILE.encode()),
        ranges=(SourceRange(1, 0, 1, 4),),
    )
    assert format_warnings([warning], debug=True) == (
        "\n 1 warning found:\n - careful\none\ntwo\nMore info: https://example.com\n"
        + marked(DOCKERFILE, (1, 1))
        + "\n"
    )
