"""A small HTTP/1.1 server: one thread reads from all clients, a few answer.

A client that sends slowly or not at all costs no thread; one that reads slowly costs one for
`SEND_SECONDS`. Connections, threads, request sizes and times are all bounded.
"""

from __future__ import annotations

import contextlib
import errno
import queue
import selectors
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from exporters.connections import Connection, Gone
from exporters.requests import Answer, BadRequest, Request, encoded, line, parse

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from opsctl.redact import Redactor

THREADS = 16
MOST_CONNECTIONS = 256
SWEEP_SECONDS = 1.0


class Guard(Protocol):
    """What stands before the application: TLS, passwords, headers."""

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS settings in force; None for plain HTTP."""

    def refusal(self, request: Request) -> Answer | None:
        """Return the answer to whoever may not ask; None for whoever may."""

    def headers(self) -> dict[str, str]:
        """Return the headers of every answer."""


class Open:
    """No TLS, no password."""

    def context(self) -> ssl.SSLContext | None:
        """Return None: plain HTTP."""
        return None

    def refusal(self, _request: Request) -> Answer | None:
        """Return None: everybody may ask."""
        return None

    def headers(self) -> dict[str, str]:
        """Return no headers."""
        return {}


class Server:
    """Serves an application on one address.

    Args:
        address: host and port; port 0 takes a free one.
        application: request to answer.
        guard: what stands before it.
        redactor: takes secrets out of what is said of a fault.

    Raises:
        OSError: the address is taken or not ours.
    """

    def __init__(
        self,
        address: tuple[str, int],
        application: Callable[[Request], Answer],
        guard: Guard | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        self._application, self._guard, self._redactor = application, guard or Open(), redactor
        host, port = address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._waker, self._wakened = socket.socketpair()
        self._wakened.setblocking(False)
        self._waker.setblocking(False)
        self._connections: set[Connection] = set()
        self._ready: queue.SimpleQueue[Connection | None] = queue.SimpleQueue()
        self._returned: queue.SimpleQueue[tuple[Connection, bool]] = queue.SimpleQueue()
        self._threads = self._busy = 0
        self._stopping = False

    def connections(self) -> int:
        """Return how many clients are connected."""
        return len(self._connections)

    def stop(self) -> None:
        """End `run`; may be called from anywhere, a signal handler too."""
        self._stopping = True
        self._wake()

    def run(self) -> None:
        """Serve until `stop`."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakened, selectors.EVENT_READ)
        sweep = time.monotonic() + SWEEP_SECONDS
        try:
            while not self._stopping:
                for key, _ in self._selector.select(SWEEP_SECONDS):
                    self._event(key.fileobj, key.data)
                self._take_back()
                if time.monotonic() >= sweep:
                    sweep = time.monotonic() + SWEEP_SECONDS
                    self._sweep()
        finally:
            self._close()

    def _event(self, source: Any, connection: Connection | None) -> None:
        if source is self._listener:
            self._accept()
        elif source is self._wakened:
            with contextlib.suppress(BlockingIOError):
                self._wakened.recv(4096)
        elif connection is not None:
            self._read(connection)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:  # gone again, or no descriptor is free
            if error.errno in (errno.EMFILE, errno.ENFILE) and not self._make_room():
                time.sleep(0.05)  # all are being answered; one will be free soon
            return
        if len(self._connections) >= MOST_CONNECTIONS and not self._make_room():
            sock.close()
            return
        try:
            connection = Connection(sock, self._guard.context())
        except (OSError, ValueError):
            sock.close()
            return
        self._connections.add(connection)
        self._selector.register(connection.sock, selectors.EVENT_READ, connection)

    def _make_room(self) -> bool:
        """Let go of the client that has been idle longest; return whether there was one."""
        waiting = [key.data for key in self._selector.get_map().values() if key.data is not None]
        oldest = min(waiting, key=lambda connection: (not connection.idle, connection.ends), default=None)
        if oldest is None:
            return False
        self._drop(oldest)
        return True

    def _read(self, connection: Connection) -> None:
        try:
            whole = connection.receive()
        except Gone:
            self._drop(connection)
            return
        if whole or connection.too_long:
            self._selector.unregister(connection.sock)
            self._dispatch(connection)
            return
        events = selectors.EVENT_WRITE if connection.wants_write else selectors.EVENT_READ
        if self._selector.get_key(connection.sock).events != events:
            self._selector.modify(connection.sock, events, connection)

    def _dispatch(self, connection: Connection) -> None:
        self._busy += 1
        self._ready.put(connection)
        if self._busy > self._threads and self._threads < THREADS:
            thread = threading.Thread(target=self._work, name=f"answer-{self._threads}", daemon=True)
            with contextlib.suppress(RuntimeError):  # no thread is to be had: one that is there will do it
                thread.start()
                self._threads += 1

    def _take_back(self) -> None:
        """Go on with the clients that have been answered."""
        while True:
            try:
                connection, keep = self._returned.get_nowait()
            except queue.Empty:
                return
            self._busy -= 1
            if not keep or self._stopping:
                self._connections.discard(connection)
                connection.close()
            elif connection.whole or connection.too_long:
                self._dispatch(connection)
            else:
                connection.rest()
                self._selector.register(connection.sock, selectors.EVENT_READ, connection)
                if connection.handshaking or getattr(connection.sock, "pending", int)():
                    self._read(connection)  # what TLS has already unpacked wakes nobody

    def _sweep(self) -> None:
        now = time.monotonic()
        for key in list(self._selector.get_map().values()):
            if key.data is not None and key.data.ends < now:
                self._drop(key.data)

    def _drop(self, connection: Connection) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection.sock)
        self._connections.discard(connection)
        connection.close()

    def _work(self) -> None:
        while (connection := self._ready.get()) is not None:
            keep = False
            try:
                keep = self._answer(connection)
            except Gone:
                pass
            except Exception as error:  # noqa: BLE001 - a thread that dies would be missing for good
                self._report(error)
            self._returned.put((connection, keep))
            self._wake()

    def _answer(self, connection: Connection) -> bool:
        """Answer the first request that a client has sent; return whether it may send another."""
        request: Request | None = None
        try:
            if connection.too_long:
                raise BadRequest(431, "the request is too long")
            request = parse(connection.take_head())
            answer = self._guard.refusal(request) or self._safely(request)
        except BadRequest as error:
            answer = line(error.status, error.words)
        keep = request is not None and request.keep_alive and not self._stopping
        connection.send(encoded(answer, request, self._guard.headers(), keep))
        if not keep:
            connection.close(polite=request is None)
        return keep

    def _safely(self, request: Request) -> Answer:
        try:
            return self._application(request)
        except BadRequest as error:
            return line(error.status, error.words)
        except Exception as error:  # noqa: BLE001 - one page that fails must not cost the client its connection
            self._report(error)
            return line(500, "a fault in opsctl itself; its log says more")

    def _report(self, error: Exception) -> None:
        words = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        if self._redactor is not None:
            words = self._redactor.text(words)
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"opsctl exporter: a fault in opsctl itself: {words}\n")

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._waker.send(b".")

    def _close(self) -> None:
        for _ in range(self._threads):
            self._ready.put(None)
        for connection in list(self._connections):
            self._drop(connection)
        self._listener.close()
        self._selector.close()
        self._waker.close()
        self._wakened.close()
