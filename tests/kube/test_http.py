"""The client of the API server, against servers that answer as they like."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from buildwright.errors import ClusterError, ConnectError
from buildwright.kube.api import CONFIG_MAP, Cluster
from buildwright.kube.config import load
from buildwright.kube.transport import dial

Scenario = Callable[["Server", Cluster], Awaitable[None]]


def answer(body: bytes, *, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def chunked(*pieces: bytes) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


class Server:
    """Gives the next of `answers` to each request, and closes after the last; None closes instead of answering.

    `asked` has the first lines of the requests.
    """

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.answers:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.asked.append(head.split("\r\n")[0])
                length = [line for line in head.split("\r\n") if line.startswith("Content-Length: ")]
                if length:
                    await reader.readexactly(int(length[0].split()[1]))
                told = self.answers.pop(0)
                if told is None:
                    break
                writer.write(told)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def run(folder: Path, scenario: Scenario, *answers: bytes | None, path: str = "") -> Server:
    served = Server(*answers)

    async def once() -> None:
        async with await asyncio.start_server(served.serve, "127.0.0.1", 0) as listening:
            address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}{path}"
            content = {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c"}}],
                "clusters": [{"name": "c", "cluster": {"server": address}}],
            }
            (folder / "k").write_text(json.dumps(content))
            async with asyncio.timeout(20), Cluster(load(str(folder / "k"), environ={})) as cluster:
                await scenario(served, cluster)

    asyncio.run(once())
    return served


def test_one_connection_serves_calls_after_each_other(tmp_path: Path) -> None:
    async def scenario(server: Server, cluster: Cluster) -> None:
        assert await cluster.get(CONFIG_MAP, "a") == {"a": 1}
        assert await cluster.get(CONFIG_MAP, "a") == {"b": 2}

    assert run(tmp_path, scenario, answer(b'{"a":1}'), chunked(b'{"b"', b":2}")).connections == 1


def test_concurrent_calls_have_connections_of_their_own(tmp_path: Path) -> None:
    async def scenario(server: Server, cluster: Cluster) -> None:
        await asyncio.gather(cluster.get(CONFIG_MAP, "a"), cluster.get(CONFIG_MAP, "b"))

    assert run(tmp_path, scenario, answer(b"{}"), answer(b"{}")).connections == 2


def test_a_path_of_the_server_goes_before_all_others(tmp_path: Path) -> None:
    async def scenario(server: Server, cluster: Cluster) -> None:
        await cluster.get(CONFIG_MAP, "a")

    asked = run(tmp_path, scenario, answer(b"{}"), path="/k8s/clusters/c-1/").asked
    assert asked == ["GET /k8s/clusters/c-1/api/v1/namespaces/default/configmaps/a HTTP/1.1"]


def test_a_kept_connection_that_was_closed_is_replaced_for_reading(tmp_path: Path) -> None:
    async def scenario(server: Server, cluster: Cluster) -> None:
        await cluster.get(CONFIG_MAP, "a")
        assert await cluster.get(CONFIG_MAP, "a") == {"b": 2}

    assert run(tmp_path, scenario, answer(b"{}"), None, answer(b'{"b":2}')).connections == 2


def test_what_comes_while_nothing_was_asked_for_is_no_answer(tmp_path: Path) -> None:
    stray = answer(b'{"metadata": {"name": "other"}}')

    async def scenario(server: Server, cluster: Cluster) -> None:
        for name in ("a", "b"):
            found = await cluster.get(CONFIG_MAP, name)
            assert found == {"metadata": {"name": name}}
            await asyncio.sleep(0.05)
        assert server.connections == 2

    bodies = [answer(b'{"metadata": {"name": "%s"}}' % name) for name in (b"a", b"b")]
    run(tmp_path, scenario, bodies[0] + stray, bodies[1])


def test_a_change_without_an_answer_is_not_sent_again(tmp_path: Path) -> None:
    async def scenario(server: Server, cluster: Cluster) -> None:
        await cluster.get(CONFIG_MAP, "a")
        with pytest.raises(ConnectError, match=r"cannot be reached \(it closed the connection\)"):
            await cluster.patch(CONFIG_MAP, "a", {})

    assert len(run(tmp_path, scenario, answer(b"{}"), None, answer(b"{}")).asked) == 2


def test_a_list_is_read_page_by_page(tmp_path: Path) -> None:
    first = b'{"metadata":{"continue":"x y","resourceVersion":"7"},"items":[{"n":1}]}'

    async def scenario(server: Server, cluster: Cluster) -> None:
        assert await cluster.list(CONFIG_MAP) == (({"n": 1}, {"n": 2}), "7")

    last = b'{"metadata":{"resourceVersion":"7"},"items":[{"n":2}]}'
    assert "continue=x+y" in run(tmp_path, scenario, answer(first), answer(last)).asked[1]


@pytest.mark.parametrize(
    "told",
    [
        b"SSH-2.0-x\r\n\r\n",
        answer(b"<html>log in</html>"),
        answer(b"[]"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    ],
)
def test_what_is_no_answer_is_one_sentence(tmp_path: Path, told: bytes) -> None:
    async def scenario(server: Server, cluster: Cluster) -> None:
        with pytest.raises(ConnectError, match=r"cannot be reached \((it|its|what it) "):
            await cluster.get(CONFIG_MAP, "a")

    run(tmp_path, scenario, told)


def test_a_refusal_without_a_status_names_its_number(tmp_path: Path) -> None:
    async def scenario(server: Server, cluster: Cluster) -> None:
        with pytest.raises(ClusterError, match="answered with HTTP status 302 and no Kubernetes status"):
            await cluster.get(CONFIG_MAP, "a")

    run(tmp_path, scenario, answer(b"", status="302 Found", more="Location: /login\r\n"))


def test_a_log_is_cut_at_line_ends_only(tmp_path: Path) -> None:
    async def scenario(server: Server, cluster: Cluster) -> None:
        lines = [line async for line in cluster.logs("p", "c", tail=3)]
        assert lines == ["one", "tw\u00f6", "", "rest"]

    run(tmp_path, scenario, chunked(b"one\r\ntw\xc3", b"\xb6\n\nre", b"st"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own options")
def test_a_peer_that_goes_without_a_word_is_noticed_within_half_a_minute(tmp_path: Path) -> None:
    async def scenario(server: Server, cluster: Cluster) -> None:
        _, writer = await dial(cluster.config, "", None)
        try:
            connected = writer.get_extra_info("socket")
            assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            idle, between, probes = (
                connected.getsockopt(socket.IPPROTO_TCP, option)
                for option in (
                    socket.TCP_KEEPIDLE,
                    socket.TCP_KEEPINTVL,
                    socket.TCP_KEEPCNT,
                )
            )
            assert idle + between * probes <= 30
            assert not connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), "it would end busy streams"
        finally:
            writer.transport.abort()

    run(tmp_path, scenario, None)
