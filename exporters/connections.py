"""One client connection: what has come in so far, until when it may stay, and sending with a deadline."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

from exporters.requests import MOST_HEAD_BYTES

HEAD_SECONDS = 10.0
"""A request must have arrived whole this long after its first byte; a TLS handshake as well."""
IDLE_SECONDS = 330.0
"""How long a connection is kept for its next request; Prometheus lets go of it after five minutes."""
SEND_SECONDS = 10.0
"""How long a client may take for one answer."""


class Gone(Exception):
    """The client went away, or was too slow."""


class Connection:
    """A socket that does not block, and the bytes that it brought."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.handshaking = context is not None
        if context is not None:
            self.sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self.buffer = b""
        self.wants_write = False
        self.number = self.sock.fileno()
        self.watched = False
        """Whether a thread that reads is told when something comes; no other thread may then touch it."""
        self.since = time.monotonic()
        """When it came, or was answered last: set before the client can know of it."""
        self.ends = self.since + HEAD_SECONDS

    @property
    def idle(self) -> bool:
        """Whether nothing of a request has come yet."""
        return not self.buffer and not self.handshaking

    def receive(self) -> bool:
        """Take in what there is; return whether a whole head is there.

        Raises:
            Gone: the client closed, or broke the protocol.
        """
        self.wants_write = False
        try:
            if self.handshaking:
                assert isinstance(self.sock, ssl.SSLSocket)
                self.sock.do_handshake()
                self.handshaking = False
                self.ends = time.monotonic() + HEAD_SECONDS
            while len(self.buffer) <= MOST_HEAD_BYTES:
                part = self.sock.recv(16384)
                if not part:
                    raise Gone
                if not self.buffer:
                    self.ends = time.monotonic() + HEAD_SECONDS
                self.buffer += part
                if self.whole:
                    return True
        except ssl.SSLWantWriteError:
            self.wants_write = True
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
            pass
        except (OSError, ValueError):
            raise Gone from None
        return self.whole

    @property
    def whole(self) -> bool:
        """Whether a whole head has come."""
        return b"\r\n\r\n" in self.buffer

    @property
    def has_unpacked(self) -> bool:
        """Whether TLS has taken in more than was read."""
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0

    @property
    def too_long(self) -> bool:
        """Whether the head is longer than any that is read."""
        end = self.buffer.find(b"\r\n\r\n")
        return (end if end >= 0 else len(self.buffer)) > MOST_HEAD_BYTES

    def take_head(self) -> bytes:
        """Take the first head out of what has come."""
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head.lstrip(b"\r\n")

    def rest(self) -> None:
        """Wait for the next request from now on."""
        self.ends = time.monotonic() + (HEAD_SECONDS if self.buffer else IDLE_SECONDS)

    def send(self, data: bytes) -> None:
        """Send an answer.

        Raises:
            Gone: the client closed, or took too long.
        """
        view = memoryview(data)
        self.since = time.monotonic()
        try:
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                view = view[self.sock.send(view[:65536]) :]  # most answers go at once
            if view:
                self._send_slowly(view, self.since + SEND_SECONDS)
        except (OSError, ValueError):
            raise Gone from None

    def _send_slowly(self, view: memoryview, ends: float) -> None:
        while view:
            self.since = time.monotonic()
            left = ends - self.since
            if left <= 0:
                raise Gone
            self.sock.settimeout(left)
            view = view[self.sock.send(view[:65536]) :]
        self.sock.setblocking(False)

    def close(self, polite: bool = False) -> None:
        """Close it; `polite` lets the client read the last answer although it has not sent all it wanted."""
        if polite:
            with contextlib.suppress(OSError, ValueError):
                self.sock.settimeout(0.2)
                self.sock.shutdown(socket.SHUT_WR)
                self.sock.recv(MOST_HEAD_BYTES)
        with contextlib.suppress(OSError):
            self.sock.close()
