"""Tokens: which request follows which answer, and real HTTP against a token server on this machine."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from buildwright.errors import ConfigurationError, RegistryError
from buildwright.registry.config import Credential
from buildwright.registry.token import Answer, Ask, Token, TokenRequest, conversation, fetch

REALM = "https://auth.example/token"
USER = Credential(username="robot", password="supersecret")
REFRESH = Credential(identity_token="supersecret")


def request(credential: Credential = USER, realm: str = REALM, **more: object) -> TokenRequest:
    scopes = ("repository:a:pull", "repository:b:pull,push")
    return TokenRequest(host="reg.example", realm=realm, service="reg", scopes=scopes, credential=credential)


def play(told: TokenRequest, *answers: Answer) -> tuple[list[Ask], Token]:
    """Carry a conversation out with these answers."""
    talk, asked = conversation(told), []
    try:
        asked.append(next(talk))
        for answer in answers:
            asked.append(talk.send(answer))  # noqa: PERF401
    except StopIteration as end:
        return asked, end.value
    raise AssertionError("the conversation wants more answers")


def token(**body: object) -> Answer:
    return Answer(200, json.dumps({"token": "bearer"} | body).encode())


def test_a_password_is_posted() -> None:
    (ask,), got = play(request(), token())
    assert got.value == "bearer"
    assert ask.url == REALM
    assert ask.form == {
        "grant_type": "password",
        "username": "robot",
        "password": "supersecret",
        "client_id": "buildkit-client",
        "service": "reg",
        "scope": "repository:a:pull repository:b:pull,push",
    }


def test_an_identity_token_is_posted_as_a_refresh_token() -> None:
    (ask,), _ = play(request(REFRESH), token())
    assert ask.form is not None
    assert (ask.form["grant_type"], ask.form["refresh_token"]) == ("refresh_token", "supersecret")
    assert "username" not in ask.form


@pytest.mark.parametrize("status", [401, 404, 405, 302])
def test_a_server_without_post_is_asked_again_by_get(status: int) -> None:
    (_, ask), got = play(request(), Answer(status, b""), token())
    assert got.value == "bearer"
    assert ask.form is None
    assert parse_qsl(urlsplit(ask.url).query) == [
        ("service", "reg"),
        ("scope", "repository:a:pull"),
        ("scope", "repository:b:pull,push"),
    ]
    assert ask.headers["Authorization"] == "Basic " + base64.b64encode(b"robot:supersecret").decode()


def test_a_refresh_token_is_of_no_use_to_a_server_without_post() -> None:
    with pytest.raises(RegistryError):
        play(request(REFRESH), Answer(405, b""))


def test_nobody_asks_by_get_without_authorization() -> None:
    (ask,), _ = play(request(Credential()), token())
    assert ask.form is None
    assert "Authorization" not in ask.headers


def test_a_query_in_the_realm_is_kept() -> None:
    (ask,), _ = play(request(Credential(), realm=REALM + "?account=x"), token())
    assert parse_qs(urlsplit(ask.url).query)["account"] == ["x"]


def test_a_registry_token_needs_no_request() -> None:
    asked, got = play(request(Credential(registry_token="mine")))
    assert (asked, got.value) == ([], "mine")


def test_an_access_token_is_a_token() -> None:
    body = json.dumps({"access_token": "new", "token": "old", "expires_in": 300, "issued_at": "1970-01-01T00:01:00Z"})
    assert play(request(), Answer(200, body.encode()))[1] == Token(value="new", lifetime=300, issued_at=60)


@pytest.mark.parametrize("more", [{}, {"expires_in": 0, "issued_at": "soon"}, {"expires_in": "9", "issued_at": 5}])
def test_a_token_lives_a_minute_when_the_server_does_not_say(more: dict[str, object]) -> None:
    got = play(request(), token(**more))[1]
    assert (got.lifetime, got.issued_at) == (60, 0)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": ""}', b'{"token": 1}', b"\xff"])
def test_an_answer_without_a_token_is_refused(body: bytes) -> None:
    with pytest.raises(RegistryError, match=r"https://auth\.example of reg\.example answered without a token"):
        play(request(), Answer(200, body))


@pytest.mark.parametrize("realm", ["", "ftp://x.example/t", "/token", "https://[", "https://x:port/"])
def test_a_realm_that_is_no_address_is_refused(realm: str) -> None:
    with pytest.raises(RegistryError, match="no http or https address"):
        play(request(realm=realm))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"details": "incorrect username or password"}, "(incorrect username or password)"),
        ({"errors": [{"code": "DENIED", "message": "no\naccess"}]}, "(no access)"),
        ({"error": "invalid_grant", "error_description": "expired"}, "(expired)"),
        ({"message": "supersecret is wrong"}, "403; run"),
        (["x"], "403; run"),
    ],
)
def test_a_refusal_is_one_sentence_with_the_servers_reason(body: object, reason: str) -> None:
    with pytest.raises(RegistryError) as caught:
        play(request(), Answer(403, json.dumps(body).encode()))
    assert caught.value.status == 403
    assert reason in str(caught.value)
    assert "docker login reg.example" in str(caught.value)
    assert "supersecret" not in str(caught.value)


def test_secrets_do_not_show_in_a_repr() -> None:
    asked, got = play(request(), Answer(404, b""), token(token="supersecret"))
    assert "secret" not in repr((request(), request(REFRESH), asked, got, token(token="supersecret")))


class TokenServer(ThreadingHTTPServer):
    """Answers GET with a token for `robot`, POST with `post_status`; remembers the requests."""

    post_status = 404

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), TokenHandler)
        self.seen: list[tuple[str, str, str]] = []


class TokenHandler(BaseHTTPRequestHandler):
    server: TokenServer

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.seen.append(("POST", self.path, form))
        self.reply(self.server.post_status, {"access_token": "posted"})

    def do_GET(self) -> None:
        authorization = self.headers.get("Authorization", "")
        self.server.seen.append(("GET", self.path, authorization))
        if self.path == "/moved":
            self.send_response(307)
            self.send_header("Location", "/token")
            self.end_headers()
        elif authorization == "Basic " + base64.b64encode(b"robot:supersecret").decode():
            self.reply(200, {"token": "got"})
        else:
            self.reply(401, {"details": "who are you"})

    def reply(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with TokenServer() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


def realm(server: TokenServer, path: str = "/token") -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def test_a_token_is_fetched_by_post(server: TokenServer) -> None:
    server.post_status = 200
    assert asyncio.run(fetch(request(realm=realm(server)))).value == "posted"
    assert parse_qs(server.seen[0][2])["password"] == ["supersecret"]


def test_a_token_is_fetched_by_get_after_post_was_not_found(server: TokenServer) -> None:
    assert asyncio.run(fetch(request(realm=realm(server)))).value == "got"
    assert [method for method, _, _ in server.seen] == ["POST", "GET"]


def test_wrong_credentials_are_told_in_one_sentence(server: TokenServer) -> None:
    wrong = Credential(username="robot", password="wrong")
    with pytest.raises(RegistryError, match=r"answered 401 \(who are you\); run docker login reg\.example"):
        asyncio.run(fetch(request(wrong, realm=realm(server))))


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(RegistryError, match=r"cannot reach the token server http://127\.0\.0\.1:1 of reg\.example"):
        asyncio.run(fetch(request(realm="http://127.0.0.1:1/token")))


@pytest.mark.parametrize("proxy", ["socks5://u:supersecret@127.0.0.1:1", "nonsense://u:supersecret@x"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ConfigurationError, match="correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY") as caught:
        asyncio.run(fetch(request()))
    assert "supersecret" not in str(caught.value)


def test_nothing_secret_is_logged(server: TokenServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with contextlib.suppress(RegistryError):
        asyncio.run(fetch(request(realm=realm(server))))
    encoded = base64.b64encode(b"robot:supersecret").decode()
    assert "supersecret" not in caplog.text
    assert encoded not in caplog.text
