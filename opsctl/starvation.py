"""Whether this machine let a probe run: without a processor, an answer that was there goes unread.

A probe that is kept waiting sees time-outs of its own making. Nothing can then be said of the
target, and saying "hung" would blame the innocent.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opsctl.facts.base import Facts

STARVED_SHARE = 0.5
"""Of a probe's time spent ready to run and not running. With less, a target that works had longer than
half of the probe's 3 s to answer; with more, not even a database driver (0.2 s of work) got imported."""


class Clock:
    """Measures how long the calling thread was kept waiting for a processor; made and read in that thread."""

    def __init__(self) -> None:
        self._began, self._counts = time.monotonic(), _counters.own.taken()

    def kept_waiting(self) -> tuple[float, float]:
        """Return the seconds spent waiting for a processor, and those that passed in all."""
        waited = _run_delay(_counters.own.counts()) - _run_delay(self._counts)
        passed = time.monotonic() - self._began
        return min(max(waited, 0.0), passed), passed


def read_ahead() -> None:
    """Read now what the next `Clock` of this thread begins with, as the thread will only wait until then.

    Waiting for something to do counts as nothing, so nobody need wait for the reading later; only that the
    thread was woken late is counted as well.
    """
    own = _counters.own
    own.ahead = own.counts()


class _Counter:
    """The kernel's counts of one thread, kept open: opening them takes longer than many a look."""

    def __init__(self) -> None:
        self.ahead = b""
        self._number = -1
        with contextlib.suppress(OSError):
            self._number = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)

    def taken(self) -> bytes:
        """Return what was read ahead, once, or what the kernel says now."""
        ahead, self.ahead = self.ahead, b""
        return ahead or self.counts()

    def counts(self) -> bytes:
        """Return what the kernel says now; nothing where it does not count."""
        try:
            return os.pread(self._number, 100, 0)
        except OSError:
            return b""

    def __del__(self) -> None:
        """Give the descriptor back; the thread has ended."""
        if self._number >= 0:
            with contextlib.suppress(OSError):
                os.close(self._number)


def _run_delay(counts: bytes) -> float:
    """Return the seconds that a thread has waited for processors; read only where it matters."""
    fields = counts.split()
    return int(fields[1]) / 1e9 if len(fields) > 1 else 0.0


class _Counters(threading.local):
    """Each thread's own."""

    def __init__(self) -> None:
        self.own = _Counter()


_counters = _Counters()


def starved(facts: Facts, clock: Clock) -> str:
    """Return in words why a time-out proves nothing; empty where the target did answer, or had its chance."""
    if facts.up or getattr(getattr(facts, "connection", None), "state", "") != "timeout":
        return ""
    waited, passed = clock.kept_waiting()
    if waited < STARVED_SHARE * passed:
        return ""
    return f"no answer in {passed:.1f} s, of which opsctl itself waited {waited:.1f} s for a processor"
