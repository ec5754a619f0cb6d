"""Call metadata and deadlines as header fields (grpc/doc/PROTOCOL-HTTP2.md, "Requests")."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Final

from buildwright.errors import UsageError
from buildwright.wire.http2.fields import Fields
from buildwright.wire.rpc import Metadata

RESERVED: Final = frozenset({"content-type", "te", "user-agent"})
UNITS: Final = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "S": 1.0, "M": 60.0, "H": 3600.0}
KEY: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-.")


def encode(metadata: Metadata) -> list[tuple[str, str]]:
    """Header fields for metadata; UsageError for a key or value that HTTP/2 cannot carry."""
    fields = []
    for key, value in metadata:
        if not key or not KEY.issuperset(key) or key.startswith("grpc-") or key in RESERVED:
            raise UsageError(f"{key!r} cannot be a metadata key; use lower-case letters, digits and '_-.'")
        if key.endswith("-bin"):
            raw = value.encode() if isinstance(value, str) else value
            fields.append((key, b64encode(raw).rstrip(b"=").decode()))
        elif isinstance(value, bytes):
            raise UsageError(f"the metadata {key!r} is text; only keys that end in '-bin' have bytes")
        elif not value.isascii() or not value.isprintable():
            raise UsageError(f"the metadata {key!r} has characters that a header cannot carry; use a '-bin' key")
        else:
            fields.append((key, value.strip(" ")))
    return fields


def decode(fields: Fields) -> list[tuple[str, str | bytes]]:
    """Metadata in header fields, without those that are gRPC's own. A `-bin` value that is no base64 is dropped."""
    metadata: list[tuple[str, str | bytes]] = []
    for key, value in fields:
        if key.startswith((":", "grpc-")) or key in RESERVED:
            continue
        if key.endswith("-bin"):
            for part in value.split(","):
                raw = decode_binary(part)
                if raw is not None:
                    metadata.append((key, raw))
        else:
            metadata.append((key, value))
    return metadata


def decode_binary(text: str) -> bytes | None:
    """Base64 with or without its padding."""
    text = text.strip().rstrip("=")
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (Base64Error, ValueError):
        return None


def encode_timeout(seconds: float) -> str:
    """At most eight digits and the finest unit in which they suffice; a deadline in the past is one nanosecond."""
    for unit, size in UNITS.items():
        amount = max(1, int(seconds / size))
        if amount < 10**8:
            return f"{amount}{unit}"
    return f"99999999{unit}"


def decode_timeout(text: str) -> float | None:
    """Seconds; None when malformed."""
    digits, unit = text[:-1], text[-1:]
    if unit not in UNITS or not 0 < len(digits) <= 8 or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits) * UNITS[unit]
