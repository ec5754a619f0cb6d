"""Requests to one registry: where it is, who we are to it, another try when it stumbles (OCI distribution-spec).

A registry answers 401 with a challenge, and the request is made again with what it asks for: user and password, or
a token of its token server (https://distribution.github.io/distribution/spec/auth/token/).
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self
from urllib.parse import urlsplit

from buildwright.errors import ConfigurationError, RegistryError
from buildwright.registry.challenge import Challenge, parse
from buildwright.registry.config import Credential, server_key
from buildwright.registry.hosts import HostSettings
from buildwright.registry.refusal import reason
from buildwright.registry.scope import parse_scopes
from buildwright.registry.token import TokenRequest, fetch

if TYPE_CHECKING:
    import httpx2

PAUSES = (0.5, 2.0)
"""Seconds before each further try of a request that the network or the registry failed."""
TIMEOUT = 60.0
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
_STUMBLES = frozenset({429, 500, 502, 503, 504})


class CredentialSource(Protocol):
    async def get(self, host: str, scopes: Sequence[str] = ()) -> Credential: ...


class Registry:
    """A registry that requests can be made to, inside `async with`; by several tasks at once.

    Requests go through the proxies that the environment names. No error's text has a secret or a token.
    """

    def __init__(
        self,
        host: str,
        *,
        credentials: CredentialSource,
        settings: HostSettings | None = None,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self.host = host
        self._credentials = credentials
        self._settings = settings or HostSettings()
        self._pauses = tuple(pauses)
        self._origin = ""
        self._authorization: dict[tuple[str, ...], str] = {}
        self._authorizing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        # Imported here and not above: 0.1 s, and most builds leave registries to the daemon.
        import httpx2

        from buildwright import __version__
        from buildwright.registry.trust import tls_context

        self._tls = tls_context(self._settings, self.host)
        try:
            self._http = httpx2.AsyncClient(
                headers={"User-Agent": f"buildwright/{__version__}"}, timeout=TIMEOUT, verify=self._tls
            )
        except (ImportError, ValueError):
            # Without the cause, which shows the proxy's address and with it perhaps a password.
            raise ConfigurationError(
                f"cannot reach the registry {self.host} through the proxy that the environment names: it must be an "
                "http or https address; correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY"
            ) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        scopes: tuple[str, ...],
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx2.Response:
        """The answer to one request, whatever its status but 401. Idempotent requests only: they may be repeated.

        `path` follows the registry's address, `scopes` say what a token must allow. Raises RegistryError when the
        registry cannot be reached or does not know us, ConfigurationError when our credentials cannot be read.
        """
        shown = self._authorization.get(scopes, "")
        answer = await self._send(method, path, _with(headers, shown), content)
        if answer.status_code != 401:
            return answer
        async with self._authorizing:
            # Of several requests that were refused together, the first finds out for all.
            if self._authorization.get(scopes, "") == shown:
                asked = answer.headers.get_list("www-authenticate")
                self._authorization[scopes] = await self._authorize(asked, scopes)
        answer = await self._send(method, path, _with(headers, self._authorization[scopes]), content)
        if answer.status_code == 401:
            raise self._unknown_here(answer.content)
        return answer

    async def _send(self, method: str, path: str, headers: dict[str, str], content: bytes | None) -> httpx2.Response:
        pauses = iter(self._pauses)
        while True:
            failure: RegistryError | None = None
            answer: httpx2.Response | None = None
            try:
                answer = await self._try(method, path, headers, content)
            except _NoAnswerError as error:
                failure = error
            if answer is not None and answer.status_code not in _STUMBLES:
                return answer
            pause = next(pauses, None)
            if pause is None:
                if answer is not None:
                    return answer
                assert failure is not None
                raise failure
            await asyncio.sleep(pause)

    async def _try(self, method: str, path: str, headers: dict[str, str], content: bytes | None) -> httpx2.Response:
        """One request to where the registry was found, or to each place where it may be until one answers."""
        import httpx2

        origins = (self._origin,) if self._origin else self._settings.origins(self.host)
        causes: list[Exception] = []
        for origin in origins:
            try:
                answer = await self._http.request(
                    method,
                    origin + path,
                    headers=headers,
                    content=content,
                    follow_redirects=method in ("GET", "HEAD"),
                )
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
                causes.append(error)
            else:
                self._origin = origin
                return answer
        # Without the causes, whose requests have secrets.
        raise _no_answer(self.host, causes[-1]) from None

    async def _authorize(self, headers: Sequence[str], scopes: tuple[str, ...]) -> str:
        challenges = {challenge.scheme: challenge for challenge in reversed(parse(headers))}
        credential = await self._credentials.get(self.host, scopes)
        if credential.registry_token:
            return f"Bearer {credential.registry_token}"
        if bearer := challenges.get("bearer"):
            return f"Bearer {await self._token(bearer, credential, scopes)}"
        if "basic" not in challenges:
            raise RegistryError(
                f"the registry {self.host} wants to be answered in a way that is not supported "
                f"({', '.join(challenges) or 'it names none'}): its login must be Basic or Bearer",
                status=401,
            )
        if not credential.username or not credential.password:
            raise self._unknown_here(b"")
        pair = f"{credential.username}:{credential.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()

    async def _token(self, challenge: Challenge, credential: Credential, scopes: tuple[str, ...]) -> str:
        realm = challenge.parameters.get("realm", "")
        ours = parse_scopes(scopes)
        theirs = challenge.parameters.get("scope", "").split()
        token = await fetch(
            TokenRequest(
                host=self.host,
                realm=realm,
                service=challenge.parameters.get("service", ""),
                scopes=scopes + tuple(scope for scope in theirs if not parse_scopes((scope,)).keys() & ours.keys()),
                credential=credential,
            ),
            # An unchecked certificate is good enough for the registry itself, and for no other host.
            tls=self._tls if not self._settings.insecure or _authority(realm) == self.host else None,
        )
        return token.value

    def _unknown_here(self, body: bytes) -> RegistryError:
        told = reason(body)
        login = f"docker login {self.host}" if server_key(self.host) == self.host else "docker login"
        return RegistryError(
            f"the registry {self.host} does not accept these credentials, or there are none for it"
            f"{f' ({told})' if told else ''}; run {login} with an account that may do this",
            status=401,
        )


def _with(headers: Mapping[str, str] | None, authorization: str) -> dict[str, str]:
    return {**(headers or {}), **({"Authorization": authorization} if authorization else {})}


def _authority(address: str) -> str:
    return urlsplit(address).netloc


class _NoAnswerError(RegistryError):
    """The registry did not answer, which another try may change."""


def _no_answer(host: str, error: Exception) -> RegistryError:
    """Why a request had no answer, and what helps, without the request's own text."""
    text = next(filter(None, map(_text, _chain(error))), "") or _silence(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return RegistryError(
            f"cannot reach the registry {host}: its certificate is not trusted; name its authority as ca under "
            "[registry] in the builder's buildkitd.toml, or in SSL_CERT_FILE"
        )
    if any(reason in text for reason in _NO_TLS):
        return RegistryError(
            f"cannot reach the registry {host}: it does not speak TLS; if plain HTTP is meant, set http = true under "
            "[registry] in the builder's buildkitd.toml, or give the output registry.insecure=true"
        )
    if "CERTIFICATE_REQUIRED" in text or "BAD_CERTIFICATE" in text:
        return RegistryError(
            f"cannot reach the registry {host}: it wants a certificate of ours that it knows; give it as "
            "keypair under [registry] in the builder's buildkitd.toml"
        )
    return _NoAnswerError(f"cannot reach the registry {host}: {text}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from: of some failures of TLS only the innermost has a text."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _text(error: BaseException) -> str:
    return str((isinstance(error, OSError) and error.strerror) or error)


def _silence(error: Exception) -> str:
    import httpx2

    timeout = isinstance(error, (httpx2.TimeoutException, TimeoutError))
    return f"no answer within {TIMEOUT:.0f} seconds" if timeout else "it ended the connection"
