"""Reading the body of a health page or a metrics page. Pure; never raises, always bounded."""

from __future__ import annotations

import json
import re
from typing import Any

from opsctl.facts.http import Dependency

MAX_DEPTH = 6
MAX_DEPENDENCIES = 20
MAX_STATE = 200

_HEALTH_PATH = re.compile(r"(?i)(^|[/_.-])(health|healthz|ready|readyz|live|livez|status|ping|up)([/_.-]|$)")
_CONTAINERS = ("checks", "components", "dependencies", "services", "details", "results", "info", "error")
"""Keys under which the usual health libraries list what they asked."""

_VERDICTS = ("status", "state", "healthy", "health", "ok", "alive", "ready", "success", "up", "connected")
_REASONS = ("message", "error", "output", "detail", "reason", "description")
_BAD = re.compile(
    r"(?i)^(error|err|fail(ed|ing|ure|s)?|down|unhealthy|unavailable|disconnected|critical|crit|dead|refused"
    r"|time(d[ _]?)?out|offline|broken|degraded|unreachable|out[ _]of[ _]service|not[ _](ok|connected|ready"
    r"|healthy|available)|ko|bad|false|no)\b"
)
_DEPENDENCY = re.compile(
    r"(?i)(^|_)(db|database|postgres\w*|pg|mysql|mongo\w*|redis|cache|queue|broker|kafka|rabbit\w*|celery"
    r"|storage|s3|smtp|mail|elastic\w*|search|telegram|bot|backend|api|worker)(_|$)"
)
_METRIC_LINE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^\n]*\})?[ \t]+(\S+)", re.M)
_FAMILY = re.compile(r"^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (?:histogram|summary)\s*$", re.M)
_STATUS_LABEL = re.compile(r'(?:^|[{,])\s*(?:status|code|status_code|http_status)="([1-5])(?:\d\d|xx)"')
_REQUEST_COUNTERS = ("http_requests_total", "http_server_requests_total", "requests_total")


def bad_dependencies(body: str, path: str) -> list[Dependency]:
    """Return what a health body calls bad, by name; empty where it is not a health body.

    Understands `{"status": "error"}`, `{"database": "error"}`, `{"checks": {"db": {"status":
    "down"}}}`, lists of checks and the draft `application/health+json`.

    Args:
        body: the body, cut at any length.
        path: path of the URL; only pages that look like a health page are judged by plain keys.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return []
    if not isinstance(document, dict):
        return []
    if not _HEALTH_PATH.search(path) and not any(
        isinstance(document.get(key), (dict, list)) for key in ("checks", "components", "dependencies")
    ):
        return []
    found: dict[str, str] = {}
    _object(document, "", found, 0, listed=False)
    overall = found.pop("", None)
    if not found and overall is not None:
        found["status"] = overall
    return [
        Dependency(name=name[:80], state=state[:MAX_STATE])
        for name, state in list(found.items())[:MAX_DEPENDENCIES]
    ]


def _object(value: dict[str, Any], name: str, found: dict[str, str], depth: int, listed: bool) -> None:
    """Judge one JSON object; `listed` says that its keys are names of things checked."""
    if depth > MAX_DEPTH or len(found) > MAX_DEPENDENCIES:
        return
    for key, item in value.items():
        word = key.lower()
        if not listed and word in _VERDICTS:
            if _is_bad(item):
                found[name] = _words(item, value)
        elif isinstance(item, dict):
            plain = word in _CONTAINERS
            _object(item, name if plain else key, found, depth + 1, listed=plain)
        elif isinstance(item, list) and (listed or word in _CONTAINERS):
            _list(item, key if listed else name, found, depth + 1)
        elif (listed or _DEPENDENCY.search(word)) and _is_bad(item):
            found[key] = _words(item, {})


def _list(items: list[Any], name: str, found: dict[str, str], depth: int) -> None:
    for item in items[:100]:
        if isinstance(item, dict):
            own = item.get("name") or item.get("component") or item.get("id") or name
            _object(item, str(own), found, depth, listed=False)


def _is_bad(value: Any) -> bool:
    if isinstance(value, bool):
        return not value
    return isinstance(value, str) and bool(_BAD.match(value.strip()))


def _words(value: Any, around: dict[str, Any]) -> str:
    said = str(value).lower() if isinstance(value, bool) else str(value)
    reason = next((around[key] for key in _REASONS if isinstance(around.get(key), str)), "")
    return " ".join((f"{said}: {reason}" if reason and reason != said else said).split())


def excerpt(body: str, length: int = 200) -> str:
    """Return the beginning of a body on one line, tags taken out of HTML."""
    text = body[:20000]
    if re.match(r"\s*<", text):
        text = re.sub(r"(?is)<(script|style)\b.*?(</\1>|\Z)|<[^>]*>", " ", text)
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def metric_names(body: str) -> set[str]:
    """Return the names of the series on a page of metrics, and of the histograms and summaries."""
    series = {match.group(1) for match in _METRIC_LINE.finditer(body)}
    families = {match.group(1) for match in _FAMILY.finditer(body)}
    return series | {name for name in families if f"{name}_count" in series}


def request_counts(body: str) -> tuple[float, float] | None:
    """Return (requests, of them 5xx) since the application started; None where it does not count them."""
    total = errors = 0.0
    seen = False
    for match in _METRIC_LINE.finditer(body):
        name, labels, text = match.groups()
        status = _STATUS_LABEL.search(labels or "")
        if name not in _REQUEST_COUNTERS or status is None:
            continue
        try:
            value = float(text)
        except ValueError:
            continue
        if not 0 <= value < 1e18:
            continue
        seen = True
        total += value
        errors += value if status.group(1) == "5" else 0
    return (total, errors) if seen else None
