"""The builder's buildkitd.toml says how registries are reached."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from buildwright.errors import ConfigurationError
from buildwright.registry.hosts import HostSettings, KeyPair, is_loopback, settings_for


def node(text: str, **files: bytes) -> Mapping[str, bytes]:
    return {"buildkitd.toml": text.encode(), **{f"certs/reg/{name}.pem": data for name, data in files.items()}}


def test_http_insecure_authorities_and_key_pairs_are_read() -> None:
    files = node(
        """
        [registry."reg.example:5000"]
          http = false
          insecure = true
          ca = ["/etc/buildkit/certs/reg/ca.pem"]
          [[registry."reg.example:5000".keypair]]
            key = "/etc/buildkit/certs/reg/key.pem"
            cert = "/etc/buildkit/certs/reg/cert.pem"
        """,
        ca=b"CA",
        key=b"KEY",
        cert=b"CERT",
    )
    assert settings_for("reg.example:5000", [files]) == HostSettings(
        http=False, insecure=True, authorities=(b"CA",), key_pairs=(KeyPair(b"CERT", b"KEY"),)
    )


def test_the_first_node_that_knows_the_registry_decides() -> None:
    nodes = [
        {},
        node('[registry."other"]\nhttp = true'),
        node('[registry."reg"]\nhttp = true'),
        node("[registry.reg]"),
    ]
    assert settings_for("reg", nodes) == HostSettings(http=True)
    assert settings_for("unknown", nodes) == HostSettings()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("registry = 1", "registry is no table"),
        ("[registry]\nreg = 1", r"registry\.reg is no table"),
        ("[registry.reg]\nhttp = 'yes'", r"registry\.reg\.http is neither true nor false"),
        ("[registry.reg]\nca = 'x'", r"registry\.reg\.ca is no list"),
        ("[registry.reg]\nca = ['/etc/buildkit/gone.pem']", r"names /etc/buildkit/gone\.pem, which is not among"),
        ("[registry.reg]\nca = [1]", "no path"),
        ("[registry.reg]\nkeypair = 1", "no list of tables"),
        ("[registry.reg]\n[[registry.reg.keypair]]\nkey = 'x'", "no path"),
        ("[", "damaged"),
    ],
)
def test_a_damaged_configuration_is_told(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        settings_for("reg", [node(text)])


@pytest.mark.parametrize(
    ("host", "settings", "origins"),
    [
        ("reg", HostSettings(), ("https://reg",)),
        ("localhost:5000", HostSettings(), ("http://localhost:5000",)),
        ("localhost:5000", HostSettings(http=False), ("https://localhost:5000",)),
        ("reg", HostSettings(http=True), ("http://reg",)),
        ("reg", HostSettings(insecure=True), ("https://reg",)),
        ("reg", HostSettings(http=True, insecure=True), ("https://reg", "http://reg")),
    ],
)
def test_the_places_to_look_at(host: str, settings: HostSettings, origins: tuple[str, ...]) -> None:
    assert settings.origins(host) == origins


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.9.9.9", True),
        ("[::1]:5000", True),
        ("::1", True),
        ("localhost.example", False),
        ("10.0.0.1:5000", False),
        ("reg", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_keys_stay_out_of_repr() -> None:
    assert "SECRET" not in repr(KeyPair(b"CERT", b"SECRET"))
