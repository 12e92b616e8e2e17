"""Checks of pages and endpoints. Most are symptoms: what users see, and something else explains."""

from __future__ import annotations

import shlex
from http import HTTPStatus
from typing import TYPE_CHECKING

from opsctl.checks.base import Limits, check
from opsctl.checks.wording import percent_text, seconds_text, speaks_no_tls
from opsctl.model import Evidence, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.checks.base import CheckContext
    from opsctl.facts.http import HttpFacts
    from opsctl.model import Finding

_UNREACHED = ("refused", "missing", "unreachable", "closed", "protocol", "tls")
MIN_WINDOW_REQUESTS = 5


def curl(facts: HttpFacts, options: str = "-sS -m 5 -i") -> str:
    """Return the command that repeats the request."""
    method = "" if facts.method == "GET" else " -I" if facts.method == "HEAD" else f" -X {facts.method}"
    return f"curl {options}{method} {shlex.quote(facts.url)}"


def code_text(code: int) -> str:
    """Return a status code with its name: `502 Bad Gateway`."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def dependencies_text(facts: HttpFacts) -> str:
    """Return what the body complains of: `database is "error", redis is "error"`."""
    return ", ".join(f'{item.name} is "{item.state}"' for item in facts.dependencies[:4])


@check("http/name-unresolved", needs="a name lookup", reachability=True)
def name_unresolved(facts: HttpFacts, context: CheckContext) -> Iterator[Finding]:
    """The host name of the URL cannot be looked up."""
    if facts.connection.state == "name-unresolved":
        host = facts.connection.address.rpartition(":")[0] or facts.connection.address
        yield context.critical(
            f"the name in {facts.url} does not resolve: {facts.connection.detail}",
            subject=facts.url,
            value=facts.connection.detail,
            source=f"getent ahosts {shlex.quote(host)}",
            fix="Correct the name, the DNS record, /etc/hosts or the name servers in /etc/resolv.conf.",
            commands=[f"getent ahosts {shlex.quote(host)}", "cat /etc/resolv.conf"],
        )
    else:
        took = facts.phases.get("resolve")
        yield context.ok(
            f"the name resolved{f' in {seconds_text(took)}' if took is not None else ''}", subject=facts.url
        )


@check(
    "http/refused", needs="an HTTP request", role="symptom", reachability=True, code="refused, tls, closed, …"
)
def refused(facts: HttpFacts, context: CheckContext) -> Iterator[Finding]:
    """Nothing answers HTTP at the URL: connection refused, cut, or the TLS handshake fails."""
    state = facts.connection.state
    if state == "no-permission":
        yield context.finding(
            Status.UNKNOWN, f"no permission to connect: {facts.connection.detail}", hint="run as root"
        )
    elif state in _UNREACHED:
        what = {
            "refused": "refuses the connection",
            "tls": "fails in the TLS handshake",
            "closed": "closes the connection without an answer",
        }.get(state, "does not answer HTTP")
        if state == "tls" and speaks_no_tls(facts.connection.detail):
            what = "is asked by https, and what listens there speaks no TLS"
        yield context.critical(
            f"{facts.url} {what}: {facts.connection.detail}",
            subject=facts.url,
            code=state,
            value=state,
            source=curl(facts),
            fix=_unreached_fix(state, facts.connection.detail),
            commands=[curl(facts), "ss -ltnp"],
        )
    else:
        yield context.ok(f"{facts.url} accepts connections", subject=facts.url)


def _unreached_fix(state: str, detail: str) -> str:
    """Return what to do: something that listens need not be started."""
    if state == "tls" and speaks_no_tls(detail):
        return (
            "Something listens there and speaks plain HTTP or another protocol: give it TLS (nginx: "
            "`listen … ssl` and a certificate), or correct the address: http://, or the port of https."
        )
    if state == "tls":
        return (
            "Something listens there: look at its certificate (expired, other name, unknown authority) and "
            "at the protocols it offers."
        )
    if state == "closed":
        return (
            "Something listens there and cuts the connection: read its log at that second, or who holds "
            "the port."
        )
    if state == "protocol":
        return (
            "Something listens there that is no web server: see who holds the port, or correct the address."
        )
    return "Start what should listen there and read in its log why it stopped; or correct the address."


@check("http/timeout", needs="an HTTP request", role="symptom", reachability=True)
def timeout(facts: HttpFacts, context: CheckContext) -> Iterator[Finding]:
    """The URL gives no complete answer in time."""
    if facts.connection.state != "timeout":
        took = facts.duration_seconds
        yield context.ok(
            f"{facts.url} answered in {seconds_text(took)}"
            if took is not None
            else f"{facts.url} did not keep us waiting ({facts.connection.state})",
            subject=facts.url,
        )
        return
    waited = facts.connection.seconds or 0.0
    if waited < facts.max_seconds:
        yield context.finding(
            Status.UNKNOWN,
            f"no answer within {seconds_text(waited)}; {seconds_text(facts.max_seconds)} are allowed",
            subject=facts.url,
            hint="a request is given about 2.5 s; ask by hand with curl, or lower max_seconds",
        )
        return
    where = {
        "connect": "the connection was not accepted",
        "tls": "the TLS handshake did not end",
        "processing": "the connection was accepted and nothing was answered",
        "transfer": "the answer began and did not end",
    }.get(facts.phase, "no answer")
    yield context.critical(
        f"{facts.url} timed out after {seconds_text(waited)}: {where}",
        subject=facts.url,
        value=round(waited, 3),
        threshold=facts.max_seconds,
        unit="seconds",
        source=curl(facts),
        fix="Find what the process waits for: a frozen process, a database lock, an exhausted pool, "
        "an upstream that hangs, or packets that are dropped.",
        commands=[curl(facts, "-sS -m 10 -o /dev/null -w '%{time_connect} %{time_total}\\n'"), "ss -tnp"],
    )


@check("http/redirect-loop", needs="an HTTP request", role="symptom")
def redirect_loop(facts: HttpFacts, context: CheckContext) -> Iterator[Finding]:
    """The redirects lead in a circle; browsers give up with "too many redirects"."""
    if facts.redirect_loop:
        yield context.critical(
            f"{facts.url} redirects in a circle by way of {facts.location or 'itself'}",
            subject=facts.url,
            value=facts.redirects,
            unit="redirects",
            source=curl(facts, "-sS -m 10 -o /dev/null -L --max-redirs 10 -w '%{num_redirects}\\n'"),
            fix="Mostly two layers that each insist on their own form of the URL (http against https behind "
            "a proxy that does not pass X-Forwarded-Proto, with against without a slash). Let one decide.",
            commands=[curl(facts, "-sS -m 10 -o /dev/null -D - -L --max-redirs 4")],
        )
    else:
        hops = facts.redirects or 0
        yield context.ok(f"{hops} redirects, none comes back to itself", subject=facts.url)


@check("http/too-many-requests", needs="an HTTP request", role="symptom")
def too_many_requests(facts: HttpFacts, context: CheckContext) -> Iterator[Finding]:
    """Requests are turned away with 429 because a rate limit is reached."""
    code = context.need(facts.status_code, "the status code")
    if code == 429 and 429 not in facts.expected_status:
        after = f", to be tried again after {facts.retry_after}" if facts.retry_after else ""
        yield context.critical(
            f"{facts.url} answers {code_text(code)}{after}",
            subject=facts.url,
            value=code,
            source=curl(facts),
            evidence=_server_rows(facts),
            fix="See whose limit it is (nginx limit_req, the application, a provider) and who uses it up. "
            "Behind a proxy, make sure that clients are told apart by their own address, not the proxy's.",
            commands=[curl(facts), "nginx -T 2>/dev/null | grep -n limit_req"],
        )
    else:
        yield context.ok(f"no rate limit was met: the answer is {code}", subject=facts.url)


@check("http/status", needs="an HTTP request", role="symptom", code="the status code")
def status(facts: HttpFacts, context: CheckContext) -> Iterator[Finding]:
    """The URL answers with an error or another status code than the right one."""
    code = context.need(facts.status_code, "the status code")
    if code in facts.expected_status:
        yield context.ok(f"{facts.url} answers {code_text(code)}", subject=facts.url)
        return
    if code == 429 or facts.redirect_loop:
        what = "a rate limit" if code == 429 else "a circle of redirects"
        yield context.ok(f"no server error; {code} is {what}, which has its own finding", subject=facts.url)
        return
    wanted = " or ".join(str(item) for item in facts.expected_status)
    level = Status.WARNING if 300 <= code < 400 else Status.CRITICAL
    said = f"; the body says {dependencies_text(facts)}" if facts.dependencies else ""
    leads = f" to {facts.location}" if facts.location else ""
    yield context.finding(
        level,
        f"{facts.url} answers {code_text(code)}{leads}, {wanted} is right{said}",
        subject=facts.url,
        code=str(code),
        value=code,
        threshold=wanted,
        source=curl(facts),
        evidence=[
            *_dependency_rows(facts),
            *_server_rows(facts),
            *_excerpt_rows(facts),
        ],
        fix=_status_fix(code, facts),
        commands=[curl(facts)],
    )


def _status_fix(code: int, facts: HttpFacts) -> str:
    if facts.dependencies:
        names = ", ".join(item.name for item in facts.dependencies)
        return f"The application itself is up and names what fails it: look at {names} first."
    if code in (502, 504):
        return (
            "The proxy works and what stands behind it does not: "
            + ("it refuses or cuts the connection." if code == 502 else "it does not answer in time.")
            + " Ask the application directly, then read its log."
        )
    if code in (500, 503):
        return "Read the application's log at that time; 500 is an exception, 503 a refusal to serve."
    if code in (401, 403):
        return "Access is denied: look at the proxy's allow/deny rules, file permissions and the login."
    if code in (404, 405, 410):
        return "The address is not known there: compare routes, the proxy's locations and the deployed build."
    if 300 <= code < 400:
        return "Put the final address, or this status code, into the stack file if the redirect is meant."
    return "Compare what is asked with what is deployed."


def _dependency_rows(facts: HttpFacts) -> list[Evidence]:
    return [
        Evidence(
            text=f'the body says that {item.name} is "{item.state}"',
            value=item.state,
            source=curl(facts, "-sS -m 5"),
        )
        for item in facts.dependencies
    ]


def _server_rows(facts: HttpFacts) -> list[Evidence]:
    if not facts.server:
        return []
    return [Evidence(text=f"the answer comes from {facts.server}", value=facts.server, source=curl(facts))]


def _excerpt_rows(facts: HttpFacts) -> list[Evidence]:
    if not facts.excerpt or facts.dependencies:
        return []
    return [Evidence(text=f"the body begins: {facts.excerpt}", source=curl(facts, "-sS -m 5"))]


def _left_to_status(facts: HttpFacts, context: CheckContext, code: int) -> Finding:
    """Return that a page with a wrong status code is not judged: it is no proof that its body is well."""
    slug = "http/status"
    if code == 429:
        slug = "http/too-many-requests"
    elif facts.redirect_loop:
        slug = "http/redirect-loop"
    return context.finding(
        Status.BLOCKED, f"not judged: the answer is {code}, {slug} says more", subject=facts.url
    )


@check("http/body", needs="an HTTP request", role="symptom")
def body(facts: HttpFacts, context: CheckContext) -> Iterator[Finding]:
    """The status code is right, but the body says that a dependency is bad or lacks its text."""
    code = context.need(facts.status_code, "the status code")
    if code not in facts.expected_status:
        yield _left_to_status(facts, context, code)
        return
    if facts.dependencies:
        yield context.critical(
            f"{facts.url} answers {code}, yet its body says {dependencies_text(facts)}",
            subject=facts.url,
            value=facts.dependencies[0].state,
            source=curl(facts, "-sS -m 5"),
            evidence=_dependency_rows(facts)[1:],
            fix="Look at the dependency that the body names. Let the health page answer 503 then, so that "
            "load balancers and health checks see it too.",
            commands=[curl(facts, "-sS -m 5")],
        )
        return
    if facts.contains:
        if facts.contains_found is None:
            yield context.finding(
                Status.UNKNOWN,
                f'the first 64 KiB of the body do not hold "{facts.contains}"; the rest was not read',
                subject=facts.url,
                hint="choose a text that stands at the beginning of the page",
            )
            return
        if not facts.contains_found:
            yield context.critical(
                f'{facts.url} answers {code}, but "{facts.contains}" is not in its body',
                subject=facts.url,
                value=facts.excerpt,
                threshold=facts.contains,
                source=curl(facts, "-sS -m 5") + f" | grep -F -e {shlex.quote(facts.contains)}",
                fix="Another page than the right one is served: an error, an empty build, a default site.",
                commands=[curl(facts, "-sS -m 5") + " | head -c 2000"],
            )
            return
        yield context.ok(f'the body holds "{facts.contains}"', subject=facts.url)
        return
    yield context.ok("the body complains of nothing", subject=facts.url)


@check(
    "http/slow",
    needs="an HTTP request",
    role="symptom",
    limits=Limits(unit="seconds", source="max_seconds in the stack file, 1 s by default"),
)
def slow(facts: HttpFacts, context: CheckContext) -> Iterator[Finding]:
    """The answer is complete, but takes longer than the stack file allows."""
    took = context.need(facts.duration_seconds, "the time of the answer")
    limit = context.limits.warning if context.limits.warning is not None else facts.max_seconds
    critical = context.limits.critical
    if took < limit and (critical is None or took < critical):
        yield context.ok(f"{facts.url} answered in {seconds_text(took)}", subject=facts.url)
        return
    level = Status.CRITICAL if critical is not None and took >= critical else Status.WARNING
    times = "'%{time_namelookup} %{time_connect} %{time_starttransfer} %{time_total}\\n'"
    longest = max(facts.phases, key=lambda name: facts.phases[name], default="")
    share = f", {seconds_text(facts.phases[longest])} of it in {longest}" if longest else ""
    twice = " twice in a row" if facts.first_try_seconds is not None else ""
    yield context.finding(
        level,
        f"{facts.url} takes {seconds_text(took)}{twice}, {seconds_text(limit)} are allowed{share}",
        subject=facts.url,
        value=round(took, 3),
        threshold=critical if level is Status.CRITICAL else limit,
        unit="seconds",
        source=curl(facts, "-sS -m 10 -o /dev/null -w '%{time_total}\\n'"),
        fix="Look at slow or blocked queries, the machine's CPU and disk, and what the endpoint calls.",
        commands=[curl(facts, f"-sS -m 10 -o /dev/null -w {times}")],
    )


@check("http/metrics-missing", needs="a page of metrics", role="symptom")
def metrics_missing(facts: HttpFacts, context: CheckContext) -> Iterator[Finding]:
    """The metrics page lacks a metric that dashboards and alerts are built on."""
    if not facts.metrics:
        yield context.ok("no metrics are asked for at this URL", subject=facts.url)
        return
    code = context.need(facts.status_code, "the status code")
    if code not in facts.expected_status:
        yield _left_to_status(facts, context, code)
        return
    missing = [item.name for item in facts.metrics if item.present is False]
    unread = [item.name for item in facts.metrics if item.present is None]
    if missing:
        yield context.warning(
            f"{facts.url} lacks {', '.join(missing[:5])}",
            subject=facts.url,
            value=len(missing),
            unit="metrics",
            source=curl(facts, "-sS -m 5") + f" | grep -c '^{missing[0]}'",
            fix="Turn the instrumentation on again (a middleware left out, another metrics library version, "
            "several workers without a shared registry), or correct the list in the stack file.",
            commands=[curl(facts, "-sS -m 5") + " | grep '^# TYPE'"],
        )
    elif unread:
        yield context.finding(
            Status.UNKNOWN,
            f"the page is longer than 64 KiB and {unread[0]} was not in what was read",
            subject=facts.url,
            hint="ask by hand: " + curl(facts, "-sS -m 5") + f" | grep '^{unread[0]}'",
        )
    else:
        yield context.ok(f"all {len(facts.metrics)} metrics are there", subject=facts.url)


@check(
    "http/error-rate",
    needs="request counters on a metrics page, read twice",
    role="symptom",
    limits=Limits(0.05, 0.25, "ratio", source="1 in 20 is noticed by users, 1 in 4 is an outage"),
)
def error_rate(facts: HttpFacts, context: CheckContext) -> Iterator[Finding]:
    """A good part of all requests ends in a server error right now."""
    if not facts.metrics:
        yield context.ok("no request counters are asked for at this URL", subject=facts.url)
        return
    hint = "the page needs http_requests_total with a status label, and a second to be read twice"
    seconds = context.need(facts.window_seconds, "the request counters", hint)
    requests = context.need(facts.window_requests, "the request counters", hint)
    errors = context.need(facts.window_errors, "the request counters", hint)
    if errors == 0:
        span = f"the last {seconds_text(seconds)}" if seconds else "all that it has counted"
        yield context.ok(f"no 5xx in {span}, {requests:.0f} requests", subject=facts.url)
    elif requests < MIN_WINDOW_REQUESTS:
        yield context.ok(
            f"{errors:.0f} of {requests:.0f} requests in {seconds_text(seconds)} failed, too few to judge",
            subject=facts.url,
        )
    else:
        yield context.judge(
            errors / requests,
            f"{errors:.0f} of {requests:.0f} requests in {seconds_text(seconds)} ended in 5xx "
            f"({percent_text(errors / requests)})",
            subject=facts.url,
            source=curl(facts, "-sS -m 5") + " | grep http_requests_total",
            fix="See which path fails, then read the application's log for its exception.",
            commands=[curl(facts, "-sS -m 5") + " | grep http_requests_total"],
        )
