"""PostgreSQL: may it write, do its replicas follow, who keeps its log from being cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, check
from opsctl.checks.postgres_wording import psql
from opsctl.checks.wording import bytes_text, count_text, seconds_text
from opsctl.model import Evidence, Status, worst

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.postgres import PostgresFacts
    from opsctl.facts.postgres_replication import Replica
    from opsctl.model import Finding

_GIB = 1024**3
LAG_BYTES_WARNING = 256 * 1024**2
LAG_BYTES_CRITICAL = 4 * _GIB
"""As seen from the primary, where the age of what a replica has not replayed is not known."""


@check("postgres/read-only", needs="default_transaction_read_only, pg_is_in_recovery()")
def read_only(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """The server that should take writes refuses them."""
    in_recovery = context.need(facts.in_recovery, "pg_is_in_recovery()")
    if facts.should_be_replica:
        yield context.ok("it is a replica and should be read-only")
    elif in_recovery:
        yield context.critical(
            "the server is in recovery: it is a standby and refuses every write",
            value="in recovery",
            source="select pg_is_in_recovery()",
            fix="Either the application talks to the replica by mistake, or the primary is gone. Point it "
            "to the "
            "primary; where there is none left, promote this server (pg_promote) after making sure that "
            "the old "
            "primary cannot come back. If it is meant to be a replica, say `replica: true` in the stack "
            "file.",
            commands=[psql(facts, "select pg_is_in_recovery(), pg_last_xact_replay_timestamp()")],
        )
    elif facts.settings.default_transaction_read_only:
        source = facts.read_only_source
        where = {
            "database": f"set for the database {facts.database!r}",
            "user": f"set for the role {facts.user!r}",
            "database user": f"set for {facts.user!r} in {facts.database!r}",
            "configuration file": "set in postgresql.conf or by ALTER SYSTEM",
        }.get(source, f"set by {source}")
        yield context.critical(
            f"transactions start read-only: default_transaction_read_only is on, {where}",
            value="on",
            threshold="off",
            source="show default_transaction_read_only",
            fix="Somebody or some tool switched writes off (a provider does so when the disk is full). "
                "Free the disk "
            "if that is why; then ALTER SYSTEM, ALTER DATABASE or ALTER ROLE … RESET "
            "default_transaction_read_only "
            "and pg_reload_conf().",
            commands=[
                psql(facts, "select setting, source, sourcefile from pg_settings "
                     "where name = 'default_transaction_read_only'"),
                psql(facts, "select setdatabase, setrole, setconfig from pg_db_role_setting"),
            ],
        )  # fmt: skip
    else:
        yield context.ok("it is a primary and takes writes")


@check("postgres/replica-missing", needs="pg_stat_replication")
def replica_missing(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """Fewer replicas stream from the primary than the stack file says."""
    if not facts.expected_replicas:
        yield context.ok("the stack file expects no replica here")
        return
    context.need_part(facts, "replication")
    replicas = context.need(facts.replicas, "pg_stat_replication")
    # without pg_monitor the state is hidden, the row is not
    streaming = [replica for replica in replicas if replica.state in ("streaming", "")]
    expected, there = facts.expected_replicas, len(streaming)
    summary = f"{there} of {count_text(expected, 'replica')} stream from this server"
    if there >= expected:
        yield context.ok(summary)
        return
    others = [replica for replica in replicas if replica not in streaming]
    yield context.finding(
        Status.CRITICAL if there == 0 else Status.WARNING,
        summary,
        value=there,
        threshold=expected,
        unit="replicas",
        source="select application_name, client_addr, state from pg_stat_replication",
        evidence=[
            Evidence(
                text=f"{replica.application} at {replica.client or 'local'}: {replica.state}",
                value=replica.state,
            )
            for replica in others
        ],
        fix="See on the replica whether it runs and what its log says: network, password, or WAL that the "
        "primary has "
        "already removed (then it must be built anew with pg_basebackup).",
        commands=[
            psql(facts, "select application_name, client_addr, state, sent_lsn from pg_stat_replication"),
            psql(facts, "select slot_name, active, wal_status from pg_replication_slots"),
        ],
    )


@check(
    "postgres/replication-lag",
    needs="pg_stat_replication; on a replica pg_last_xact_replay_timestamp()",
    limits=Limits(30, 300, "seconds", source="what a reader takes for a fault rather than for a delay"),
)
def replication_lag(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """A replica is behind its primary; who reads there sees old data."""
    context.need_part(facts, "replication")
    if context.need(facts.in_recovery, "pg_is_in_recovery()"):
        yield _own_lag(facts, context)
        return
    replicas = context.need(facts.replicas, "pg_stat_replication")
    if not replicas:
        yield context.ok("no replica streams from this server")
        return
    for replica in replicas:
        yield _replica_lag(replica, facts, context)


def _own_lag(facts: PostgresFacts, context: CheckContext) -> Finding:
    lag = facts.replication_lag_seconds
    commands = [
        psql(
            facts,
            "select pg_is_wal_replay_paused() as paused, pg_last_wal_receive_lsn() as received, "
            "pg_last_wal_replay_lsn() as replayed, pg_last_xact_replay_timestamp() as replayed_until",
        )
    ]
    if facts.receiving is False and facts.should_be_replica:
        return context.critical(
            "this replica receives nothing from its primary",
            value="no WAL receiver",
            source="select * from pg_stat_wal_receiver",
            fix="Its log says why: primary down, wrong password, no route, or WAL that the primary has "
            "removed already.",
            commands=[
                psql(facts, "select status, last_msg_receipt_time from pg_stat_wal_receiver"),
                *commands,
            ],
        )
    if lag is None and facts.replay_paused and facts.replay_lag_bytes:
        return context.warning(
            f"replay is paused on this replica, {bytes_text(facts.replay_lag_bytes)} are waiting",
            value=facts.replay_lag_bytes,
            unit="bytes",
            source="select pg_is_wal_replay_paused()",
            fix="Somebody paused replay; call pg_wal_replay_resume() on the replica when that is over.",
            commands=commands,
        )
    if lag is None:
        return context.ok(f"{bytes_text(facts.replay_lag_bytes or 0)} are waiting to be replayed")
    paused = "; replay is paused" if facts.replay_paused else ""
    fix = (
        "See whether the replica's disk or one long query there holds replay back "
        "(max_standby_streaming_delay)."
    )
    if facts.replay_paused:
        fix = "Somebody paused replay; call pg_wal_replay_resume() on the replica when that is over."
    return context.judge(
        lag,
        f"this replica is {seconds_text(lag)} behind{paused}",
        source="select now() - pg_last_xact_replay_timestamp()",
        fix=fix,
        commands=commands,
    )


def _replica_lag(replica: Replica, facts: PostgresFacts, context: CheckContext) -> Finding:
    name = replica.application or replica.client or replica.pid
    size, seconds = replica.lag_bytes, replica.replay_lag_seconds
    if size is None:
        return context.finding(
            Status.UNKNOWN,
            f"how far {name} is behind is hidden from {facts.user!r}",
            subject=name,
            hint="grant pg_monitor to the role that opsctl uses",
        )
    by_size = Status.OK
    if size >= LAG_BYTES_WARNING:
        by_size = Status.CRITICAL if size >= LAG_BYTES_CRITICAL else Status.WARNING
    # the reported time is that of the last commit replayed: it says nothing once all is replayed
    late = seconds if seconds is not None and size > 0 else 0.0
    status = worst([by_size, context.limits.status(late)])
    delay = f", {seconds_text(seconds)} from commit to replay" if seconds is not None else ""
    return context.finding(
        status,
        f"{name} is {bytes_text(size)} behind{delay}",
        subject=name,
        value=size,
        threshold=LAG_BYTES_WARNING,
        unit="bytes",
        source="select application_name, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) from "
        "pg_stat_replication",
        fix="Look at the replica: replay paused, a slow disk, or one long query that holds replay back.",
        commands=[
            psql(facts, "select application_name, state, replay_lag, replay_lsn from pg_stat_replication")
        ],
    )


@check(
    "postgres/slot-retaining-wal",
    needs="pg_replication_slots",
    limits=Limits(_GIB, 10 * _GIB, "bytes", source="the default max_wal_size, and ten times that"),
)
def slot_retaining_wal(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """A replication slot that nobody reads keeps the write-ahead log, until the disk is full."""
    context.need_part(facts, "replication")
    slots = context.need(facts.slots, "pg_replication_slots")
    if not slots:
        yield context.ok("there is no replication slot")
        return
    for slot in slots:
        kept = slot.retained_bytes or 0
        state = "active" if slot.active else "nobody reads from it"
        details = {
            "subject": slot.name,
            "source": "select slot_name, active, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) "
            "from pg_replication_slots",
            "fix": "Start the replica or consumer that the slot belongs to. If it is gone for good, and "
            "only then, drop "
            f"the slot: pg_drop_replication_slot('{slot.name}'). Set max_slot_wal_keep_size as a limit.",
            "commands": [
                psql(
                    facts,
                    "select slot_name, slot_type, active, wal_status, pg_size_pretty(pg_wal_lsn_diff("
                    "pg_current_wal_lsn(), restart_lsn)) as kept from pg_replication_slots",
                )
            ],
        }
        if slot.wal_status == "lost":
            yield context.warning(
                f"slot {slot.name} is lost: the log it needs has been removed, its replica must be built "
                f"anew",
                value="lost",
                **details,
            )
            continue
        yield context.judge(
            kept,
            f"slot {slot.name} keeps {bytes_text(kept)} of WAL; {state}",
            **details,
        )
