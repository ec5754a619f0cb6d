"""The subset of HTTP/2 (RFC 9113) that gRPC needs, without I/O: bytes in, bytes out, both roles in one class.

`frames` packs, `fields` compresses and checks header fields, `outbox` holds what waits to be sent, `connection`
reads the peer and keeps the streams. Used by `wire.link` alone. Header compression is `hpack`'s.
"""
