"""How the user is shown to the API server: the Authorization header and the TLS context, for REST and exec alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from buildwright.errors import ConfigurationError
from buildwright.kube import plugin
from buildwright.kube.failure import context_of
from buildwright.kube.plugin import Credential

if TYPE_CHECKING:
    import ssl

    from buildwright.kube.config import ClusterConfig

_FIELD_NAME = "!#$&'*+^`|"
"""What a header's name may have beside letters, digits and `-._~` (RFC 9110, section 5.6.2); a percent escapes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """What a kubeconfig says of trust in the server: a file, or its content in base64."""

    certificate_auth: str = ""
    certificate_auth_data: str = ""
    insecure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """What a kubeconfig shows of the user: files, or their content in base64."""

    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    token_file: str = ""
    client_cert: str = ""
    client_cert_data: str = ""
    client_key: str = ""
    client_key_data: str = field(default="", repr=False)
    impersonation: Impersonation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Impersonation:
    """Whom the user acts as: what the server allows and refuses is for that one."""

    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str | tuple[str, ...]]:
        """As client-go writes them (transport/round_trippers.go)."""
        found: dict[str, str | tuple[str, ...]] = {"Impersonate-User": self.user}
        if self.uid:
            found["Impersonate-Uid"] = self.uid
        if self.groups:
            found["Impersonate-Group"] = self.groups
        return found | {f"Impersonate-Extra-{quote(key, safe=_FIELD_NAME)}": said for key, said in self.extra.items()}


@dataclass(frozen=True, slots=True)
class Material:
    """What is trusted, and what is shown, beside a plugin."""

    cluster: Authority
    user: User


@dataclass(frozen=True, slots=True)
class Proof:
    """`tls` is None for a server without TLS."""

    headers: Mapping[str, str | Sequence[str]] = field(repr=False)
    tls: ssl.SSLContext | None
    credential: Credential | None = field(default=None, repr=False)


async def prove(config: ClusterConfig, *, refused: Proof | None = None) -> Proof:
    """What to show now. A token's file is read each time, since tokens are replaced; a plugin is run when needed.

    `refused` is what the server answered 401 to; the same again means that there is nothing better. Raises
    ConfigurationError for material that cannot be got or used.
    """
    found = None
    if config.plugin is not None:
        found = await plugin.credential(
            config.plugin, context_of(config), refused=refused.credential if refused else None
        )
    impersonation = config.credentials.user.impersonation
    shown = {**_authorization(config, found), **(impersonation.headers if impersonation is not None else {})}
    return Proof(shown, tls(config, found), found)


def _authorization(config: ClusterConfig, found: Credential | None) -> dict[str, str]:
    user = config.credentials.user
    token = found.token if found is not None else ""
    if user.token_file:
        try:
            with open(user.token_file, encoding="utf-8") as file:
                token = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            if not user.token:
                why = getattr(error, "strerror", None) or "it is no text"
                raise ConfigurationError(
                    f"the token of {context_of(config)} cannot be read from {user.token_file}: {why}"
                ) from error
            token = ""
        token = token or user.token
        if not token:
            raise ConfigurationError(
                f"the token of {context_of(config)} cannot be read from {user.token_file}: the file is empty"
            )
    elif user.token:
        token = user.token
    if token and not (token.isascii() and token.isprintable()):
        raise ConfigurationError(
            f"the token of {context_of(config)} cannot be used (it holds characters that no token has): log in to "
            "the cluster again"
        )
    if token:
        return {"Authorization": f"Bearer {token}"}
    if user.username and user.password:
        import base64

        pair = base64.b64encode(f"{user.username}:{user.password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {}


def tls(config: ClusterConfig, found: Credential | None = None) -> ssl.SSLContext | None:
    """What `config` trusts and shows; None for a server without TLS. Raises ConfigurationError for bad material."""
    if not config.server.startswith("https:"):
        return None
    import binascii
    import ssl

    cluster, user = config.credentials.cluster, config.credentials.user
    try:
        authority = _material(cluster.certificate_auth, cluster.certificate_auth_data)
        if found is not None and found.certificate:
            certificate, key = found.certificate.encode(), found.key.encode()
        else:
            certificate = _material(user.client_cert, user.client_cert_data)
            key = _material(user.client_key, user.client_key_data)
        if bool(certificate) != bool(key):
            raise ValueError("a client certificate or its key is there without the other")
        return _context(authority, cluster.insecure, certificate, key)
    except (ssl.SSLError, binascii.Error, OSError, ValueError) as error:
        raise ConfigurationError(
            f"the certificates of {context_of(config)} cannot be used ({error}): get a new kubeconfig "
            "for this cluster"
        ) from error


def _material(path: str, data: str) -> bytes:
    """PEM text. Data go before a file, as with kubectl."""
    if data:
        import base64

        return base64.b64decode("".join(data.split()), validate=True)
    if path:
        with open(path, "rb") as file:
            return file.read()
    return b""


@lru_cache(maxsize=16)
def _context(authority: bytes, insecure: bool, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """Made once for the same material, since that takes a millisecond or more."""
    import ssl

    if authority or insecure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        import httpx2

        context = httpx2.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if authority:
        context.load_verify_locations(cadata=authority.decode("ascii", "ignore"))
    if certificate:
        import os
        import tempfile

        with tempfile.TemporaryDirectory(prefix="buildwright-") as folder:
            # The library reads no certificate from memory; the folder is its owner's alone.
            path = os.path.join(folder, "client.pem")
            with open(path, "wb") as file:
                file.write(certificate + b"\n" + key)
            context.load_cert_chain(path, password=lambda: b"")
    return context
