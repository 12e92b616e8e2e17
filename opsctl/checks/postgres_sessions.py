"""PostgreSQL: who waits for whom, who holds a transaction open, what takes long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, check
from opsctl.checks.postgres_wording import CHAIN, doing, psql, session_line, who
from opsctl.checks.wording import bytes_text, count_text, percent_text, seconds_text
from opsctl.model import Evidence, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.postgres import PostgresFacts
    from opsctl.facts.postgres_sessions import Session
    from opsctl.model import Finding

_MAINTENANCE = (
    "vacuum",
    "analyze",
    "create index",
    "create unique index",
    "reindex",
    "cluster",
    "refresh",
    "copy",
)
_BACKUPS = ("pg_dump", "pg_dumpall", "pg_basebackup", "pg_restore")


def root_blockers(facts: PostgresFacts) -> list[Session]:
    """Return the sessions that block others and wait for nobody, the one with most victims first."""
    by_pid = {session.pid: session for session in facts.sessions}
    victims: dict[int, int] = {}
    for session in facts.sessions:
        for pid in _roots(session, by_pid, set()):
            victims[pid] = victims.get(pid, 0) + 1
    ranked = sorted(victims, key=lambda pid: (-victims[pid], pid))
    return [by_pid[pid] for pid in ranked if pid in by_pid]


def _roots(session: Session, by_pid: dict[int, Session], seen: set[int]) -> set[int]:
    found: set[int] = set()
    for pid in session.blocked_by:
        if pid in seen:
            continue
        seen.add(pid)
        blocker = by_pid.get(pid)
        found |= _roots(blocker, by_pid, seen) if blocker and blocker.blocked_by else {pid}
    return found


@check(
    "postgres/blocked-queries",
    needs="pg_locks, pg_blocking_pids, pg_stat_activity",
    limits=Limits(
        2, 10, "seconds", source="a row lock is held for milliseconds; users give up after seconds"
    ),
)
def blocked_queries(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """Queries wait for a lock that another session holds; the chain ends at the one to blame."""
    context.need_part(facts, "sessions", "locks")
    waiting = [session for session in facts.sessions if session.blocked_by]
    if not waiting:
        yield context.ok("no query waits for a lock")
        return
    longest = max(session.waiting_seconds or 0.0 for session in waiting)
    count = max(facts.waiting_sessions or 0, len(waiting))
    roots = root_blockers(facts)
    summary = (
        f"{count_text(count, 'query waits', 'queries wait')} for a lock, the longest {seconds_text(longest)}"
    )
    fix = "End what the blocking session is doing."
    if roots:
        root = roots[0]
        summary += f"; {who(root)} blocks: {doing(root)}"
        fix = (
            f"End the blocker's transaction: let its application commit or roll back, or, having read its "
            f"query "
            f"below, call pg_terminate_backend({root.pid}) as superuser or as the same role. What it had not "
            "committed is lost. Then find out why the application holds a transaction open."
        )
        if root.pid == 0:
            fix = (
                "A prepared transaction holds the lock: commit or roll it back by its gid "
                "(pg_prepared_xacts)."
            )
    shown = [*roots[:3], *(item for item in waiting if item not in roots[:3])][:8]
    yield context.judge(
        longest,
        summary,
        source="select pid, pg_blocking_pids(pid), query from pg_stat_activity where wait_event_type = "
        "'Lock'",
        evidence=[session_line(session) for session in shown],
        fix=fix,
        commands=[psql(facts, CHAIN)],
    )


@check(
    "postgres/idle-in-transaction",
    needs="pg_stat_activity",
    limits=Limits(
        60, 600, "seconds", source="a transaction spans one request; a minute without a word is a leak"
    ),
    permission="pg_monitor, or the same role",
)
def idle_in_transaction(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """A session opened a transaction and went silent; it holds its locks and keeps dead rows alive."""
    context.need_part(facts, "sessions")
    context.need(facts.connections_used, "pg_stat_activity")
    idle = [session for session in facts.sessions if session.state.startswith("idle in transaction")]
    if not idle:
        yield context.ok("no transaction is left open" + _hidden(facts))
        return
    oldest = max(idle, key=lambda session: session.state_seconds or 0.0)
    age = oldest.state_seconds or 0.0
    yield context.judge(
        age,
        f"{count_text(len(idle), 'session is', 'sessions are')} idle in transaction, the longest "
        f"{seconds_text(age)}: {who(oldest)}",
        source="select pid, now() - state_change from pg_stat_activity where state like 'idle in "
        "transaction%'",
        evidence=[session_line(session) for session in idle[:5]],
        fix="Let the application commit, roll back or close its connection on every path. To be rid of it "
        "now "
        f"call pg_terminate_backend({oldest.pid}). Set idle_in_transaction_session_timeout for the role.",
        commands=[
            psql(
                facts,
                "select pid, application_name, now() - state_change as idle, left(query, 80) as last_query "
                "from pg_stat_activity where state like 'idle in transaction%' order by state_change",
            )
        ],
    )


def _hidden(facts: PostgresFacts) -> str:
    return "" if facts.sees_all_sessions is not False else f" (other roles are hidden from {facts.user!r})"


def _is_maintenance(session: Session) -> bool:
    words = session.query.lower().lstrip("( ")
    return session.application.lower().startswith(_BACKUPS) or words.startswith(_MAINTENANCE)


@check(
    "postgres/long-query",
    needs="pg_stat_activity",
    limits=Limits(
        60, 900, "seconds", source="no web request waits a minute; dumps and maintenance are left out"
    ),
    permission="pg_monitor, or the same role",
)
def long_query(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """A query has been running for much longer than any request can wait."""
    context.need_part(facts, "sessions")
    context.need(facts.connections_used, "pg_stat_activity")
    running = [
        session
        for session in facts.sessions
        if session.state == "active" and not session.blocked_by and not _is_maintenance(session)
    ]
    if not running:
        yield context.ok("no query is running for long" + _hidden(facts))
        return
    oldest = max(running, key=lambda session: session.query_seconds or 0.0)
    age = oldest.query_seconds or 0.0
    yield context.judge(
        age,
        f"the longest query has been running for {seconds_text(age)}: {who(oldest)}",
        source="select pid, now() - query_start, query from pg_stat_activity where state = 'active'",
        evidence=[session_line(session) for session in running[:5]],
        fix=f"Where nobody needs its result call pg_cancel_backend({oldest.pid}). Look at its plan with "
        f"EXPLAIN; "
        "an index or fresh statistics are usually missing. Set statement_timeout for the application's role.",
        commands=[
            psql(
                facts,
                "select pid, application_name, now() - query_start as age, wait_event, left(query, 120) "
                "as query "
                "from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() order by "
                "query_start",
            )
        ],
    )


@check(
    "postgres/statements-slow",
    needs="pg_stat_statements over a second, pg_stat_activity",
    limits=Limits(1, None, "seconds", source="a whole page may take one second"),
    permission="pg_monitor, or the same role",
)
def statements_slow(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """Statements that the application runs now are slow on average."""
    context.need_part(facts, "sessions")
    recent = [
        item
        for item in facts.statements
        if item.window_calls
        and item.window_mean_seconds is not None
        and facts.database in ("", item.datname)  # metrics bring those of other databases along
    ]
    running = [
        session
        for session in facts.sessions
        if session.state == "active" and not session.blocked_by and not _is_maintenance(session)
    ]
    if not recent and not running:
        yield from _no_statement(facts, context)
        return
    evidence = [
        Evidence(
            text=f"{count_text(item.window_calls or 0, 'call')} in the last {_window(facts)}, mean "
            f"{seconds_text(item.window_mean_seconds or 0)}: {item.query}",
            value=item.window_mean_seconds,
            unit="seconds",
            source="pg_stat_statements",
        )
        for item in recent[:3]
    ] + [session_line(session) for session in running[:3]]
    longest = max(running, key=lambda session: session.query_seconds or 0.0, default=None)
    mean = max((item.window_mean_seconds or 0.0 for item in recent), default=0.0)
    running_seconds = (longest.query_seconds or 0.0) if longest else 0.0
    if mean >= running_seconds or longest is None:
        summary = (
            f"the slowest statement takes {seconds_text(mean)} on average over the last {_window(facts)}"
        )
    else:
        summary = f"a statement of {who(longest)} has been running for {seconds_text(running_seconds)}"
    yield context.judge(
        max(mean, running_seconds),
        summary,
        source="pg_stat_statements twice, a second apart; pg_stat_activity",
        evidence=evidence,
        fix="Look at the plan with EXPLAIN (ANALYZE, BUFFERS) on a copy or with small values; a missing "
        "index, old "
        "statistics or a larger table than before are the usual reasons.",
        commands=[
            psql(
                facts,
                "select calls, mean_exec_time, left(query, 100) as query from pg_stat_statements "
                "order by total_exec_time desc limit 10",
            )
        ],
    )


def _window(facts: PostgresFacts) -> str:
    return seconds_text(facts.window.seconds) if facts.window else "second"


def _no_statement(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """Nothing runs now. Without the extension that is what can be said, where the sessions were read.

    Statements of a second each that keep a page waiting would be among those that run.
    """
    if facts.statements_seen or facts.connections_used == 0:
        yield context.ok("no statement has been running for long")
        return
    if facts.connections_used is not None:
        yield context.ok(
            f"no statement is running now{_hidden(facts)}; pg_stat_statements, which would tell of those "
            "that have ended, is not installed"
        )
        return
    yield context.finding(
        Status.UNKNOWN,
        "pg_stat_statements is not installed in this database",
        hint="create extension pg_stat_statements, with shared_preload_libraries",
    )


@check(
    "postgres/deadlocks",
    needs="pg_stat_database over a second, while sessions wait for locks",
    limits=Limits(1, None, "deadlocks", source="each deadlock is a failed transaction"),
)
def deadlocks(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """Transactions lock the same rows in different order, and PostgreSQL keeps cancelling one of them."""
    context.need_part(facts, "databases", "locks")
    happened = facts.window.deadlocks if facts.window else None
    if happened is None:
        if not any(database.deadlocks for database in facts.databases):
            yield context.ok("no deadlock since the figures were reset")
        else:
            yield context.ok("no session waits for a lock now, so none is deadlocked")
        return
    yield context.judge(
        happened,
        f"{count_text(happened, 'deadlock')} in the last {_window(facts)}",
        source="select sum(deadlocks) from pg_stat_database, twice",
        evidence=[session_line(session) for session in facts.sessions if session.blocked_by][:5],
        fix="The log names both statements of each deadlock. Take locks in one order everywhere (sort the "
        "rows by "
        "key before updating), keep transactions short, and retry on SQLSTATE 40P01.",
        commands=[
            psql(facts, "select datname, deadlocks from pg_stat_database where deadlocks > 0"),
            "grep -h -A6 'deadlock detected' /var/log/postgresql/postgresql-*-main.log | tail -40",
        ],
    )


@check(
    "postgres/temp-files",
    needs="pg_stat_database over a second, while queries run",
    limits=Limits(10 * 1024 * 1024, None, "bytes/s", source="a disk is shared; 10 MiB/s of sorting is felt"),
)
def temp_files(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """Queries sort or hash on disk because work_mem is too small for them."""
    context.need_part(facts, "databases", "sessions")
    if facts.window is None or facts.window.temp_bytes is None:
        yield context.ok("no running query was seen writing temporary files")
        return
    rate = facts.window.temp_bytes / max(facts.window.seconds, 0.1)
    memory = facts.settings.work_mem
    yield context.judge(
        rate,
        f"{bytes_text(rate)} of temporary files a second"
        + (f" with work_mem {bytes_text(memory)}" if memory else ""),
        source="select sum(temp_bytes) from pg_stat_database, twice",
        evidence=[session_line(session) for session in facts.sessions if session.state == "active"][:5],
        fix="Find the query (log_temp_files = 10MB names it), give it an index or fewer rows, or raise "
        "work_mem for "
        "its role; every sort of every connection may take that much.",
        commands=[
            psql(facts, "select datname, temp_files, pg_size_pretty(temp_bytes) from pg_stat_database")
        ],
    )


CACHE_MINIMUM_READS = 1000
"""Blocks a second (8 MB/s) below which misses are not worth a word."""


@check(
    "postgres/cache-miss",
    needs="pg_stat_database over a second, while queries run",
    limits=Limits(0.2, None, "ratio", source="a working set that fits is read from memory in more than 99 %"),
)
def cache_miss(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """Much of what queries read is not in PostgreSQL's memory."""
    context.need_part(facts, "databases", "sessions")
    window = facts.window
    if window is None or window.blocks_read is None or window.blocks_hit is None:
        yield context.ok("no running query was seen reading much from disk")
        return
    read = window.blocks_read / max(window.seconds, 0.1)
    ratio = window.blocks_read / max(window.blocks_read + window.blocks_hit, 1)
    summary = f"{percent_text(ratio)} of block reads missed shared_buffers, {read:.0f} blocks a second"
    if read < CACHE_MINIMUM_READS:
        yield context.ok(summary)
        return
    buffers = facts.settings.shared_buffers
    yield context.judge(
        ratio,
        summary + (f" with shared_buffers {bytes_text(buffers)}" if buffers else ""),
        source="select sum(blks_read), sum(blks_hit) from pg_stat_database, twice",
        evidence=[session_line(session) for session in facts.sessions if session.state == "active"][:5],
        fix="Find the query that reads most (pg_stat_statements.shared_blks_read); an index usually "
        "replaces a scan "
        "of the whole table. Raise shared_buffers to a quarter of the memory where it is still at its "
        "default.",
        commands=[
            psql(
                facts,
                "select relname, heap_blks_read, heap_blks_hit from pg_statio_user_tables "
                "order by heap_blks_read desc limit 10",
            )
        ],
    )
