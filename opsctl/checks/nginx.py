"""Checks of nginx: itself, its files, what it passes requests to, and its last minute of logs."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from opsctl.checks.base import Limits, NotObserved, check
from opsctl.checks.wording import bytes_text, count_text, percent_text, seconds_text
from opsctl.model import Evidence, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.checks.base import CheckContext
    from opsctl.facts.nginx import LogErrors, NginxFacts, Upstream
    from opsctl.model import Finding

CURRENT_SECONDS = 20.0
"""A log line without a later success counts as current for this long where successes prove nothing."""

RELOAD_MARGIN_SECONDS = 0.5
MIN_ERRORS = 5
MIN_REQUESTS = 10


def _age(context: CheckContext, errors: LogErrors) -> float:
    return max(context.at.timestamp() - (errors.last_at or 0.0), 0.0)


def _log_row(errors: LogErrors, facts: NginxFacts) -> list[Evidence]:
    if not errors.count:
        return []
    return [
        Evidence(
            text=f"{count_text(errors.count, 'line')} in the last minute, for one: {errors.example}",
            value=errors.count,
            unit="lines",
            source=_error_log(facts),
        )
    ]


def _error_log(facts: NginxFacts) -> str:
    path = next((item.path for item in facts.logs if "error" in item.path), "/var/log/nginx/error.log")
    return f"tail -n 50 {quote(path)}"


def _access_log(facts: NginxFacts) -> str:
    path = next((item.path for item in facts.logs if "access" in item.path), "/var/log/nginx/access.log")
    return f"tail -n 200 {quote(path)}"


def _slots_used_up(facts: NginxFacts, context: CheckContext) -> LogErrors | None:
    """Return the lines that say that connections are being turned away now, if any."""
    errors = facts.log_errors("connections")
    if errors is None:
        return None
    if not facts.up:
        return errors
    active, limit = facts.connections_active, facts.connection_limit
    if active is not None and limit and active / limit < 0.5:
        return None
    return errors if _age(context, errors) < CURRENT_SECONDS else None


@check("nginx/down", needs="a connection", reachability=True)
def down(facts: NginxFacts, context: CheckContext) -> Iterator[Finding]:
    """Nothing answers where nginx should listen."""
    state = facts.connection.state
    if facts.up:
        yield context.ok(f"nginx answers at {facts.listen}")
        return
    if _slots_used_up(facts, context) is not None:
        yield context.ok(f"nginx runs at {facts.listen}, but turns connections away")
        return
    what = {
        "refused": "nothing listens",
        "timeout": "connections are accepted or dropped without an answer",
        "closed": "connections are closed without an answer",
    }.get(state, facts.connection.detail or state)
    process = f"its master runs as pid {facts.master_pid}" if facts.master_pid else "its master does not run"
    yield context.critical(
        f"nginx does not answer at {facts.listen}: {what}",
        value=state,
        source=f"curl -sSI -m 5 http://{facts.listen}/",
        evidence=[Evidence(text=process, value=facts.master_pid or "none", source="pgrep -a nginx")],
        fix="Start nginx after its configuration has been tested. A master that runs and says nothing is "
        "frozen, or another program holds the port.",
        commands=["nginx -t", "systemctl status nginx", "ss -ltnp"],
    )


@check(
    "nginx/config-invalid",
    needs="nginx -t, run so that it cannot write",
    permission="root, to read keys",
    reachability=True,
)
def config_invalid(facts: NginxFacts, context: CheckContext) -> Iterator[Finding]:
    """The configuration has an error: nginx will not start or reload with it."""
    if facts.config_valid is None:
        context.need_part(facts, "config-test", "config")
        raise NotObserved("nginx -t was not run")
    if facts.config_valid:
        yield context.ok(f"nginx -t accepts {facts.config}")
        return
    level = Status.WARNING if facts.up else Status.CRITICAL
    meaning = "it runs on with what it loaded before" if facts.up else "and it is not running"
    yield context.finding(
        level,
        f"the nginx configuration is invalid, {meaning}: {facts.config_error}",
        value=facts.config_error,
        source=f"nginx -t -c {quote(facts.config)}",
        fix="Correct the line that is named, test, then reload.",
        commands=[f"nginx -t -c {quote(facts.config)}"],
    )


@check(
    "nginx/connections-exhausted",
    needs="stub_status or the error log",
    limits=Limits(
        0.8, 0.95, "ratio", source="worker_processes times worker_connections; a proxied request takes two"
    ),
    reachability=True,
)
def connections_exhausted(facts: NginxFacts, context: CheckContext) -> Iterator[Finding]:
    """Connections are turned away because worker_connections are used up."""
    fix = (
        "See who holds them (keep-alive, slow upstreams, one client); raise worker_connections together "
        "with worker_rlimit_nofile, then reload."
    )
    commands = ["ss -tn state established | awk '{print $4}' | sort | uniq -c | sort -rn | head"]
    errors = _slots_used_up(facts, context)
    active, limit = facts.connections_active, facts.connection_limit
    if errors is not None:
        of = f" of {limit}" if limit else ""
        yield context.critical(
            f"nginx turns connections away, all{of} slots are taken: {errors.example}"[:300],
            value=errors.count,
            unit="lines",
            source=_error_log(facts),
            fix=fix,
            commands=commands,
        )
    elif not facts.up:
        yield context.ok("no connection was turned away for want of a slot")
    elif active is not None and limit:
        yield context.judge(
            active / limit,
            f"{active} of {limit} connections are in use",
            source="stub_status, worker_processes, worker_connections",
            fix=fix,
            commands=commands,
        )
    else:
        context.need_part(facts, "error_log", "config")
        yield context.ok("no line of the last minute says that worker_connections are not enough")


@check("nginx/config-not-loaded", needs="the configuration files and the workers' start")
def config_not_loaded(facts: NginxFacts, context: CheckContext) -> Iterator[Finding]:
    """The configuration was changed and nginx has not been reloaded since."""
    context.need_part(facts, "process", "config")
    started = context.need(facts.workers_started_at, "the start of nginx's workers")
    changed = context.need(facts.config_changed_at, "the time of the configuration files")
    behind = changed - started
    if behind > RELOAD_MARGIN_SECONDS:
        yield context.warning(
            f"{facts.config_changed_file} was changed {seconds_text(behind)} after nginx loaded its "
            "configuration; the change is not in force",
            value=round(behind, 1),
            threshold=RELOAD_MARGIN_SECONDS,
            unit="seconds",
            source=f"stat -c %y {quote(facts.config_changed_file)}; ps -o lstart,args -C nginx",
            fix="Test the files, then reload. Where the change was not meant, put the old file back.",
            commands=["nginx -t", f"stat -c '%y %n' {quote(facts.config_changed_file)}"],
        )
    else:
        age = context.at.timestamp() - started
        yield context.ok(f"the workers, {seconds_text(max(age, 0))} old, are newer than every file")


@check("nginx/upstream-refused", needs="the configuration's upstreams or the error log", role="symptom")
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
            value=errors.count,
            unit="lines",
            source=_error_log(facts),
            evidence=_log_row(errors, facts),
            fix="Start what should listen there, or correct the address in proxy_pass.",
            commands=["ss -ltnp", _error_log(facts)],
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
        value=refused[0].state,
        source=f"curl -sS -m 2 http://{refused[0].address}/"
        if not refused[0].address.startswith("/")
        else f"curl -sS -m 2 --unix-socket {refused[0].address} http://localhost/",
        evidence=_log_row(errors, facts) if errors else (),
        fix="Start what should listen there, or correct the address in the configuration.",
        commands=["ss -ltnp", _error_log(facts)],
    )


def _answers_again(facts: NginxFacts, errors: LogErrors) -> bool:
    """Return whether every upstream of refused connections accepts them again."""
    if "connect()" not in errors.example and "no live" not in errors.example:
        return False
    state = {item.address: item.reachable for item in facts.upstreams}
    state |= {item.group: item.reachable for item in facts.upstreams}
    return bool(errors.upstreams) and all(state.get(address) is True for address in errors.upstreams)


@check("nginx/upstream-timeout", needs="the error log, or the upstreams", role="symptom")
def upstream_timeout(facts: NginxFacts, context: CheckContext) -> Iterator[Finding]:
    """504: what nginx passes requests to does not answer in time."""
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
    yield context.critical(
        f"nginx waits in vain for {where}{count}",
        subject=where,
        value=errors.count if errors else "timeout",
        unit="lines" if errors else "",
        source=_error_log(facts),
        evidence=_log_row(errors, facts) if errors else (),
        fix="Find what the application waits for (a database lock, a frozen process, a full pool). A longer "
        "proxy_read_timeout only hides it.",
        commands=[_error_log(facts), "ss -tnp"],
    )


@check("nginx/static-missing", needs="the files of the stack file's `static` list")
def static_missing(facts: NginxFacts, context: CheckContext) -> Iterator[Finding]:
    """Files that nginx should serve are not there or may not be read by it."""
    if not facts.static:
        yield context.ok("no static files are named in the stack file")
        return
    good = 0
    for item in facts.static:
        if item.exists is None:
            yield context.finding(
                Status.UNKNOWN,
                f"cannot look at {item.path}: {item.reason}",
                subject=item.path,
                hint="run as root",
            )
        elif not item.exists or item.readable is False:
            yield context.critical(
                f"{item.path} cannot be served: {item.reason}",
                subject=item.path,
                value="missing" if not item.exists else "not readable",
                source=f"namei -l {quote(item.path)}",
                fix="Build or deploy the files again, or give nginx's user the right to read them "
                "(and to enter every folder above).",
                commands=[f"namei -l {quote(item.path)}"],
            )
        else:
            good += 1
    if good == len(facts.static):
        yield context.ok(f"all {good} static paths are there and readable")


@check(
    "nginx/log-unwritable", needs="the log files, what nginx holds open", permission="root or nginx's user"
)
def log_unwritable(facts: NginxFacts, context: CheckContext) -> Iterator[Finding]:
    """Log lines are lost: the log's file system is full or read-only, or its file was deleted."""
    if not facts.logs:
        context.need_part(facts, "access_log", "error_log", "config")
        yield context.ok("nginx writes no log file")
        return
    broken = [item for item in facts.logs if item.writable is False]
    for item in broken:
        yield context.warning(
            f"nginx cannot write {item.path}: {item.reason}",
            subject=item.path,
            value=item.reason,
            source=f"df -h {quote(item.path)}; ls -l /proc/{facts.master_pid or 'PID'}/fd",
            fix="Free space on that file system, or let nginx open its logs again (nginx -s reopen).",
            commands=[f"df -h {quote(item.path)}", f"df -i {quote(item.path)}"],
        )
    if broken:
        return
    unseen = [item for item in facts.logs if item.writable is None]
    if unseen:
        context.need_part(facts, "process")
        raise NotObserved(f"cannot see whether {unseen[0].path} is being written", "run as root")
    yield context.ok(f"{count_text(len(facts.logs), 'log')} can be written")


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
            source=_access_log(facts),
            fix="Ask the failing path by hand, through nginx and directly; read the application's log.",
            commands=[_access_log(facts) + " | awk '{print $9, $7}' | sort | uniq -c | sort -rn | head"],
        )


@check(
    "nginx/cache-full",
    needs="the cache folder's file system, the error log",
    limits=Limits(None, 0.99, "ratio", source="nginx cannot finish an answer that it cannot store"),
)
def cache_full(facts: NginxFacts, context: CheckContext) -> Iterator[Finding]:
    """The file system of the proxy cache is full; answers are cut short."""
    if not facts.cache_path:
        yield context.ok("no cache folder is named in the stack file")
        return
    context.need_part(facts, "cache")
    used = context.need(facts.cache_filesystem_used, "the cache's file system")
    free = context.need(facts.cache_filesystem_free, "the cache's file system")
    errors = facts.log_errors("cache-full")
    yield context.judge(
        used,
        f"the cache {facts.cache_path} has a file system {percent_text(used)} used, {bytes_text(free)} free",
        source=f"df {quote(facts.cache_path)}",
        evidence=_log_row(errors, facts) if errors else (),
        fix="Lower max_size of proxy_cache_path below the size of the file system (the cache manager then "
        "deletes by itself), or give it more room.",
        commands=[f"df -h {quote(facts.cache_path)}", "nginx -T 2>/dev/null | grep proxy_cache_path"],
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
    if errors.count < MIN_ERRORS or _age(context, errors) > CURRENT_SECONDS:
        yield context.ok(
            f"{count_text(errors.count, 'request')} turned away in the last minute, "
            f"the last {seconds_text(_age(context, errors))} ago"
        )
        return
    if errors.clients == 1 and (facts.window_clients or 0) > 1:
        yield context.ok(f"one client of {facts.window_clients} is limited, as limits are meant")
        return
    yield context.judge(
        errors.count / requests,
        f"{errors.count} of {requests} requests in the last minute were turned away by a rate limit, "
        f"{count_text(errors.clients, 'client')} concerned",
        source=_error_log(facts),
        evidence=_log_row(errors, facts),
        fix="Raise rate or burst for what users really do. Where all clients seem to have one address, "
        "nginx sees a proxy's: set real_ip_header and set_real_ip_from.",
        commands=["nginx -T 2>/dev/null | grep -nE 'limit_req|limit_conn|real_ip'", _error_log(facts)],
    )
