"""The remote driver's options, and what it says about daemons and certificates."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from buildwright.drivers import remote
from buildwright.drivers.driver import NodeStatus
from buildwright.drivers.remote import RemoteDriver
from buildwright.errors import (
    BuildwrightError,
    ConfigurationError,
    ConnectError,
    DriverOptionError,
    NotReadyError,
    UsageError,
)
from buildwright.model.node import Node
from buildwright.testing.drivers import Sink


def make(endpoint: str = "tcp://daemon.example.com:1234", **options: str) -> RemoteDriver:
    return RemoteDriver(
        Node(name="r0", endpoint=endpoint, driver_opts={k.replace("_", "-"): options[k] for k in options})
    )


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("", "needs an endpoint"),
        ("daemon:1234", "unknown scheme"),
        ("http://daemon", "unknown scheme"),
        ("tcp://daemon", "no host or no port"),
        ("tcp://:1234", "no host or no port"),
        ("tcp://daemon:99999", "malformed"),
        ("unix://relative", "no absolute path"),
        ("ssh://daemon", "ssh:// is not available in this version"),
        ("docker-container://buildkitd", "not available in this version"),
        ("kube-pod://pod", "not available in this version"),
        ("npipe:////./pipe/buildkitd", "not available in this version"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_named(endpoint: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make(endpoint)


def test_authority_and_default_load_come_from_the_node() -> None:
    assert make().traits.authority == "daemon.example.com"
    assert make("tcp://[::1]:1234").traits.authority == "::1"
    assert make("unix:///run/buildkit.sock").traits.authority == "localhost"
    assert make(cacert="/ca", servername="other").traits.authority == "other"
    assert make(default_load="true").traits.default_load
    assert not make().traits.default_load


@pytest.mark.parametrize(
    ("options", "option", "words"),
    [
        ({"cacerts": "/ca"}, "cacerts", 'did you mean "cacert"'),
        ({"cacert": "ca.pem"}, "cacert", "absolute path"),
        ({"servername": "x"}, "cacert", "add cacert"),
        ({"cert": "/c", "key": "/k"}, "cacert", "add cacert"),
        ({"cacert": "/ca", "cert": "/c"}, "key", "add key"),
        ({"cert": "/c"}, "cacert", "add cacert and key"),
        ({"default_load": "yes"}, "default-load", "true or false"),
    ],
)
def test_a_wrong_option_is_refused_with_what_would_be_right(options: dict[str, str], option: str, words: str) -> None:
    with pytest.raises(DriverOptionError, match=words) as caught:
        make(**options)
    assert caught.value.option == option


def test_a_daemon_that_is_not_started_takes_no_configuration() -> None:
    for more in ({"flags": ("--debug",)}, {"files": {"buildkitd.toml": b""}}):
        with pytest.raises(UsageError, match="does not start its daemon"):
            RemoteDriver(Node(name="r0", endpoint="unix:///s", **more))  # type: ignore[arg-type]


def test_a_daemon_that_does_not_answer_is_inactive(tmp_path: Path) -> None:
    assert asyncio.run(make(f"unix://{tmp_path}/none.sock").info()).status is NodeStatus.INACTIVE


def test_waiting_for_a_daemon_ends_with_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PATIENCE", 0.05)
    sink = Sink()
    with pytest.raises(NotReadyError, match="no such socket"):
        asyncio.run(make(f"unix://{tmp_path}/none.sock").start(sink))
    assert sink.vertexes == ["[internal] waiting for connection"]
    assert "no such socket" in sink.updates[-1].vertexes[0].error


def test_an_expired_certificate_is_to_be_renewed(tmp_path: Path) -> None:
    cacert = self_signed(tmp_path, days=-1)

    async def ask() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cacert, tmp_path / "key.pem")
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await make(f"tcp://127.0.0.1:{port}", cacert=str(cacert), servername="other").info()

    with pytest.raises(ConfigurationError, match="certificate has expired: renew it at the daemon"):
        asyncio.run(ask())


@pytest.mark.peers
class TestCertificates:
    @pytest.fixture(autouse=True)
    def daemon(self, buildkitd_tls: Any) -> None:
        self.address = str(buildkitd_tls.address)
        self.options = {name: str(getattr(buildkitd_tls, name)) for name in ("cacert", "cert", "key")}

    def failure(self, **changes: str | None) -> str:
        options = {name: value for name, value in {**self.options, **changes}.items() if value is not None}
        with pytest.raises(ConfigurationError) as caught:
            asyncio.run(make(self.address, **options).info())
        return str(caught.value)

    def test_accepted_certificates_connect(self) -> None:
        assert asyncio.run(make(self.address, **self.options).info()).status is NodeStatus.RUNNING

    def test_a_wrong_name_is_an_option_to_change(self) -> None:
        assert 'not for "elsewhere": set the driver option servername' in self.failure(servername="elsewhere")

    def test_a_wrong_authority_is_an_option_to_change(self, tmp_path: Path) -> None:
        assert "check the driver option cacert" in self.failure(cacert=str(self_signed(tmp_path)))

    def test_a_missing_client_certificate_is_an_option_to_change(self) -> None:
        said = self.failure(cert=None, key=None)
        assert "refuses a connection without a client certificate" in said
        assert "driver options cert and key" in said

    @pytest.mark.parametrize("option", ["cacert", "cert", "key"])
    def test_a_missing_file_is_named_with_its_option(self, option: str, tmp_path: Path) -> None:
        said = self.failure(**{option: f"{tmp_path}/gone.pem"})
        assert f"{tmp_path}/gone.pem" in said
        assert f"driver option {option}" in said

    @pytest.mark.parametrize("option", ["cacert", "cert", "key"])
    def test_a_file_of_another_kind_is_named(self, option: str, tmp_path: Path) -> None:
        (tmp_path / "x.pem").write_text("no certificate")
        said = self.failure(**{option: f"{tmp_path}/x.pem"})
        assert f"{tmp_path}/x.pem" in said
        assert "ssl.c" not in said

    def test_a_key_of_another_certificate_is_told(self, tmp_path: Path) -> None:
        self_signed(tmp_path)
        assert "cannot be used together" in self.failure(key=f"{tmp_path}/key.pem")

    def test_a_daemon_with_tls_asked_without_is_not_running(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(remote, "PATIENCE", 0.05)
        with pytest.raises(BuildwrightError):
            asyncio.run(make(self.address).start(Sink()))


def self_signed(folder: Path, *, days: int = 1) -> Path:
    """A certificate that vouches for itself and ends in so many days, and its key in key.pem."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "other")])
    now = datetime.datetime.now(datetime.UTC)
    end = now + datetime.timedelta(days=days)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - datetime.timedelta(days=9), end)
    (folder / "ca.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return folder / "ca.pem"


def test_a_peer_that_accepts_and_stays_mute_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(remote, "_CONNECT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        driver = make(f"tcp://127.0.0.1:{server.getsockname()[1]}", cacert=str(self_signed(tmp_path, days=1)))
        with pytest.raises(ConnectError, match="did not answer"):
            asyncio.run(driver.open())
