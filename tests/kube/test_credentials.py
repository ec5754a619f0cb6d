"""Tokens, certificates, plugins and proxies, with REST and exec alike, against the API server double."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import select
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from buildwright.errors import BuildwrightError, ConfigurationError, ConnectError
from buildwright.kube import exec as pod_exec
from buildwright.kube.api import CONFIG_MAP, Cluster
from buildwright.kube.config import load
from buildwright.kube.plugin import read
from buildwright.testing.kube import ApiServer, Refusal, pod
from tests.kube.pki import Authority

TEMPLATE = {"metadata": {}, "spec": {"containers": [{"name": "c"}]}}
V1 = "client.authentication.k8s.io/v1"
UNAUTHORIZED = Refusal(401, "Unauthorized", "Unauthorized")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def cluster_of(
    server: ApiServer, folder: Path, user: Mapping[str, Any], cluster: Mapping[str, Any] | None = None
) -> Cluster:
    """The server as a kubeconfig of `user` and more fields of `cluster` describe it."""
    content = json.loads(server.kubeconfig(folder).read_text())
    content["users"][0]["user"] = user
    content["clusters"][0]["cluster"] |= cluster or {}
    (folder / "kubeconfig").write_text(json.dumps(content))
    return Cluster(load(str(folder / "kubeconfig"), environ={}))


async def called(cluster: Cluster) -> None:
    """One call by REST and one by exec."""
    await cluster.get(CONFIG_MAP, "a")
    stream = await pod_exec.connect(cluster, "p", "c", ("cat",))
    await stream.aclose()


def run(work: Callable[[ApiServer], Awaitable[None]], **options: Any) -> None:
    async def once() -> None:
        async with ApiServer(**options) as server:
            server.put("pods", pod("p", TEMPLATE))
            await work(server)

    asyncio.run(once())


def tokens(server: ApiServer) -> list[str]:
    return [headers.get("authorization", "") for headers in server.headers]


def plugin(folder: Path, script: str, **more: Any) -> dict[str, Any]:
    """A user who is shown by a program; it notes each run and what it is told in `runs`."""
    path = folder / "plugin"
    path.write_text(f'#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" >> "{folder}/runs"\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"exec": {"apiVersion": V1, "command": "./plugin", "interactiveMode": "Never", **more}}


def runs(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "runs").read_text().splitlines()]


def says(**status: str) -> str:
    return f"printf %s '{json.dumps({'apiVersion': V1, 'kind': 'ExecCredential', 'status': status})}'"


@pytest.mark.parametrize(
    ("user", "header"),
    [
        ({"token": "t"}, "Bearer t"),
        ({"username": "u", "password": "p"}, "Basic " + encoded("u:p")),
        ({}, ""),
    ],
)
def test_static_users_are_shown_with_every_call(tmp_path: Path, user: dict[str, str], header: str) -> None:
    async def work(server: ApiServer) -> None:
        async with cluster_of(server, tmp_path, user) as cluster:
            await called(cluster)
        assert tokens(server) == [header] * 2

    run(work)


def test_who_acts_as_another_says_so_with_every_call(tmp_path: Path) -> None:
    acting = {"as": "jane", "as-uid": "7", "as-groups": ["a", "b"], "as-user-extra": {"Acme.com/team": ["x"]}}

    async def scenario(server: ApiServer) -> None:
        async with cluster_of(server, tmp_path, {"token": "t", **acting}) as cluster:
            await called(cluster)
        assert len(server.headers) == 2
        for shown in server.headers:
            assert shown["authorization"] == "Bearer t"
            assert (shown["impersonate-user"], shown["impersonate-uid"]) == ("jane", "7")
            assert shown["impersonate-group"] == "a, b"
            assert shown["impersonate-extra-acme.com%2fteam"] == "x"

    run(scenario)


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({"as-groups": ["a"]}, "of nobody"),
        ({"as": "jane", "as-groups": "a"}, "no lists"),
        ({"as": "jane", "as-user-extra": {"a": "b"}}, "no lists"),
        ({"as": ["jane"]}, "no text"),
        ({"as": "j\u00fcrgen"}, "not ASCII"),
        ({"as": "jane", "as-user-extra": {"a": ["b\n"]}}, "not ASCII"),
    ],
)
def test_who_it_acts_as_must_be_said_well(tmp_path: Path, user: dict[str, Any], words: str) -> None:
    async def scenario(server: ApiServer) -> None:
        with pytest.raises(ConfigurationError, match=words):
            cluster_of(server, tmp_path, user)

    run(scenario)


def test_a_token_stands_in_for_an_empty_token_file(tmp_path: Path) -> None:
    async def scenario(server: ApiServer) -> None:
        (tmp_path / "token").touch()
        async with cluster_of(server, tmp_path, {"tokenFile": "token", "token": "t"}) as cluster:
            await called(cluster)
        assert tokens(server) == ["Bearer t", "Bearer t"]

    run(scenario)


def test_an_empty_token_file_is_named(tmp_path: Path) -> None:
    async def scenario(server: ApiServer) -> None:
        (tmp_path / "token").touch()
        async with cluster_of(server, tmp_path, {"tokenFile": "token"}) as cluster:
            with pytest.raises(ConfigurationError, match="token: the file is empty"):
                await called(cluster)

    run(scenario)


def test_a_token_file_is_read_for_every_call(tmp_path: Path) -> None:
    async def work(server: ApiServer) -> None:
        path = tmp_path / "token"
        path.write_text("one\n")
        async with cluster_of(server, tmp_path, {"tokenFile": "token", "token": "old"}) as cluster:
            await called(cluster)
            path.write_text("two\n")
            await called(cluster)
            path.unlink()
            await called(cluster)
        assert tokens(server) == [f"Bearer {token}" for token in ("one", "one", "two", "two", "old", "old")]

    run(work)


def test_a_token_file_that_has_gone_is_named(tmp_path: Path) -> None:
    async def work(server: ApiServer) -> None:
        (tmp_path / "token").write_text("one")
        cluster = cluster_of(server, tmp_path, {"tokenFile": "token"})
        (tmp_path / "token").unlink()
        async with cluster:
            with pytest.raises(ConfigurationError, match=r'the token of context "fake" of .*/token: No such file'):
                await called(cluster)

    run(work)


def test_a_refused_token_is_shown_again_only_when_there_is_another(tmp_path: Path) -> None:
    async def work(server: ApiServer) -> None:
        server.refuse["get", "configmaps"] = UNAUTHORIZED
        async with cluster_of(server, tmp_path, {"token": "t"}) as cluster:
            with pytest.raises(BuildwrightError, match="log in to the cluster again"):
                await cluster.get(CONFIG_MAP, "a")
        assert len(server.requests) == 1

    run(work)


def test_a_plugin_runs_once_for_all_calls_of_a_process(tmp_path: Path) -> None:
    async def work(server: ApiServer) -> None:
        user = plugin(tmp_path, 'echo "for $0" >&2; ' + says(token="p"))
        for _ in range(2):
            async with cluster_of(server, tmp_path, user) as cluster, asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(called(cluster))
        assert tokens(server) == ["Bearer p"] * 12

    run(work)
    assert runs(tmp_path) == [{"apiVersion": V1, "kind": "ExecCredential", "spec": {"interactive": False}}]


def test_a_plugin_that_fails_runs_once_for_all_who_wait_and_again_for_the_next(tmp_path: Path) -> None:
    async def work(server: ApiServer) -> None:
        async with cluster_of(server, tmp_path, plugin(tmp_path, "exit 1")) as cluster:
            for count in (1, 2):
                calls = (cluster.get(CONFIG_MAP, "a") for _ in range(3))
                failed = await asyncio.gather(*calls, return_exceptions=True)
                assert [type(error) for error in failed] == [ConfigurationError] * 3
                assert len(runs(tmp_path)) == count

    run(work)


def test_a_plugin_runs_again_when_its_answer_has_expired(tmp_path: Path) -> None:
    async def work(server: ApiServer) -> None:
        user = plugin(tmp_path, says(token="p", expirationTimestamp="2020-01-01T00:00:00Z"))
        async with cluster_of(server, tmp_path, user) as cluster:
            await called(cluster)

    run(work)
    assert len(runs(tmp_path)) == 2


@pytest.mark.parametrize("verb", ["get", "exec"])
def test_a_plugin_runs_again_when_its_answer_is_refused(tmp_path: Path, verb: str) -> None:
    async def work(server: ApiServer) -> None:
        answer = says(token="TOKEN").replace("TOKEN", f"'$(wc -l < {tmp_path}/runs | tr -d ' ')'")
        async with cluster_of(server, tmp_path, plugin(tmp_path, answer)) as cluster:
            await called(cluster)
            server.refuse[verb, "configmaps" if verb == "get" else "pods"] = UNAUTHORIZED
            with pytest.raises(BuildwrightError, match="log in to the cluster again"):
                await called(cluster)
        assert tokens(server)[:2] == ["Bearer 1"] * 2
        assert tokens(server)[-2:] == ["Bearer 1", "Bearer 2"]

    run(work)
    assert len(runs(tmp_path)) == 2


def test_a_plugin_is_told_of_the_cluster_when_it_is_to_be(tmp_path: Path) -> None:
    async def work(server: ApiServer) -> None:
        extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}
        user = plugin(tmp_path, says(token="p"), provideClusterInfo=True)
        async with cluster_of(server, tmp_path, user, {"extensions": [extension]}) as cluster:
            await called(cluster)
        assert runs(tmp_path)[0]["spec"]["cluster"] == {"server": server.address, "config": {"audience": "a"}}

    run(work)


def test_an_authority_that_a_plugin_cannot_be_told_of_is_named(tmp_path: Path) -> None:
    gone = str(tmp_path / "ca.crt")
    stated = {"command": "p", "provideClusterInfo": True}
    with pytest.raises(
        ConfigurationError, match=rf"authority of context c cannot be read from {gone}: No such .*get"
    ):
        read({**stated}, {"server": "https://c", "certificate-authority": gone}, str(tmp_path), "context c")


@pytest.mark.parametrize(
    ("script", "more", "words"),
    [
        ("echo first >&2; echo second >&2; exit 3", {}, "/plugin: it ended with exit code 3: first second"),
        ("echo nothing", {}, "its answer is no ExecCredential with a status"),
        (says(), {}, "its answer has neither a token nor a certificate"),
        (says(clientCertificateData="c"), {}, "a certificate or a key without the other"),
        (says(token="t", expirationTimestamp="soon"), {}, "its answer is no ExecCredential"),
        ("", {"interactiveMode": "Always"}, "there is no terminal: log in first"),
        ("", {"command": "no-such-plugin", "installHint": "see\nhere"}, "it was not found: install it (see here)"),
        ("", {"command": ""}, 'plugin of context "fake" of'),
        ("", {"apiVersion": "v7"}, 'has the apiVersion "v7": write one of'),
        ("", {"interactiveMode": "Sometimes"}, 'has the interactiveMode "Sometimes"'),
        ("", {"env": [{"value": "a"}]}, "has an env that is no list"),
    ],
)
def test_a_plugin_that_fails_is_told_in_one_sentence(
    tmp_path: Path, script: str, more: dict[str, Any], words: str
) -> None:
    async def work(server: ApiServer) -> None:
        with pytest.raises(ConfigurationError) as caught:
            async with cluster_of(server, tmp_path, plugin(tmp_path, script, **more)) as cluster:
                await called(cluster)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
        assert server.requests == []

    run(work)


def test_a_plugin_that_does_not_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buildwright.kube.plugin._UNATTENDED", 0.2)

    async def work(server: ApiServer) -> None:
        async with cluster_of(server, tmp_path, plugin(tmp_path, "sleep 1000; true")) as cluster:
            with pytest.raises(ConfigurationError, match="/plugin: it did not end within"):
                await called(cluster)

    run(work)


@pytest.mark.parametrize("early", [False, True])
def test_a_plugin_that_is_waited_for_in_vain_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    async def work(server: ApiServer) -> None:
        started = asyncio.Event()
        if early:
            start = asyncio.create_subprocess_exec

            async def slowly(*words: str, **how: Any) -> asyncio.subprocess.Process:
                process = await start(*words, **how)
                await started.wait()
                return process

            monkeypatch.setattr("buildwright.kube.plugin.asyncio.create_subprocess_exec", slowly)
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        user = plugin(tmp_path, f'cat "{pipe}"; true')
        async with cluster_of(server, tmp_path, user) as cluster:
            task = asyncio.create_task(called(cluster))
            # opening it succeeds as soon as the plugin reads
            end = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)
            task.cancel()
            started.set()
            with pytest.raises(asyncio.CancelledError):
                await task
        # the pipe is broken once nobody has it open for reading any more
        ends = select.poll()
        ends.register(end, 0)
        assert ends.poll(30_000) == [(end, select.POLLERR)]
        os.close(end)

    run(work)


def test_the_certificate_of_a_plugin_is_shown(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue("user")

    async def work(server: ApiServer) -> None:
        trust = {"certificate-authority-data": encoded(authority.certificate), "tls-server-name": "kubernetes.test"}
        user = plugin(tmp_path, says(clientCertificateData=certificate, clientKeyData=key))
        async with cluster_of(server, tmp_path, user, trust) as cluster:
            await called(cluster)
        async with cluster_of(server, tmp_path, {"token": "t"}, trust) as cluster:
            with pytest.raises(BuildwrightError):
                await called(cluster)
        assert tokens(server) == ["", ""]

    run(work, tls=authority.server("kubernetes.test", tmp_path, ask=True))


def test_the_name_in_the_certificate_may_be_another(tmp_path: Path) -> None:
    authority = Authority()
    trust = {"certificate-authority-data": encoded(authority.certificate)}

    async def work(server: ApiServer) -> None:
        async with cluster_of(
            server, tmp_path, {"token": "t"}, {**trust, "tls-server-name": "kubernetes.test"}
        ) as it:
            await called(it)
        async with cluster_of(server, tmp_path, {"token": "t"}, {"insecure-skip-tls-verify": True}) as it:
            await called(it)
        async with cluster_of(server, tmp_path, {"token": "t"}, trust) as it:
            for call in (it.get(CONFIG_MAP, "a"), pod_exec.connect(it, "p", "c", ("cat",))):
                with pytest.raises(ConfigurationError, match="cannot be trusted"):
                    await call

    run(work, tls=authority.server("kubernetes.test", tmp_path))


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({"client-certificate-data": "!"}, "the certificates of"),
        ({"client-certificate-data": encoded("no PEM"), "client-key-data": encoded("no PEM")}, "the certificates of"),
        ({"client-certificate-data": encoded("x")}, "or its key is there without the other"),
    ],
)
def test_a_certificate_of_no_use_is_told(tmp_path: Path, user: dict[str, Any], words: str) -> None:
    async def work(server: ApiServer) -> None:
        with pytest.raises(ConfigurationError, match=words):
            async with cluster_of(server, tmp_path, user, {"server": "https://127.0.0.1:1"}):
                pass

    run(work)


def test_a_proxy_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    async def work(server: ApiServer) -> None:
        more = {"proxy-url": "http://me:hidden@127.0.0.1:1"}
        async with cluster_of(server, tmp_path, {"token": "t"}, more) as cluster:
            for call in (cluster.get(CONFIG_MAP, "a"), pod_exec.connect(cluster, "p", "c", ("cat",))):
                with pytest.raises(ConnectError, match=r"cannot be reached by the proxy 127.0.0.1:1 \(") as caught:
                    await call
                assert "hidden" not in str(caught.value)

    run(work)


class Proxy:
    """Answers CONNECT; `asked` has the targets, `words` the head of each request."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.words: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.words.append(head)
        target = head.split(" ")[1]
        self.asked.append(target)
        host, _, port = target.rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                target.write(data)
        except ConnectionError:
            pass
        target.close()


@pytest.mark.parametrize("password", [False, True])
def test_a_proxy_is_asked_for_a_tunnel_by_rest_and_exec(tmp_path: Path, password: bool) -> None:
    authority, proxy = Authority(), Proxy()
    trust = {"certificate-authority-data": encoded(authority.certificate), "tls-server-name": "kubernetes.test"}

    async def work(server: ApiServer) -> None:
        listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        async with listening:
            who = "me:pw@" if password else ""
            address = f"http://{who}127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            async with cluster_of(server, tmp_path, {"token": "t"}, {**trust, "proxy-url": address}) as cluster:
                await called(cluster)
        assert [f"https://{target}" for target in proxy.asked] == [server.address], "exec goes on where REST has been"
        assert all((f"Basic {encoded('me:pw')}" in words) is password for words in proxy.words)

    run(work, tls=authority.server("kubernetes.test", tmp_path))


@pytest.mark.parametrize("address", ["http://[1", "http://", "http://h:99999999", "ftp://me:hidden@h", "socks5://h"])
def test_a_proxy_of_no_use_is_told_by_rest_and_exec(tmp_path: Path, address: str) -> None:
    async def work(server: ApiServer) -> None:
        async with cluster_of(server, tmp_path, {"token": "t"}) as cluster:
            pass
        other = cluster_of(server, tmp_path, {"token": "t"}, {"proxy-url": address})
        for call in (other.get(CONFIG_MAP, "a"), pod_exec.connect(other, "p", "c", ("cat",))):
            with pytest.raises(ConfigurationError, match=r"the proxy for .* cannot be used \(") as caught:
                await call
            assert "hidden" not in str(caught.value)
        assert cluster.config.proxy == ""

    run(work)
