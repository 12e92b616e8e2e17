"""Another thread answers where one hangs: who looks by itself need not hand every look to somebody else."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from exporters.connections import Connection
    from exporters.requests import Answer, Request


class Work(Protocol):
    """One request that may hang, and how it is answered."""

    seconds: float
    """For how long `first` is waited for."""

    def first(self) -> Answer:
        """Answer in the thread that has read the request; may hang."""

    def instead(self) -> Answer:
        """Answer when the first has hung so long; does not hang."""

    def end(self) -> None:
        """One of the two has answered, the other one's answer goes nowhere; called once."""


class Ticket:
    """One request under way that may hang; whoever claims it sends the answer and keeps the client."""

    def __init__(self, connection: Connection, request: Request, work: Work) -> None:
        self.connection, self.request, self.work = connection, request, work
        self.due = time.monotonic() + work.seconds
        self._claimed = threading.Lock()

    def claim(self) -> bool:
        """Return whether the caller is the first; the work is then done."""
        first = self._claimed.acquire(blocking=False)
        if first:
            self.work.end()
        return first


class Tickets:
    """All requests under way that may hang."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[Ticket] = set()

    def add(self, ticket: Ticket) -> None:
        """Watch over one."""
        with self._lock:
            self._open.add(ticket)

    def discard(self, ticket: Ticket) -> None:
        """Watch over it no longer."""
        with self._lock:
            self._open.discard(ticket)

    def wait(self, most: float) -> float:
        """Return the seconds until one is due, at most `most`."""
        if not self._open:
            return most
        with self._lock:
            due = min((ticket.due for ticket in self._open), default=None)
        return most if due is None else min(max(due - time.monotonic(), 0.0), most)

    def late(self) -> list[Ticket]:
        """Take out those that are due."""
        if not self._open:
            return []
        now = time.monotonic()
        with self._lock:
            found = [ticket for ticket in self._open if ticket.due <= now]
            self._open.difference_update(found)
        return found
