"""Checks of a PHP-FPM pool and the Laravel application it runs."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from opsctl.checks.base import Limits, NotObserved, check
from opsctl.checks.running import log_commands, state_commands
from opsctl.checks.wording import count_text, seconds_text
from opsctl.model import Evidence, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.checks.base import CheckContext
    from opsctl.facts.php import PhpFacts
    from opsctl.model import Finding

ERRORS_WINDOW = "two minutes"
PROCESSES = "ps -eo pid,stat,time,args | grep '[p]hp-fpm'"
"""Debian's processes are called php-fpm8.2, others' php-fpm; all call themselves `php-fpm: …`."""
FULL_SECONDS = 120.0
"""A line about max_children that is older says nothing of now."""


def _exhausted(facts: PhpFacts) -> bool:
    """Return whether requests wait although the pool itself runs."""
    return facts.connection.state == "ok" and facts.answered is False and not facts.frozen


def _full_at(facts: PhpFacts, context: CheckContext) -> float | None:
    """Return when PHP-FPM last said that all workers were busy, None where that is over."""
    logged = facts.max_children_logged_at
    return None if logged is None or context.at.timestamp() - logged > FULL_SECONDS else logged


def _socket_commands(facts: PhpFacts) -> list[str]:
    folder = facts.address.removeprefix("unix:").rpartition("/")[0]
    return [f"ls -l {quote(folder)}/"] if folder else []


def _knows_the_master(facts: PhpFacts) -> bool:
    return facts.frozen is False


@check("php/fpm-down", needs="a connection to the pool", reachability=True)
def fpm_down(facts: PhpFacts, context: CheckContext) -> Iterator[Finding]:
    """PHP-FPM does not run, or it is frozen: every PHP page fails."""
    state = facts.connection.state
    fix = "Start PHP-FPM and read in its log why it stopped; compare `listen` with nginx's fastcgi_pass."
    commands = [*state_commands(context), *log_commands(context), *_socket_commands(facts)]
    if state == "no-permission":
        raise NotObserved(
            f"no permission to connect to {facts.address}", "run as root or in the socket's group"
        )
    if state != "ok":
        yield context.critical(
            f"nothing answers at {facts.address}: {facts.connection.detail or state}",
            value=state,
            source=f"ss -lx | grep -F {quote(facts.address)}" if "/" in facts.address else "ss -ltn",
            fix=fix,
            commands=commands,
        )
    elif facts.frozen:
        yield context.critical(
            f"PHP-FPM at {facts.address} is stopped (pid {facts.master_pid}): it accepts and never answers",
            value="T",
            source=f"ps -o pid,stat,args -p {facts.master_pid}",
            fix=f"Let it go on with SIGCONT: kill -CONT {facts.master_pid}; find out who stopped it.",
            commands=[f"ps -o pid,stat,args --ppid {facts.master_pid}"],
        )
    elif _exhausted(facts) and not _knows_the_master(facts) and _full_at(facts, context) is None:
        yield context.critical(
            f"PHP-FPM at {facts.address} accepts connections and answers none of them",
            value="timeout",
            unit="",
            source=f"cgi-fcgi -bind -connect {quote(facts.address)}",
            fix="All workers are busy, or it is frozen. " + fix,
            commands=[PROCESSES, *commands],
        )
    else:
        yield context.ok(f"PHP-FPM accepts connections at {facts.address}")


@check("php/workers-exhausted", needs="the pool's status page, its log", reachability=True)
def workers_exhausted(facts: PhpFacts, context: CheckContext) -> Iterator[Finding]:
    """Every PHP worker is busy and requests wait."""
    fix = (
        "Find what the workers wait for (a slow query, an outside service without a time-out): "
        "request_slowlog_timeout shows the line. Raise pm.max_children only where memory allows."
    )
    commands = [PROCESSES, "ss -xp | grep -c php"]
    logged = _full_at(facts, context)
    if _exhausted(facts) and (_knows_the_master(facts) or logged is not None):
        waited = seconds_text(facts.waited_seconds or 0)
        evidence = (
            [
                Evidence(
                    text="PHP-FPM's log says that pm.max_children was reached "
                    f"{seconds_text(max(context.at.timestamp() - logged, 0))} ago",
                    source="grep max_children on PHP-FPM's log",
                )
            ]
            if logged is not None
            else []
        )
        yield context.critical(
            f"no PHP worker was free at {facts.address} for {waited}",
            value=round(facts.waited_seconds or 0, 2),
            unit="seconds",
            source="the pool's status page over FastCGI",
            evidence=evidence,
            fix=fix,
            commands=commands,
        )
        return
    if not facts.up:
        yield context.ok("no request waits for a worker: the pool takes none")
        return
    queue, idle, active = facts.listen_queue, facts.idle_processes, facts.active_processes
    if queue is not None and idle is not None and active is not None:
        if queue > 0 and idle == 0:
            yield context.warning(
                f"{count_text(queue, 'request')} waits for a PHP worker, all {active} are busy",
                value=queue,
                unit="requests",
                source="the pool's status page: listen queue, idle processes",
                fix=fix,
                commands=commands,
            )
        else:
            yield context.ok(f"{active} PHP workers busy, {idle} idle, {queue} requests wait")
        return
    context.need(facts.answered, "the pool's answer")
    yield context.ok(f"a PHP worker answered in {seconds_text(facts.waited_seconds or 0)}")


@check(
    "php/storage-unwritable", needs="the mode bits of Laravel's folders", permission="root, to see the user"
)
def storage_unwritable(facts: PhpFacts, context: CheckContext) -> Iterator[Finding]:
    """Laravel cannot write its storage folder: sessions, views and logs fail with 500."""
    if not facts.root:
        yield context.ok("no Laravel folder is named in the stack file")
        return
    context.need_part(facts, "application")
    broken = [item for item in facts.storage if item.writable is False]
    for item in broken:
        yield context.critical(
            f"PHP cannot write {item.path}: {item.reason}",
            subject=item.path,
            value=item.reason,
            source=f"namei -l {quote(item.path)}",
            fix="Give the folder to the pool's user (mostly www-data): owner and mode of storage and "
            "bootstrap/cache, for example after a deployment as root.",
            commands=[f"namei -l {quote(item.path)}", f"df -h {quote(item.path)}"],
        )
    if broken:
        return
    unseen = next((item for item in facts.storage if item.writable is None), None)
    if unseen is not None:
        raise NotObserved(f"cannot tell whether {unseen.path} is writable: {unseen.reason}", "run as root")
    yield context.ok(f"{count_text(len(facts.storage), 'folder')} of Laravel can be written")


@check("php/key-missing", needs="Laravel's .env", permission="the right to read .env")
def key_missing(facts: PhpFacts, context: CheckContext) -> Iterator[Finding]:
    """Laravel has no usable APP_KEY: "No application encryption key has been specified"."""
    if not facts.root:
        yield context.ok("no Laravel folder is named in the stack file")
        return
    context.need_part(facts, "application", "environment")
    is_set = context.need(facts.app_key_set, "APP_KEY")
    if is_set and facts.app_key_valid:
        yield context.ok("APP_KEY is set and has a right length")
        return
    what = "is empty" if not is_set else "is neither 16 nor 32 bytes long"
    yield context.critical(
        f"APP_KEY in {facts.root}/.env {what}: Laravel answers 500 to everything that needs a session",
        value="empty" if not is_set else "wrong length",
        source=f"grep -c '^APP_KEY=.' {quote(facts.root + '/.env')}",
        fix="Put the old key back from the backup of .env: a new one (php artisan key:generate) makes all "
        "encrypted data and sessions unreadable. Then php artisan config:clear.",
        commands=[f"grep -c '^APP_KEY=.' {quote(facts.root + '/.env')}"],
    )


@check("php/debug-enabled", needs="Laravel's .env", permission="the right to read .env", role="risk")
def debug_enabled(facts: PhpFacts, context: CheckContext) -> Iterator[Finding]:
    """APP_DEBUG is on in production: error pages show passwords to everybody."""
    if not facts.root:
        yield context.ok("no Laravel folder is named in the stack file")
        return
    context.need_part(facts, "application", "environment")
    debug = context.need(facts.debug, "APP_DEBUG")
    if debug and facts.environment == "production":
        yield context.warning(
            f"APP_DEBUG=true with APP_ENV=production in {facts.root}/.env",
            value="true",
            threshold="false",
            source=f"grep -E '^APP_(DEBUG|ENV)=' {quote(facts.root + '/.env')}",
            fix="Set APP_DEBUG=false, then php artisan config:cache. Change what a page may have shown.",
            commands=[f"grep -E '^APP_(DEBUG|ENV)=' {quote(facts.root + '/.env')}"],
        )
    else:
        yield context.ok(f"APP_DEBUG is {'on' if debug else 'off'}, APP_ENV is {facts.environment}")


@check(
    "php/errors",
    needs="laravel.log and PHP-FPM's log",
    role="symptom",
    limits=Limits(5, 50, "errors", source="in two minutes; single exceptions are everyday life"),
)
def errors(facts: PhpFacts, context: CheckContext) -> Iterator[Finding]:
    """Laravel or PHP-FPM logs errors now."""
    if not facts.errors:
        context.need_part(facts, "application", "laravel.log", "log")
        yield context.ok("no log of PHP is named, or Laravel has not written one yet")
        return
    for part in ("laravel.log", "log"):
        problem = facts.problem(part)
        if problem is not None:
            yield context.finding(Status.UNKNOWN, problem.message, subject=part, hint=problem.hint)
    for item in facts.errors:
        count = context.need(item.count, item.log)
        said = f", the last: {item.example}" if item.example else ""
        yield context.judge(
            count,
            f"{count_text(count, 'error')} in the last {ERRORS_WINDOW} of {item.log}{said}"[:400],
            subject=item.log,
            source=f"tail -n 100 {quote(item.log)}",
            fix="Read the first exception of the series: later ones often follow from it.",
            commands=[f"grep -nE 'ERROR|CRITICAL|ALERT|EMERGENCY|signal' {quote(item.log)} | tail -n 20"],
        )
