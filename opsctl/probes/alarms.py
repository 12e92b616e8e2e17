"""Calls at a moment, all from one thread: a thread for each would cost more than what it watches over."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_numbers = itertools.count()


class Alarm:
    """A call that will be made unless it is cancelled before."""

    __slots__ = ("at", "call")

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Do not call; harmless where it has been called."""
        self.call = None


class _Clock:
    """The thread and what it waits for; it is only woken for what comes earlier than all it knows."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._wakes = math.inf
        self._thread: threading.Thread | None = None

    def add(self, alarm: Alarm) -> None:
        with self._changed:
            heapq.heappush(self._alarms, (alarm.at, next(_numbers), alarm))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)
                self._thread.start()
            elif alarm.at < self._wakes:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            call = self._next()
            with contextlib.suppress(Exception):  # one that fails must not cost the others theirs
                call()

    def _next(self) -> Callable[[], None]:
        with self._changed:
            while True:
                while self._alarms and self._alarms[0][2].call is None:
                    heapq.heappop(self._alarms)
                self._wakes = self._alarms[0][0] if self._alarms else math.inf
                left = self._wakes - time.monotonic()
                if left > 0:
                    self._changed.wait(left if left < threading.TIMEOUT_MAX else None)
                    continue
                call = heapq.heappop(self._alarms)[2].call
                if call is not None:
                    return call


_clock = _Clock()


def _anew() -> None:
    global _clock
    _clock = _Clock()  # the thread is not there after a fork


os.register_at_fork(after_in_child=_anew)


def call_later(seconds: float, call: Callable[[], None]) -> Alarm:
    """Call after `seconds` unless the alarm is cancelled; the call must not wait for anything."""
    alarm = Alarm(time.monotonic() + max(seconds, 0.0), call)
    _clock.add(alarm)
    return alarm
