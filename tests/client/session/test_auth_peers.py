"""A real buildkitd that pushes to real registries with what our session gives it, by password and by token."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from buildwright.client.client import Client
from buildwright.client.identity import new_id
from buildwright.client.session.auth import Auth
from buildwright.client.session.session import Session
from buildwright.client.session.token_seed import TokenSeeds
from buildwright.client.session.upload import Uploads
from buildwright.errors import SolveError
from buildwright.model.solve import Exporter, SolveRequest, SolveResult
from buildwright.model.status import StatusUpdate
from buildwright.registry.config import load
from buildwright.registry.credentials import Credentials
from buildwright.wire.channel import Channel
from buildwright.wire.sockets import connect_unix

pytestmark = pytest.mark.peers

USER, PASSWORD = "robot", "s3cret-pass-Zq"
HTPASSWD = f"{USER}:$2b$04$R0Xofr2gEDT7fejVi0.Av.y2f3EGjKrKMg5LqRjYT1Yzq2poZniBu\n"
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
SERVICE = "test-registry"
ISSUER = "test-issuer"


class Sink:
    def __init__(self) -> None:
        self.updates: list[StatusUpdate] = []

    def write(self, update: StatusUpdate, /) -> None:
        self.updates.append(update)

    @property
    def names(self) -> list[str]:
        return [vertex.name for update in self.updates for vertex in update.vertexes]


@contextlib.contextmanager
def registry(folder: Path, auth: str) -> Iterator[str]:
    """A docker-registry on a port of its own; yields host and port."""
    config = folder / "registry.yml"
    config.write_text(
        "version: 0.1\n"
        "log: {level: info}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"auth: {auth}\n"
        "http: {addr: '127.0.0.1:0'}\n"
    )
    process = subprocess.Popen(
        ["docker-registry", "serve", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
    )
    assert process.stderr is not None
    try:
        said = ""
        for line in process.stderr:
            said += line
            if found := re.search(r"listening on (127\.0\.0\.1:\d+)", line):
                break
        else:
            raise AssertionError(f"the registry ended: {said}")
        # What it says later must not fill the pipe.
        reader = threading.Thread(target=process.stderr.read)
        reader.start()
        yield found[1]
    finally:
        process.kill()
        process.wait()
        with contextlib.suppress(UnboundLocalError):
            reader.join()
        process.stderr.close()


class TokenServer(ThreadingHTTPServer):
    """Signs tokens for whoever has the password; `oauth` says whether it takes POST."""

    daemon_threads = True

    def __init__(self, folder: Path, *, oauth: bool) -> None:
        super().__init__(("127.0.0.1", 0), TokenHandler)
        self.oauth = oauth
        self.seen: list[tuple[str, str]] = []
        self.key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, ISSUER)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        (folder / "root.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]

    @property
    def realm(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/token"

    def token(self, scopes: list[str]) -> str:
        access = []
        for scope in " ".join(scopes).split():
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": USER, "aud": SERVICE, "exp": now + 300, "nbf": now - 60, "iat": now}
        head = {"typ": "JWT", "alg": "RS256", "x5c": self.chain}
        signed = ".".join(
            _part(json.dumps(part).encode()) for part in (head, claims | {"jti": new_id(), "access": access})
        )
        return signed + "." + _part(self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenHandler(BaseHTTPRequestHandler):
    server: TokenServer

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.seen.append(("POST", self.headers["User-Agent"]))
        if not self.server.oauth:
            self.reply(404, {})
        elif form.get("password") == [PASSWORD]:
            self.reply(200, {"access_token": self.server.token(form["scope"]), "expires_in": 300})
        else:
            self.reply(401, {"details": "incorrect username or password"})

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self.server.seen.append(("GET", self.headers["User-Agent"]))
        if self.headers.get("Authorization") == f"Basic {BASIC}":
            self.reply(200, {"token": self.server.token(query["scope"]), "expires_in": 300})
        else:
            self.reply(401, {"details": "incorrect username or password"})

    def reply(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def token_registry(folder: Path, *, oauth: bool) -> Iterator[tuple[str, TokenServer]]:
    """A registry that asks for tokens, and the server that signs them."""
    with TokenServer(folder, oauth=oauth) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            place = f"realm: '{server.realm}', rootcertbundle: {folder}/root.pem"
            auth = f"{{token: {{{place}, service: {SERVICE}, issuer: {ISSUER}}}}}"
            with registry(folder, auth) as host:
                yield host, server
        finally:
            server.shutdown()
            thread.join()


def login(folder: Path, host: str, auth: str = BASIC) -> str:
    """A docker configuration that holds this account; returns its folder."""
    config = folder / f"docker-{new_id()}"
    config.mkdir()
    (config / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return str(config)


@pytest.fixture
def build(buildkitd: Any, tar_of: Callable[..., Any]) -> Callable[..., SolveResult]:
    """Builds a Dockerfile with the credentials in the docker configuration `config`."""

    def run(dockerfile: str, config: str, sink: Sink | None = None, **image: str) -> SolveResult:
        uploads = Uploads()
        told = sink or Sink()
        session = Session([uploads, Auth(Credentials(load(config, {})), TokenSeeds(config), sink=told)])
        request = SolveRequest(
            ref=new_id(),
            frontend="dockerfile.v0",
            frontend_attrs={"context": uploads.add(tar_of(Dockerfile=dockerfile))},
            exporters=(Exporter(type="image", attrs=image),) if image else (),
        )

        async def solve() -> SolveResult:
            async with Channel(await connect_unix(buildkitd.address.removeprefix("unix://"))) as channel:
                return await Client(channel).solve(request, session=session, sink=told)

        return asyncio.run(solve())

    return run


@pytest.fixture
def push(build: Callable[..., SolveResult]) -> Callable[..., SolveResult]:
    """Builds something small and pushes it to `host`."""

    def run(host: str, config: str, sink: Sink | None = None) -> SolveResult:
        return build("FROM scratch\nCOPY Dockerfile /\n", config, sink, name=f"{host}/team/app:1", push="true")

    return run


def test_an_image_is_pushed_with_a_password(push: Callable[..., SolveResult], tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    sink = Sink()
    with registry(tmp_path, f"{{htpasswd: {{realm: r, path: {tmp_path}/htpasswd}}}}") as host:
        result = push(host, login(tmp_path, host), sink)
    assert result.exporter_response["containerimage.digest"].startswith("sha256:")
    assert f"[auth] sharing credentials for {host}" in sink.names
    assert PASSWORD not in repr(sink.updates)


@pytest.mark.skipif(sys.platform == "win32", reason="helpers here are shell scripts")
def test_an_image_is_pushed_with_what_a_helper_knows(
    push: Callable[..., SolveResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    helper = tmp_path / "docker-credential-test"
    helper.write_text(f"""#!/bin/sh\necho '{{"Username": "{USER}", "Secret": "{PASSWORD}"}}'\n""")
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text('{"credsStore": "test"}')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with registry(tmp_path, f"{{htpasswd: {{realm: r, path: {tmp_path}/htpasswd}}}}") as host:
        assert push(host, str(tmp_path)).exporter_response["image.name"] == f"{host}/team/app:1"


def test_a_wrong_password_is_one_sentence_without_it(push: Callable[..., SolveResult], tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    wrong = base64.b64encode(b"robot:wrong-pass-Qx").decode()
    sink = Sink()
    with registry(tmp_path, f"{{htpasswd: {{realm: r, path: {tmp_path}/htpasswd}}}}") as host:
        with pytest.raises(SolveError, match="401 Unauthorized") as caught:
            push(host, login(tmp_path, host, wrong), sink)
        assert f"docker login {host}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "wrong-pass" not in str(caught.value) + repr(sink.updates) + caught.value.stack


@pytest.mark.parametrize("oauth", [True, False], ids=["by POST", "by GET"])
def test_an_image_is_pushed_with_a_token_that_we_fetch(
    push: Callable[..., SolveResult], tmp_path: Path, oauth: bool
) -> None:
    sink = Sink()
    with token_registry(tmp_path, oauth=oauth) as (host, server):
        push(host, login(tmp_path, host), sink)
        assert {method for method, _ in server.seen} == ({"POST"} if oauth else {"POST", "GET"})
        # The daemon has seen tokens alone: it asked the token server for nothing.
        assert not [agent for _, agent in server.seen if "buildkit" in agent or "containerd" in agent]
    assert f"[auth] team/app:pull,push token for {host}" in sink.names
    assert PASSWORD not in repr(sink.updates)


def test_the_next_session_of_the_same_user_needs_no_new_token_to_pull(
    push: Callable[..., SolveResult], build: Callable[..., SolveResult], tmp_path: Path
) -> None:
    with token_registry(tmp_path, oauth=True) as (host, server):
        config = login(tmp_path, host)
        push(host, config)
        build(f"FROM {host}/team/app:1", config)
        fetched = len(server.seen)
        build(f"FROM {host}/team/app:1", config)
        assert len(server.seen) == fetched


def test_buildctl_of_the_same_user_needs_no_new_token_either(
    push: Callable[..., SolveResult], build: Callable[..., SolveResult], buildkitd: Any, tmp_path: Path
) -> None:
    config = buildkitd.home / "buildctl"
    with token_registry(tmp_path, oauth=True) as (host, server):
        (tmp_path / "Dockerfile").write_text(f"FROM {host}/team/app:1\n")
        config.mkdir(exist_ok=True)
        account = config / "config.json"
        account.write_text(json.dumps({"auths": {host: {"auth": BASIC}}}))
        try:
            push(host, str(config))
            build(f"FROM {host}/team/app:1", str(config))
            fetched = len(server.seen)
            place = f"--local=context={tmp_path}", f"--local=dockerfile={tmp_path}"
            buildkitd.buildctl("build", "--frontend=dockerfile.v0", *place)
            assert len(server.seen) == fetched
        finally:
            account.unlink()


def test_a_session_of_another_user_does_not_get_the_first_ones_token(
    push: Callable[..., SolveResult], build: Callable[..., SolveResult], tmp_path: Path
) -> None:
    with token_registry(tmp_path, oauth=True) as (host, _):
        config = login(tmp_path, host)
        push(host, config)
        build(f"FROM {host}/team/app:1", config)
        wrong = base64.b64encode(b"mallory:wrong-pass-Qx").decode()
        with pytest.raises(SolveError, match="incorrect username or password") as caught:
            build(f"FROM {host}/team/app:1", login(tmp_path, host, wrong))
        assert f"docker login {host}" in str(caught.value)
        assert "wrong-pass" not in str(caught.value)


def test_passwords_are_left_to_the_daemon_where_tokens_are_switched_off(
    push: Callable[..., SolveResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILDKIT_NO_CLIENT_TOKEN", "1")
    with token_registry(tmp_path, oauth=True) as (host, server):
        push(host, login(tmp_path, host))
        assert [agent for _, agent in server.seen if "buildkit" in agent or "containerd" in agent]
