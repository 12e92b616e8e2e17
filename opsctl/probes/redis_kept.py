"""One connection to a Redis that is kept between looks, for whoever looks again and again.

A look that ends late, or whose connection broke, closes it; the next one then opens its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opsctl.probes.redis_protocol import AuthenticationError, EndingReply, NoConnection, TimedOut
from opsctl.probes.remembering import for_metrics, memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from opsctl.probes.base import ProbeContext
    from opsctl.probes.redis_client import RedisClient

CHECK_SECONDS = 30.0
"""How often a new login is tried beside a kept connection where no password is known that could be
said again: a password that was set since shows then."""
LATE_SECONDS = 0.4
"""So much later than due a look may still keep its connection; nobody has given it up by then."""
STEP_SECONDS = 0.25
"""A connection has one time-out for its life: those of two looks count as the same within such a step."""


@dataclass
class Kept:
    """A client with its one connection between two looks."""

    client: RedisClient
    key: int
    checked: float


def patience(seconds: float) -> float:
    """Return the time-out for a connection that may take so long, in steps."""
    return max(int(seconds / STEP_SECONDS) * STEP_SECONDS, min(seconds, STEP_SECONDS))


class Line:
    """The client of one look: a kept one where there is one, else a new one.

    Args:
        context: of the look.
        make: makes a client with a time-out in seconds.
        login: what the connection depends on (address, user, password).
        password: said again over a kept connection; None where there is none.
    """

    def __init__(
        self,
        context: ProbeContext,
        make: Callable[[float], RedisClient],
        login: tuple[str, ...],
        password: tuple[str, ...] | None,
    ) -> None:
        self._context, self._make, self._password = context, make, password
        store = memory(context) if for_metrics(context) else None
        self._store: dict[str, Any] | None = store
        seconds = patience(context.left * 0.65)
        self._key = hash((login, seconds))
        kept: Kept | None = store.pop("client", None) if store is not None else None
        if kept is not None and kept.key != self._key:
            kept.client.close()
            kept = None
        self.reused = kept is not None
        self._kept = kept or Kept(make(seconds), self._key, time.monotonic())

    @property
    def client(self) -> RedisClient:
        """The client to ask."""
        return self._kept.client

    def greet(self) -> float:
        """Log in again over a kept connection, then PING; return how long the PING took in seconds.

        A kept connection that is broken or stale is replaced by a new one.

        Raises:
            RedisError: no PONG.
        """
        if self.reused:
            try:
                self._log_in()
                return self._ping()
            except AuthenticationError:
                raise
            except (NoConnection, TimedOut, EndingReply):
                self.client.close()
                self._kept = Kept(
                    self._make(patience(self._context.left * 0.65)), self._key, time.monotonic()
                )
                self.reused = False
        return self._ping()

    def end(self, good: bool) -> None:
        """Keep the connection for the next look, or close it: also where this look is late."""
        late = time.monotonic() > self._context.ends + LATE_SECONDS
        if self._store is None or late or not good or "client" in self._store:
            self.client.close()
        else:
            self._store["client"] = self._kept

    def _ping(self) -> float:
        began = time.monotonic()
        self.client.command("PING")
        return time.monotonic() - began

    def _log_in(self) -> None:
        """Say who we are again: the server does not ask those who are in, whatever has changed."""
        if self._password is not None:
            self.client.command("AUTH", *self._password)
        elif time.monotonic() - self._kept.checked >= CHECK_SECONDS:
            other = self._make(patience(self._context.left * 0.4))
            try:
                other.command("PING")
            finally:
                other.close()
            self._kept.checked = time.monotonic()
