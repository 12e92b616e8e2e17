"""Finding the time at the beginning of a log line. Pure; never raises.

A time without a zone is counted as if it were UTC and marked naive; `zone_offset` says later by
how much that was wrong.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from opsctl.logs.patterns import Pattern

if TYPE_CHECKING:
    import re

_NAMES = "jan feb mar apr may jun jul aug sep oct nov dec"
MONTHS = {name: number for number, name in enumerate(_NAMES.split(), start=1)}
_UTC_NAMES = frozenset({"Z", "z", "UTC", "GMT", "UCT", "Etc/UTC"})

ISO = (
    r"(?P<date>\d{4}[-/]\d\d[-/]\d\d)[T ](?P<clock>\d\d:\d\d:\d\d)(?P<fraction>[.,]\d{1,9})?"
    r" ?(?P<zone>Z\b|UTC\b|GMT\b|[+-]\d\d:?\d\d\b|(?:(?<= )[A-Z]{3,5}\b(?= \[)))?"
)
_ISO = Pattern(rf"\[?{ISO}\]?[,:]?\s?")
_COMMON = Pattern(
    r"(?P<day>\d\d)/(?P<month>[A-Z][a-z]{2})/(?P<year>\d{4}):(?P<clock>\d\d:\d\d:\d\d) (?P<zone>[+-]\d{4})"
)
_REDIS = Pattern(
    r"(?:\d+:[A-Z] )?(?P<day>\d\d) (?P<month>[A-Z][a-z]{2}) (?P<year>\d{4}) (?P<clock>\d\d:\d\d:\d\d)"
    r"(?P<fraction>\.\d{1,6})?\s?"
)
_PHP = Pattern(
    r"\[(?P<day>\d\d)-(?P<month>[A-Z][a-z]{2})-(?P<year>\d{4}) (?P<clock>\d\d:\d\d:\d\d)"
    r"(?P<fraction>\.\d{1,6})?(?: (?P<zone>[A-Za-z_/+0-9:-]{1,40}))?\]\s?"
)


class Moment(NamedTuple):
    """A time found in a line: unix seconds, whether its zone is a guess, and where the text goes on."""

    seconds: float
    naive: bool
    end: int


def leading(line: str) -> Moment | None:
    """Return the time that a line begins with, None where it begins with something else."""
    head = line[:1]
    if head.isdecimal() or head == "[":
        for pattern, read in ((_ISO, _from_iso), (_REDIS, _from_names), (_PHP, _from_names)):
            match = pattern.match(line)
            if match is not None:
                return read(match)
    return None


def common(line: str, start: int = 0) -> Moment | None:
    """Return the first `[21/Nov/2026:04:09:14 +0000]` time of an access log line."""
    match = _COMMON.search(line, start, start + 600)
    return _from_names(match) if match else None


def parse(text: str) -> Moment | None:
    """Return the time of a text that is one: ISO 8601, or unix seconds, milliseconds, microseconds."""
    match = _ISO.match(text)
    if match is not None:
        return _from_iso(match)
    try:
        return unix(float(text))
    except ValueError:
        return None


def unix(number: float) -> Moment | None:
    """Return the time of a number whose size tells its unit, for the years 2001 to 2096."""
    for divisor in (1.0, 1e3, 1e6, 1e9):
        if 1e9 <= number / divisor < 4e9:
            return Moment(number / divisor, False, 0)
    return None


def _from_iso(match: re.Match[str]) -> Moment | None:
    date = match["date"].replace("/", "-")
    return _moment(date, match["clock"], match["fraction"], match["zone"], match.end())


def _from_names(match: re.Match[str]) -> Moment | None:
    groups = match.groupdict()
    month = MONTHS.get(match["month"].lower())
    if month is None:
        return None
    date = f"{match['year']}-{month:02d}-{match['day']}"
    return _moment(date, match["clock"], groups.get("fraction"), groups.get("zone"), match.end())


def _moment(date: str, clock: str, fraction: str | None, zone: str | None, end: int) -> Moment | None:
    whole = _seconds(date, clock)
    if whole is None:
        return None
    part = float(f"0.{fraction[1:]}") if fraction else 0.0
    offset = _zone_seconds(zone)
    return Moment(whole + part - (offset or 0), offset is None, end)


@lru_cache(4096)
def _seconds(date: str, clock: str) -> int | None:
    """Return unix seconds of a UTC date and clock; consecutive lines share most of them."""
    try:
        return int(datetime.fromisoformat(f"{date}T{clock}").replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        return None


def _zone_seconds(zone: str | None) -> int | None:
    """Return a zone's seconds east of UTC, None where it is not given or only a local name."""
    if not zone:
        return None
    if zone in _UTC_NAMES:
        return 0
    if zone[0] in "+-":
        digits = zone[1:].replace(":", "")
        if not (digits.isdecimal() and len(digits) == 4):
            return None
        seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
        return -seconds if zone[0] == "-" else seconds
    return local_offset() if zone in time.tzname else None


def local_offset(at: float | None = None) -> int:
    """Return this machine's seconds east of UTC."""
    return time.localtime(at).tm_gmtoff


def zone_offset(last_naive: float, written_at: float) -> int:
    """Return by how many seconds naive times run ahead of UTC: 0 or this machine's offset.

    The file's last entry was written when the file was last changed: the reading that puts it
    nearer to that moment is the right one. Frameworks log in UTC or in local time as they please.
    """
    local = local_offset(written_at)
    return min((local, 0), key=lambda offset: abs(last_naive - offset - written_at))
