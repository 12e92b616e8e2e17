"""A log line that is one JSON object, in the words of any common logger. Pure; never raises.

Understood: python-json-logger, structlog, loguru, pino, bunyan, winston, Monolog, zap, slog, the
Elastic Common Schema and OpenTelemetry's names, flat or nested.
"""

from __future__ import annotations

import json
from typing import Any

from opsctl.logs import times
from opsctl.logs.heads import MAX_LINE, Head, level_of
from opsctl.logs.signs import json_route

_TIME_KEYS = ("timestamp", "time", "ts", "@timestamp", "asctime", "datetime", "date", "created", "t")
_LEVEL_KEYS = ("level", "severity", "levelname", "log.level", "lvl", "error_severity", "level_name")
_MESSAGE_KEYS = ("message", "msg", "event", "text", "log")
_ERROR_KEYS = (
    "exc_info", "exception", "traceback", "error", "err", "stack", "stack_trace", "exc_text",
    "exception.stacktrace", "error.stack_trace",
)  # fmt: skip
_STATUS_KEYS = ("status", "status_code", "http_status", "response_status")
_PATH_KEYS = ("path", "url", "uri", "route")
_NESTED = ("record", "context", "attributes", "fields", "extra", "log")
"""Where loggers put their own fields one level down."""
_TYPE_KEYS = ("type", "name", "class", "exc_type", "kind")
_WORDS_KEYS = ("message", "msg", "exc_value", "value")
_CAUSE_KEYS = ("previous", "cause", "inner", "causes", "exceptions")
_MAX_DEPTH = 5
_PYTHON_LEVELS = ((50, "fatal"), (40, "error"), (30, "warning"), (20, "info"))
_NODE_LEVELS = ((60, "fatal"), (50, "error"), (40, "warning"), (30, "info"))


def json_head(line: str) -> Head | None:
    """Return what a line says; None where it is no JSON object."""
    try:
        value = json.loads(line)
        if "\\ud" in line or "\\uD" in line:  # perhaps half an emoji, which is no text that can be written
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    moment = _time(value)
    level = _level(value)
    status = _first(value, _STATUS_KEYS)
    failed = str(status).isdecimal() and 500 <= int(str(status)[:9]) <= 599
    if failed and level in ("", "info"):
        level = "error"
    message = _text(_find(value, _MESSAGE_KEYS))
    error = _error(value)
    path = _text(_first(value, _PATH_KEYS))
    if error and error not in message:
        message = f"{message}\n{error}" if message else error
    if status is not None and not error:
        message = f"{message} {path} {status}".strip()
    if not level and error:
        level = "error"
    route = json_route(path) if failed else ""
    return Head(moment.seconds if moment else None, bool(moment and moment.naive), level, message, route)


def _first(value: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((value[key] for key in keys if value.get(key) not in (None, "", False, [], {})), None)


def _find(value: dict[str, Any], keys: tuple[str, ...]) -> Any:
    """Return the first of the keys that says something, at the top or one level down."""
    found = _first(value, keys)
    if found is not None and not (isinstance(found, dict) and keys is _MESSAGE_KEYS):
        return found
    for name in _NESTED:
        inner = value.get(name)
        if isinstance(inner, dict):
            deeper = _first(inner, keys)
            if deeper is not None:
                return deeper
    return found


def _error(value: dict[str, Any]) -> str:
    """Return what the line says of an exception, its own line last; empty where it says nothing."""
    found = _find(value, _ERROR_KEYS)
    if found is True:  # the logger was asked for the exception and did not write it
        found = None
    text = _text(found)
    for prefix in ("exception", "error"):
        flat = [_text(value.get(f"{prefix}.{part}")) for part in ("type", "message")]
        if any(flat):
            last = ": ".join(part for part in flat if part)
            return f"{text}\n{last}" if text and last not in text else text or last
    return text


def _text(value: Any, depth: int = 0) -> str:
    """Return a value as text; an exception as one line, with those that led to it below."""
    if value is None or depth > _MAX_DEPTH:
        return ""
    if isinstance(value, str):
        return value[:MAX_LINE]
    if isinstance(value, dict):
        return _of_object(value, depth)[:MAX_LINE]
    if isinstance(value, list):
        return "\n".join(filter(None, (_text(item, depth + 1) for item in value[:50])))[:MAX_LINE]
    return str(value)[:MAX_LINE]


def _of_object(value: dict[str, Any], depth: int) -> str:
    parts = [_text(_first(value, keys), depth + 1) for keys in (_TYPE_KEYS, _WORDS_KEYS)]
    joined = ": ".join(part for part in parts if part)
    if not joined:
        stack = _text(_first(value, ("stack", "stacktrace", "traceback")), depth + 1)
        return stack or _dumped(value)
    cause = _text(_first(value, _CAUSE_KEYS), depth + 1)
    return f"{joined}\n{cause}" if cause else joined


def _dumped(value: dict[str, Any]) -> str:
    try:
        return json.dumps(value, default=str)
    except (ValueError, RecursionError):
        return ""


def _time(value: dict[str, Any]) -> times.Moment | None:
    found = _find(value, _TIME_KEYS)
    if isinstance(found, dict):  # loguru's {"repr": …, "timestamp": …}
        found = found.get("timestamp")
    if isinstance(found, bool):
        return None
    if isinstance(found, (int, float)):
        return times.unix(float(found))
    return times.parse(found) if isinstance(found, str) else None


def _level(value: dict[str, Any]) -> str:
    found = _find(value, _LEVEL_KEYS)
    if isinstance(found, dict):
        found = found.get("name", "")
    named = value.get("level_name")
    if isinstance(named, str) and level_of(named):  # Monolog's numbers are of a scale of its own
        return level_of(named)
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        node = any(key in value for key in ("pid", "hostname", "v"))  # pino and bunyan: 50 is error
        scale = _NODE_LEVELS if node else _PYTHON_LEVELS
        return next((name for least, name in scale if found >= least), "debug")
    return level_of(found) if isinstance(found, str) else ""
