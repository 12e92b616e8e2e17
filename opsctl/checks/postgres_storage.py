"""PostgreSQL: write-ahead log, vacuum, pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, check
from opsctl.checks.postgres_wording import psql
from opsctl.checks.wording import bytes_text, percent_text, seconds_text
from opsctl.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.postgres import PostgresFacts
    from opsctl.model import Finding

XID_SPACE = 2**31
"""Transactions ahead of the oldest one that PostgreSQL can tell apart."""


@check(
    "postgres/wal-archiving-failing",
    needs="pg_stat_archiver, archive_mode",
    limits=Limits(
        0, 3600, "seconds", source="an hour without an archived file is an hour that a restore lacks"
    ),
)
def wal_archiving_failing(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """Write-ahead log files cannot be archived; they pile up, and a restore would end here."""
    if not context.need(facts.archiving, "archive_mode"):
        yield context.ok("archiving is off")
        return
    commands = [
        psql(
            facts,
            "select last_archived_time, last_failed_wal, last_failed_time, failed_count from "
            "pg_stat_archiver",
        ),
        "sudo -u postgres psql -c 'show archive_command'",
    ]
    if facts.archiving_configured is False:
        yield context.warning(
            "archive_mode is on, but there is no archive_command: every WAL file is kept",
            value="",
            source="show archive_command",
            fix="Set archive_command (or archive_library), or switch archive_mode off (restart).",
            commands=commands,
        )
        return
    context.need_part(facts, "archiver")
    failed, archived = facts.last_archive_failure_age, facts.last_archive_age
    if failed is None or (archived is not None and archived <= failed):
        last = (
            f"the last file was archived {seconds_text(archived)} ago"
            if archived is not None
            else "nothing failed"
        )
        yield context.ok(last)
        return
    started = facts.started_at
    since = archived
    if since is None and started is not None:
        since = max(context.at.timestamp() - started, 0.0)
    good = (
        f"the last good one was {seconds_text(archived)} ago"
        if archived is not None
        else "none has succeeded"
    )
    yield context.judge(
        since or 0.0,
        f"archiving WAL file {facts.last_failed_wal or '?'} failed {seconds_text(failed)} ago; {good}",
        source="select * from pg_stat_archiver",
        fix="Run the archive command by hand as the server's user and read its error (destination full, "
        "no permission, "
        "key expired); the server's log has it too. PostgreSQL tries again by itself.",
        commands=commands,
    )


@check(
    "postgres/checkpoints-forced",
    needs="pg_control_checkpoint(), max_wal_size",
    limits=Limits(30, None, "seconds", below=True, source="checkpoint_warning, 30 s by default"),
)
def checkpoints_forced(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """So much is written that checkpoints are forced one after the other, long before their time."""
    if facts.in_recovery:
        yield context.ok("a replica's checkpoints follow its primary's")
        return
    context.need_part(facts, "control file")
    age = context.need(facts.last_checkpoint_age, "the time of the last checkpoint")
    written = context.need(facts.wal_since_checkpoint, "the log written since the last checkpoint")
    room = context.need(facts.settings.max_wal_size, "max_wal_size")
    timeout = context.need(facts.settings.checkpoint_timeout, "checkpoint_timeout")
    rate, forced = _pace(facts, written, age)
    expected = min(room / rate if rate > 0 else timeout, timeout, forced or timeout)
    summary = (
        f"{bytes_text(rate)} of WAL a second, the last checkpoint {seconds_text(age)} ago; "
        f"max_wal_size {bytes_text(room)}"
    )
    if age > timeout or not facts.checkpoints_requested or (forced is None and written < _enough(facts)):
        yield context.ok(summary)
        return
    yield context.judge(
        expected,
        f"{summary}: a checkpoint is forced about every {seconds_text(expected)}",
        source="select checkpoint_time, redo_lsn from pg_control_checkpoint()",
        fix="Raise max_wal_size to what is written in checkpoint_timeout (a reload is enough), and find the "
        "job that writes so much.",
        commands=[
            psql(facts, "select checkpoint_time, redo_lsn from pg_control_checkpoint()"),
            psql(
                facts,
                "select name, setting, unit from pg_settings where name in "
                "('max_wal_size', 'checkpoint_timeout', 'checkpoint_warning')",
            ),
        ],
    )


def _pace(facts: PostgresFacts, written: int, age: float) -> tuple[float, float | None]:
    """Return WAL bytes a second, and the seconds between forced checkpoints where several were seen."""
    window = facts.window
    if window is None or window.wal_bytes is None or not window.seconds:
        return written / max(age, 1.0), None
    several = window.checkpoints_requested is not None and window.checkpoints_requested >= 2
    forced = (
        window.seconds / window.checkpoints_requested if several and window.checkpoints_requested else None
    )
    return window.wal_bytes / window.seconds, forced


def _enough(facts: PostgresFacts) -> float:
    """Return how much WAL since a checkpoint is enough to speak of a rate: two files."""
    return 2.0 * (facts.settings.wal_segment_size or 16 * 1024**2)


@check(
    "postgres/wraparound",
    needs="age(datfrozenxid), mxid_age(datminmxid)",
    limits=Limits(
        0.5,
        0.8,
        "ratio",
        source="autovacuum freezes at 10 %, its failsafe starts at 75 %, writes stop at 100 %",
    ),
)
def wraparound(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """Old rows were not frozen for so long that PostgreSQL will stop taking writes."""
    context.need_part(facts, "databases")
    ages = [
        (max(database.xid_age or 0, database.multixact_age or 0), database)
        for database in facts.databases
        if database.xid_age is not None
    ]
    if not ages:
        context.need(None, "age(datfrozenxid)")
    age, database = max(ages, key=lambda pair: pair[0])
    kind = "transactions" if age == database.xid_age else "multixacts"
    yield context.judge(
        age / XID_SPACE,
        f"the oldest row of {database.datname} is {age / 1e6:.0f} million {kind} old, "
        f"{percent_text(age / XID_SPACE)} of what there is",
        subject=database.datname,
        source="select datname, age(datfrozenxid), mxid_age(datminmxid) from pg_database",
        fix="End what holds the horizon back (old transactions, prepared transactions, unused replication "
            "slots), then "
        f"VACUUM (FREEZE) the oldest tables of {database.datname}. See that autovacuum is on and gets "
        f"through.",
        commands=[
            psql(facts, "select datname, age(datfrozenxid), mxid_age(datminmxid) from pg_database order "
                        "by 2 desc"),
            psql(facts, "select oid::regclass, age(relfrozenxid) from pg_class where relkind in ('r', "
                        "'m', 't') "
                 "order by 2 desc limit 10"),
            psql(facts, "select pid, backend_xmin, now() - xact_start as age from pg_stat_activity "
                 "where backend_xmin is not null order by age(backend_xmin) desc limit 5"),
        ],
    )  # fmt: skip


DEAD_ROWS_MINIMUM = 10_000
"""Fewer dead rows than this cost nothing, whatever their share."""


@check(
    "postgres/autovacuum-behind",
    needs="pg_stat_user_tables, the tables' autovacuum settings",
    limits=Limits(
        3, 20, "times", source="autovacuum starts at 1; three times that means that it does not get there"
    ),
)
def autovacuum_behind(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """Dead rows pile up because autovacuum is off, too slow, or held back."""
    if facts.in_recovery:
        yield context.ok("a replica is vacuumed through its primary")
        return
    context.need_part(facts, "tables")
    commands = [
        psql(facts, "select relname, n_live_tup, n_dead_tup, last_autovacuum from pg_stat_user_tables "
             "order by n_dead_tup desc limit 10"),
        psql(facts, "select pid, age(backend_xmin), state, application_name from pg_stat_activity "
             "where backend_xmin is not null order by 2 desc limit 5"),
    ]  # fmt: skip
    if facts.settings.autovacuum is False:
        yield context.warning(
            "autovacuum is off: dead rows stay, and old rows are frozen only in an emergency",
            value="off",
            threshold="on",
            source="show autovacuum",
            fix="Switch it on: ALTER SYSTEM SET autovacuum = on, then pg_reload_conf().",
            commands=commands,
        )
        return
    # metrics bring the tables of other databases along: those are not this service's
    own = [table for table in facts.tables if facts.database in ("", table.datname)]
    judged = [
        (dead / max(table.vacuum_trigger, 1.0), table)
        for table in own
        if (dead := table.dead) is not None
        and dead >= DEAD_ROWS_MINIMUM
        and table.vacuum_trigger is not None
        and not table.vacuuming
    ]
    behind = [pair for pair in judged if context.limits.status(pair[0]) is not Status.OK]
    if not behind:
        most = max((table.dead or 0 for table in own), default=0)
        yield context.ok(f"no table is due for long; the most dead rows in one are {most}")
        return
    for times, table in sorted(behind, key=lambda pair: -pair[0])[:5]:
        why = "" if table.autovacuum_enabled is not False else "; autovacuum is switched off for it"
        last = table.last_autovacuum
        seen = (
            f"last autovacuum {seconds_text(context.at.timestamp() - last)} ago"
            if last
            else "never autovacuumed"
        )
        yield context.judge(
            times,
            f"{table.schema}.{table.name} has {table.dead} dead rows, {times:.0f} times what starts an "
            f"autovacuum; "
            f"{seen}{why}",
            subject=f"{table.schema}.{table.name}",
            source="select relname, n_live_tup, n_dead_tup, last_autovacuum from pg_stat_user_tables",
            fix="Find what holds it back: a transaction or slot that is old, a table with "
            "autovacuum_enabled=false, too "
            f"few workers, or a cost limit that is too low. Then VACUUM (ANALYZE) "
            f"{table.schema}.{table.name}.",
            commands=commands,
        )


@check(
    "postgres/checksum-failures",
    needs="pg_stat_database.checksum_last_failure",
    limits=Limits(
        None, 86400, "seconds", below=True, source="a day: time to notice, short enough to be current"
    ),
)
def checksum_failures(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """A page read from disk was damaged."""
    context.need_part(facts, "databases")
    if facts.settings.data_checksums is False:
        yield context.ok("data checksums are off; damage would not be noticed")
        return
    hit = [item for item in facts.databases if item.checksum_last_failure is not None]
    if not hit:
        yield context.ok("no page failed its checksum")
        return
    for database in hit:
        age = context.at.timestamp() - (database.checksum_last_failure or 0.0)
        yield context.judge(
            max(age, 0.0),
            f"{database.checksum_failures or 'some'} pages of {database.datname or 'the shared catalogs'} "
            f"failed their "
            f"checksum, the last {seconds_text(max(age, 0.0))} ago",
            subject=database.datname,
            source="select datname, checksum_failures, checksum_last_failure from pg_stat_database",
            fix="Stop writing and take a copy of the data folder before anything else. Check disk and "
            "memory; restore "
            "from the last good backup or promote a replica. Do not switch ignore_checksum_failure on to "
            "go on.",
            commands=[
                psql(facts, "select datname, checksum_failures, checksum_last_failure from pg_stat_database"),
                "dmesg --level=err,warn | tail -30",
                "grep -h 'invalid page\\|page verification failed' /var/log/postgresql/*.log | tail",
            ],
        )
