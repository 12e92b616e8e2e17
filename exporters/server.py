"""A small HTTP/1.1 server: threads that all read from all clients, and answer what they have read.

The kernel gives each client's bytes to one of those that wait: no request waits for a change of threads,
which takes longer than many an answer. Where a thread hangs, another one answers in its place.
A client that sends slowly or not at all costs no thread; one that reads slowly costs one for
`SEND_SECONDS`. Connections, threads, request sizes and times are all bounded.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from exporters.connections import Connection, Gone
from exporters.relief import Ticket, Tickets
from exporters.requests import Answer, BadRequest, Request, encoded, line, parse

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from exporters.relief import Work
    from opsctl.redact import Redactor

THREADS = 16
"""How many answer at once; one more reads. They are made when all others are busy."""
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


class _Relieved(Exception):
    """Another thread has answered, and goes on in this one's place."""


class Server:
    """Serves an application on one address.

    Args:
        address: host and port; port 0 takes a free one.
        application: request to answer.
        guard: what stands before it.
        redactor: takes secrets out of what is said of a fault.
        relief: request to the work that it is, where it may hang; without this none may.
        before_waiting: called by each thread before it waits for clients.

    Raises:
        OSError: the address is taken or not ours.
    """

    def __init__(
        self,
        address: tuple[str, int],
        application: Callable[[Request], Answer],
        guard: Guard | None = None,
        redactor: Redactor | None = None,
        relief: Callable[[Request], Work | None] | None = None,
        before_waiting: Callable[[], None] | None = None,
    ) -> None:
        self._application, self._guard, self._redactor = application, guard or Open(), redactor
        self._before_waiting = before_waiting
        host, port = address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._events = select.epoll()
        self._waker, self._wakened = socket.socketpair()
        self._waker.setblocking(False)
        self._lock = threading.Lock()
        """For what follows."""
        self._connections: dict[int, Connection] = {}
        self._waiting: deque[Connection] = deque()
        self._threads = self._busy = self._reading = 0
        self._at_rest = threading.Condition(self._lock)
        self._relief, self._tickets = relief, Tickets()
        self._sweep_at = 0.0
        self._stopping = False

    def connections(self) -> int:
        """Return how many clients are connected."""
        return len(self._connections)

    def stop(self) -> None:
        """End `run`; may be called from anywhere, a signal handler too."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._waker.send(b".")

    def run(self) -> None:
        """Serve until `stop`."""
        self._events.register(self._listener, select.EPOLLIN | select.EPOLLONESHOT)  # one accepts at a time
        self._events.register(self._wakened, select.EPOLLIN)
        with self._lock:
            self._more()
        try:
            select.select([self._wakened], [], [])  # nobody takes the byte: those who read see it too
        finally:
            with self._at_rest:
                # nothing is closed that another thread still uses, as far as it comes to an end
                self._at_rest.wait_for(lambda: not (self._reading or self._busy), 2 * SWEEP_SECONDS)
            self._close()

    def _work(self, ticket: Ticket | None = None) -> None:
        """Read until a request is whole, answer it while another thread reads, and begin again.

        With a ticket, answer that one's request first; a thread that hangs with it has lost its place to
        this one.
        """
        while True:
            connection = ticket.connection if ticket is not None else self._next()
            if connection is None:
                return
            while connection is not None:
                try:
                    self._serve(connection, ticket)
                except _Relieved:
                    return
                ticket = None
                with self._lock:
                    connection = self._waiting.popleft() if self._waiting else None
                    self._busy -= connection is None
                    if self._stopping:
                        self._at_rest.notify_all()

    def _next(self) -> Connection | None:
        """Return the next client with a request for this thread; None at the end."""
        with self._lock:
            self._reading += 1
        try:
            while not self._stopping:
                try:
                    connection = self._read_once()
                    if connection is not None and self._is_for_this_thread(connection):
                        return connection
                except Exception as error:  # noqa: BLE001 - without threads that read nobody is answered
                    self._report(error)
        finally:
            with self._at_rest:
                self._reading -= 1
                if self._stopping:
                    self._at_rest.notify_all()
        return None

    def _read_once(self) -> Connection | None:
        """Wait for one event; return the client whose request is now whole. See after what is late."""
        found: Connection | None = None
        if self._before_waiting is not None:
            self._before_waiting()
        for number, _ in self._events.poll(self._tickets.wait(SWEEP_SECONDS), 1):
            found = self._event(number)
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + SWEEP_SECONDS
            self._sweep()
        for ticket in self._tickets.late():
            self._relieve(ticket)
        return found

    def _is_for_this_thread(self, connection: Connection) -> bool:
        """Return whether this thread may answer; as many as may are answering already where not."""
        with self._lock:
            if self._busy >= THREADS:
                self._waiting.append(connection)
                return False
            self._busy += 1
            if self._busy >= self._threads:
                with contextlib.suppress(RuntimeError):  # no thread is to be had: nobody reads for a moment
                    self._more()
            return True

    def _more(self) -> None:
        threading.Thread(target=self._work, name=f"answer-{self._threads}", daemon=True).start()
        self._threads += 1

    def _relieve(self, ticket: Ticket) -> None:
        """Have another thread answer."""
        try:
            threading.Thread(target=self._work, args=(ticket,), name="answer-instead", daemon=True).start()
        except RuntimeError:  # no thread is to be had now
            ticket.due = time.monotonic() + SWEEP_SECONDS
            self._tickets.add(ticket)

    def _event(self, number: int) -> Connection | None:
        """Take in what has come; return the client whose request is now whole."""
        if number == self._listener.fileno():
            try:
                self._accept()
            finally:
                self._events.modify(self._listener, select.EPOLLIN | select.EPOLLONESHOT)
            return None
        with self._lock:
            connection = self._connections.get(number)
            if connection is None or not connection.watched:  # the end, or its number is another's by now
                return None
            connection.watched = False
        return self._read(connection)

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
        with self._lock:
            self._connections[connection.number] = connection
            self._events.register(connection.number, 0)
        self._watch(connection)

    def _make_room(self) -> bool:
        """Let go of the client that has been idle longest; return whether there was one."""
        with self._lock:
            watched = [item for item in self._connections.values() if item.watched]
        oldest = min(watched, key=lambda connection: (not connection.idle, connection.since), default=None)
        return oldest is not None and self._drop(oldest, watched=True)

    def _read(self, connection: Connection) -> Connection | None:
        """Take in what a client has sent; return it where its request is whole, else wait for more."""
        try:
            whole = connection.receive()
        except Gone:
            self._drop(connection)
            return None
        if whole or connection.too_long:
            return connection
        self._watch(connection)
        return None

    def _watch(self, connection: Connection) -> None:
        """Have one of those that read told, once, when the client sends more."""
        events = select.EPOLLOUT if connection.wants_write else select.EPOLLIN
        with self._lock:
            if self._connections.get(connection.number) is connection:
                connection.watched = True
                self._events.modify(connection.number, events | select.EPOLLONESHOT)

    def _sweep(self) -> None:
        now = time.monotonic()
        with self._lock:
            late = [item for item in self._connections.values() if item.watched and item.ends < now]
        for connection in late:
            self._drop(connection, watched=True)

    def _drop(self, connection: Connection, watched: bool = False) -> bool:
        """Let go of a client; with `watched` only if nothing has come from it meanwhile."""
        with self._lock:
            if watched and not connection.watched:
                return False
            connection.watched = False
            if self._connections.get(connection.number) is connection:
                del self._connections[connection.number]
            connection.close()
        return True

    def _serve(self, connection: Connection, ticket: Ticket | None) -> None:
        """Answer the request of a client, and go on with it.

        Raises:
            _Relieved: another thread has the client now.
        """
        keep = False
        try:
            keep = self._answer(connection, ticket)
        except _Relieved:
            raise
        except Gone:
            pass
        except Exception as error:  # noqa: BLE001 - a thread that dies would be missing for good
            self._report(error)
        if not keep or self._stopping:
            self._drop(connection)
            return
        connection.rest()
        whole: Connection | None = connection
        if not connection.whole and not connection.too_long:
            whole = None
            if connection.has_unpacked:  # that wakes nobody
                whole = self._read(connection)
            else:
                self._watch(connection)
        if whole is not None:
            with self._lock:  # after those that wait already
                self._waiting.append(whole)

    def _answer(self, connection: Connection, ticket: Ticket | None) -> bool:
        """Answer the first request that a client has sent; return whether it may send another."""
        request: Request | None = None
        try:
            if ticket is not None:
                request = ticket.request
                answer = self._claimed(ticket, self._safely(ticket.work.instead))
            else:
                if connection.too_long:
                    raise BadRequest(431, "the request is too long")
                request = parse(connection.take_head())
                answer = self._guard.refusal(request) or self._first(connection, request)
        except BadRequest as error:
            answer = line(error.status, error.words)
        keep = request is not None and request.keep_alive and not self._stopping
        connection.send(encoded(answer, request, self._guard.headers(), keep))
        if not keep:
            connection.close(polite=request is None)
        return keep

    def _first(self, connection: Connection, request: Request) -> Answer:
        """Return the answer to a request that has just been read.

        Raises:
            _Relieved: it came too late.
        """
        # the last thread that reads must not hang: nobody would see that it is late
        work = self._relief(request) if self._relief is not None and self._busy < self._threads else None
        if work is None:
            return self._safely(lambda: self._application(request))
        ticket = Ticket(connection, request, work)
        self._tickets.add(ticket)
        answer = self._safely(work.first)
        self._tickets.discard(ticket)
        return self._claimed(ticket, answer)

    def _claimed(self, ticket: Ticket, answer: Answer) -> Answer:
        """Return the answer of whoever is the first to have one.

        Raises:
            _Relieved: another one was.
        """
        if not ticket.claim():
            raise _Relieved
        return answer

    def _safely(self, answer: Callable[[], Answer]) -> Answer:
        try:
            return answer()
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

    def _close(self) -> None:
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._listener.close()
        self._events.close()
        self._waker.close()
        self._wakened.close()
