"""One plain HTTP connection that is kept between looks: for a status page that is asked every few seconds."""

from __future__ import annotations

import contextlib
import http.client
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opsctl.facts.base import Connection
from opsctl.probes.connection import connection_state
from opsctl.probes.http_exchange import USER_AGENT, connect_any, lookup
from opsctl.probes.short_answer import NotPlain, bound, short_answer

if TYPE_CHECKING:
    import socket

MOST_BODY = 64 * 1024
NEARLY = 0.9
"""Of the time that is left: a time-out that is this near to it is not set anew."""


class KeptHttp:
    """Asks one URL again and again over one connection.

    Args:
        url: a plain http URL.

    Raises:
        ValueError: its port is none.
    """

    def __init__(self, url: str) -> None:
        self._connection: http.client.HTTPConnection | None = None
        self.url = url
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._host = parts.netloc.rpartition("@")[2]
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = (
            f"GET {self._path} HTTP/1.1",
            f"Host: {self._host}",
            f"User-Agent: {USER_AGENT}",
            "Accept: */*",
        )
        self._request = "\r\n".join((*lines, "", "")).encode("ascii", "replace")
        self._plain = all(line.isascii() and line.isprintable() for line in lines) and " " not in self._path
        """Whether the answers so far were of the short kind."""
        self._bound = 0.0
        """After how many seconds the kernel ends a wait of the connection; 0 where Python does."""
        self._asked = False
        """Whether the question has been sent already."""

    def ask_ahead(self, seconds: float) -> None:
        """Send the question of the next `ask` now, where that is possible: the answer comes meanwhile.

        Never raises; what goes wrong is left to `ask`.
        """
        if self._asked:  # nobody took that answer
            self.close()
        if self._connection is None or not self._plain:
            return
        try:
            self._send(self._connection.sock, seconds)
        except OSError:
            self.close()

    def ask(self, seconds: float) -> tuple[Connection, int, bytes]:
        """Return how it ended, the status code (0 for none) and the body. Never raises."""
        began = time.monotonic()
        reused = self._connection is not None
        try:
            try:
                status, body = self._ask(began + seconds)
            except (OSError, http.client.HTTPException) as error:
                if not reused or isinstance(error, TimeoutError):
                    raise
                status, body = self._ask(began + seconds)  # the server had closed it meanwhile
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            detail = str(error)[:300] or type(error).__name__
            return Connection(state=connection_state(error), detail=detail, address=self._host), 0, b""
        return Connection(state="ok", address=self._host, seconds=time.monotonic() - began), status, body

    def _ask(self, ends: float) -> tuple[int, bytes]:
        connection = self._connection
        try:
            if connection is None:
                connection = self._connection = http.client.HTTPConnection(*self._address)
                connection.sock = self._connected(ends)
            left = ends - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            if self._plain:
                try:
                    return self._ask_plainly(connection.sock, left, ends)
                except NotPlain:
                    self._plain = False
                    self.close()
                    return self._ask(ends)
            connection.sock.settimeout(left)
            headers = {"Host": self._host, "User-Agent": USER_AGENT, "Accept": "*/*"}
            connection.request("GET", self._path, headers=headers)
            answer = connection.getresponse()
            body = answer.read(MOST_BODY)
            if answer.will_close or not answer.isclosed():
                self.close()
            return answer.status, body
        except BaseException:
            self.close()
            raise

    def _ask_plainly(self, stream: socket.socket, left: float, ends: float) -> tuple[int, bytes]:
        if not self._asked:
            self._send(stream, left)
        elif left < self._bound:  # the rest took longer than usual
            self._wait_at_most(stream, left)
        status, body, again = short_answer(stream, ends, MOST_BODY)
        self._asked = False
        if not again:
            self.close()
        return status, body

    def _send(self, stream: socket.socket, seconds: float) -> None:
        """Send the question, and have its answer waited for no longer than `seconds`."""
        if stream.gettimeout() is not None or not NEARLY * seconds <= self._bound <= seconds:
            self._wait_at_most(stream, (1 + NEARLY) / 2 * seconds)
        self._asked = True
        try:
            stream.sendall(self._request)
        except BlockingIOError:  # what the kernel calls a time-out of its own
            raise TimeoutError("timed out") from None

    def _wait_at_most(self, stream: socket.socket, seconds: float) -> None:
        self._bound = seconds
        bound(stream, seconds)

    def _connected(self, ends: float) -> socket.socket:
        return connect_any(lookup(*self._address, ends - time.monotonic()), ends)

    def close(self) -> None:
        """Let go of the connection."""
        self._asked = False
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    def __del__(self) -> None:
        """Let go of the connection of a look that was given up."""
        self.close()
