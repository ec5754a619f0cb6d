"""Messages of an exec stream."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from buildwright.kube.frames import (
    CLOSE,
    MESSAGE_SIZE,
    STATUS,
    STDERR,
    STDIN,
    STDOUT,
    V4,
    V5,
    ExecOutput,
    closing,
    parse_end,
    split,
)

SCALARS = st.none() | st.booleans() | st.integers() | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(st.integers(0, 3 * MESSAGE_SIZE), st.sampled_from([bytes, bytearray, memoryview]))
def test_data_is_split_into_messages_that_join_again(size: int, kind: type) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    messages = list(split(STDIN, kind(data)))
    assert b"".join(message[1:] for message in messages) == data
    assert all(message[0] == STDIN and 1 < len(message) <= MESSAGE_SIZE + 1 for message in messages)


def test_only_version_5_can_end_stdin() -> None:
    assert closing(STDIN, V5) == b"\xff\0"
    assert closing(STDIN, V4) is None


def test_output_is_sorted_by_channel() -> None:
    output = ExecOutput()
    assert output.feed(bytes((STDOUT,)) + b"data") == b"data"
    assert output.feed(bytes((STDERR,)) + b"first\nlast words\n\n") == b""
    assert output.last_words() == "last words"
    assert output.end is None
    assert output.feed(bytes((STATUS,)) + b'{"status":"Success"}') == b""
    assert output.end is not None
    assert output.end.success
    assert output.end.exit_code == 0


def test_empty_messages_say_nothing() -> None:
    output = ExecOutput()
    for message in (b"", bytes((STDOUT,)), bytes((STATUS,)), bytes((CLOSE,)), b"\x09x"):
        assert output.feed(message) == b""
    assert output.end is None
    assert not output.stdout_closed


def test_the_peer_may_close_stdout() -> None:
    output = ExecOutput()
    output.feed(bytes((CLOSE, STDOUT)))
    assert output.stdout_closed


def test_only_the_last_of_stderr_is_kept() -> None:
    output = ExecOutput(stderr_limit=10)
    output.feed(bytes((STDERR,)) + b"x" * 50 + b"\nthe end")
    assert output.stderr == b"xx\nthe end"


def test_an_exit_code_is_read() -> None:
    causes = [{"reason": "Other"}, {"reason": "ExitCode", "message": "137"}]
    status = {"status": "Failure", "reason": "NonZeroExitCode", "message": "m", "details": {"causes": causes}}
    end = parse_end(json.dumps(status).encode())
    assert (end.success, end.exit_code, end.reason, end.message) == (False, 137, "NonZeroExitCode", "m")


def test_a_status_that_is_none_is_a_failure_with_its_text() -> None:
    end = parse_end(b"container not found\n")
    assert (end.success, end.exit_code, end.message) == (False, None, "container not found")


@given(st.binary())
def test_any_message_is_taken(message: bytes) -> None:
    ExecOutput().feed(message)


@given(JSON)
def test_any_json_is_an_end(status: object) -> None:
    parse_end(json.dumps(status).encode())
    parse_end(json.dumps({"details": status}).encode())
    parse_end(json.dumps({"details": {"causes": [status, {"reason": "ExitCode", "message": status}]}}).encode())
