"""Counting, for each kind of error of one log, what came between its errors and after the last. Pure.

Order is a clock where lines have no time: an error that came every third line and has not come
for a hundred is over.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from opsctl.logs.dating import NOW_SECONDS
from opsctl.logs.signs import is_starting

if TYPE_CHECKING:
    from opsctl.logs.entries import Entry
    from opsctl.logs.signs import Signs

CONCLUSIVE = 10
"""For so many good signs counts one that leaves no doubt."""
REMEMBERED = 10
"""So many of a kind's last errors tell how often it comes."""
_NEIGHBOURS = 3


class Since(NamedTuple):
    """How many since the last error, and the most between two errors."""

    since: int
    between: int

    @property
    def margin(self) -> int:
        """How much longer the last run is than three of the longest before."""
        return self.since - 3 * self.between


class Tally:
    """The counts at which the errors of one kind came in one log."""

    def __init__(self) -> None:
        self._ordinary: deque[int] = deque(maxlen=REMEMBERED)
        self._words: deque[int] = deque(maxlen=REMEMBERED)
        self._routes: dict[str, deque[int]] = {}
        self._last: dict[str, float | None] = {}
        self._startup_only = self._starting = False

    def add(self, ordinary: int, entry: Entry, failing: Entry, startup_only: bool) -> None:
        """Take in one error.

        Args:
            ordinary: entries of the log before it that told of no failure.
            entry: the error.
            failing: the entry that names the request that failed; the error itself, or its neighbour.
            startup_only: only a new start is a word of recovery, a connection is not.
        """
        self._ordinary.append(ordinary)
        self._startup_only = startup_only
        self._starting = is_starting(entry.message)
        self._words.append(entry.started if startup_only else entry.back)
        if failing.route:
            self._routes.setdefault(failing.route, deque(maxlen=REMEMBERED)).append(failing.passed)
            self._last[failing.route] = entry.time

    def ordinary(self, total: int) -> Since:
        """Return the ordinary entries since the last error, and the most between two."""
        return _since(self._ordinary, total)

    def good(self, signs: Signs, now: float) -> Since:
        """Return the good signs since the last error, and the most between two of its errors.

        Of several requests that fail, the one that has recovered least counts, unless words of
        recovery say more.
        """
        words = _since(self._words, signs.started if self._startup_only else signs.back)
        if self._starting:  # who is ready has started
            words = Since(words.since * CONCLUSIVE, words.between)
        routes = [
            _since(counts, signs.passed.get(route, 0))
            for route, counts in self._routes.items()
            if (at := self._last[route]) is None or at >= now - NOW_SECONDS
        ]
        if not routes:
            return words
        worst = min(routes, key=lambda item: item.margin)
        return max(worst, words, key=lambda item: item.margin)


def _since(counts: deque[int], total: int) -> Since:
    numbers = list(counts)
    gaps = [after - before for before, after in itertools.pairwise(numbers)]
    return Since(total - numbers[-1] if numbers else 0, max(gaps, default=0))


def least(runs: list[Since]) -> Since | None:
    """Return the run of the log that has recovered least; None where there is no log."""
    return min(runs, key=lambda item: item.margin, default=None)


def with_request(entries: list[Entry], at: int) -> Entry:
    """Return the entry that names the request that an error is about.

    That is the error itself, or a failed request logged right beside it: servers write the
    answer and the exception one after the other.
    """
    entry = entries[at]
    if entry.route:
        return entry
    for step in (-1, 1):
        for distance in range(1, _NEIGHBOURS + 1):
            place = at + step * distance
            if not 0 <= place < len(entries) or entries[max(place, place - step)].quiet_before:
                break
            if entries[place].route:
                return entries[place]
            if not entries[place].is_error:
                break
    return entry
