"""A small server in a thread of its own, for as long as a test needs it."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LONG = 60.0


@contextmanager
def served(server: socketserver.TCPServer) -> Iterator[int]:
    """Serve; yields the port. The server is closed after."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(LONG)
