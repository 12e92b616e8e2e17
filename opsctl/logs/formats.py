"""From one line to the head of an entry: its time, level and message. Pure; never raises.

A line that is not a head belongs to the entry above it: tracebacks, stack traces, DETAIL.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from opsctl.logs import times

if TYPE_CHECKING:
    from collections.abc import Callable

ERROR_LEVELS = frozenset({"error", "fatal"})
_LEVELS = {
    "trace": "debug", "debug": "debug", "verbose": "debug", "info": "info", "information": "info",
    "notice": "info", "log": "info", "statement": "info", "success": "info", "warn": "warning",
    "warning": "warning", "err": "error", "error": "error", "severe": "error",
    "fatal": "fatal", "critical": "fatal", "crit": "fatal", "alert": "fatal", "emerg": "fatal",
    "emergency": "fatal", "panic": "fatal",
}  # fmt: skip
MAX_LINE = 8192
"""Characters of a line that are looked at."""


class Head(NamedTuple):
    """What the first line of an entry says.

    `level` is debug, info, warning, error, fatal, or empty where the line does not say.
    `joins` marks a line that has a head of its own and yet belongs to the entry above.
    """

    time: float | None
    naive: bool
    level: str
    message: str
    joins: bool = False


def level_of(word: str) -> str:
    """Return the level that a word of any logger means, empty where it is none."""
    return _LEVELS.get(word.strip().lower(), "")


_WORDS = "|".join(sorted(_LEVELS, key=len, reverse=True))
_LEADING_LEVEL = re.compile(rf"(?i)[\[<(]?({_WORDS})[\])>]?(?::|\s+\||\s+-|\s{{2,}}|\]|(?<=[\])>]))\s*")
_INNER_LEVEL = re.compile(rf"(?:^|[\s\[|:(.])({_WORDS.upper()})(?=[\s\]|:),]|$)")
_SPACES = " \t|,-:"
_STATUS_5XX = re.compile(r'"\s5\d\d(?:\s|$)')
_STATUS = re.compile(r'HTTP/\d(?:\.\d)?"\s(\d{3})(?:\s|$)')


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
    if status is not None and status.group(1)[0] == "5" and level in ("", "info"):
        level = "error"
    return Head(moment.seconds if moment else None, bool(moment and moment.naive), level, message)


def _access(line: str) -> Head | None:
    """A line of an access log, in nginx's combined format or any that has its time."""
    moment = times.common(line)
    if moment is None:
        return None
    level = "error" if _STATUS_5XX.search(line, moment.end) else "info"
    return Head(moment.seconds, moment.naive, level, line[moment.end :].lstrip("] "))


def nginx(line: str) -> Head | None:
    """Access log of nginx log; a 5xx answer counts as an error."""
    return _access(line)


_NGINX_ERROR = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(\w+)\] (?:\d+#\d+: )?(?:\*\d+ )?")


def nginx_error(line: str) -> Head | None:
    """Error log of nginx; local time."""
    match = _NGINX_ERROR.match(line)
    moment = times.leading(line)
    if match is None or moment is None:
        return None
    level = "error" if match.group(1) == "crit" else level_of(match.group(1))
    return Head(moment.seconds, moment.naive, level, line[match.end() :])


_LARAVEL = re.compile(r"\[[^\]]{19,35}\] [\w.-]{1,60}?\.([A-Z]{4,9}): ")


def laravel(line: str) -> Head | None:
    """Laravel's log; the stack trace below belongs to its first line."""
    match = _LARAVEL.match(line)
    moment = times.leading(line) if match else None
    if match is None or moment is None:
        return None
    message = line[match.end() :].partition(' {"')[0]
    return Head(moment.seconds, moment.naive, level_of(match.group(1)), message)


_POSTGRES = re.compile(
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
    return Head(moment.seconds, moment.naive, level, message, word in _JOINING)


_TIME_KEYS = ("timestamp", "time", "ts", "@timestamp", "asctime", "datetime", "date", "created", "t")
_LEVEL_KEYS = ("level", "severity", "levelname", "log.level", "lvl", "error_severity", "level_name")
_MESSAGE_KEYS = ("message", "msg", "event", "text", "log")
_ERROR_KEYS = ("exc_info", "exception", "traceback", "error", "err", "stack", "stack_trace", "exc_text")
_STATUS_KEYS = ("status", "status_code", "http_status", "response_status")
_NUMBERED = ((60, "fatal"), (50, "error"), (40, "warning"), (30, "info"))


def json_line(line: str) -> Head | None:
    """A line that is one JSON object, in the words of any common logger."""
    if not line.startswith("{"):
        return plain(line)
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    moment = _json_time(value)
    level = _json_level(value)
    status = _first(value, _STATUS_KEYS)
    if level in ("", "info") and str(status).isdecimal() and 500 <= int(str(status)) <= 599:
        level = "error"
    message = _text(_first(value, _MESSAGE_KEYS))
    error = _text(_first(value, _ERROR_KEYS))
    if error and error not in message:
        message = f"{message}\n{error}" if message else error
    if status is not None and not error:
        path = _text(_first(value, ("path", "url", "uri", "route")))
        message = f"{message} {path} {status}".strip()
    if not level and error:
        level = "error"
    return Head(moment.seconds if moment else None, bool(moment and moment.naive), level, message)


def _first(value: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((value[key] for key in keys if value.get(key) not in (None, "", False, [], {})), None)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value[:MAX_LINE]
    if isinstance(value, dict):
        parts = [_text(_first(value, ("type", "name", "class"))), _text(_first(value, ("message", "msg")))]
        stack = _text(_first(value, ("stack", "stacktrace", "traceback")))
        joined = ": ".join(part for part in parts if part)
        return joined or stack or json.dumps(value, default=str)[:MAX_LINE]
    if isinstance(value, list):
        return "\n".join(_text(item) for item in value[:50])[:MAX_LINE]
    return str(value)


def _json_time(value: dict[str, Any]) -> times.Moment | None:
    found = _first(value, _TIME_KEYS)
    if isinstance(found, bool):
        return None
    if isinstance(found, (int, float)):
        return times.unix(float(found))
    return times.parse(found) if isinstance(found, str) else None


def _json_level(value: dict[str, Any]) -> str:
    found = _first(value, _LEVEL_KEYS)
    if isinstance(found, dict):
        found = found.get("name", "")
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        python = not any(key in value for key in ("pid", "hostname", "v"))  # pino and bunyan: 50 is error
        scale = ((50, "fatal"), (40, "error"), (30, "warning"), (20, "info")) if python else _NUMBERED
        return next((name for least, name in scale if found >= least), "debug")
    return level_of(found) if isinstance(found, str) else ""


READERS: dict[str, Callable[[str], Head | None]] = {
    "plain": plain,
    "uvicorn": plain,
    "json": json_line,
    "nginx": nginx,
    "nginx-error": nginx_error,
    "laravel": laravel,
    "postgres": postgres,
}
