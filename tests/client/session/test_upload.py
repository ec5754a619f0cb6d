"""Streams that the daemon fetches over the session: each once, in order, with its failures told."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable
from typing import Any

import pytest

from buildwright.client.session.upload import Uploads
from buildwright.errors import Code, ContextError, RpcError
from buildwright.wire.proto import control_pb2

PULL = "/moby.upload.v1.Upload/Pull"
Ask = Callable[..., list[bytes]]


def pull(ask: Ask, uploads: Uploads, url: str) -> bytes:
    path = url.removeprefix("http://buildkit-session")
    metadata = (("urlhost", "buildkit-session"), ("urlpath", path))
    return b"".join(control_pb2.BytesMessage.FromString(m).data for m in ask(uploads, PULL, b"", metadata))


def test_a_stream_is_sent_whole_and_in_order(ask: Ask) -> None:
    uploads, content = Uploads(), os.urandom(3 << 20) + b"end"
    url = uploads.add(io.BytesIO(content))
    assert url.startswith("http://buildkit-session/")
    assert pull(ask, uploads, url) == content


def test_an_empty_stream_ends_at_once(ask: Ask) -> None:
    uploads = Uploads()
    assert pull(ask, uploads, uploads.add(io.BytesIO())) == b""


def test_a_stream_can_be_fetched_once(ask: Ask) -> None:
    uploads = Uploads()
    url = uploads.add(io.BytesIO(b"x"))
    pull(ask, uploads, url)
    with pytest.raises(RpcError) as caught:
        pull(ask, uploads, url)
    assert caught.value.code is Code.NOT_FOUND


def test_streams_are_told_apart(ask: Ask) -> None:
    uploads = Uploads()
    first, second = uploads.add(io.BytesIO(b"1")), uploads.add(io.BytesIO(b"2"))
    assert (pull(ask, uploads, second), pull(ask, uploads, first)) == (b"2", b"1")


def test_a_stream_that_breaks_fails_the_build_with_our_error(ask: Ask) -> None:
    class Breaking:
        def read(self, limit: int, /) -> bytes:
            raise OSError(5, "Input/output error")

    uploads = Uploads()
    with pytest.raises(RpcError, match="cannot read the build context: Input/output error"):
        pull(ask, uploads, uploads.add(Breaking()))
    assert isinstance(uploads.failure, ContextError)


def test_a_cancelled_fetch_does_not_wait_for_a_reader_that_says_nothing(recorded_call: Callable[..., Any]) -> None:
    reading, writing = os.pipe()

    async def run(reader: io.FileIO) -> None:
        uploads = Uploads()
        path = uploads.add(reader).removeprefix("http://buildkit-session")
        handler = uploads.handlers()[PULL]
        call = recorded_call(PULL, b"", (("urlpath", path),))
        pulling = asyncio.ensure_future(handler(call))
        os.write(writing, b"first")
        await call.has_sent.wait()
        pulling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pulling

    with open(reading, "rb", buffering=0) as reader:
        asyncio.run(run(reader))
        os.close(writing)
