"""Header fields: compression through `hpack`, and the rules of RFC 9113 section 8 on what a peer may send."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError, OversizedHeaderListError

from buildwright.wire.http2.frames import ErrorCode, FaultError

Fields: TypeAlias = Sequence[tuple[str, str]]

REQUEST: Final = frozenset({":method", ":scheme", ":authority", ":path"})
REQUIRED: Final = frozenset({":method", ":scheme", ":path"})
RESPONSE: Final = frozenset({":status"})
TRAILERS: Final[frozenset[str]] = frozenset()
FORBIDDEN: Final = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
LARGEST_TABLE: Final = 64 << 10


class Compressor:
    """Our side of the compression; `resize` follows the peer's SETTINGS_HEADER_TABLE_SIZE."""

    def __init__(self) -> None:
        self._encoder = Encoder()

    def resize(self, size: int) -> None:
        self._encoder.header_table_size = min(size, LARGEST_TABLE)

    def encode(self, fields: Fields) -> bytes:
        # Huffman coding in Python costs more time than the few bytes it saves on a local socket.
        return self._encoder.encode(
            [(k.encode(), v.encode("utf-8", "surrogateescape")) for k, v in fields], huffman=False
        )


class Decompressor:
    """The peer's side. A failure leaves the shared state unknown, so it ends the connection."""

    def __init__(self, largest: int) -> None:
        self._decoder = Decoder(max_header_list_size=largest)

    def decode(self, block: bytes) -> list[tuple[str, str]]:
        try:
            return [(_text(k), _text(v)) for k, v in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError:
            raise FaultError(ErrorCode.ENHANCE_YOUR_CALM, "a header list is larger than our limit") from None
        except HPACKError as error:
            raise FaultError(ErrorCode.COMPRESSION_ERROR, f"a header block cannot be decoded: {error}") from None


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def flaw(fields: Iterable[tuple[str, str]], pseudo: frozenset[str], required: frozenset[str]) -> str | None:
    """Why these fields are malformed (RFC 9113, 8.2 and 8.3), or None. `pseudo` names the allowed pseudo-fields."""
    seen: set[str] = set()
    regular = False
    for key, value in fields:
        if key.startswith(":"):
            if regular:
                return f"{key} comes after a regular field"
            if key not in pseudo:
                return f"{key!r} is not allowed here"
            if key in seen:
                return f"{key} comes twice"
            seen.add(key)
            continue
        regular = True
        if not key or key != key.lower() or not key.isascii() or not key.isprintable() or " " in key or ":" in key:
            return f"{key!r} is no field name"
        if key in FORBIDDEN or (key == "te" and value != "trailers"):
            return f"the field {key!r} is not allowed in HTTP/2"
    missing = required - seen
    if missing:
        return f"{min(missing)} is missing"
    return None
