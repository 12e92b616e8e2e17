"""Work that may hang, at most once at a time per key, in a bounded number of threads.

A second asker shares the flight that is in the air. What has not landed when it was due is given up:
nobody waits for it any more, its thread is replaced, and only `MOST_LOST` of a key may hang at once.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

MOST_LOST = 2
"""How many threads one key may have lost. Beyond that it is not tried again until one comes back."""
RETRY_SECONDS = 30.0
"""How long after giving a flight up the next one may start beside it."""
GRACE_SECONDS = 0.5
"""How much later than due a flight is given up."""


class Flight:
    """One piece of work under way; `value` and `error` are set once it has landed."""

    def __init__(self, work: Callable[[], Any], seconds: float) -> None:
        self.work: Callable[[], Any] | None = work
        self.began = time.monotonic()
        self.due = self.began + seconds + GRACE_SECONDS
        self.landed = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None
        self.started = self.lost = False


class Flights:
    """A pool of daemon threads, and what is under way in it by key.

    Args:
        size: how many threads work at once; those that hang are not counted.
        name: what the threads are called.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size, self._name = size, name
        self._changed = threading.Condition()
        self._waiting: deque[Flight] = deque()
        self._threads = self._idle = self._lost = 0
        self._under_way: dict[Hashable, list[Flight]] = {}

    @property
    def lost(self) -> int:
        """How many threads hang."""
        return self._lost

    def start(self, key: Hashable, work: Callable[[], Any], seconds: float) -> Flight:
        """Return the flight of this key that is under way, else start one.

        Args:
            key: what is looked at.
            work: called in a thread of the pool.
            seconds: when it should have landed.
        """
        with self._changed:
            known = [flight for flight in self._under_way.get(key, []) if not flight.landed.is_set()]
            if known and not self._may_start_beside(known):
                return known[-1]
            flight = Flight(work, seconds)
            self._under_way[key] = [*known, flight]
            self._waiting.append(flight)
            if self._idle < len(self._waiting) and self._threads - self._lost < self._size:
                self._more()
            else:
                self._changed.notify()
            return flight

    def wait(self, flight: Flight, until: float) -> bool:
        """Wait for a flight until a moment of the monotonic clock; return whether it has landed."""
        if flight.lost:
            return flight.landed.is_set()
        if flight.landed.wait(max(min(until, flight.due) - time.monotonic(), 0)):
            return True
        if time.monotonic() >= flight.due:
            self._give_up(flight)
        return flight.landed.is_set()

    def _may_start_beside(self, known: list[Flight]) -> bool:
        newest = known[-1]
        waited = time.monotonic() - newest.due
        return newest.lost and len(known) <= MOST_LOST and waited > RETRY_SECONDS

    def _give_up(self, flight: Flight) -> None:
        with self._changed:
            if flight.landed.is_set() or flight.lost:
                return
            if not flight.started:  # no thread was free: nothing hangs, it is only forgotten
                self._waiting.remove(flight)
                flight.work = None
                flight.landed.set()
                flight.error = TimeoutError("no thread was free")
                return
            flight.lost = True
            self._lost += 1
            if self._waiting:
                self._more()

    def _more(self) -> None:
        self._threads += 1
        threading.Thread(target=self._run, name=f"{self._name}-{self._threads}", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._threads - self._lost > self._size:  # one that hung came back
                    self._threads -= 1
                    return
                while not self._waiting:
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                flight = self._waiting.popleft()
                flight.started = True
                work, flight.work = flight.work, None
            try:
                assert work is not None
                flight.value = work()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the flight
                flight.error = error
            with self._changed:
                flight.landed.set()
                if flight.lost:
                    self._lost -= 1
