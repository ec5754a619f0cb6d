"""Registry credentials for the daemon, asked for when a registry demands them (`moby.filesync.v1.Auth`).

A daemon prefers tokens to passwords: it asks for a public key (GetTokenAuthority), under which it keeps the tokens
that FetchToken gets it, and lets another session use them once that has proved by VerifyTokenAuthority that it has
the same key, that is the same user's credentials. Only for registries without tokens does it ask for Credentials.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from buildwright.client.identity import new_id
from buildwright.client.session.blocking import run_abandonable
from buildwright.errors import BuildwrightError, Code, RpcError
from buildwright.model import boolean
from buildwright.model.status import StatusSink, StatusUpdate, Vertex
from buildwright.registry.config import Credential
from buildwright.registry.token import Token, TokenRequest, fetch
from buildwright.wire.proto import session_pb2
from buildwright.wire.rpc import Handler, ServerCall

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SERVICE = "/moby.filesync.v1.Auth/"
_SEED_SIZE = 32


class CredentialSource(Protocol):
    async def get(self, host: str, scopes: Sequence[str] = ()) -> Credential: ...


class SeedSource(Protocol):
    def get(self, host: str) -> bytes: ...


class Auth:
    """Serves credentials, tokens and proofs. `sink` is told when one is shared, never what it is."""

    def __init__(
        self,
        credentials: CredentialSource,
        seeds: SeedSource,
        *,
        sink: StatusSink | None = None,
        fetch_token: Callable[[TokenRequest], Awaitable[Token]] = fetch,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._credentials = credentials
        self._seeds = seeds
        self._sink = sink
        self._fetch_token = fetch_token
        self._tokens_disabled = boolean.is_true(environ.get("BUILDKIT_NO_CLIENT_TOKEN", ""))
        self._told: set[str] = set()

    def handlers(self) -> Mapping[str, Handler]:
        return {
            _SERVICE + "Credentials": _answering(self._give_credentials),
            _SERVICE + "FetchToken": _answering(self._give_token),
            _SERVICE + "GetTokenAuthority": _answering(self._give_authority),
            _SERVICE + "VerifyTokenAuthority": _answering(self._prove_authority),
        }

    async def _give_credentials(self, message: bytes) -> bytes:
        request = session_pb2.CredentialsRequest.FromString(message)
        user, secret = (await self._credentials.get(request.Host)).user_and_secret
        if secret:
            self._tell(f"[auth] sharing credentials for {request.Host}")
        return session_pb2.CredentialsResponse(Username=user, Secret=secret).SerializeToString()

    async def _give_token(self, message: bytes) -> bytes:
        request = session_pb2.FetchTokenRequest.FromString(message)
        scopes = tuple(request.Scopes)
        credential = await self._credentials.get(request.Host, scopes)
        if credential.user_and_secret[1] and not credential.registry_token:
            names = " ".join(scope.removeprefix("repository:") for scope in scopes)
            self._tell(f"[auth] {names} token for {request.Host}")
        token = await self._fetch_token(
            TokenRequest(
                host=request.Host,
                realm=request.Realm,
                service=request.Service,
                scopes=scopes,
                credential=credential,
            )
        )
        return session_pb2.FetchTokenResponse(
            Token=token.value, ExpiresIn=token.lifetime, IssuedAt=token.issued_at
        ).SerializeToString()

    async def _give_authority(self, message: bytes) -> bytes:
        request = session_pb2.GetTokenAuthorityRequest.FromString(message)
        key = await self._key(request.Host, request.Salt)
        public = key.public_key().public_bytes_raw()
        return session_pb2.GetTokenAuthorityResponse(PublicKey=public).SerializeToString()

    async def _prove_authority(self, message: bytes) -> bytes:
        request = session_pb2.VerifyTokenAuthorityRequest.FromString(message)
        key = await self._key(request.Host, request.Salt)
        # NaCl's `sign`: the signature, then what was signed.
        signed = key.sign(request.Payload) + request.Payload
        return session_pb2.VerifyTokenAuthorityResponse(Signed=signed).SerializeToString()

    async def _key(self, host: str, salt: bytes) -> Ed25519PrivateKey:
        """The user's key for `host` at the daemon that has `salt`; everybody's when there are no credentials."""
        if self._tokens_disabled:
            raise RpcError(Code.UNAVAILABLE, "client side tokens disabled")
        # 40 ms to import, and only private registries need it.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        _, secret = (await self._credentials.get(host)).user_and_secret
        # Another process may hold the lock on the seeds for as long as it likes.
        seed = await run_abandonable(lambda: self._seeds.get(host)) if secret else b""
        digest = hmac.new(salt, seed, hashlib.sha256).digest()
        return Ed25519PrivateKey.from_private_bytes(digest[:_SEED_SIZE])

    def _tell(self, name: str) -> None:
        if self._sink is None or name in self._told:
            return
        self._told.add(name)
        now = time.time_ns()
        digest = "sha256:" + hashlib.sha256(new_id().encode()).hexdigest()
        self._sink.write(StatusUpdate(vertexes=(Vertex(digest=digest, name=name, started=now, completed=now),)))


def _answering(answer: Callable[[bytes], Awaitable[bytes]]) -> Handler:
    """A handler of a call with one request and one response; a failure of ours becomes the call's status."""

    async def handle(call: ServerCall) -> None:
        message = await call.receive() or b""
        try:
            response = await answer(message)
        except RpcError:
            raise
        except BuildwrightError as error:
            raise RpcError(Code.UNKNOWN, str(error)) from error
        await call.send(response)

    return handle
