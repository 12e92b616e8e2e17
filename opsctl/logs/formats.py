"""From one line to the head of an entry: its time, level and message. Pure; never raises.

A line that is not a head belongs to the entry above it: tracebacks, stack traces, DETAIL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.logs import times
from opsctl.logs.heads import LEVELS, Head, level_of
from opsctl.logs.json_format import json_head
from opsctl.logs.patterns import Pattern
from opsctl.logs.signs import route_of

if TYPE_CHECKING:
    from collections.abc import Callable

_WORDS = "|".join(sorted(LEVELS, key=len, reverse=True))
_LEADING_LEVEL = Pattern(rf"(?i)[\[<(]?({_WORDS})[\])>]?(?::|\s+\||\s+-|\s{{2,}}|\]|(?<=[\])>]))\s*")
_INNER_LEVEL = Pattern(rf"(?:^|[\s\[|:(.])({_WORDS.upper()})(?=[\s\]|:),]|$)")
_SPACES = " \t|,-:"
_STATUS_5XX = Pattern(r'"\s5\d\d(?:\s|$)')
_STATUS = Pattern(r'HTTP/\d(?:\.\d)?"\s(\d{3})(?:\s|$)')


def plain(line: str) -> Head | None:
    """A line of no format in particular: a time and a level where they can be found."""
    moment = times.leading(line)
    rest = line[moment.end :] if moment else line
    leading = _LEADING_LEVEL.match(rest.lstrip(_SPACES))
    if leading is not None:
        stripped = rest.lstrip(_SPACES)
        level, message = level_of(leading.group(1)), stripped[leading.end() :]
    elif moment is not None:
        inner = _INNER_LEVEL.search(rest[:160])
        level = level_of(inner.group(1)) if inner else ""
        if not inner and rest[:2] == "# ":  # how redis-server marks a warning
            level = "warning"
        message = rest.lstrip(_SPACES)
        if inner and message.startswith(inner.group(1)):
            message = message[len(inner.group(1)) :].lstrip(_SPACES)
    else:
        return _access(line)
    status = _STATUS.search(message)
    failed = status is not None and status.group(1)[0] == "5"
    if failed and level in ("", "info"):
        level = "error"
    route = route_of(message) if failed else ""
    return Head(moment.seconds if moment else None, bool(moment and moment.naive), level, message, route)


def _access(line: str) -> Head | None:
    """A line of an access log, in nginx's combined format or any that has its time."""
    moment = times.common(line)
    if moment is None:
        return None
    message = line[moment.end :].lstrip("] ")
    if _STATUS_5XX.search(message) is None:
        return Head(moment.seconds, moment.naive, "info", message)
    return Head(moment.seconds, moment.naive, "error", message, route_of(message))


def nginx(line: str) -> Head | None:
    """Access log of nginx log; a 5xx answer counts as an error."""
    return _access(line)


_NGINX_ERROR = Pattern(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(\w+)\] (?:\d+#\d+: )?(?:\*\d+ )?")


def nginx_error(line: str) -> Head | None:
    """Error log of nginx; local time."""
    match = _NGINX_ERROR.match(line)
    moment = times.leading(line)
    if match is None or moment is None:
        return None
    level = "error" if match.group(1) == "crit" else level_of(match.group(1))
    return Head(moment.seconds, moment.naive, level, line[match.end() :])


_LARAVEL = Pattern(r"\[[^\]]{19,35}\] [\w.-]{1,60}?\.([A-Z]{4,9}): ")


def laravel(line: str) -> Head | None:
    """Laravel's log; the stack trace below belongs to its first line."""
    match = _LARAVEL.match(line)
    moment = times.leading(line) if match else None
    if match is None or moment is None:
        return None
    message = line[match.end() :].partition(' {"')[0]
    return Head(moment.seconds, moment.naive, level_of(match.group(1)), message)


_POSTGRES = Pattern(
    r"\b(DEBUG\d?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|STATEMENT|CONTEXT|QUERY|LOCATION):\s+"
)
_JOINING = frozenset({"DETAIL", "HINT", "STATEMENT", "CONTEXT", "QUERY", "LOCATION"})


def postgres(line: str) -> Head | None:
    """PostgreSQL's log with any `log_line_prefix` that begins with a time."""
    moment = times.leading(line)
    if moment is None:
        return None
    match = _POSTGRES.search(line, moment.end, moment.end + 300)
    if match is None:
        return None
    word = match.group(1)
    message = "" if word in ("STATEMENT", "QUERY", "CONTEXT") else line[match.end() :]
    if word == "PANIC":
        message = f"PANIC: {message}"
    level = level_of(word.rstrip("12345"))
    if "was terminated by signal" in message:  # a crash of the server is only worth a LOG to PostgreSQL
        level = "fatal"
    return Head(moment.seconds, moment.naive, level, message, joins=word in _JOINING)


def json_line(line: str) -> Head | None:
    """A line that is one JSON object, in the words of any common logger; others are read as plain."""
    return json_head(line) if line.startswith("{") else plain(line)


READERS: dict[str, Callable[[str], Head | None]] = {
    "plain": plain,
    "uvicorn": plain,
    "json": json_line,
    "nginx": nginx,
    "nginx-error": nginx_error,
    "laravel": laravel,
    "postgres": postgres,
}
