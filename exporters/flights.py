"""Work that may hang, at most once at a time per key, in a bounded number of threads.

A second asker shares the flight that is in the air. What has not landed when it was due is given up:
nobody waits for it any more, its thread is replaced, and only `MOST_LOST` of a key may hang at once.
"""

from __future__ import annotations

import contextlib
import math
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
_LOOK_SECONDS = 0.1
"""How often it is looked whether a flight that waits for a thread has one, and whether others hang."""


class _Landing:
    """Happens once; what threading.Event does, for a fraction of its cost: one lock, let through."""

    def __init__(self) -> None:
        self._done = False
        self._closed = threading.Lock()
        self._closed.acquire()

    def set(self) -> None:
        """Let all through; called once."""
        self._done = True
        self._closed.release()

    def is_set(self) -> bool:
        """Return whether it has happened."""
        return self._done

    def wait(self, seconds: float) -> bool:
        """Wait for it; return whether it has happened."""
        if not self._done and self._closed.acquire(timeout=seconds):
            self._closed.release()
        return self._done


class Flight:
    """One piece of work under way; `value` and `error` are set once it has landed."""

    def __init__(
        self, key: Hashable, work: Callable[[], Any], seconds: float, borrowed: bool = False
    ) -> None:
        self.key = key
        self.work: Callable[[], Any] | None = work
        self.borrowed = borrowed
        """Whether its thread is not of the pool."""
        self.began = time.monotonic()
        self.due = math.inf
        self.seconds = seconds
        self.landed = _Landing()
        self.value: Any = None
        self.error: BaseException | None = None
        self.lost = False
        self.missed = False
        """Whether somebody has waited for it in vain."""

    def start(self) -> None:
        """Count from now on: waiting for a free thread is not hanging."""
        self.due = time.monotonic() + self.seconds + GRACE_SECONDS

    def fly(self) -> None:
        """Do the work; whatever is raised belongs to whoever waits for the flight."""
        work, self.work = self.work, None
        try:
            assert work is not None
            self.value = work()
        except BaseException as error:  # noqa: BLE001 - the thread goes on
            self.error = error


class Flights:
    """A pool of daemon threads, and what is under way in it by key.

    Args:
        size: how many threads work at once; those that hang are not counted.
        name: what the threads are called.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size, self._name = size, name
        self._lock = threading.RLock()
        """For what follows; `with` on the condition would take two calls more."""
        self._changed = threading.Condition(self._lock)
        self._waiting: deque[Flight] = deque()
        self._threads = self._idle = self._lost = self._lost_borrowed = 0
        self._look_at = 0.0
        self._under_way: dict[Hashable, list[Flight]] = {}

    @property
    def lost(self) -> int:
        """How many threads hang."""
        return self._lost + self._lost_borrowed

    def here(self, key: Hashable, work: Callable[[], Any], seconds: float) -> Flight | None:
        """Fly in the calling thread, which may hang, and return the flight; None where one is under way.

        Args:
            key: what is looked at.
            work: called at once.
            seconds: how long after now it should have landed; others who ask wait no longer for it.
        """
        with self._lock:
            if key in self._under_way:
                return None
            flight = Flight(key, work, seconds, borrowed=True)
            flight.start()
            self._under_way[key] = [flight]
        flight.fly()
        with self._lock:
            self._land(flight)
            if flight.lost:
                self._lost_borrowed -= 1
        return flight

    def start(self, key: Hashable, work: Callable[[], Any], seconds: float) -> Flight:
        """Return the flight of this key that is under way, else start one.

        Args:
            key: what is looked at.
            work: called in a thread of the pool.
            seconds: how long after its start it should have landed.
        """
        with self._lock:
            known = self._under_way.get(key, [])
            if known and not self._may_start_beside(known):
                return known[-1]
            if self._threads - self._lost >= self._size and time.monotonic() >= self._look_at:
                self._give_up_overdue()
            flight = Flight(key, work, seconds)
            self._under_way[key] = [*known, flight]
            self._waiting.append(flight)
            if self._idle < len(self._waiting) and self._threads - self._lost < self._size:
                self._more()
            else:
                self._changed.notify()
            return flight

    def wait(self, flight: Flight, until: float) -> bool:
        """Wait for a flight until a moment of the monotonic clock; return whether it has landed."""
        while not flight.lost:
            left = min(until, flight.due) - time.monotonic()
            if flight.landed.wait(max(min(left, _LOOK_SECONDS if flight.due == math.inf else left), 0)):
                return True
            now = time.monotonic()
            if now >= flight.due:
                self._give_up(flight)
            elif now >= until:
                break
        return flight.landed.is_set()

    def _land(self, flight: Flight) -> None:
        """Let those that wait through, and forget the flight."""
        flight.landed.set()
        left = [other for other in self._under_way[flight.key] if other is not flight]
        if left:
            self._under_way[flight.key] = left
        else:
            del self._under_way[flight.key]

    def _may_start_beside(self, known: list[Flight]) -> bool:
        newest = known[-1]
        waited = time.monotonic() - newest.due
        return newest.lost and len(known) <= MOST_LOST and waited > RETRY_SECONDS

    def _give_up(self, flight: Flight) -> None:
        with self._lock:
            if flight.landed.is_set() or flight.lost:
                return
            flight.lost = True
            if flight.borrowed:
                self._lost_borrowed += 1
                return
            self._lost += 1
            if self._waiting:
                self._more()

    def _give_up_overdue(self) -> None:
        """Give up what hangs and is not waited for any more: it must not hold the last threads."""
        now = time.monotonic()
        self._look_at = now + _LOOK_SECONDS  # all are gone through: not once for each of many targets
        for flight in [flight for known in self._under_way.values() for flight in known]:
            if flight.due <= now:
                self._give_up(flight)

    def _more(self) -> None:
        thread = threading.Thread(target=self._run, name=f"{self._name}-{self._threads}", daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread is to be had: one that is there will do it
            thread.start()
            self._threads += 1

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._threads - self._lost > self._size:  # one that hung came back
                    self._threads -= 1
                    return
                while not self._waiting:
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                flight = self._waiting.popleft()
                flight.start()
            flight.fly()
            with self._lock:
                self._land(flight)
                if flight.lost:
                    self._lost -= 1
            del flight  # with all that it has brought
