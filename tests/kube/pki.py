"""A certificate authority for one test."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


class Authority:
    """`certificate` is its own, PEM; `issue` makes a server's or a client's for one name."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        own = (
            self._builder("test authority", self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = own.public_bytes(PEM).decode()

    def issue(self, name: str) -> tuple[str, str]:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternative = x509.SubjectAlternativeName([x509.DNSName(name)])
        made = self._builder(name, key).add_extension(alternative, critical=False).sign(self._key, hashes.SHA256())
        text = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return made.public_bytes(PEM).decode(), text.decode()

    def server(self, name: str, folder: Path, *, ask: bool = False) -> ssl.SSLContext:
        """A server called `name`; with `ask` it takes only clients with a certificate of this authority."""
        path = folder / "server.pem"
        path.write_text("".join(self.issue(name)))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=self.certificate)
        context.load_cert_chain(path)
        context.verify_mode = ssl.CERT_REQUIRED if ask else ssl.CERT_NONE
        return context

    def _builder(self, name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return x509.CertificateBuilder(
            self._name,
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
            key.public_key(),
            x509.random_serial_number(),
            now - datetime.timedelta(days=1),
            now + datetime.timedelta(days=2),
        )
