"""Counts requests by upstream, route, method and status, and their times, as an access log's lines come.

Bounded in routes, upstreams and series; counts never go down; a line is at most a few dictionary
look-ups, as the same requests come again and again.
"""

from __future__ import annotations

import bisect
import itertools
import re
from typing import TYPE_CHECKING

import msgspec

from opsctl.facts.nginx_traffic import NginxRequests, NginxRoute, NginxUpstreamTime
from opsctl.logs.routes import OTHER, Routes, RoutesState

if TYPE_CHECKING:
    from collections.abc import Callable

    from opsctl.logs.access_formats import Format

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper limits in seconds: the defaults of the Prometheus client libraries."""
_LIMITS = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")
MOST_UPSTREAMS = 32
MOST_SERIES = 2000
MOST_REMEMBERED = 10_000
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_ERROR_LINE = re.compile(rb"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[", re.M)
"""Lines of the error log stand among those of the access log in the output of a container."""


class Times(msgspec.Struct):
    """A histogram: how many fell between two limits, and their sum in seconds."""

    buckets: list[int]
    sum: float = 0.0

    def shown(self) -> dict[str, int]:
        """Return how many were at most each limit."""
        return dict(zip(_LIMITS, itertools.accumulate(self.buckets), strict=True))


class RequestsState(msgspec.Struct, array_like=True):
    """One series of requests."""

    upstream: str
    route: str
    method: str
    status: str
    count: int


class RouteState(msgspec.Struct, array_like=True):
    """Bytes and times of one route and upstream."""

    upstream: str
    route: str
    bytes: int
    times: Times
    timed: bool


class TrafficState(msgspec.Struct, kw_only=True):
    """All that was counted of one nginx."""

    lines: int = 0
    unparsed: int = 0
    requests: list[RequestsState] = []
    routes: list[RouteState] = []
    upstreams: dict[str, Times] = {}
    learned: RoutesState = msgspec.field(default_factory=RoutesState)


def _no_times() -> Times:
    return Times([0] * len(_LIMITS))


class _Slot:
    """Where a request is counted that reads like one that was seen before."""

    __slots__ = ("requests", "route", "upstream")

    def __init__(self, requests: RequestsState, route: RouteState, upstream: Times | None) -> None:
        self.requests, self.route, self.upstream = requests, route, upstream


class TrafficCounter:
    """Counts what access logs say.

    Args:
        state: what another process has counted.
        redact: takes secrets out of a text.
    """

    def __init__(self, state: TrafficState | None = None, redact: Callable[[str], str] = str) -> None:
        state = state or TrafficState()
        self.lines, self.unparsed = state.lines, state.unparsed
        self._requests = {(s.upstream, s.route, s.method, s.status): s for s in state.requests}
        self._by_route = {(s.upstream, s.route): s for s in state.routes}
        self._upstreams = state.upstreams
        self._routes = Routes(state.learned, redact)
        self._slots: dict[tuple[bytes, bytes, bytes], _Slot] = {}
        self._targets: dict[bytes, tuple[str, str]] = {}
        self._names: dict[bytes, str] = {}
        self._durations: dict[bytes, tuple[int, float]] = {}

    def feed(self, data: bytes, format: Format) -> None:
        """Take in whole lines, each with its end, of one format."""
        rows = format.rows(data)
        lines = data.count(b"\n")
        if len(rows) < lines:
            lines -= len(_ERROR_LINE.findall(data)) + data.count(b"\n\n") + data.startswith(b"\n")
            lines = max(lines, len(rows))
            self.unparsed += lines - len(rows)
        self.lines += lines
        slots, durations = self._slots, self._durations
        for target, status, size, time, upstream_time, upstream in rows:
            slot = slots.get((target, status, upstream))
            if slot is None:
                slot = self._slot(target, status, upstream)
            slot.requests.count += 1
            route = slot.route
            if size.isdigit():
                route.bytes += int(size)
            if time:
                duration = durations.get(time) or self._duration(time)
                if duration[0] >= 0:
                    times = route.times
                    times.buckets[duration[0]] += 1
                    times.sum += duration[1]
                    route.timed = True
            if upstream_time and slot.upstream is not None:
                duration = durations.get(upstream_time) or self._duration(upstream_time)
                if duration[0] >= 0:
                    slot.upstream.buckets[duration[0]] += 1
                    slot.upstream.sum += duration[1]

    def requests(self) -> list[NginxRequests]:
        """Return the counts of requests."""
        return [
            NginxRequests(
                upstream=item.upstream,
                route=item.route,
                method=item.method,
                status=item.status,
                count=item.count,
            )
            for item in self._requests.values()
        ]

    def routes(self) -> list[NginxRoute]:
        """Return bytes and times by route; no times where no line had any."""
        return [
            NginxRoute(
                upstream=item.upstream,
                route=item.route,
                bytes=item.bytes,
                buckets=item.times.shown() if item.timed else None,
                sum=item.times.sum if item.timed else None,
                count=sum(item.times.buckets) if item.timed else None,
            )
            for item in self._by_route.values()
        ]

    def upstreams(self) -> list[NginxUpstreamTime]:
        """Return the times of upstreams."""
        return [
            NginxUpstreamTime(upstream=name, buckets=times.shown(), sum=times.sum, count=count)
            for name, times in self._upstreams.items()
            if (count := sum(times.buckets))
        ]

    def state(self) -> TrafficState:
        """Return all that was counted; it shares what still changes."""
        return TrafficState(
            lines=self.lines,
            unparsed=self.unparsed,
            requests=list(self._requests.values()),
            routes=list(self._by_route.values()),
            upstreams=self._upstreams,
            learned=self._routes.state(),
        )

    def _slot(self, target: bytes, status: bytes, upstream: bytes) -> _Slot:
        """Find out where a request is counted; remember it, once that will not change any more."""
        code = status.decode("ascii", "replace")
        if not (len(code) == 3 and code.isdecimal() and "100" <= code <= "599"):
            code = OTHER
        good = code != OTHER and code[0] != "4"
        method, route = self._targets.get(target) or self._target(target, good)
        name = self._names.get(upstream)
        if name is None:
            name = self._upstream(upstream)
        key = (name, route, method, code)
        if key not in self._requests and len(self._requests) >= MOST_SERIES:
            name, route, code = (OTHER if name else ""), OTHER, f"{code[0]}xx" if code != OTHER else code
            key = (name, route, method, code)
        requests = self._requests.get(key)
        if requests is None:
            requests = self._requests[key] = RequestsState(*key, 0)
        by_route = self._by_route.get((name, route))
        if by_route is None:
            by_route = self._by_route[name, route] = RouteState(name, route, 0, _no_times(), False)
        slot = _Slot(requests, by_route, self._upstreams.get(name))
        if target in self._targets:
            if len(self._slots) >= MOST_REMEMBERED:
                self._slots.clear()
            self._slots[target, status, upstream] = slot
        return slot

    def _target(self, target: bytes, good: bool) -> tuple[str, str]:
        """Return method and route; remember them, once they will not change any more."""
        method, _, path = target.decode("utf-8", "replace").partition(" ")
        if method not in _METHODS:
            return OTHER, OTHER
        route = self._routes.name(path.partition(" ")[0], good)
        if route != OTHER or self._routes.full:
            if len(self._targets) >= MOST_REMEMBERED:
                self._targets.clear()
            self._targets[target] = (method, route)
        return method, route

    def _upstream(self, text: bytes) -> str:
        """Return the upstream that answered, the last of those that were tried; empty for none."""
        name = re.split(rb", | : ", text)[-1].decode("utf-8", "replace").strip()
        if name in ("", "-"):
            return ""
        if name not in self._upstreams:
            if len(self._upstreams) >= MOST_UPSTREAMS:
                name = OTHER
            self._upstreams.setdefault(name, _no_times())
        if len(self._names) >= MOST_REMEMBERED:
            self._names.clear()
        self._names[text] = name
        return name

    def _duration(self, text: bytes) -> tuple[int, float]:
        """Return the bucket and the seconds of a duration, of several the last; bucket -1 for none."""
        if len(self._durations) >= MOST_REMEMBERED:
            self._durations.clear()
        try:
            seconds = float(re.split(rb", | : ", text)[-1])
        except ValueError:
            seconds = -1.0
        found = (bisect.bisect_left(BOUNDS, seconds), seconds) if 0 <= seconds < 1e9 else (-1, 0.0)
        self._durations[text] = found
        return found
