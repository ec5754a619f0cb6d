"""Which certificates a registry may show, and which we show it."""

from __future__ import annotations

import os
import ssl
import tempfile

import httpx2

from buildwright.errors import ConfigurationError
from buildwright.registry.hosts import HostSettings, KeyPair


def tls_context(settings: HostSettings, host: str) -> ssl.SSLContext:
    """The TLS side of `settings`: the system's authorities and its own. ConfigurationError for what is no PEM."""
    context = httpx2.create_ssl_context(verify=not settings.insecure)
    try:
        for authority in settings.authorities:
            context.load_verify_locations(cadata=authority.decode())
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(
            f"a ca of the registry {host} is no certificate in PEM form; correct it in the builder's buildkitd.toml"
        ) from error
    for pair in settings.key_pairs:
        _load_pair(context, pair, host)
    return context


def _load_pair(context: ssl.SSLContext, pair: KeyPair, host: str) -> None:
    """OpenSSL takes a certificate and its key from files only: these are readable by us alone, and gone at once."""
    with tempfile.TemporaryDirectory(prefix="buildwright-") as folder:
        paths = [os.path.join(folder, name) for name in ("cert.pem", "key.pem")]
        for path, content in zip(paths, (pair.certificate, pair.key), strict=True):
            with open(path, "wb") as file:
                file.write(content)
        try:
            context.load_cert_chain(paths[0], paths[1], password="")
        except (ssl.SSLError, OSError) as error:
            raise ConfigurationError(
                f"a keypair of the registry {host} is no certificate in PEM form with its unencrypted key; "
                "correct it in the builder's buildkitd.toml"
            ) from error
