"""Turning answers and logs of Prometheus and Alertmanager into the records of `MonitoringFacts`. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from opsctl.facts.monitoring import RuleGroup, ScrapeTarget, SendFailure
from opsctl.logs import times

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opsctl.logs.entries import Line

MAX_TARGETS = 200
MAX_GROUPS = 100
MAX_FAILURES = 30
Points = list[tuple[float, float]]
"""[(time, value)], oldest first."""


def data_of(body: bytes) -> Any:
    """Return `data` of an answer of Prometheus' API; None where it is none, or says "error"."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("status") != "success":
        return None
    return value.get("data")


def _rows(value: Any, key: str) -> list[dict[str, Any]]:
    items = value.get(key) if isinstance(value, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _mapping(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _text(value: Any, most: int = 300) -> str:
    return " ".join(value.split())[:most] if isinstance(value, str) else ""


def targets_of(data: Any) -> tuple[int, list[ScrapeTarget]]:
    """Return how many active targets there are, and their records: those that are down come first."""
    rows = _rows(data, "activeTargets")
    found: list[ScrapeTarget] = []
    for row in rows:
        labels = _mapping(row, "labels")
        url = _text(row.get("scrapeUrl"))
        health = row.get("health")
        found.append(
            ScrapeTarget(
                job=_text(labels.get("job"), 100),
                instance=_text(labels.get("instance"), 200),
                url=shown_url(url),
                address=address_of(url),
                up={"up": True, "down": False}.get(health) if isinstance(health, str) else None,
                interval=duration_seconds(_text(row.get("scrapeInterval"), 20)),
                last_error=reason_text(_text(row.get("lastError"), 2000)),
            )
        )
    found.sort(key=lambda item: (item.up is not False, item.job, item.instance))
    return len(rows), found[:MAX_TARGETS]


def groups_of(data: Any) -> tuple[int, int, list[RuleGroup]]:
    """Return how many rules there are, how many of them alert, and the groups: failing ones come first."""
    total, alerting = 0, 0
    found: list[RuleGroup] = []
    for row in _rows(data, "groups"):
        rules = _rows(row, "rules")
        total += len(rules)
        alerting += sum(1 for rule in rules if rule.get("type") == "alerting")
        failing = [rule for rule in rules if rule.get("health") == "err"]
        found.append(
            RuleGroup(
                name=_text(row.get("name"), 100),
                file=_text(row.get("file")),
                rules=len(rules),
                failing=len(failing),
                failing_rules=[_text(rule.get("name"), 100) for rule in failing[:20]],
                last_error=_text(failing[0].get("lastError")) if failing else "",
            )
        )
    found.sort(key=lambda item: (not item.failing, item.file, item.name))
    return total, alerting, found[:MAX_GROUPS]


def alertmanagers_of(data: Any) -> list[str]:
    """Return the URLs of the Alertmanagers that Prometheus sends to."""
    return [_text(row.get("url")) for row in _rows(data, "activeAlertmanagers")][:20]


def series_of(data: Any, *labels: str) -> dict[tuple[str, ...], Points]:
    """Return the samples of an answer to a query, by the values of some labels."""
    found: dict[tuple[str, ...], Points] = {}
    for row in _rows(data, "result"):
        metric = _mapping(row, "metric")
        values = row.get("values", [row.get("value")])
        points = [_point(pair) for pair in values] if isinstance(values, list) else []
        key = tuple(_text(metric.get(label), 200) for label in labels)
        found.setdefault(key, []).extend(point for point in points if point is not None)
    for series in found.values():
        series.sort()
    return found


def of_instance(series: dict[tuple[str, ...], Points], address: str) -> dict[tuple[str, ...], Points]:
    """Return the series of one instance, without that label, which comes last in their keys.

    It is the one at the address, else the only one: behind a port mapping the two differ.
    """
    instances = {key[-1] for key in series}
    own = {name for name in instances if plain_address(name) == plain_address(address)}
    chosen = own or (instances if len(instances) == 1 else set())
    return {key[:-1]: points for key, points in series.items() if key[-1] in chosen}


def plain_address(address: str) -> str:
    """Return host:port in the one form that all are compared in."""
    host, colon, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if colon and host in ("localhost", "[::1]") else address


def _point(pair: Any) -> tuple[float, float] | None:
    if not isinstance(pair, list) or len(pair) != 2:
        return None
    try:
        at, value = float(pair[0]), float(pair[1])
    except (TypeError, ValueError):
        return None
    return (at, value) if 0 < at < 2**53 and value == value else None


def since_up(samples: Points) -> tuple[int, float | None]:
    """Return how many scrapes failed in a row at the end, and when the last one before went well."""
    failures, last_up = 0, None
    for at, value in samples:
        if value >= 1:
            failures, last_up = 0, at
        else:
            failures += 1
    return failures, last_up


class Outcomes(NamedTuple):
    """When a failure and a success were counted last; the failure came after the sample before it."""

    failed_at: float | None = None
    sent_at: float | None = None
    failed_after: float | None = None


def last_outcomes(attempts: Points, failed: Points) -> Outcomes:
    """Return when a failure and when a success was counted last, from the samples of two totals.

    A total that shrinks was started anew: what it holds then has happened since.
    """
    before: dict[float, float] = dict(failed)
    last_failed = last_sent = failed_after = previous_at = None
    previous: tuple[float, float] | None = None
    for at, tried in attempts:
        if at not in before:
            continue
        bad = before[at]
        if previous is not None:
            new = tried - previous[0] if tried >= previous[0] else tried
            new_bad = bad - previous[1] if bad >= previous[1] else bad
            if new_bad > 0:
                last_failed, failed_after = at, previous_at
            if new > new_bad:
                last_sent = at
        previous, previous_at = (tried, bad), at
    return Outcomes(last_failed, last_sent, failed_after)


_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^}\n]*)\})? ([0-9.eE+-]+|NaN|[+-]Inf)(?: [0-9-]+)?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\.)*)"')


def totals(text: str, name: str, label: str) -> dict[str, int]:
    """Return the samples of one metric in a metrics page, summed by one label; other labels do not count."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        if not line.startswith(name):
            continue
        match = _LINE.match(line)
        if match is None or match[1] != name:
            continue
        value = float(match[3])
        if abs(value) < 2**53:
            key = dict(_LABEL.findall(match[2] or "")).get(label, "")[:200]
            found[key] = found.get(key, 0) + int(value)
    return found


def version_of(text: str) -> str:
    """Return the version that a metrics page tells of its program."""
    match = re.search(r'^(?:prometheus|alertmanager)_build_info\{[^}\n]*version="([^"\n]{1,40})"', text, re.M)
    return match[1] if match else ""


_DURATION = re.compile(r"(\d{1,9})(ms|[smhdwy])")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


def duration_seconds(text: str) -> float | None:
    """Return the seconds of a duration of Prometheus (`1m30s`), None where it is none."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return float(sum(int(number) * _UNITS[unit] for number, unit in parts))


_GROUP_INTERVAL = re.compile(r"^[ -]*group_interval: *([0-9a-z]{1,20})\s*$", re.M)


def group_interval(config: str) -> float | None:
    """Return the longest `group_interval` of Alertmanager's configuration, in seconds."""
    found = [duration_seconds(text) for text in _GROUP_INTERVAL.findall(config)]
    return max((seconds for seconds in found if seconds is not None), default=None)


_URL = re.compile(r"(https?)://(?:[^\s/\"'\\@]{0,200}@)?([^\s/\"'\\?#]{1,255})[^\s\"'\\]*")
_REQUEST = re.compile(r'\b(?:Get|Post|Put|Head) "https?://[^"\n]{0,300}": ')
"""Go's words for a request that failed, before those that say how."""
_DIALLED = re.compile(r"dial (?:tcp|udp) (\[[0-9a-f:]{2,45}\]:\d{1,5}|[^\s:]{1,255}:\d{1,5})")


def reason_text(text: str) -> str:
    """Return an error's words without the paths of URLs: tokens of bots and hooks stand there."""
    plain = _URL.sub(r"\1://\2", text.replace('\\"', '"'))
    return _text(_REQUEST.sub("", plain, count=1)) or _text(plain)


def shown_url(url: str) -> str:
    """Return a URL without user, password and query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"[:300] if host else ""


def address_of(text: str) -> str:
    """Return host:port of the first URL in a text, else of what was dialled; empty where none is named."""
    match = _URL.search(text)
    if match is None:
        dialled = _DIALLED.search(text)
        return dialled[1] if dialled else ""
    host = match[2]
    named = re.search(r":\d{1,5}$", host)
    return host if named else f"{host}:{443 if match[1] == 'https' else 80}"


_FIELD = re.compile(r'([A-Za-z_][A-Za-z0-9_]{0,40})=("(?:[^"\\]|\\.)*"?|\S*)')
_FAILED = re.compile(r"(?:\A|; )([^/;\n]{1,200})/([a-z0-9_-]{1,40}\[\d{1,4}\]): ")
_CANCELLED = re.compile(
    r"\Anotify retry canceled (?:due to unrecoverable error )?(?:after \d{1,9} attempts?)?:? ?"
)


def fields_of(line: str) -> dict[str, str]:
    """Return the fields of a log line of either program, in logfmt or JSON."""
    text = line.strip()[:8000]
    if text.startswith("{"):
        try:
            value = msgspec.json.decode(text.encode("utf-8", "replace"))
        except (msgspec.DecodeError, RecursionError):
            return {}
        return {str(key): str(item) for key, item in value.items()} if isinstance(value, dict) else {}
    found: dict[str, str] = {}
    for key, item in _FIELD.findall(text):
        if item.startswith('"'):
            item = re.sub(r"\\(.)", lambda match: " " if match[1] in "nt" else match[1], item.strip('"'))
        found.setdefault(key, item)
    return found


def failures_of(lines: Iterable[Line], since: float) -> list[SendFailure]:
    """Return the last failure, and the last success, of each way out that the log tells of.

    Args:
        lines: in the order in which they were written.
        since: older lines do not count (unix seconds).
    """
    found: dict[tuple[str, str], SendFailure] = {}

    def note(receiver: str, integration: str, **values: Any) -> None:
        key = (receiver[:200], integration[:200])
        if key in found or len(found) < MAX_FAILURES:
            known = found.get(key) or SendFailure(receiver=key[0], integration=key[1])
            found[key] = msgspec.structs.replace(known, **values)

    for line in lines:
        if "Notify" not in line.text and "sending alert" not in line.text:
            continue
        fields = fields_of(line.text)
        moment = times.parse(fields.get("ts") or fields.get("time") or "")
        at = moment.seconds if moment else line.time
        words, error = fields.get("msg", ""), fields.get("err", "") or fields.get("error", "")
        if at is None or at < since:
            continue
        if words.startswith("Notify success"):
            note(fields.get("receiver", ""), fields.get("integration", ""), sent_at=at)
        elif words.startswith("Error sending alert"):
            url = fields.get("alertmanager", "")
            note("", shown_url(url) or url, failed_at=at, reason=reason_text(error), address=address_of(url))
        elif words.startswith("Notify attempt failed"):
            note(fields.get("receiver", ""), fields.get("integration", ""), **_failure(at, error))
        elif words.startswith("Notify for alerts failed"):
            starts = list(_FAILED.finditer(error))
            for number, match in enumerate(starts):
                end = starts[number + 1].start() if number + 1 < len(starts) else len(error)
                reason = _CANCELLED.sub("", error[match.end() : end])
                if "context canceled" not in reason:  # it was stopped or reloaded meanwhile
                    note(match[1], match[2], **_failure(at, reason))
    return list(found.values())


def _failure(at: float, reason: str) -> dict[str, Any]:
    return {"failed_at": at, "reason": reason_text(reason), "address": address_of(reason)}
