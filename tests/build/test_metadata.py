"""The metadata file holds the exporter's response as Go's encoder writes it."""

from __future__ import annotations

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from buildwright.build.metadata import decode_response, dump


def encoded(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def test_objects_in_base64_are_shown_as_objects() -> None:
    response = {
        "containerimage.digest": "sha256:1234",
        "containerimage.descriptor": encoded({"size": 1}),
        "list": encoded([{"a": 1}]),
        "empty": encoded({}),
        "number": encoded(12),
    }
    assert decode_response(response) == response | {"containerimage.descriptor": {"size": 1}, "list": [{"a": 1}]}


@given(st.dictionaries(st.text(), st.text()))
def test_any_response_can_be_written_and_read_back(response: dict[str, str]) -> None:
    decoded = decode_response(response)
    assert json.loads(dump(decoded)) == decoded
    assert list(json.loads(dump(decoded))) == sorted(decoded)
