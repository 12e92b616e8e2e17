"""One connection to a Redis: TCP, TLS or a Unix socket, with a deadline on every step.

Connects when it is asked something, and anew after the connection broke.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from opsctl.probes.redis_protocol import (
    AuthenticationError,
    EndingReply,
    ErrorReply,
    NoConnection,
    Parser,
    RedisError,
    Reply,
    TimedOut,
    encoded,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

RECEIVE_BYTES = 64 * 1024
_OLD_AUTH = "wrong number of arguments for 'auth' command"
"""A server before 6.0 knows no users."""


class RedisClient:
    """Asks a Redis commands, in one round trip each time.

    Args:
        url: redis://, rediss:// or unix://, with the user's name where there is one. Its database is
            for the caller to select.
        password: of the user, or the server's; None where there is none.
        seconds: for each step: the connection with its TLS handshake, and each round trip.
    """

    def __init__(self, url: str, password: str | None, seconds: float) -> None:
        parts = urlsplit(url)
        self._path = parts.path if parts.scheme == "unix" else ""
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 6379
        self._tls = parts.scheme == "rediss"
        self._user = unquote(parts.username) if parts.username else ""
        self._password = password or ""
        self._seconds = seconds
        self._socket: socket.socket | None = None
        self._parser = Parser()

    @property
    def address(self) -> str:
        """HOST:PORT, or the path of a Unix socket."""
        return self._path or f"{self._host}:{self._port}"

    def command(self, *words: str | int) -> Reply:
        """Return the answer to one command.

        Raises:
            RedisError: there is none, or it is an error.
        """
        (reply,) = self.ask([words])
        if isinstance(reply, ErrorReply):
            raise reply
        return reply

    def ask(self, commands: Sequence[Sequence[str | int]]) -> list[Reply]:
        """Return the answers to commands that are sent together; each may be an `ErrorReply`.

        Raises:
            RedisError: they are not all there in time, or one says that there is no point in asking on.
        """
        if not commands:
            return []
        if self._socket is not None and self._is_stale(self._socket):
            self.close()
        if self._socket is None:
            self._connect()
        replies = self._exchange(commands)
        for reply in replies:
            if isinstance(reply, EndingReply):
                raise reply
        return replies

    def close(self) -> None:
        """Close the connection, whatever state it is in."""
        line, self._socket = self._socket, None
        if line is not None:
            with contextlib.suppress(OSError):
                line.close()

    def _is_stale(self, line: socket.socket) -> bool:
        """Return whether the server ended the connection, or said something that nobody asked for."""
        try:
            line.settimeout(0)
            line.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        return True

    def _connect(self) -> None:
        ends = time.monotonic() + self._seconds
        try:
            line = self._connected(ends)
        except TimeoutError as error:
            raise TimedOut("Timeout connecting to server") from error
        except OSError as error:
            why = error.strerror or str(error)
            raise NoConnection(f"Error {error.errno} connecting to {self.address}. {why}.") from error
        self._socket, self._parser = line, Parser()
        try:
            self._log_in()
        except RedisError:
            self.close()
            raise

    def _connected(self, ends: float) -> socket.socket:
        if self._path:
            line = socket.socket(socket.AF_UNIX)
            try:
                line.settimeout(_left(ends))
                line.connect(self._path)
            except OSError:
                line.close()
                raise
            return line
        line = self._to_any_address(ends)
        try:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._secured(line, ends) if self._tls else line
        except OSError:
            line.close()
            raise

    def _to_any_address(self, ends: float) -> socket.socket:
        """Try the addresses of the host one by one; each may take its share of the time."""
        failure: OSError = OSError(f"{self._host} has no address")
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        for position, (family, kind, protocol, _, address) in enumerate(found):
            line = socket.socket(family, kind, protocol)
            try:
                line.settimeout(_left(ends) / (len(found) - position))
                line.connect(address)
            except OSError as error:
                line.close()
                failure = error
            else:
                return line
        raise failure

    def _secured(self, line: socket.socket, ends: float) -> socket.socket:
        line.settimeout(_left(ends))
        return ssl.create_default_context().wrap_socket(line, server_hostname=self._host)

    def _log_in(self) -> None:
        if not (self._user or self._password):
            return
        words = (self._user, self._password) if self._user else (self._password,)
        (reply,) = self._exchange([("AUTH", *words)])
        if isinstance(reply, ErrorReply) and str(reply).lower() == _OLD_AUTH:
            (reply,) = self._exchange([("AUTH", self._password)])
        if isinstance(reply, ErrorReply):
            raise reply
        if reply != "OK":
            raise AuthenticationError("Invalid Username or Password")

    def _exchange(self, commands: Sequence[Sequence[str | int]]) -> list[Reply]:
        """Send commands and wait for as many replies; without them the connection is of no more use."""
        line = self._socket
        assert line is not None
        ends = time.monotonic() + self._seconds
        replies: list[Reply] = []
        try:
            self._send(line, encoded(commands), ends)
            self._receive(line, len(commands), ends, replies)
        except RedisError:
            self.close()
            said = next((reply for reply in replies if isinstance(reply, EndingReply)), None)
            if said is not None:
                raise said from None  # it told why it ended the connection
            raise
        if len(replies) > len(commands) or not self._parser.between:
            self.close()  # it said more than it was asked: whose answer would come next is not known
        return replies[: len(commands)]

    def _send(self, line: socket.socket, data: bytes, ends: float) -> None:
        try:
            line.settimeout(_left(ends))
            line.sendall(data)
        except TimeoutError as error:
            raise TimedOut("Timeout writing to socket") from error
        except OSError as error:
            raise NoConnection(f"Error {error.errno} while writing to socket. {error.strerror}.") from error

    def _receive(self, line: socket.socket, count: int, ends: float, replies: list[Reply]) -> None:
        """Add replies until there are so many."""
        while len(replies) < count:
            try:
                line.settimeout(_left(ends))
                data = line.recv(RECEIVE_BYTES)
            except TimeoutError as error:
                raise TimedOut(f"Timeout reading from {self.address}") from error
            except OSError as error:
                raise NoConnection(f"Error while reading from {self.address} : {error.args}") from error
            if not data:
                raise NoConnection("Connection closed by server.")
            replies += self._parser.feed(data)


def _left(ends: float) -> float:
    """Return the seconds to a moment.

    Raises:
        TimeoutError: it has passed.
    """
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
