"""Failures that a real buildkitd v0.29.0 gave, recorded in `failures/`, and what they become."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.client.failure import EXIT, SOURCE, STACK, VERTEX, redact, solve_error
from buildwright.errors import Code, Detail, RpcError, SolveError

FAILURES = Path(__file__).parent / "failures"


def recorded(name: str) -> RpcError:
    told = json.loads((FAILURES / f"{name}.json").read_text())
    details = tuple(Detail(d["type_url"], d["value"].encode()) for d in told["details"])
    return RpcError(Code(told["code"]), told["message"], details=details)


def failure(*details: tuple[str, object], message: str = "it failed", code: Code = Code.UNKNOWN) -> SolveError:
    parts = tuple(Detail(url, json.dumps(body).encode()) for url, body in details)
    return solve_error(RpcError(code, message, details=parts))


def test_a_failing_run_tells_its_step_exit_code_and_lines() -> None:
    error = solve_error(recorded("failing_run"))
    assert error.process_exit_code == 7
    assert error.vertex.startswith("sha256:")
    assert str(error).endswith("did not complete successfully: exit code: 7")
    (source,) = error.sources
    assert source.ranges == ((5, 5), (6, 6))
    assert source.text.splitlines()[4] == "RUN echo out; echo err >&2; \\"


def test_a_program_that_is_missing_in_the_image_fails_like_a_process() -> None:
    assert solve_error(recorded("command_missing")).process_exit_code == 1


def test_a_syntax_error_tells_its_line_and_no_step() -> None:
    error = solve_error(recorded("dockerfile_syntax"))
    assert "unknown instruction: RUNN" in str(error)
    assert [s.ranges for s in error.sources] == [((2, 2),)]
    assert (error.vertex, error.process_exit_code) == ("", None)


def test_a_missing_base_image_tells_its_line() -> None:
    error = solve_error(recorded("missing_base_image"))
    assert str(error).endswith("docker.io/nosuch/image:never: not found")
    assert error.sources[0].ranges == ((1, 1),)


def test_a_missing_file_tells_the_step_that_copies_it() -> None:
    error = solve_error(recorded("missing_copy_source"))
    assert error.vertex
    assert error.process_exit_code is None
    assert error.sources[0].ranges == ((3, 3),)


def test_a_refused_push_tells_how_to_log_in() -> None:
    error = solve_error(recorded("push_refused"))
    assert str(error).startswith("failed to push 127.0.0.1:15591/team/app:1: ")
    assert str(error).endswith(
        "401 Unauthorized; run docker login 127.0.0.1:15591 with an account that may push there"
    )


def test_advice_to_log_in_is_given_once() -> None:
    told = "failed to push docker.io/a/b:1: push access denied: run docker login"
    assert str(failure(message=told)) == told


def test_docker_hub_is_logged_in_to_without_its_name() -> None:
    told = "failed to push docker.io/a/b:1: push access denied, repository does not exist"
    assert str(failure(message=told)).endswith("; run docker login with an account that may push there")


@pytest.mark.parametrize("name", ["subrequest", "frontend_cap"])
def test_what_a_frontend_is_too_old_for_tells_how_to_get_a_newer_one(name: str) -> None:
    assert "# syntax=docker/dockerfile:1" in str(solve_error(recorded(name)))


@pytest.mark.parametrize("path", sorted(FAILURES.glob("*.json")), ids=lambda path: path.stem)
def test_every_recorded_failure_is_one_line_without_the_trace(path: Path) -> None:
    error = solve_error(recorded(path.stem))
    assert str(error)
    assert "\n" not in str(error)
    assert ".go:" not in str(error)


def test_the_trace_names_process_functions_and_places() -> None:
    lines = solve_error(recorded("entitlement")).stack.splitlines()
    assert "v0.29.0 buildkitd" in lines[0]
    assert lines[2].startswith("\tgithub.com/moby/buildkit@v0.29.0/")


def test_the_code_decides_the_exit_code() -> None:
    assert failure(code=Code.INTERNAL).exit_code == 100
    assert failure(code=Code.RESOURCE_EXHAUSTED).exit_code == 102
    assert failure(code=Code.UNKNOWN).exit_code == 1


def test_a_range_without_an_end_is_one_line() -> None:
    body = {"info": {"filename": "Dockerfile", "data": ""}, "ranges": [{"start": {"line": 3}}]}
    assert failure((SOURCE, body)).sources[0].ranges == ((3, 3),)


def test_a_source_that_is_told_twice_is_kept_once() -> None:
    body = {"info": {"filename": "Dockerfile", "data": "RlJPTSBh"}, "ranges": [{"start": {"line": 1}}]}
    assert len(failure((SOURCE, body), (SOURCE, body)).sources) == 1


def test_an_error_without_words_is_named_by_its_code() -> None:
    assert str(failure(message="", code=Code.DEADLINE_EXCEEDED)) == "deadline exceeded"


def test_details_that_are_not_json_are_left_out() -> None:
    details = (Detail(VERTEX, b"\xff\xfe"), Detail(SOURCE, b"[1]"), Detail("example.com/other", b"{}"))
    assert str(solve_error(RpcError(Code.UNKNOWN, "still told", details=details))) == "still told"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["info", "ranges", "start", "end", "line", "data", "digest", "Code", "frames", "cmdline"]
            ),
            inner,
        )
    ),
)


@given(st.lists(st.tuples(st.sampled_from([VERTEX, SOURCE, EXIT, STACK]), JSON), max_size=3))
def test_damaged_details_never_hide_the_message(details: list[tuple[str, object]]) -> None:
    assert str(failure(*details)) == "it failed"


@pytest.mark.parametrize(
    "text",
    [
        "cannot clone https://robot:hunter2@git.example/a.git: refused",
        "cannot clone https://robot:at@hunter2@git.example/a.git: refused",
        "cannot clone https://hunter2@git.example/a.git: refused",
        "proxyconnect tcp: dial socks5://:hunter2@proxy.example:1080: refused",
        "Get https://blobs.example/x?X-Amz-Signature=hunter2&b=1: 403",
        "Get https://blobs.example/x?a=1&sig=hunter2 failed",
        "Get https://x.example/?access_token=hunter2",
    ],
)
def test_secrets_in_addresses_are_hidden(text: str) -> None:
    assert "hunter2" not in redact(text)
    assert "xxxxx" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "cannot clone ssh://git@git.example:22/a.git and git@git.example:a.git",
        "push to 127.0.0.1:5000/a:1 failed",
        "a@sha256:12 at https://x.example:80/y?ref=main",
    ],
)
def test_addresses_without_secrets_stay_as_they_are(text: str) -> None:
    assert redact(text) == text
