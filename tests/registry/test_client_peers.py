"""The real registry, with a private authority, clients' certificates and passwords, is read and written."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from buildwright.errors import RegistryError
from buildwright.registry.access import Registry
from buildwright.registry.client import Repository
from buildwright.registry.config import Credential
from buildwright.registry.hosts import HostSettings, settings_for
from buildwright.registry.index import Content
from buildwright.registry.manifest import OCI_INDEX, Descriptor
from tests.registry.server import PASSWORD, USER, Authority, make_authority

pytestmark = pytest.mark.peers

BCRYPT = "$2b$04$abcdefghijklmnopqrstuuToT0LAsoQ9PgZuCq77K74UDXwTR/yNa"
"""PASSWORD as the registry keeps it."""
DATA = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
INDEX = Content(Descriptor.of(DATA, OCI_INDEX), DATA)


class Robot:
    def __init__(self, password: str) -> None:
        self._password = password

    async def get(self, host: str, scopes: Sequence[str] = ()) -> Credential:
        return Credential(username=USER, password=self._password)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority()


@pytest.fixture
def host(authority: Authority, tmp_path: Path) -> Iterator[str]:
    for name, content in (("ca", authority.ca), ("cert", authority.certificate), ("key", authority.key)):
        (tmp_path / f"{name}.pem").write_bytes(content)
    (tmp_path / "htpasswd").write_text(f"{USER}:{BCRYPT}\n")
    (tmp_path / "registry.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\n"
        f"auth: {{htpasswd: {{realm: here, path: {tmp_path}/htpasswd}}}}\n"
        "http:\n  addr: 127.0.0.1:0\n"
        f"  tls: {{certificate: {tmp_path}/cert.pem, key: {tmp_path}/key.pem, clientcas: [{tmp_path}/ca.pem]}}\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = shutil.which("docker-registry")
    assert program is not None
    environ = {"REGISTRY_HTTP_ADDR": f"127.0.0.1:{port}"}
    with subprocess.Popen(
        [program, "serve", tmp_path / "registry.yml"], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            while process.poll() is None and not listens(port):
                pass
            assert process.poll() is None, process.stderr and process.stderr.read()
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def use(host: str, settings: HostSettings, password: str = PASSWORD) -> Content:
    async def main() -> Content:
        async with Registry(host, credentials=Robot(password), settings=settings, pauses=()) as registry:
            repository = Repository(registry, "app", writable=True)
            await repository.put_manifest("1", INDEX)
            assert await repository.digest("1") == INDEX.descriptor.digest
            return await repository.manifest(INDEX.descriptor.digest)

    return asyncio.run(main())


def test_what_the_builders_files_say_opens_it(host: str, authority: Authority) -> None:
    table = f'[registry."{host}"]\nhttp = false\nca = ["/etc/buildkit/certs/r/ca.pem"]\n'
    pair = f'[[registry."{host}".keypair]]\n'
    pair += 'key = "/etc/buildkit/certs/r/key.pem"\ncert = "/etc/buildkit/certs/r/cert.pem"\n'
    files = {
        "buildkitd.toml": (table + pair).encode(),
        "certs/r/ca.pem": authority.ca,
        "certs/r/cert.pem": authority.certificate,
        "certs/r/key.pem": authority.key,
    }
    settings = settings_for(host, [files])
    assert use(host, settings) == INDEX
    with pytest.raises(RegistryError, match=f"does not accept these credentials.*; run docker login {host}"):
        use(host, settings, "wrong")


def test_without_our_certificate_or_its_own_it_is_refused(host: str, authority: Authority) -> None:
    with pytest.raises(RegistryError, match="its certificate is not trusted"):
        use(host, HostSettings(http=False))
    with pytest.raises(RegistryError, match=f"cannot reach the registry {host}: "):
        use(host, HostSettings(http=False, authorities=(authority.ca,)))
