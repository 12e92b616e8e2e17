"""When an entry was written, where its line does not say. Pure.

What can be known: an entry is not older than the entry before it and not younger than the one
after it; a file's last line is as old as the file's last change. Where these bounds leave open
whether an entry is of now, it stays undated: it proves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.logs.times import zone_offset

if TYPE_CHECKING:
    from opsctl.logs.entries import Entry

NOW_SECONDS = 60.0
"""What is younger than this can be happening now."""


def date(entries: list[Entry], now: float, written_at: float | None) -> None:
    """Give entries their times, and mark those whose time cannot be told, in place.

    Args:
        entries: of one log, in the order in which they were written.
        now: unix seconds.
        written_at: when the file was last changed, None where it is no file.
    """
    if written_at is not None:
        _with_zone(entries, written_at)
        if entries and entries[-1].time is None:
            entries[-1].time = written_at
    latest = _latest(entries, now if written_at is None else min(written_at, now))
    earliest: float | None = None
    for entry, most in zip(entries, latest, strict=True):
        if entry.time is not None:
            earliest = entry.time
        elif earliest is not None and (
            most - earliest <= NOW_SECONDS or most < now - NOW_SECONDS or earliest >= now - NOW_SECONDS
        ):
            entry.time = earliest
        else:
            entry.undated = most >= now - NOW_SECONDS


def _latest(entries: list[Entry], end: float) -> list[float]:
    """Return by when each entry was written at the latest."""
    result: list[float] = []
    for entry in reversed(entries):
        end = entry.time if entry.time is not None else end
        result.append(end)
    result.reverse()
    return result


def _with_zone(entries: list[Entry], written_at: float) -> None:
    """Shift times without a zone to UTC: the last of them tells which zone was meant."""
    last = next((item.time for item in reversed(entries) if item.naive and item.time), None)
    offset = zone_offset(last, written_at) if last is not None else 0
    if offset:
        for entry in entries:
            if entry.naive and entry.time is not None:
                entry.time -= offset
