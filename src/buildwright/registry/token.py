"""Bearer tokens from a registry's token server.

Two ways exist (https://distribution.github.io/distribution/spec/auth/): OAuth2 by POST, tried first when there is a
secret, and the older GET with basic authentication, which some servers have alone. Which request follows which
answer is decided by the generator `conversation`; `fetch` carries the requests out.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlencode, urlsplit

from buildwright.errors import ConfigurationError, RegistryError
from buildwright.registry.config import Credential, server_key
from buildwright.registry.refusal import reason

if TYPE_CHECKING:
    from ssl import SSLContext

    import httpx2

CLIENT_ID = "buildkit-client"
"""What BuildKit's clients call themselves to a token server; some keep a list."""
DEFAULT_LIFETIME = 60
TIMEOUT = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """What a registry's challenge asks for: a token of `realm` for `scopes` at `service`, to use at `host`."""

    host: str
    realm: str
    service: str = ""
    scopes: tuple[str, ...] = ()
    credential: Credential = field(default_factory=Credential)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token that lives `lifetime` seconds from `issued_at` (Unix seconds, 0 when the server did not say)."""

    value: str = field(repr=False)
    lifetime: int = DEFAULT_LIFETIME
    issued_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One HTTP request; a `form` makes it a POST. Both it and the headers may be secret."""

    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    form: dict[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = field(repr=False)


Conversation: TypeAlias = Generator[Ask, Answer, Token]


def conversation(request: TokenRequest) -> Conversation:
    """The requests to make, each after the answer to the one before; returns the token or raises RegistryError."""
    credential = request.credential
    if credential.registry_token:
        return Token(value=credential.registry_token)
    if not _origin(request):
        raise RegistryError(f"{request.host} names a token server that has no http or https address")
    user, secret = credential.user_and_secret
    if secret:
        answer = yield _by_post(request, user, secret)
        if answer.status < 300:
            return _token(request, answer)
        # 404 and 405: the server has no POST; 401: JFrog's way to say so; a redirect would lose the form.
        if answer.status not in (401, 404) and not 300 <= answer.status < 400 and not (answer.status == 405 and user):
            raise _refused(request, answer)
    answer = yield _by_get(request, user, secret)
    if not 200 <= answer.status < 400:
        raise _refused(request, answer)
    return _token(request, answer)


def _by_post(request: TokenRequest, user: str, secret: str) -> Ask:
    form = {"service": request.service, "client_id": CLIENT_ID}
    if request.scopes:
        form["scope"] = " ".join(request.scopes)
    if user:
        form |= {"grant_type": "password", "username": user, "password": secret}
    else:
        form |= {"grant_type": "refresh_token", "refresh_token": secret}
    return Ask(url=request.realm, form=form)


def _by_get(request: TokenRequest, user: str, secret: str) -> Ask:
    query = [("service", request.service)] if request.service else []
    query += [("scope", scope) for scope in request.scopes]
    url = request.realm
    if query:
        url += ("&" if urlsplit(url).query else "?") + urlencode(query)
    headers = {}
    if secret:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()
    return Ask(url=url, headers=headers)


def _token(request: TokenRequest, answer: Answer) -> Token:
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None  # without the cause, which shows the answer
    value = (body.get("access_token") or body.get("token")) if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(value, str) or not value:
        raise RegistryError(f"the token server {_origin(request)} of {request.host} answered without a token")
    lifetime = body.get("expires_in")
    return Token(
        value=value,
        lifetime=lifetime if isinstance(lifetime, int) and lifetime > 0 else DEFAULT_LIFETIME,
        issued_at=_unix_time(body.get("issued_at")),
    )


def _unix_time(text: object) -> int:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return 0
    return 0 if moment is None or moment.tzinfo is None else max(0, int(moment.timestamp()))


def _origin(request: TokenRequest) -> str:
    """Scheme, host and port of the token server, "" when the realm is no such address."""
    try:
        parts = urlsplit(request.realm)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.scheme in ("http", "https") and parts.hostname else ""


def _refused(request: TokenRequest, answer: Answer) -> RegistryError:
    told = reason(answer.body)
    _, secret = request.credential.user_and_secret
    if secret and secret in told:
        told = ""
    text = f"the token server {_origin(request)} of {request.host} answered {answer.status}"
    if told:
        text += f" ({told})"
    if answer.status in (401, 403):
        key = server_key(request.host)
        login = "docker login" if key != request.host else f"docker login {request.host}"
        text += f"; run {login} with an account that may do this"
    return RegistryError(text, status=answer.status)


async def fetch(request: TokenRequest, *, tls: SSLContext | None = None) -> Token:
    """Get a token; one minute for each request, through the proxies that the environment names.

    The token server's certificate is checked by `tls`, or as the system does. Raises
    RegistryError, or ConfigurationError for a proxy of no known kind; no text has a secret or a token.
    """
    talk = conversation(request)
    step = _advance(talk, None)
    if isinstance(step, Token):
        return step
    # 0.1 s to import, and most builds ask for no token.
    import httpx2

    from buildwright import __version__

    agent = {"User-Agent": f"buildwright/{__version__}"}
    try:
        client = httpx2.AsyncClient(headers=agent, timeout=TIMEOUT, verify=True if tls is None else tls)
    except (ImportError, ValueError):
        # Without the cause, which shows the proxy's address and with it perhaps a password.
        raise ConfigurationError(
            f"cannot ask the token server {_origin(request)} of {request.host} through the proxy that the "
            "environment names: it must be an http or https address; correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY"
        ) from None
    async with client as http:
        while isinstance(step, Ask):
            try:
                async with asyncio.timeout(TIMEOUT):
                    answer = await _carry_out(http, step)
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
                cause = str(error) or f"no answer within {TIMEOUT:.0f} seconds"
                # Without the cause, whose request has the secret.
                raise RegistryError(
                    f"cannot reach the token server {_origin(request)} of {request.host}: {cause}"
                ) from None
            step = _advance(talk, answer)
    return step


def _advance(talk: Conversation, answer: Answer | None) -> Ask | Token:
    try:
        return next(talk) if answer is None else talk.send(answer)
    except StopIteration as end:
        token: Token = end.value
        return token


async def _carry_out(http: httpx2.AsyncClient, ask: Ask) -> Answer:
    if ask.form is None:
        response = await http.get(ask.url, headers=ask.headers, follow_redirects=True)
    else:
        response = await http.post(ask.url, headers=ask.headers, data=ask.form)
    return Answer(response.status_code, response.content)
