"""A registry in memory, with the refusals and logins that real ones have."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "robot", "supersecret"


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class State:
    """What the registry holds and how it behaves; tests change it and read `seen`.

    `login` is "", "basic" or "bearer"; `refuse` maps (method, end of path) to a status and a message; `stumbles` is
    how many requests fail with 503 before one is answered.
    """

    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    login: str = ""
    refuse: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    stumbles: int = 0
    tokens: int = 0
    seen: list[tuple[str, str]] = field(default_factory=list)

    def put(self, repository: str, reference: str, data: bytes, media_type: str) -> str:
        for name in (reference, digest_of(data)):
            self.manifests[f"{repository}/{name}"] = media_type, data
        return digest_of(data)

    @property
    def writes(self) -> list[str]:
        return [path for method, path in self.seen if method == "PUT"]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, state: State) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = state

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that breaks a connection, as a refused certificate does, is no failure of a test."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.handle_request()

    def do_HEAD(self) -> None:
        self.handle_request()

    def do_PUT(self) -> None:
        self.handle_request()

    def do_POST(self) -> None:
        self.handle_request()

    def handle_request(self) -> None:
        state, path = self.server.state, urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        state.seen.append((self.command, path))
        if path == "/token":
            return self.token(body)
        if state.stumbles:
            state.stumbles -= 1
            return self.reply(503, b"later")
        if not self.known():
            return self.challenge()
        for (method, end), (status, message) in state.refuse.items():
            if method == self.command and path.endswith(end):
                return self.reply(status, json.dumps({"errors": [{"code": "X", "message": message}]}).encode())
        return self.serve(path.removeprefix("/v2/"), body)

    def serve(self, path: str, body: bytes) -> None:
        repository, _, rest = path.partition("/manifests/")
        if self.command == "PUT":
            digest = self.server.state.put(repository, rest, body, self.headers["Content-Type"])
            return self.reply(201, b"", {"Docker-Content-Digest": digest})
        if rest and (found := self.server.state.manifests.get(f"{repository}/{rest}")):
            media_type, data = found
            return self.reply(200, data, {"Content-Type": media_type, "Docker-Content-Digest": digest_of(data)})
        if (blob := self.server.state.blobs.get(path.rpartition("/")[2])) is not None:
            return self.reply(200, blob)
        return self.reply(404, b'{"errors":[{"message":"manifest unknown"}]}')

    def known(self) -> bool:
        told = self.headers.get("Authorization", "")
        wanted = {"": told, "basic": basic(), "bearer": f"Bearer token-{self.server.state.tokens}"}
        return told == wanted[self.server.state.login]

    def challenge(self) -> None:
        scheme, host = self.server.state.login, self.headers["Host"]
        secure = "s" if isinstance(self.connection, ssl.SSLSocket) else ""
        parameters = f'realm="http{secure}://{host}/token",service="here"' if scheme == "bearer" else 'realm="here"'
        self.reply(401, b"", {"WWW-Authenticate": f"{scheme.title()} {parameters}"})

    def token(self, body: bytes) -> None:
        if parse_qs(body.decode()).get("password") != [PASSWORD]:
            return self.reply(401, b'{"details":"who are you"}')
        self.server.state.tokens += 1
        return self.reply(200, json.dumps({"access_token": f"token-{self.server.state.tokens}"}).encode())

    def reply(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def basic() -> str:
    return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@contextmanager
def serving(state: State, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve `state`; gives host and port."""
    with Server(state) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Authority:
    """A certificate authority, and one certificate of it that serves 127.0.0.1 as well as clients, as PEM."""

    ca: bytes
    certificate: bytes
    key: bytes

    def server_context(self, folder: Path, *, ask_clients: bool = False) -> ssl.SSLContext:
        (folder / "cert.pem").write_bytes(self.certificate)
        (folder / "key.pem").write_bytes(self.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        if ask_clients:
            context.load_verify_locations(cadata=self.ca.decode())
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def make_authority() -> Authority:
    now = datetime.datetime.now(datetime.UTC)
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])

    def certificate(key: ec.EllipticCurvePrivateKey, subject: str) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
        )

    signing = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    top = (
        certificate(root, "test authority")
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(signing, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(root.public_key()), critical=False)
        .sign(root, hashes.SHA256())
    )
    own = (
        certificate(leaf, "127.0.0.1")
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        .sign(root, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key = leaf.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Authority(top.public_bytes(pem), own.public_bytes(pem), key)
