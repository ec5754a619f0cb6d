"""The status that ends a call, and what stands for it when a peer or a proxy sends none.

Sources: grpc/doc/PROTOCOL-HTTP2.md ("Responses", "Errors") and grpc/doc/http-grpc-status-mapping.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from buildwright.errors import Code, Detail, RpcError
from buildwright.wire import metadata
from buildwright.wire.http2.fields import Fields
from buildwright.wire.http2.frames import ErrorCode, error_name

HTTP: Final = {
    400: Code.INTERNAL,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.UNIMPLEMENTED,
    429: Code.UNAVAILABLE,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.UNAVAILABLE,
}
RESET: Final = {
    ErrorCode.REFUSED_STREAM: Code.UNAVAILABLE,
    ErrorCode.CANCEL: Code.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: Code.PERMISSION_DENIED,
    ErrorCode.STREAM_CLOSED: Code.UNKNOWN,
}
"""Every other code is INTERNAL."""
DETAILS: Final = "grpc-status-details-bin"


def of_reset(code: int) -> RpcError:
    """The status for a RST_STREAM from the peer."""
    status = RESET.get(ErrorCode(code), Code.INTERNAL) if code <= max(ErrorCode) else Code.UNKNOWN
    return RpcError(status, f"the peer reset the call with {error_name(code)}")


def of_response(fields: Fields) -> RpcError | None:
    """Why a response's first fields are not those of a gRPC call, or None when they are."""
    found = dict(fields)
    http = found.get(":status", "")
    if "grpc-status" in found:
        return None
    if http != "200":
        code = HTTP.get(int(http), Code.UNKNOWN) if http.isascii() and http.isdigit() else Code.INTERNAL
        return RpcError(code, f"the peer answered with HTTP status {http}, which is not gRPC")
    kind = found.get("content-type", "")
    if not is_grpc(kind):
        return RpcError(Code.UNKNOWN, f"the peer answered with content of type {kind!r}, which is not gRPC")
    return None


def is_grpc(content_type: str) -> bool:
    """`application/grpc` itself or with a message format or parameters."""
    kind = content_type.lower()
    return kind == "application/grpc" or kind.startswith(("application/grpc+", "application/grpc;"))


def of_trailers(fields: Fields) -> RpcError | None:
    """The status in trailers; None for OK."""
    found = dict(fields)
    number = found.get("grpc-status")
    if number is None:
        return RpcError(Code.UNKNOWN, "the peer ended the call without a status")
    if not (number.isascii() and number.isdigit()):
        return RpcError(Code.UNKNOWN, f"the peer ended the call with the status {number!r}, which is no number")
    try:
        code = Code(int(number[:4]))
    except ValueError:
        code = Code.UNKNOWN
    if code is Code.OK:
        return None
    message = decode_message(found.get("grpc-message", ""))
    return RpcError(code, message, details=_details(found.get(DETAILS, "")))


def trailers(error: RpcError | None) -> list[tuple[str, str]]:
    """The trailers that say how a call ended; None is OK."""
    if error is None:
        return [("grpc-status", "0")]
    fields = [("grpc-status", str(int(error.code))), ("grpc-message", encode_message(str(error)))]
    if error.details:
        packed = _pack(error.code, str(error), error.details)
        fields.extend((key, value) for key, value in metadata.encode([("status-bin", packed)]))
        fields[-1] = (DETAILS, fields[-1][1])
    return fields


def encode_message(text: str) -> str:
    """Percent-encode all but printable ASCII, and the percent sign itself."""
    raw = text.encode("utf-8", "replace")
    return "".join(chr(c) if 0x20 <= c <= 0x7E and c != 0x25 else f"%{c:02X}" for c in raw)


def decode_message(text: str) -> str:
    """Undo `encode_message`; a malformed escape stays as it is."""
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")


def _details(text: str) -> tuple[Detail, ...]:
    raw = metadata.decode_binary(text) if text else None
    if not raw:
        return ()
    from google.protobuf.message import DecodeError

    from buildwright.wire.proto import rpc_status_pb2

    try:
        packed = rpc_status_pb2.Status.FromString(raw)
    except DecodeError:
        return ()
    return tuple(Detail(one.type_url, one.value) for one in packed.details)


def _pack(code: Code, message: str, details: Iterable[Detail]) -> bytes:
    from buildwright.wire.proto import rpc_status_pb2

    packed = rpc_status_pb2.Status(code=int(code), message=message.encode("utf-8", "replace").decode())
    for detail in details:
        packed.details.add(type_url=detail.type_url, value=detail.value)
    return packed.SerializeToString()
