"""How the API server is reached, and what becomes of a connection that nobody waits for any more."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import ssl
import threading
import warnings
from contextlib import suppress
from pathlib import Path

import pytest

from buildwright.kube.config import load
from buildwright.kube.credentials import tls
from buildwright.kube.transport import dial
from tests.kube.pki import Authority


def test_who_is_cancelled_when_the_connection_is_made_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = asyncio.StreamReaderProtocol.connection_made

    async def cancelled(address: str) -> None:
        clusters = [{"name": "c", "cluster": {"server": address, "insecure-skip-tls-verify": True}}]
        contexts = [{"name": "c", "context": {"cluster": "c"}}]
        content = {"clusters": clusters, "contexts": contexts, "current-context": "c"}
        (tmp_path / "kubeconfig").write_text(json.dumps(content))
        config = load(str(tmp_path / "kubeconfig"), environ={})
        dialling = asyncio.create_task(dial(config, "", tls(config)))

        def cancelled_then(self: asyncio.StreamReaderProtocol, transport: asyncio.BaseTransport) -> None:
            made(self, transport)
            dialling.cancel()

        monkeypatch.setattr(asyncio.StreamReaderProtocol, "connection_made", cancelled_then)
        with pytest.raises(asyncio.CancelledError):
            await dialling

    with socket.create_server(("127.0.0.1", 0)) as listening, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        context, over = Authority().server("kubernetes.test", tmp_path), threading.Event()
        peer = threading.Thread(target=silent, args=(listening, context, over))
        peer.start()
        try:
            asyncio.run(cancelled(f"https://127.0.0.1:{listening.getsockname()[1]}"))
            gc.collect()
        finally:
            over.set()
            peer.join()
    assert [str(one.message) for one in warned] == []


def silent(listening: socket.socket, context: ssl.SSLContext, over: threading.Event) -> None:
    """Shakes one client's hand and says no more, no farewell either."""
    with listening.accept()[0] as taken, suppress(OSError), context.wrap_socket(taken, server_side=True):
        over.wait()
