"""The real registry behind an HTTP server of ours, which sees every request and may answer otherwise."""

from __future__ import annotations

import http.client
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Front(BaseHTTPRequestHandler):
    """Passes requests on to the real registry."""

    protocol_version = "HTTP/1.1"
    registry = ""

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(self.registry)
        try:
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            answer = connection.getresponse()
            self.answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def do_GET(self) -> None:
        self.forward()

    def do_HEAD(self) -> None:
        self.forward()

    def do_POST(self) -> None:
        self.forward()

    def do_PUT(self) -> None:
        self.forward()

    def do_PATCH(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            del self.headers["Transfer-Encoding"]
            self.headers["Content-Length"] = str(len(body))
            self.rfile = io.BytesIO(body)  # type: ignore[assignment]
            self.close_connection = True
        self.forward()

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        kept = [(name, value) for name, value in headers if name.lower() not in ("content-length", "connection")]
        length = next((value for name, value in headers if name.lower() == "content-length"), "")
        kept.append(("Content-Length", length if self.command == "HEAD" and length else str(len(body))))
        for name, value in kept:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def front_of(registry: str, handler: type[Front], address: str) -> Iterator[str]:
    """Host and port of `handler`, which leads to `registry`, at an address of this machine."""
    bound = type(handler.__name__, (handler,), {"registry": registry})
    with ThreadingHTTPServer((address, 0), bound) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.05))
        thread.start()
        try:
            yield f"{address}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
