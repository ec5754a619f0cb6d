"""Hypothesis strategies for status updates: few names, so that they meet; odd values, so that they hurt."""

from __future__ import annotations

from hypothesis import strategies as st

from buildwright.model.status import (
    ProgressGroup,
    SourceInfo,
    SourceRange,
    StatusUpdate,
    Vertex,
    VertexLog,
    VertexStatus,
    VertexWarning,
)

SECOND = 1_000_000_000
EPOCH = 1_780_000_000 * SECOND

digests = st.sampled_from([f"sha256:{index}" for index in range(4)])
times = st.integers(EPOCH - SECOND, EPOCH + 200 * SECOND)
any_times = times | st.integers(-(2**63), 2**63 - 1)
texts = st.text(max_size=12) | st.sampled_from(
    ["RUN echo", "日本語" * 30, "tab\tnew\nline\r", "x" * 300, "\x1b[2J\x1b[H"]
)
groups = st.builds(ProgressGroup, id=st.sampled_from(["g1", "g2"]), name=texts, weak=st.booleans())
errors = st.just("") | st.sampled_from(["exit code: 1", "x: context canceled"]) | texts
statuses = st.builds(
    VertexStatus,
    id=st.sampled_from(["sha256:layer", "transferring context:", "odd\x07\x1b[A"]),
    vertex=digests,
    current=st.integers(-5, 2**63 - 1),
    total=st.integers(0, 2**40),
    timestamp=st.none() | times,
    started=st.none() | times,
    completed=st.none() | times,
)
output = st.binary(max_size=30) | st.lists(
    st.sampled_from(
        [
            b"\n",
            b"\r",
            b"\b",
            b"\t",
            b"\x1b[",
            b"2K",
            b"1A",
            b"\x1b]0;t",
            b"\x07",
            b"word ",
            b"9;9H",
            "日本".encode(),
            b"\x9b",
            b"\xe6",
        ]
    )
).map(b"".join)
logs = st.builds(VertexLog, vertex=digests, timestamp=times, stream=st.sampled_from([1, 2]), data=output)
ranges = st.builds(SourceRange, *[st.integers(-1, 6)] * 4)
warnings = st.builds(
    VertexWarning,
    vertex=digests,
    level=st.integers(0, 3),
    short=texts,
    detail=st.lists(texts, max_size=2).map(tuple),
    source=st.none() | st.builds(SourceInfo, filename=texts, data=output),
    ranges=st.lists(ranges, max_size=3).map(tuple),
)


def vertexes(group: st.SearchStrategy[ProgressGroup | None]) -> st.SearchStrategy[Vertex]:
    return st.builds(
        Vertex,
        digest=digests,
        name=texts,
        cached=st.booleans(),
        started=st.none() | times,
        completed=st.none() | times,
        error=errors,
        progress_group=group,
    )


def updates(
    group: st.SearchStrategy[ProgressGroup | None] = st.none() | groups,  # noqa: B008
) -> st.SearchStrategy[StatusUpdate]:
    return st.builds(
        StatusUpdate,
        vertexes=st.lists(vertexes(group), max_size=4).map(tuple),
        statuses=st.lists(statuses, max_size=3).map(tuple),
        logs=st.lists(logs, max_size=3).map(tuple),
        warnings=st.lists(warnings, max_size=2).map(tuple),
    )
