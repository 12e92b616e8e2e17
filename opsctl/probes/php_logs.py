"""Reading PHP-FPM's status page and log, and Laravel's log. Pure; never raises, always bounded."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from opsctl.facts.php import LoggedErrors
from opsctl.probes.nginx_logs import utc_seconds

WINDOW_SECONDS = 120.0
"""Older errors are not current."""

QUARTER_HOUR = 900
MAX_LINE = 4096

_STATUS_FIELDS = {
    "listen queue": "listen_queue",
    "max listen queue": "max_listen_queue",
    "idle processes": "idle_processes",
    "active processes": "active_processes",
    "total processes": "total_processes",
    "max children reached": "max_children_reached",
    "accepted conn": "accepted_connections",
    "slow requests": "slow_requests",
}
_TIME = r"^\[(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)[^\]]*\] "
_LARAVEL_ANY = re.compile(_TIME)
_LARAVEL = re.compile(_TIME + r"[\w.-]+\.(ERROR|CRITICAL|ALERT|EMERGENCY): (.*)$")
_FPM = re.compile(r"^\[(\d\d)-([A-Z][a-z]{2})-(\d{4}) (\d\d):(\d\d):(\d\d)(?:\.\d+)?\] ([A-Z]+): (.*)$")
_FPM_ERROR = re.compile(
    r"exited on signal (?:4|6|7|8|11)\b|execution timed out|PHP (?:Fatal|Parse) error|^\[pool .*\] .*Fatal"
)
_MAX_CHILDREN = re.compile(r"reached (?:pm\.)?max_children setting|reached max children setting")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def status_values(body: bytes) -> dict[str, Any]:
    """Return the fields of `PhpFacts` that a JSON status page holds; empty where it is none."""
    try:
        page = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(page, dict) or "pool" not in page:
        return {}
    values: dict[str, Any] = {
        field: page[name]
        for name, field in _STATUS_FIELDS.items()
        if isinstance(page.get(name), int) and not isinstance(page[name], bool)
    }
    return values | {"pool": str(page["pool"])[:80], "manager": str(page.get("process manager", ""))[:20]}


def key_verdict(key: str) -> bool:
    """Return whether an APP_KEY has a length that Laravel's ciphers take: 16 or 32 bytes."""
    if not key.startswith("base64:"):
        return len(key.encode()) in (16, 32)
    try:
        return len(base64.b64decode(key[7:], validate=True)) in (16, 32)
    except (binascii.Error, ValueError):
        return False


def _seconds(match: re.Match[str]) -> float | None:
    year, month, *rest = match.groups()[:6]
    return utc_seconds(year, month, *rest)


def _fpm_seconds(match: re.Match[str]) -> float | None:
    day, month, year, *rest = match.groups()[:6]
    return utc_seconds(year, _MONTHS.index(month) + 1, day, *rest) if month in _MONTHS else None


def _offset(last: float | None, modified_at: float) -> float:
    """Return how far the log's clock is ahead of UTC: its last line was written when the file changed."""
    if last is None:
        return 0.0
    offset = round((last - modified_at) / QUARTER_HOUR) * QUARTER_HOUR
    return float(offset) if -12 * 3600 <= offset <= 14 * 3600 else 0.0


def laravel_errors(text: str, name: str, modified_at: float, now: float) -> LoggedErrors:
    """Return the errors of the last two minutes of a laravel.log."""
    lines = text.splitlines()
    last = None
    for line in reversed(lines):
        match = _LARAVEL_ANY.match(line[:100])
        last = _seconds(match) if match else None
        if last is not None:
            break
    offset = _offset(last, modified_at)
    found: list[tuple[float, str]] = []
    for line in reversed(lines):
        match = _LARAVEL.match(line[:MAX_LINE])
        at = _seconds(match) if match else None
        if match is None or at is None:
            continue
        at -= offset
        if at < now - WINDOW_SECONDS:
            break
        found.append((at, match.group(8)))
    return _logged(name, found)


def fpm_errors(text: str, name: str, modified_at: float, now: float) -> tuple[LoggedErrors, float | None]:
    """Return the errors of the last two minutes of PHP-FPM's log, and when max_children was last reached."""
    entries: list[tuple[float, str]] = []
    for line in text.splitlines():
        match = _FPM.match(line[:MAX_LINE])
        at = _fpm_seconds(match) if match else None
        if match and at is not None:
            entries.append((at, match.group(8)))
    offset = _offset(entries[-1][0] if entries else None, modified_at)
    full = next((at - offset for at, words in reversed(entries) if _MAX_CHILDREN.search(words)), None)
    found = [
        (at - offset, words)
        for at, words in reversed(entries)
        if at - offset >= now - WINDOW_SECONDS and _FPM_ERROR.search(words)
    ]
    return _logged(name, found), full


def _logged(name: str, found: list[tuple[float, str]]) -> LoggedErrors:
    return LoggedErrors(
        log=name,
        count=len(found),
        last_at=found[0][0] if found else None,
        example=found[0][1][:300] if found else "",
    )
