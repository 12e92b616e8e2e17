"""Another thread answers where one hangs: who looks by itself need not hand every look to somebody else."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporters.application import Application
    from exporters.connections import Connection
    from exporters.requests import Answer, Request


@dataclass(frozen=True)
class Relief:
    """How requests are answered that may hang.

    Args:
        seconds: for how long a request may be under way; 0 where it cannot hang.
        first: answers in the thread that has read the request.
        instead: answers when the first has hung so long; does not hang.
    """

    seconds: Callable[[Request], float]
    first: Callable[[Request], Answer]
    instead: Callable[[Request], Answer]


def relief_of(application: Application) -> Relief:
    """Return how an application's requests are answered that may hang."""
    return Relief(application.may_take, application.answer_here, application.answer_instead)


class Ticket:
    """One request under way that may hang; whoever claims it sends the answer and keeps the client."""

    def __init__(self, connection: Connection, request: Request, due: float) -> None:
        self.connection, self.request, self.due = connection, request, due
        self._claimed = threading.Lock()

    def claim(self) -> bool:
        """Return whether the caller is the first."""
        return self._claimed.acquire(blocking=False)


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
