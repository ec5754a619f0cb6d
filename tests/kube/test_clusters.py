"""Every layout of a kubeconfig against a real API server, by REST and by exec."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from buildwright.errors import ConfigurationError
from buildwright.kube import config, docker_context
from buildwright.kube import exec as pod_exec
from buildwright.kube.api import POD, Cluster
from buildwright.kube.config import ClusterConfig, load

pytestmark = pytest.mark.cluster

V1 = "client.authentication.k8s.io/v1"
POD_OF_TEST = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {"name": "c", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "1d"]}
        ],
    },
}


@dataclass
class Bench:
    """A pod, an account that may list and exec in its namespace, and the admin's certificate."""

    folder: Path
    namespace: str
    server: str
    authority: str
    token: str
    admin: dict[str, str]
    proxied: list[str] = field(default_factory=list)

    def write(self, name: str, user: dict[str, Any], *, current: str = "it", **cluster: Any) -> Path:
        """A kubeconfig of one context, `it`."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        trust = {} if "certificate-authority" in cluster else {"certificate-authority-data": self.authority}
        content = {
            "current-context": current,
            "clusters": [{"name": "c", "cluster": {"server": self.server, **trust, **cluster}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "it", "context": {"cluster": "c", "user": "u", "namespace": self.namespace}}],
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def plugin(self, name: str, **status: str) -> dict[str, Any]:
        """A user who is shown by a program that notes its runs."""
        answer = json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status})
        (self.folder / f"{name}.json").write_text(answer)
        program = self.folder / name
        program.write_text(f'#!/bin/sh\necho run >> "{program}.runs"\ncat "{program}.json"\n')
        program.chmod(0o755)
        return {"exec": {"apiVersion": V1, "command": f"./{name}", "interactiveMode": "Never"}}

    def runs(self, name: str) -> int:
        return len((self.folder / f"{name}.runs").read_text().split())

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A proxy that knows one host name: ours for the API server."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.proxied.append(head.split(" ")[1])
        parts = urlsplit(self.server)
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, back), pump(there, writer))


async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(1 << 16):
            target.write(data)
    except ConnectionError:
        pass
    target.close()


@pytest.fixture
def bench(cluster: Any, namespace: str, tmp_path: Path) -> Bench:
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(POD_OF_TEST))
    rights = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
    ]
    account = yaml.safe_load(cluster.account(namespace, "it", rights).read_text())
    admin = yaml.safe_load(cluster.kubeconfig.read_text())
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/p", "--timeout=60s")
    return Bench(
        folder=tmp_path,
        namespace=namespace,
        server=admin["clusters"][0]["cluster"]["server"],
        authority=admin["clusters"][0]["cluster"]["certificate-authority-data"],
        token=account["users"][0]["user"]["token"],
        admin=admin["users"][0]["user"],
    )


async def used(found: ClusterConfig) -> None:
    """One call by REST, one by exec."""
    async with Cluster(found) as cluster:
        items, _ = await cluster.list(POD)
        assert [item["metadata"]["name"] for item in items] == ["p"]
        stream = await pod_exec.connect(cluster, "p", "c", ("echo", "hello"))
        assert await stream.read() == b"hello\n"
        await stream.aclose()


def decoded(text: str) -> str:
    return base64.b64decode(text).decode()


async def static_users(bench: Bench) -> None:
    await used(load(str(bench.write("certificate", bench.admin))))
    await used(load(str(bench.write("token", {"token": bench.token}))))


async def files_with_relative_paths(bench: Bench) -> None:
    for name, text in (
        ("ca.crt", bench.authority),
        ("u.crt", bench.admin["client-certificate-data"]),
        ("u.key", bench.admin["client-key-data"]),
    ):
        (bench.folder / name).write_text(decoded(text))
    user = {"client-certificate": "../u.crt", "client-key": "../u.key"}
    await used(load(str(bench.write("below/files", user, **{"certificate-authority": "../ca.crt"}))))


async def a_token_file_that_is_replaced(bench: Bench) -> None:
    (bench.folder / "token.txt").write_text("not yet valid")
    found = load(str(bench.write("tokenfile", {"tokenFile": "token.txt"})))
    async with Cluster(found) as cluster:
        with pytest.raises(Exception, match="log in to the cluster again"):
            await cluster.list(POD)
        (bench.folder / "token.txt").write_text(bench.token)
        await cluster.list(POD)
    await used(found)


async def a_plugin_that_gives_a_token(bench: Bench) -> None:
    found = load(str(bench.write("exec", bench.plugin("tokens", token=bench.token))))
    for _ in range(2):
        await used(found)
    assert bench.runs("tokens") == 1


async def a_plugin_that_gives_a_certificate(bench: Bench) -> None:
    pair = {
        "clientCertificateData": decoded(bench.admin["client-certificate-data"]),
        "clientKeyData": decoded(bench.admin["client-key-data"]),
    }
    await used(load(str(bench.write("exec-cert", bench.plugin("certificates", **pair)))))
    assert bench.runs("certificates") == 1


async def a_plugin_whose_answers_expire_or_are_refused(bench: Bench) -> None:
    user = bench.plugin("expiring", token=bench.token, expirationTimestamp="2020-01-01T00:00:00Z")
    await used(load(str(bench.write("exec-expiry", user))))
    assert bench.runs("expiring") == 2
    user = bench.plugin("stale", token="stale")
    program = bench.folder / "stale"
    valid = (bench.folder / "tokens.json").as_posix()
    program.write_text(program.read_text() + f'cp "{valid}" "{program}.json"\n')
    await used(load(str(bench.write("exec-stale", user))))
    assert bench.runs("stale") == 2


async def a_list_of_files(bench: Bench) -> None:
    whole = yaml.safe_load(bench.write("list-user", {"token": bench.token}).read_text())
    (bench.folder / "list-users").write_text(yaml.safe_dump({"users": whole.pop("users")}))
    (bench.folder / "list-rest").write_text(yaml.safe_dump(whole))
    names = ("missing", "list-users", "list-rest")
    await used(load(environ={"KUBECONFIG": os.pathsep.join(str(bench.folder / name) for name in names)}))


async def a_context_that_is_not_the_current_one(bench: Bench) -> None:
    path = bench.write("other-current", {"token": bench.token}, current="other")
    with pytest.raises(ConfigurationError, match='no context "other": it defines it'):
        load(str(path))
    await used(load(str(path), context="it"))


async def a_proxy_and_a_name_that_only_the_certificate_has(bench: Bench) -> None:
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(await asyncio.start_server(bench.relay, "127.0.0.1", 0))
        more = {
            "server": "https://nowhere.invalid:6443",
            "proxy-url": f"http://127.0.0.1:{relay.sockets[0].getsockname()[1]}",
        }
        user = {"token": bench.token}
        await used(load(str(bench.write("proxy", user, **more, **{"tls-server-name": "kubernetes"}))))
        assert bench.proxied == ["nowhere.invalid:6443"], "exec goes on where REST has been"
        with pytest.raises(ConfigurationError, match="cannot be trusted"):
            await used(load(str(bench.write("wrong-name", user, **more))))


async def no_verification(bench: Bench) -> None:
    path = bench.write("insecure", {"token": bench.token}, **{"insecure-skip-tls-verify": True})
    with pytest.raises(ConfigurationError, match="take one of them out"):
        load(str(path))
    path.write_text(path.read_text().replace("certificate-authority-data", "unknown"))
    await used(load(str(path)))


async def the_account_of_a_pod(bench: Bench) -> None:
    account = bench.folder / "account"
    account.mkdir()
    files = {"ca.crt": decoded(bench.authority), "token": bench.token, "namespace": bench.namespace}
    for name, text in files.items():
        (account / name).write_text(text)
    parts = urlsplit(bench.server)
    environ = {"KUBERNETES_SERVICE_HOST": str(parts.hostname), "KUBERNETES_SERVICE_PORT": str(parts.port)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "SERVICE_ACCOUNT", account)
        await used(load(environ=environ, home=bench.folder))


async def a_docker_context(bench: Bench) -> None:
    folder = hashlib.sha256(b"desk").hexdigest()
    meta, tls = (bench.folder / "contexts" / part / folder for part in ("meta", "tls"))
    for path in (meta, tls / "kubernetes"):
        path.mkdir(parents=True)
    endpoint = {"Host": bench.server, "DefaultNamespace": bench.namespace}
    (meta / "meta.json").write_text(json.dumps({"Name": "desk", "Endpoints": {"kubernetes": endpoint}}))
    (tls / "kubernetes" / "ca.pem").write_text(decoded(bench.authority))
    (tls / "kubernetes" / "cert.pem").write_text(decoded(bench.admin["client-certificate-data"]))
    (tls / "kubernetes" / "key.pem").write_text(decoded(bench.admin["client-key-data"]))
    found = docker_context.load("desk", {"DOCKER_CONFIG": str(bench.folder)})
    assert found is not None
    await used(found)


LAYOUTS: tuple[Callable[[Bench], Awaitable[None]], ...] = (
    static_users,
    files_with_relative_paths,
    a_token_file_that_is_replaced,
    a_plugin_that_gives_a_token,
    a_plugin_that_gives_a_certificate,
    a_plugin_whose_answers_expire_or_are_refused,
    a_list_of_files,
    a_context_that_is_not_the_current_one,
    a_proxy_and_a_name_that_only_the_certificate_has,
    no_verification,
    the_account_of_a_pod,
    a_docker_context,
)


def test_every_layout_reaches_the_cluster(bench: Bench) -> None:
    async def run() -> dict[str, BaseException]:
        failed: dict[str, BaseException] = {}
        for layout in LAYOUTS:
            try:
                await layout(bench)
            except Exception as error:
                failed[layout.__name__] = error
        return failed

    assert asyncio.run(run()) == {}
