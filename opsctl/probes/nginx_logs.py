"""Reading nginx's error log and access log. Pure; never raises, always bounded."""

from __future__ import annotations

import re
from calendar import timegm
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from opsctl.facts.nginx import LogErrors, Refusal
from opsctl.logs.signs import CLIENT_CLOSED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WINDOW_SECONDS = 60.0
"""Older than this is not current."""

NEWEST = 10
MAX_LINE = 4096
QUARTER_HOUR = 900
_NO_ANSWER = (429, int(CLIENT_CLOSED))
"""Status codes below 500 that do not show that a request was answered."""

_ERROR_LINE = re.compile(
    r"^(\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d) \[([a-z]+)\] (\d+)#\d+: (?:\*\d+ )?(.*)$"
)
_CLIENT = re.compile(r", client: ([^,\s]+)")
_REQUEST = re.compile(r', request: "[A-Z]+ ([^ "?]*)')
_UPSTREAM = re.compile(r', upstream: "(?:[a-z]+://)?(unix:[^:"]+|\[[^\]]*\]:\d+|[^/":]+(?::\d+)?)')

_HOST = re.compile(r', host: "([^"]*)"')
_FILE = re.compile(r'"(/[^"]*)"')
_REFUSALS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("500", re.compile(r"^rewrite or internal redirection cycle")),
    (
        "403",
        re.compile(
            r'^directory index of "[^"]*" is forbidden|^access forbidden by rule'
            r'|^(?:open|stat|opendir)\(\) "[^"]*" failed \(13: |^"[^"]*" is forbidden \(13: '
        ),
    ),
    (
        "404",
        re.compile(
            r'^(?:open|stat|opendir)\(\) "[^"]*" failed \((?:2|20|36|40): '
            r'|^"[^"]*" is not found \((?:2|20|36|40): '
        ),
    ),
)
"""What nginx says where it refuses a page by itself, by the status code that it then answers."""

GONE = "upstream-gone"
CLASSES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("upstream-timeout", re.compile(r"upstream timed out \(110")),
    (
        "upstream-refused",
        re.compile(
            r"connect\(\) (?:to \S+ )?failed \(.*while connecting to upstream|no live upstreams"
            r"|upstream prematurely closed connection"
            r"|(?:recv|readv)\(\) failed \(104: .*upstream"
        ),
    ),
    (
        "connections",
        re.compile(r"\d+ worker_connections are not enough|(?:accept4?|socket)\(\) failed \(24: "),
    ),
    (
        "cache-full",
        re.compile(
            r"failed \(28: [^)]*\) while reading upstream"
            r"|no memory in cache keys zone|node in cache keys zone"
        ),
    ),
    (
        "log-write",
        re.compile(r'^write\(\) to "[^"]*" (?:failed|was incomplete)|^open\(\) "[^"]*log[^"]*" failed'),
    ),
    ("limited", re.compile(r"^limiting (?:requests|connections)(?!, dry run)")),
)
"""Classes of error log lines, the first that fits counts."""

_ACCESS_LINE = re.compile(
    r"^(\S+) \S+ .*?\[(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\] "
    r'"(?:[A-Z]+ )?([^ "?]*)[^"]*" (\d{3}) (?:\d+|-)(?: "[^"]*" "((?:[^"\\]|\\.)*)")?'
)
_MONTHS = {
    name: number
    for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)  # noqa: SIM905
}


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """One classified line of the error log; `at` is unix seconds."""

    at: float
    name: str
    text: str
    client: str = ""
    path: str = ""
    upstream: str = ""
    worker: int = 0


@dataclass(frozen=True, slots=True)
class AccessLine:
    """One request of the access log."""

    at: float
    client: str
    path: str
    status: int
    agent: str


@dataclass(slots=True)
class Traffic:
    """What the access log's window holds; opsctl's own requests are left out of the counts."""

    seconds: float = 0.0
    requests: int = 0
    errors: int = 0
    limited: int = 0
    clients: int = 0
    newest_errors: int = 0
    worst_path: str = ""
    unparsed: int = 0
    lines: list[AccessLine] = field(default_factory=list)


def zone_offset(text: str, modified_at: float) -> int | None:
    """Return how many seconds the error log's clock is ahead of UTC; None where it cannot be told.

    The log has no zone of its own, and nginx may run in another than we do. Its last line was
    written when the file was last modified, so the difference of the two is the offset.
    """
    for line in reversed(text[-20000:].splitlines()):
        match = _ERROR_LINE.match(line[:MAX_LINE])
        at = _naive(match) if match else None
        if at is not None:
            offset = round((at - modified_at) / QUARTER_HOUR) * QUARTER_HOUR
            return offset if -12 * 3600 <= offset <= 14 * 3600 else None
    return None


def utc_seconds(year: str, month: int | str, *rest: str) -> float | None:
    """Return year, month, day, hour, minute and second as unix seconds; None where there is no such day."""
    day, hour, minute, second = (int(part) for part in rest)
    try:
        return float(timegm((int(year), int(month), day, hour, minute, second, 0, 0, 0)))
    except (ValueError, OverflowError):
        return None


def _naive(match: re.Match[str]) -> float | None:
    year, month, *rest = match.groups()[:6]
    return utc_seconds(year, month, *rest)


def error_lines(text: str, offset: int, now: float) -> list[ErrorLine]:
    """Return the classified lines of the last minute, oldest first."""
    found: list[ErrorLine] = []
    for line in reversed(text.splitlines()):
        match = _ERROR_LINE.match(line[:MAX_LINE])
        at = _naive(match) if match else None
        if match is None or at is None:
            continue
        at -= offset
        if at < now - WINDOW_SECONDS:
            break
        words = match.group(9)
        name = next((name for name, pattern in CLASSES if pattern.search(words)), "")
        if name:
            client, path, upstream = (_part(pattern, words) for pattern in (_CLIENT, _REQUEST, _UPSTREAM))
            worker = int(match.group(8)[:10])
            found.append(
                ErrorLine(at, name, words[:300], client, path, upstream.removeprefix("unix:"), worker)
            )
    return found[::-1]


def without_gone(lines: Iterable[ErrorLine], is_gone: Callable[[ErrorLine], bool]) -> list[ErrorLine]:
    """Return the lines, those about servers that requests are no longer passed to in a class of their own."""
    return [replace(line, name=GONE) if line.upstream and is_gone(line) else line for line in lines]


def refusals(
    text: str, offset: int, now: float, wanted: Callable[[str, str], bool], most: int = 50
) -> list[Refusal]:
    """Return why nginx itself did not serve pages in the last minute, newest first.

    Args:
        text: the end of the error log.
        offset: of its clock, in seconds ahead of UTC.
        now: unix seconds.
        wanted: says whether a page (host, path) is worth knowing of: strangers ask for anything.
        most: of them that are returned.
    """
    found: dict[tuple[str, str, str], Refusal] = {}
    for line in reversed(text.splitlines()):
        match = _ERROR_LINE.match(line[:MAX_LINE])
        at = _naive(match) if match else None
        if match is None or at is None:
            continue
        if at - offset < now - WINDOW_SECONDS:
            break
        words = match.group(9)
        status = next((status for status, pattern in _REFUSALS if pattern.search(words)), "")
        path, host = _part(_REQUEST, words), _part(_HOST, words)
        if not status or not wanted(host, path):
            continue
        key = (host, path, status)
        if key in found:
            found[key] = msgspec.structs.replace(found[key], count=found[key].count + 1)
        elif len(found) < most:
            reason = words.partition(", client: ")[0][:300]
            file = _part(_FILE, reason)
            found[key] = Refusal(host=host, path=path, status=status, count=1, reason=reason, file=file)
    return list(found.values())


def _part(pattern: re.Pattern[str], words: str) -> str:
    match = pattern.search(words)
    return match.group(1)[:200] if match else ""


def access_line(line: str) -> AccessLine | None:
    """Return one line of the common or combined format, None where it is in another."""
    match = _ACCESS_LINE.match(line[:MAX_LINE])
    if match is None:
        return None
    client, day, month, year, hour, minute, second, sign, hours, minutes, path, status, agent = match.groups()
    at = utc_seconds(year, _MONTHS.get(month, 0), day, hour, minute, second)
    if at is None:
        return None
    shift = int(hours) * 3600 + int(minutes) * 60
    return AccessLine(
        at - shift if sign == "+" else at + shift,
        client[:80],
        path[:200],
        int(status),
        (agent or "")[:80],
    )


def traffic(text: str, now: float, own_agent: str) -> Traffic:
    """Return what the last minute of an access log holds."""
    result = Traffic()
    clients: set[str] = set()
    failing: dict[str, int] = {}
    for line in reversed(text.splitlines()):
        if not line.strip():
            continue
        entry = access_line(line)
        if entry is None:
            result.unparsed += 1
            if result.unparsed > 1000:
                break
            continue
        if entry.at < now - WINDOW_SECONDS:
            break
        result.lines.append(entry)
        result.seconds = max(now - entry.at, result.seconds)
        if entry.agent.startswith(own_agent):
            continue
        if entry.status >= 500:
            result.errors += 1
            result.newest_errors += result.requests < NEWEST
            failing[entry.path] = failing.get(entry.path, 0) + 1
        result.limited += entry.status == 429
        result.requests += 1
        clients.add(entry.client)
    result.lines.reverse()
    result.clients = len(clients)
    result.worst_path = max(failing, key=lambda path: failing[path], default="")
    return result


def grouped(lines: Iterable[ErrorLine], requests: list[AccessLine] | None) -> list[LogErrors]:
    """Return the error lines by class, and whether a later request to the same place went well.

    Args:
        lines: of the error log, oldest first.
        requests: of the access log, oldest first; None where it could not be read.
    """
    classes: dict[str, list[ErrorLine]] = {}
    for line in lines:
        classes.setdefault(line.name, []).append(line)
    _passed_over(classes)
    return [
        LogErrors(
            name=name,
            count=len(items),
            clients=len({item.client for item in items if item.client}),
            last_at=items[-1].at,
            followed_by_success=None if requests is None else _over(items, requests),
            example=items[-1].text,
            upstreams=list(dict.fromkeys(item.upstream for item in reversed(items) if item.upstream))[:10],
        )
        for name, items in classes.items()
    ]


def _passed_over(classes: dict[str, list[ErrorLine]]) -> None:
    """Count "no live upstreams" under what made nginx pass its servers over.

    It says so when each of them has failed within `fail_timeout`; where all that they did was to
    keep it waiting, nobody refused anything.
    """
    refused, silent = classes.get("upstream-refused", []), classes.get("upstream-timeout", [])
    if silent and refused and all(line.text.startswith("no live upstreams") for line in refused):
        del classes["upstream-refused"]
        classes["upstream-timeout"] = sorted([*silent, *refused], key=lambda line: line.at)


def _over(items: list[ErrorLine], requests: list[AccessLine]) -> bool:
    """Return whether every path that failed has since been answered without a server error.

    A client that was turned away, or went away before, was not answered.
    """
    last: dict[str, float] = {}
    for item in items:
        last[item.path] = item.at
    good: dict[str, float] = {}
    newest = 0.0
    for request in requests:
        if request.status < 500 and request.status not in _NO_ANSWER:
            good[request.path] = max(request.at, good.get(request.path, 0.0))
            newest = max(newest, request.at)
    return all((good.get(path, 0.0) if path else newest) > at for path, at in last.items())


_ACTIVE = re.compile(r"Active connections:\s*(\d{1,18})")
_TOTALS = re.compile(r"\n\s*(\d{1,18})\s+(\d{1,18})\s+(\d{1,18})\s*\n")
_STATES = re.compile(r"Reading:\s*(\d{1,18})\s+Writing:\s*(\d{1,18})\s+Waiting:\s*(\d{1,18})")


def status_page(text: str) -> dict[str, int]:
    """Return the numbers of a stub_status page; empty where it is none."""
    active, totals, states = _ACTIVE.search(text), _TOTALS.search(text), _STATES.search(text)
    if not (active and totals and states):
        return {}
    return {
        "connections_active": int(active.group(1)),
        "connections_accepted": int(totals.group(1)),
        "connections_handled": int(totals.group(2)),
        "requests": int(totals.group(3)),
        "connections_reading": int(states.group(1)),
        "connections_writing": int(states.group(2)),
        "connections_waiting": int(states.group(3)),
    }


def config_verdict(text: str) -> tuple[bool | None, str]:
    """Return what `nginx -t` says, run without the right to write: (valid, its words).

    After "syntax is ok" it tries to open its pid file and logs and is refused, which says
    nothing against the files; a log folder that does not exist does. None: it could not
    read something, so nothing can be said.
    """
    failure = re.search(r"\[(?:emerg|crit)\] (.*)", text)
    words = failure.group(1).strip()[:300] if failure else ""
    refused = bool(re.search(r"\((?:1|13|30|98): ", words))
    if "syntax is ok" in text:
        return (True, "") if not words or refused else (False, words)
    if refused:
        return None, words
    return (False, words) if words else (None, " ".join(text.split())[:300])
