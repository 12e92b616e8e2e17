"""Checks of nginx: does it run, with the right configuration, and are its files and folders well."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from opsctl.checks.base import Limits, NotObserved, check
from opsctl.checks.nginx_wording import CURRENT_SECONDS, age, error_log, log_row, refusal_rows
from opsctl.checks.wording import bytes_text, count_text, percent_text, seconds_text
from opsctl.model import Evidence, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.checks.base import CheckContext
    from opsctl.facts.nginx import LogErrors, NginxFacts
    from opsctl.model import Finding

RELOAD_MARGIN_SECONDS = 0.5


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
    return errors if age(context, errors) < CURRENT_SECONDS else None


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
    stranger = state == "protocol"
    yield context.critical(
        f"nginx does not answer at {facts.listen}: {what}",
        value=state,
        source=f"curl -sSI -m 5 http://{facts.listen}/",
        evidence=[Evidence(text=process, value=facts.master_pid or "none", source="pgrep -a nginx")],
        fix="Another program holds the port of nginx: stop it or give it another one and start nginx, or "
        "correct nginx.listen in the stack file."
        if stranger
        else "Start nginx after its configuration has been tested. A master that runs and says nothing is "
        "frozen, or another program holds the port.",
        commands=["ss -ltnp"] if stranger else ["nginx -t", "systemctl status nginx", "ss -ltnp"],
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
            source=error_log(facts),
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
                evidence=refusal_rows(facts, item.path),
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
        evidence=log_row(errors, facts) if errors else (),
        fix="Lower max_size of proxy_cache_path below the size of the file system (the cache manager then "
        "deletes by itself), or give it more room.",
        commands=[f"df -h {quote(facts.cache_path)}", "nginx -T 2>/dev/null | grep proxy_cache_path"],
    )


from opsctl.checks import nginx_requests  # noqa: E402 - it registers itself; the order is that of the catalogue

__all__ = ["nginx_requests"]
