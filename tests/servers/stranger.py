"""Servers of another protocol, on the port of a database: one that greets, one that speaks HTTP."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Greeter(socketserver.BaseRequestHandler):
    """Says a banner as SSH does and waits for the other side."""

    def handle(self) -> None:
        """Greet, then read until the other side hangs up."""
        self.request.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n")
        while self.request.recv(1000):
            pass


class Web(BaseHTTPRequestHandler):
    """An HTTP server that says nothing before it has read a request line."""

    def do_HEAD(self) -> None:
        """Answer a HEAD request."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def stranger(kind: str) -> Iterator[int]:
    """Serve as `ssh` or `http` on a free loopback port; yields the port."""
    server: socketserver.TCPServer
    if kind == "http":
        server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    else:
        socketserver.ThreadingTCPServer.daemon_threads = True
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
