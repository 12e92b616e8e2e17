"""nginx: what becomes of the requests that it passes on, turns away or fails, now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import Limits, check
from opsctl.checks.nginx_wording import CURRENT_SECONDS, access_log, age, error_log, log_row
from opsctl.checks.wording import count_text, percent_text, seconds_text
from opsctl.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.checks.base import CheckContext
    from opsctl.facts.nginx import LogErrors, NginxFacts, Upstream
    from opsctl.model import Finding

MIN_ERRORS = 5
MIN_REQUESTS = 10


@check(
    "nginx/upstream-refused",
    needs="the configuration's upstreams or the error log",
    role="symptom",
    code="refused, closed (cut in the middle of a request), …",
)
def upstream_refused(facts: NginxFacts, context: CheckContext) -> Iterator[Finding]:
    """502: what nginx passes requests to refuses or cuts the connection."""
    groups: dict[str, list[Upstream]] = {}
    for upstream in facts.upstreams:
        groups.setdefault(upstream.group, []).append(upstream)
    errors = facts.log_errors("upstream-refused")
    bad = False
    for group, members in groups.items():
        refused = [item for item in members if item.reachable is False and item.state != "timeout"]
        if refused:
            bad = True
            yield _refused_group(facts, context, group, members, refused, errors)
    if bad:
        return
    if errors is not None and not errors.followed_by_success and not _answers_again(facts, errors):
        where = ", ".join(errors.upstreams) or "an upstream"
        yield context.critical(
            f"{where} refused or cut {count_text(errors.count, 'connection')} of nginx in the last minute",
            subject=where,
            code="refused" if _could_not_connect(errors) else "closed",
            value=errors.count,
            unit="lines",
            source=error_log(facts),
            evidence=log_row(errors, facts),
            fix="Start what should listen there, or correct the address in proxy_pass.",
            commands=["ss -ltnp", error_log(facts)],
        )
        return
    seen = [item for item in facts.upstreams if item.reachable is not None]
    if not seen:
        context.need_part(facts, "error_log", "config")
    of = f"{sum(item.reachable is True for item in seen)} of {len(seen)} upstreams accept connections"
    yield context.ok(of if seen else "no upstream refused a connection in the last minute")


def _refused_group(
    facts: NginxFacts,
    context: CheckContext,
    group: str,
    members: list[Upstream],
    refused: list[Upstream],
    errors: LogErrors | None,
) -> Finding:
    names = ", ".join(item.address for item in refused[:5])
    whole = len(refused) == len(members)
    level = Status.CRITICAL if whole else Status.WARNING
    said = (
        f"nginx passes requests to {names}, where nothing answers ({refused[0].state}): 502 for every request"
        if whole
        else f"{len(refused)} of {len(members)} servers of upstream {group} do not answer: {names}"
    )
    return context.finding(
        level,
        said,
        subject=group,
        code=refused[0].state,
        value=refused[0].state,
        source=f"curl -sS -m 2 http://{refused[0].address}/"
        if not refused[0].address.startswith("/")
        else f"curl -sS -m 2 --unix-socket {refused[0].address} http://localhost/",
        evidence=log_row(errors, facts) if errors else (),
        fix="Start what should listen there, or correct the address in the configuration.",
        commands=["ss -ltnp", error_log(facts)],
    )


def _could_not_connect(errors: LogErrors) -> bool:
    return "connect()" in errors.example or "no live" in errors.example


def _answers_again(facts: NginxFacts, errors: LogErrors) -> bool:
    """Return whether every upstream of refused connections accepts them again."""
    if not _could_not_connect(errors):
        return False
    state = {item.address: item.reachable for item in facts.upstreams}
    state |= {item.group: item.reachable for item in facts.upstreams}
    return bool(errors.upstreams) and all(state.get(address) is True for address in errors.upstreams)


@check("nginx/upstream-timeout", needs="the error log, or the upstreams", role="symptom")
def upstream_timeout(facts: NginxFacts, context: CheckContext) -> Iterator[Finding]:
    """504: what nginx passes requests to does not answer in time.

    One such answer alone is a warning, the second makes it an outage: an instance may have been away
    for a moment.
    """
    silent = [item for item in facts.upstreams if item.state == "timeout"]
    errors = facts.log_errors("upstream-timeout")
    current = errors is not None and not errors.followed_by_success
    if not silent and not current:
        context.need_part(facts, "error_log")
        over = ", what had timed out has since answered" if errors is not None else ""
        yield context.ok(f"no upstream keeps nginx waiting{over}")
        return
    names = [item.address for item in silent] or (errors.upstreams if errors else [])
    where = ", ".join(names[:5]) or "an upstream"
    count = f": {count_text(errors.count, 'request')} in the last minute ended in 504" if errors else ""
    alone = not silent and errors is not None and errors.count < 2
    yield context.finding(
        Status.WARNING if alone else Status.CRITICAL,
        f"nginx waits in vain for {where}{count}",
        subject=where,
        value=errors.count if errors else "timeout",
        unit="lines" if errors else "",
        source=error_log(facts),
        evidence=log_row(errors, facts) if errors else (),
        fix="Find what the application waits for (a database lock, a frozen process, a full pool). A longer "
        "proxy_read_timeout only hides it.",
        commands=[error_log(facts), "ss -tnp"],
    )


@check(
    "nginx/error-rate",
    needs="the access log in the combined format",
    role="symptom",
    limits=Limits(0.05, 0.25, "ratio", source="1 in 20 is noticed by users, 1 in 4 is an outage"),
)
def error_rate(facts: NginxFacts, context: CheckContext) -> Iterator[Finding]:
    """A good part of the last minute's requests ended in a server error."""
    context.need_part(facts, "access_log")
    requests = context.need(facts.window_requests, "the access log")
    errors = context.need(facts.window_errors, "the access log")
    span = seconds_text(facts.window_seconds or 0)
    if errors < MIN_ERRORS or requests < MIN_REQUESTS:
        yield context.ok(f"{errors} of {count_text(requests, 'request')} in the last minute ended in 5xx")
    elif not facts.newest_errors:
        yield context.ok(f"{errors} of {requests} requests ended in 5xx, but none of the ten newest")
    else:
        yield context.judge(
            errors / requests,
            f"{errors} of {requests} requests in the last {span} ended in 5xx "
            f"({percent_text(errors / requests)}), most of them {facts.worst_path}",
            source=access_log(facts),
            fix="Ask the failing path by hand, through nginx and directly; read the application's log.",
            commands=[access_log(facts) + " | awk '{print $9, $7}' | sort | uniq -c | sort -rn | head"],
        )


@check(
    "nginx/rate-limiting",
    needs="the error log and the access log",
    limits=Limits(0.1, 0.5, "ratio", source="a limit is for the few; 1 in 10 turned away is many"),
)
def rate_limiting(facts: NginxFacts, context: CheckContext) -> Iterator[Finding]:
    """limit_req or limit_conn turns a good part of all requests away."""
    context.need_part(facts, "error_log")
    errors = facts.log_errors("limited")
    if errors is None:
        yield context.ok("no request was turned away by a limit in the last minute")
        return
    requests = max(facts.window_requests or 0, errors.count)
    if errors.count < MIN_ERRORS or age(context, errors) > CURRENT_SECONDS:
        yield context.ok(
            f"{count_text(errors.count, 'request')} turned away in the last minute, "
            f"the last {seconds_text(age(context, errors))} ago"
        )
        return
    if errors.clients == 1 and (facts.window_clients or 0) > 1:
        yield context.ok(f"one client of {facts.window_clients} is limited, as limits are meant")
        return
    yield context.judge(
        errors.count / requests,
        f"{errors.count} of {requests} requests in the last minute were turned away by a rate limit, "
        f"{count_text(errors.clients, 'client')} concerned",
        source=error_log(facts),
        evidence=log_row(errors, facts),
        fix="Raise rate or burst for what users really do. Where all clients seem to have one address, "
        "nginx sees a proxy's: set real_ip_header and set_real_ip_from.",
        commands=["nginx -T 2>/dev/null | grep -nE 'limit_req|limit_conn|real_ip'", error_log(facts)],
    )
