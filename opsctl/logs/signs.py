"""Signs that what failed works again: good answers to the same request, words of recovery. Pure.

One success proves little where failures are rare: counts are kept so that the run of good signs
since the last error can be compared with the runs between the errors before.
"""

from __future__ import annotations

import re

from opsctl.logs.patterns import Pattern

MAX_ROUTES = 8
"""Routes that are watched at once; further ones have only the clock."""
MAX_ROUTE = 200
API_VERSION = Pattern(r"v\d{1,3}(?:\.\d{1,3}){0,2}\Z", re.IGNORECASE)
"""A part of a path that holds a number and yet is the same in every request."""

_REQUEST = Pattern(r'"([A-Z]{3,7} /[^ ?"]{0,300})[^"]{0,2000}"\s(\d{3})(?:\s|$)')
_REQUESTED = Pattern(r'request: "([A-Z]{3,7} /[^ ?"]{0,300})')
_JSON_STATUS = Pattern(r'"\w{0,20}status\w{0,20}":\s?"?([234]\d\d)\b')
_BACK = (
    "connection established",
    "connection restored",
    "reconnected",
    "connected to ",
    "started streaming",
)
_NOT_BACK = ("not connected", "disconnected", "lost", "retry", "trying to", "will be")
_READY = "ready to accept connections"
_STARTED = (
    "startup complete",
    _READY,
    "start worker process",
    "resuming normal operations",
)
_STOPS = ("shutting down", "is shut down", "was shut down", "was interrupted")
_STARTING = ("the database system is starting up", "the database system is not yet accepting connections")
CLIENT_CLOSED = "499"
"""How nginx logs a request whose client did not wait for the answer."""


def route_of(message: str) -> str:
    """Return what tells an access log's request from others, empty where the line is of no request.

    It is the beginning of what stands in the log: `"GET /orders`; up to the first part of the
    path that holds a digit, since numbers change from request to request. An API's version does not.
    """
    return _route(_REQUEST.search(message))


def requested_route(message: str) -> str:
    """Return the same of a line of nginx' error log, which names the request that it is about."""
    return _route(_REQUESTED.search(message))


def json_route(path: str) -> str:
    """Return the same of a JSON log's path."""
    return f'"{_without_numbers(path.partition("?")[0])}' if path.startswith("/") else ""


def _route(match: re.Match[str] | None) -> str:
    return f'"{_without_numbers(match.group(1))}' if match else ""


def _without_numbers(path: str) -> str:
    parts = path[:MAX_ROUTE].split("/")
    for at, part in enumerate(parts):
        if any(character.isdigit() for character in part) and not API_VERSION.match(part):
            return "/".join([*parts[:at], ""])
    return "/".join(parts)


class Signs:
    """Counts good signs in one log, once something has failed in it.

    `passed` are the good answers by route, `back` and `started` the words of connections that
    are there again and of processes that have started.
    """

    def __init__(self) -> None:
        self.active = False
        self.passed: dict[str, int] = {}
        self.back = self.started = 0
        self._ready = False

    def failed(self, route: str) -> None:
        """Watch the route of a request that failed."""
        if route and len(self.passed) < MAX_ROUTES:
            self.passed.setdefault(route, 0)

    def see(self, text: str) -> None:
        """Take in a line that tells of no failure."""
        for route in self.passed:
            if _answered(text, route):
                self.passed[route] += 1
        lowered = text[:400].lower()
        if "start" in lowered or "ready" in lowered or "resuming" in lowered:
            started = any(word in lowered for word in _STARTED)
            self.started += started
            self.back += started
            self._ready = self._ready or _READY in lowered
        if "shut" in lowered or "interrupted" in lowered:
            self._ready = self._ready and not any(word in lowered for word in _STOPS)
        if ("connect" in lowered or "streaming" in lowered) and _is_back(lowered):
            self.back += 1

    def came_late(self, text: str) -> bool:
        """Return whether a line belongs before the last words of a start.

        A session of PostgreSQL that came while it was starting says so after the server has said that it
        is ready, some milliseconds later.
        """
        return self._ready and is_starting(text)


def is_starting(text: str) -> bool:
    """Return whether a line says that PostgreSQL does not take sessions yet."""
    return any(words in text for words in _STARTING)


def _is_back(lowered: str) -> bool:
    return any(word in lowered for word in _BACK) and not any(word in lowered for word in _NOT_BACK)


def _answered(text: str, route: str) -> bool:
    """Return whether a line is of the route and shows that it was answered."""
    at = text.find(route)
    if at < 0:
        return False
    end = at + len(route)
    if route[-1] != "/" and text[end : end + 1] not in (" ", "?", '"'):
        return False
    if route[1] == "/":
        status = _JSON_STATUS.search(text)
        return status is not None and status.group(1) != CLIENT_CLOSED
    closed = text.find('" ', end)
    status_text = text[closed + 2 : closed + 5]
    return closed > 0 and status_text[:1] in ("2", "3", "4") and status_text != CLIENT_CLOSED
