"""Looks at a page or an endpoint as a client would: one request, a second one where the first was slow.

Redirects are followed on the same host only, and only to see whether they lead in a circle.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import msgspec

from opsctl.facts.http import ExpectedMetric, HttpFacts
from opsctl.facts.http_details import HttpDetails
from opsctl.probes.http_body import bad_dependencies, excerpt, metric_names, request_counts
from opsctl.probes.http_exchange import MAX_BODY, Exchange, Route, exchange, split_address
from opsctl.probes.remembering import earlier, for_metrics, memory
from opsctl.stack.specs import HttpSpec

if TYPE_CHECKING:
    from opsctl.facts.base import Connection
    from opsctl.probes.base import ProbeContext

MAX_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)
REPEATABLE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing; a POST is sent once, whatever it answers."""
WINDOW_SECONDS = 1.0
"""Time between two readings of an application's request counters."""


def probe(context: ProbeContext) -> HttpFacts:
    """Return the facts of one URL; refusals and silence are facts as well."""
    spec = context.spec
    assert isinstance(spec, HttpSpec)
    route = Route(
        host=spec.host,
        connect=spec.connect,
        ca_file=context.stack.path(spec.ca_file) if spec.ca_file else None,
        verify=spec.verify,
    )
    expected = [spec.status] if isinstance(spec.status, int) else list(spec.status)
    base: dict[str, Any] = {
        "url": without_password(spec.url),
        "method": spec.method,
        "expected_status": expected,
        "max_seconds": spec.max_seconds,
        "contains": spec.contains,
    }
    answer = exchange(spec.url, route, context.left * 0.85, spec.method)
    if context.options.get("detail") == "metrics":
        base["details"] = details(answer)
    if answer.connection.state != "ok":
        return HttpFacts(
            up=False,
            success=False,
            phase=answer.phase,
            connection=_failed(answer),
            phases=answer.phases,
            **base,
        )
    values = base | answer_values(answer, spec)
    # a first answer may be slow by chance; one that is wrong anyway need not be waited for once more
    slow = answer.seconds > spec.max_seconds and answer.status in expected
    if slow and spec.method in REPEATABLE and context.left * 0.85 > spec.max_seconds * 1.1:
        again = exchange(spec.url, route, context.left * 0.85, spec.method)
        if again.connection.state == "ok" and again.status == answer.status:
            values["first_try_seconds"] = answer.seconds
            if again.seconds < answer.seconds:
                values |= {"duration_seconds": again.seconds, "phases": again.phases}
    if answer.status in REDIRECTS and answer.status not in expected:
        values |= _redirects(context, spec, route, answer)
    if spec.metrics:
        values |= _window(context, spec, route, answer)
    values["success"] = bool(answer.status in expected and values["contains_found"] is not False)
    return HttpFacts(up=True, connection=answer.connection, **values)


def details(answer: Exchange) -> HttpDetails:
    """Return what only metrics want of an answer, or of an attempt that got less far. Pure."""
    expiry: float | None = None
    if answer.certificate_end:
        import ssl

        with contextlib.suppress(ValueError):
            expiry = float(ssl.cert_time_to_seconds(answer.certificate_end))
    answered = answer.version is not None
    return HttpDetails(
        lookup_seconds=answer.phases.get("resolve"),
        encrypted=bool(answer.tls_version) if answered else None,
        version=answer.version / 10 if answer.version is not None else None,
        tls_version=answer.tls_version.replace("TLSv", "TLS "),
        certificate_expiry=expiry,
    )


def _failed(answer: Exchange) -> Connection:
    """Return the failed connection with the time it took."""
    return msgspec.structs.replace(answer.connection, seconds=answer.seconds)


def answer_values(answer: Exchange, spec: HttpSpec) -> dict[str, Any]:
    """Return the fields of `HttpFacts` that one answer holds. Pure."""
    text = answer.body.decode("utf-8", "replace")
    length = answer.headers.get("content-length", "")
    names = metric_names(text) if spec.metrics else set()
    return {
        "status_code": answer.status,
        "server": answer.headers.get("server", "")[:80],
        "duration_seconds": answer.seconds,
        "phases": answer.phases,
        "content_length": int(length) if length.isdecimal() and len(length) < 16 else None,
        "body_length": len(answer.body),
        "location": answer.headers.get("location", "")[:300],
        "retry_after": answer.headers.get("retry-after", "")[:40],
        "contains_found": _contains(answer, spec),
        "dependencies": bad_dependencies(text, urlsplit(spec.url).path),
        "excerpt": excerpt(text),
        "metrics": [
            ExpectedMetric(name=name, present=None if _cut(answer) and name not in names else name in names)
            for name in spec.metrics
        ],
    }


def _cut(answer: Exchange) -> bool:
    """Return whether the body was longer than what is read of it."""
    return len(answer.body) >= MAX_BODY


def _contains(answer: Exchange, spec: HttpSpec) -> bool | None:
    """Return whether the wanted text is there; None where none is wanted or the body was cut before it."""
    if not spec.contains:
        return None
    found = spec.contains.encode() in answer.body
    return None if not found and _cut(answer) else found


def without_password(url: str) -> str:
    """Return a URL without user and password. Pure."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def next_hop(url: str, location: str, route: Route) -> tuple[str, Route] | None:
    """Return where a redirect leads and how to get there; None where it leaves the host. Pure.

    An overridden address is kept: its port changes with the port of the URL.
    """
    try:
        target = urljoin(url, location)
        old, new = urlsplit(url), urlsplit(target)
        ports = [part.port or (443 if part.scheme == "https" else 80) for part in (old, new)]
    except ValueError:
        return None
    names = {name for name in (old.hostname, route.host.partition(":")[0].lower()) if name}
    if new.scheme not in ("http", "https") or (new.hostname or "") not in names:
        return None
    connect, host = route.connect, route.host
    if not connect and new.hostname != old.hostname:
        connect = f"{old.hostname}:{ports[0]}"
    if connect and ports[0] != ports[1]:
        connect = f"{split_address(connect, ports[0])[0]}:{ports[1]}"
    if host and new.hostname != host.partition(":")[0].lower():
        host = ""
    return target, Route(host=host, connect=connect, ca_file=route.ca_file, verify=route.verify)


def _redirects(context: ProbeContext, spec: HttpSpec, route: Route, first: Exchange) -> dict[str, Any]:
    """Follow redirects until they end, leave the host, or come by the same place a third time."""
    url, answer, hops = spec.url, first, 0
    seen = {url: 1}
    cookies: dict[str, str] = {}
    while answer.status in REDIRECTS and answer.headers.get("location"):
        hop = next_hop(url, answer.headers["location"], route)
        if hop is None or context.left < 0.2:
            break
        (url, route), hops = hop, hops + 1
        seen[url] = seen.get(url, 0) + 1
        if seen[url] > 2 or hops >= MAX_REDIRECTS:
            return {"redirects": hops, "redirect_loop": True}
        cookies |= {cookie.partition("=")[0]: cookie for cookie in answer.cookies}
        answer = exchange(url, route, min(context.left * 0.85, 1.0), "GET", tuple(cookies.values()))
    return {"redirects": hops, "redirect_loop": False}


def _window(context: ProbeContext, spec: HttpSpec, route: Route, first: Exchange) -> dict[str, Any]:
    """Read the request counters again a second later, where they have ever counted an error."""
    before = request_counts(first.body.decode("utf-8", "replace"))
    if before is None or _cut(first):
        return {}
    if for_metrics(context):
        changes = _since_the_last_look(context, before)
        if changes or before[1]:
            return changes
    if before[1] == 0:
        return {"window_seconds": 0.0, "window_requests": before[0], "window_errors": 0.0}
    if context.left < WINDOW_SECONDS + 0.5:
        return {}
    began = time.monotonic()
    time.sleep(WINDOW_SECONDS)
    second = exchange(spec.url, route, context.left * 0.85, "GET")
    after = request_counts(second.body.decode("utf-8", "replace"))
    if second.connection.state != "ok" or after is None or after[0] < before[0] or after[1] < before[1]:
        return {}
    return _changes(time.monotonic() - began, before, after, 1)


def _since_the_last_look(context: ProbeContext, now: tuple[float, float]) -> dict[str, Any]:
    """Compare the request counters with those of an earlier look: a scrape is not kept waiting."""
    kept = memory(context)
    if kept is None:
        return {}
    looks = kept["looks"] = kept.get("looks", 0) + 1
    found = earlier(context, "request counts", (now, looks), WINDOW_SECONDS)
    if found is None:
        return {}
    seconds, (before, looks_before) = found
    restarted = now[0] < before[0] or now[1] < before[1]
    return {} if restarted else _changes(seconds, before, now, looks - looks_before)


def _changes(
    seconds: float, before: tuple[float, float], after: tuple[float, float], own: int
) -> dict[str, Any]:
    """Return the window between two readings of the counters; `own` requests in it were opsctl's. Pure."""
    return {
        "window_seconds": round(seconds, 3),
        "window_requests": max(after[0] - before[0] - own, 0),
        "window_errors": max(after[1] - before[1], 0),
    }
