"""Mutual TLS with a daemon by the driver options `cacert cert key servername`, and what can be wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from buildwright.drivers import values
from buildwright.errors import ConfigurationError, ConnectError, ConnectionLostError, DriverOptionError
from buildwright.wire.stream import Buffer, ByteStream

if TYPE_CHECKING:
    import ssl

_CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
_PLACE = re.compile(r"\[\w+\]|\(_ssl\.c:\d+\)")
"""Where in OpenSSL and in Python an error was found."""
_EXPIRED, _NOT_YET_VALID, _WRONG_NAME, _WRONG_ADDRESS = 10, 9, 62, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What the daemon is checked by and shown; paths are absolute, `cert` and `key` are both "" or both not."""

    cacert: str
    cert: str = ""
    key: str = ""
    servername: str


def parse(options: Mapping[str, str], host: str) -> Tls | None:
    """The four TLS options as one value, None when none of them is given; `host` is the default servername."""
    given = {name: options[name] for name in ("cacert", "cert", "key") if options.get(name)}
    for option, path in given.items():
        if not os.path.isabs(path):
            raise values.malformed(option, path, "write an absolute path")
    servername = options.get("servername", "")
    if not given and not servername:
        return None
    missing = [] if "cacert" in given else ["cacert"]
    missing += [name for name, other in (("cert", "key"), ("key", "cert")) if other in given and name not in given]
    if missing:
        raise DriverOptionError(
            f"TLS is asked for, but driver options are missing: add {' and '.join(missing)}", option=missing[0]
        )
    return Tls(servername=servername or host or "localhost", **given)


async def secured(below: ByteStream, tls: Tls, address: str) -> ByteStream:
    """Speak TLS on a connection to `address`, which is owned from now on and closed when this fails.

    Raises ConfigurationError for a certificate that is not accepted, on either side, and ConnectError otherwise.
    """
    from buildwright.wire.tls import start_tls

    try:
        context = _context(tls)
    except BaseException:
        await below.aclose()
        raise
    try:
        stream = await start_tls(below, context, name=address, server_hostname=tls.servername)
    except ConnectError as error:
        raise _problem(error, address, tls) or error from error
    return SecuredStream(stream, address, tls)


class SecuredStream:
    """A TLS stream that explains a refused client certificate, which in TLS 1.3 shows only after the handshake."""

    def __init__(self, stream: ByteStream, address: str, tls: Tls) -> None:
        self._stream = stream
        self._address = address
        self._tls = tls

    async def read(self, limit: int = 1 << 20, /) -> bytes:
        try:
            return await self._stream.read(limit)
        except ConnectionLostError as error:
            raise _problem(error, self._address, self._tls) or error from error

    async def write(self, data: Buffer, /) -> None:
        try:
            await self._stream.write(data)
        except ConnectionLostError as error:
            raise _problem(error, self._address, self._tls) or error from error

    async def close_write(self) -> None:
        await self._stream.close_write()

    async def aclose(self) -> None:
        await self._stream.aclose()


def _context(tls: Tls) -> ssl.SSLContext:
    """Trust `cacert` and nothing else, as buildx does; raises ConfigurationError naming option and file."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    try:
        context.load_verify_locations(cafile=tls.cacert)
    except (OSError, ssl.SSLError) as error:
        raise _unusable("cacert", tls.cacert, error) from error
    if tls.cert:
        try:
            context.load_cert_chain(tls.cert, tls.key, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            missing = next((name for name in ("cert", "key") if not os.path.exists(getattr(tls, name))), "")
            if missing:
                raise _unusable(missing, getattr(tls, missing), error) from error
            raise ConfigurationError(
                f"the certificate {tls.cert} and the key {tls.key} cannot be used together "
                f"({_reason(error)}): check the driver options cert and key"
            ) from error
    return context


def _no_password() -> str:
    raise ConfigurationError("the key of the client certificate is encrypted: give one without a passphrase")


def _unusable(option: str, path: str, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{path} cannot be used ({_reason(error)}): check the driver option {option}")


def _reason(error: OSError) -> str:
    words = str(getattr(error, "reason", "") or error.strerror or "it holds no PEM")
    return _PLACE.sub("", words).strip().lower().replace("_", " ")


def _problem(error: BaseException, address: str, tls: Tls) -> ConfigurationError | None:
    """What is wrong with which certificate, and the option to change; None when the cause is another."""
    import ssl

    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        if cause.verify_code in (_WRONG_NAME, _WRONG_ADDRESS):
            advice = f'it is not for "{tls.servername}": set the driver option servername to a name that it has'
        elif cause.verify_code in (_EXPIRED, _NOT_YET_VALID):
            advice = f"{cause.verify_message}: renew it at the daemon"
        else:
            advice = f"{tls.cacert} does not vouch for it ({cause.verify_message}): check the driver option cacert"
        return ConfigurationError(f"the certificate of {address} is not accepted, {advice}")
    alert = str(getattr(cause, "reason", "") or "") if isinstance(cause, ssl.SSLError) else ""
    if "ALERT" in alert and any(word in alert for word in _CERTIFICATE_ALERTS):
        shown = f"the client certificate {tls.cert}" if tls.cert else "a connection without a client certificate"
        words = alert.lower().replace("_", " ")
        return ConfigurationError(f"{address} refuses {shown} ({words}): check the driver options cert and key")
    return None


if TYPE_CHECKING:
    _: type[ByteStream] = SecuredStream
