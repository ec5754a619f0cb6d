"""How calls end, and what stands for a status when none came."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildwright.errors import Code, Detail, RpcError
from buildwright.wire import status
from buildwright.wire.http2.frames import ErrorCode


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_messages_survive_the_way(text):
    coded = status.encode_message(text)
    assert coded.isascii()
    assert coded.isprintable() or not coded
    assert status.decode_message(coded) == text


@pytest.mark.parametrize(("coded", "text"), [("100%", "100%"), ("%zz", "%zz"), ("%e4", "\ufffd"), ("%C3%A4", "ä")])
def test_malformed_messages_are_read_as_far_as_possible(coded, text):
    assert status.decode_message(coded) == text


@given(
    code=st.sampled_from([code for code in Code if code]),
    message=st.text(st.characters(blacklist_categories=["Cs"]), min_size=1),
    details=st.lists(st.tuples(st.text("abc/.", max_size=9), st.binary(max_size=30)), max_size=3),
)
def test_a_status_survives_the_way(code, message, details):
    error = RpcError(code, message, details=tuple(Detail(*pair) for pair in details))
    again = status.of_trailers(status.trailers(error))
    assert (again.code, again.message, again.details) == (code, message, error.details)


def test_ok_is_no_error():
    assert status.of_trailers(status.trailers(None)) is None


@pytest.mark.parametrize("number", ["17", "99999999999999999999", "x", "", "-1", "²"])
def test_a_status_that_does_not_exist_is_unknown(number):
    assert status.of_trailers([("grpc-status", number)]).code is Code.UNKNOWN


def test_a_missing_status_is_unknown():
    assert status.of_trailers([]).code is Code.UNKNOWN


@pytest.mark.parametrize("details", ["?", "CAU", "//////8"])
def test_broken_details_do_not_hide_the_status(details):
    error = status.of_trailers([("grpc-status", "5"), ("grpc-message", "gone"), (status.DETAILS, details)])
    assert (error.code, str(error), error.details) == (Code.NOT_FOUND, "gone", ())


@pytest.mark.parametrize(
    ("http", "code"),
    [
        ("400", Code.INTERNAL),
        ("401", Code.UNAUTHENTICATED),
        ("403", Code.PERMISSION_DENIED),
        ("404", Code.UNIMPLEMENTED),
        ("429", Code.UNAVAILABLE),
        ("502", Code.UNAVAILABLE),
        ("503", Code.UNAVAILABLE),
        ("504", Code.UNAVAILABLE),
        ("500", Code.UNKNOWN),
        ("204", Code.UNKNOWN),
        ("abc", Code.INTERNAL),
    ],
)
def test_an_http_status_stands_for_a_missing_grpc_status(http, code):
    assert status.of_response([(":status", http), ("content-type", "text/html")]).code is code


def test_a_grpc_status_counts_more_than_an_http_status():
    assert status.of_response([(":status", "503"), ("grpc-status", "5")]) is None


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto", "application/grpc; charset=x"])
def test_grpc_content_is_recognised(kind):
    assert status.of_response([(":status", "200"), ("content-type", kind)]) is None


@pytest.mark.parametrize("kind", ["text/html", "application/grpc-web", ""])
def test_other_content_is_not_grpc(kind):
    assert status.of_response([(":status", "200"), ("content-type", kind)]).code is Code.UNKNOWN


@pytest.mark.parametrize(
    ("reset", "code"),
    [
        (ErrorCode.NO_ERROR, Code.INTERNAL),
        (ErrorCode.REFUSED_STREAM, Code.UNAVAILABLE),
        (ErrorCode.CANCEL, Code.CANCELLED),
        (ErrorCode.ENHANCE_YOUR_CALM, Code.RESOURCE_EXHAUSTED),
        (ErrorCode.INADEQUATE_SECURITY, Code.PERMISSION_DENIED),
        (ErrorCode.PROTOCOL_ERROR, Code.INTERNAL),
        (4711, Code.UNKNOWN),
    ],
)
def test_a_reset_stands_for_a_status(reset, code):
    assert status.of_reset(reset).code is code
