"""Credentials, tokens and proofs over a session, and that nothing of them shows elsewhere."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import threading
from collections.abc import Callable, Mapping, Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from buildwright.client.session.auth import Auth
from buildwright.errors import Code, RegistryError, RpcError
from buildwright.model.status import StatusUpdate
from buildwright.registry.config import Credential
from buildwright.registry.token import Token, TokenRequest
from buildwright.wire.proto import session_pb2
from buildwright.wire.rpc import ServerCall

AUTH = "/moby.filesync.v1.Auth/"
Ask = Callable[..., list[bytes]]
HOST = "reg.example:5000"


class Known:
    """One credential for one host."""

    def __init__(self, credential: Credential) -> None:
        self.credential = credential
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    async def get(self, host: str, scopes: Sequence[str] = ()) -> Credential:
        self.asked.append((host, tuple(scopes)))
        return self.credential if host == HOST else Credential()


class Seeds:
    def get(self, host: str) -> bytes:
        return b"seed of " + host.encode()


class Sink:
    def __init__(self) -> None:
        self.names: list[str] = []

    def write(self, update: StatusUpdate, /) -> None:
        self.names += [vertex.name for vertex in update.vertexes]


USER = Credential(username="robot", password="supersecret")


def service(
    credential: Credential = USER,
    *,
    sink: Sink | None = None,
    environ: Mapping[str, str] | None = None,
    error: RegistryError | None = None,
) -> Auth:
    async def fetch(request: TokenRequest) -> Token:
        if error is not None:
            raise error
        return Token(value=f"{request.realm} {request.service} {request.scopes}", lifetime=30, issued_at=7)

    return Auth(Known(credential), Seeds(), sink=sink, fetch_token=fetch, environ=environ or {})


def credentials(ask: Ask, auth: Auth, host: str = HOST) -> tuple[str, str]:
    request = session_pb2.CredentialsRequest(Host=host)
    (answer,) = ask(auth, AUTH + "Credentials", request.SerializeToString())
    told = session_pb2.CredentialsResponse.FromString(answer)
    return told.Username, told.Secret


def authority(ask: Ask, auth: Auth, host: str = HOST, salt: bytes = b"salt") -> bytes:
    request = session_pb2.GetTokenAuthorityRequest(Host=host, Salt=salt)
    (answer,) = ask(auth, AUTH + "GetTokenAuthority", request.SerializeToString())
    return session_pb2.GetTokenAuthorityResponse.FromString(answer).PublicKey


TOKEN = session_pb2.FetchTokenRequest(
    ClientID="buildkit-client",
    Host=HOST,
    Realm="https://auth.example",
    Service="svc",
    Scopes=["repository:a:pull", "repository:b:push"],
).SerializeToString()


def test_the_daemon_gets_user_and_password(ask: Ask) -> None:
    assert credentials(ask, service()) == ("robot", "supersecret")


def test_the_daemon_gets_an_identity_token_without_a_user(ask: Ask) -> None:
    assert credentials(ask, service(Credential(username="robot", identity_token="refresh"))) == ("", "refresh")


def test_the_daemon_gets_nothing_for_another_host(ask: Ask) -> None:
    assert credentials(ask, service(), "other.example") == ("", "")


def test_a_token_is_fetched_for_what_the_registry_asked(ask: Ask) -> None:
    (answer,) = ask(service(), AUTH + "FetchToken", TOKEN)
    told = session_pb2.FetchTokenResponse.FromString(answer)
    assert told.Token == "https://auth.example svc ('repository:a:pull', 'repository:b:push')"
    assert (told.ExpiresIn, told.IssuedAt) == (30, 7)


def test_a_token_server_that_refuses_is_told_in_its_sentence(ask: Ask) -> None:
    with pytest.raises(RpcError, match="it answered 401") as caught:
        ask(service(error=RegistryError("it answered 401", status=401)), AUTH + "FetchToken", TOKEN)
    assert caught.value.code is Code.UNKNOWN


def test_the_key_is_made_of_salt_and_seed_as_buildkit_makes_it(ask: Ask) -> None:
    digest = hmac.new(b"salt", b"seed of " + HOST.encode(), hashlib.sha256).digest()
    expected = Ed25519PrivateKey.from_private_bytes(digest).public_key().public_bytes_raw()
    assert authority(ask, service()) == expected
    assert authority(ask, service(), salt=b"another daemon") != expected


def test_without_credentials_everybody_has_the_same_key(ask: Ask) -> None:
    nobodys = hmac.new(b"salt", b"", hashlib.sha256).digest()
    expected = Ed25519PrivateKey.from_private_bytes(nobodys).public_key().public_bytes_raw()
    assert authority(ask, service(Credential())) == expected
    assert authority(ask, service(), "other.example") == expected


def test_a_lock_on_the_seeds_that_is_never_released_keeps_no_build_from_ending(
    recorded_call: Callable[..., ServerCall],
) -> None:
    locked, never = threading.Event(), threading.Event()

    class Locked:
        def get(self, host: str) -> bytes:
            locked.set()
            never.wait(20)
            return b""

    auth = Auth(Known(USER), Locked(), environ={})
    path = AUTH + "GetTokenAuthority"
    request = session_pb2.GetTokenAuthorityRequest(Host=HOST, Salt=b"salt").SerializeToString()

    async def run() -> None:
        asking = asyncio.ensure_future(auth.handlers()[path](recorded_call(path, request)))
        await asyncio.to_thread(locked.wait)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    watcher = threading.Timer(10, never.set)
    watcher.start()
    asyncio.run(run())
    assert not never.is_set(), "the loop's end waited for the lock"
    watcher.cancel()
    never.set()


def test_a_proof_is_the_signature_and_then_the_payload(ask: Ask) -> None:
    auth, payload = service(), bytes(range(32))
    request = session_pb2.VerifyTokenAuthorityRequest(Host=HOST, Payload=payload, Salt=b"salt")
    (answer,) = ask(auth, AUTH + "VerifyTokenAuthority", request.SerializeToString())
    signed = session_pb2.VerifyTokenAuthorityResponse.FromString(answer).Signed
    assert signed[64:] == payload
    Ed25519PublicKey.from_public_bytes(authority(ask, auth)).verify(signed[:64], payload)


@pytest.mark.parametrize("method", ["GetTokenAuthority", "VerifyTokenAuthority"])
def test_tokens_can_be_left_to_the_daemon(ask: Ask, method: str) -> None:
    with pytest.raises(RpcError) as caught:
        ask(service(environ={"BUILDKIT_NO_CLIENT_TOKEN": "1"}), AUTH + method)
    assert caught.value.code is Code.UNAVAILABLE


def test_progress_tells_once_what_was_shared(ask: Ask) -> None:
    sink = Sink()
    auth = service(sink=sink)
    for _ in range(2):
        credentials(ask, auth)
        ask(auth, AUTH + "FetchToken", TOKEN)
    assert sink.names == [
        f"[auth] sharing credentials for {HOST}",
        f"[auth] a:pull b:push token for {HOST}",
    ]


def test_progress_says_nothing_of_anonymous_requests(ask: Ask) -> None:
    sink = Sink()
    auth = service(Credential(), sink=sink)
    credentials(ask, auth)
    ask(auth, AUTH + "FetchToken", TOKEN)
    assert sink.names == []


def test_nothing_secret_is_logged_shown_or_raised(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sink = Sink()
    auth = service(sink=sink)
    credentials(ask, auth)
    authority(ask, auth)
    shown = caplog.text + repr(auth) + repr(vars(auth)) + repr(USER) + "".join(sink.names)
    assert "supersecret" not in shown
    assert base64.b64encode(b"robot:supersecret").decode() not in shown
