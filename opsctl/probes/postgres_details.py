"""What only metrics want of a PostgreSQL: more settings, all tables of all databases, known sets from 0.

Nothing here runs for `diagnose`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.facts.postgres_details import Checkpointer, MoreSettings, PostgresDetails
from opsctl.facts.postgres_sessions import Activity, LockCount
from opsctl.probes.postgres_others import other_databases
from opsctl.probes.postgres_parsing import setting_number, setting_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opsctl.probes.base import ProbeContext
    from opsctl.probes.postgres_connection import Asker

Row = dict[str, Any]

MORE_SETTINGS = tuple(name for name in MoreSettings.__struct_fields__ if name != "server")
STATES = (
    "active",
    "idle",
    "idle in transaction",
    "idle in transaction (aborted)",
    "fastpath function call",
    "disabled",
)
"""States of sessions; each database has a series for each, from 0."""
LOCK_MODES = (
    "accesssharelock",
    "rowsharelock",
    "rowexclusivelock",
    "shareupdateexclusivelock",
    "sharelock",
    "sharerowexclusivelock",
    "exclusivelock",
    "accessexclusivelock",
    "sireadlock",
)
MAX_DATABASES = 5000
MAX_KINDS_OF_SESSIONS = 300
"""So many different sessions keep all their labels; beyond that only state and database tell them apart."""
_FLAGS = {"log_duration", "log_lock_waits", "logging_collector", "transaction_read_only"}
_FRACTIONS = {
    "autovacuum_analyze_scale_factor",
    "autovacuum_naptime",
    "autovacuum_vacuum_cost_delay",
    "log_min_duration_statement",
}


# -- pure -----------------------------------------------------------------------------------------


def more_settings(
    rows: Mapping[str, Sequence[str | None]] | None, server: str = "", in_recovery: bool = False
) -> MoreSettings:
    """Return the settings; each row is (setting, unit, reset_val, source). -1 has no unit.

    Args:
        rows: by name, as `postgres_queries.settings` asks for them.
        server: the server's address.
        in_recovery: nothing can be written then, whatever the setting says; our own transaction is
            always read-only, so the setting of the moment would say nothing.
    """
    values: dict[str, Any] = {}
    for name in MORE_SETTINGS:
        row = (rows or {}).get(name)
        if row is None:
            continue
        text = row[2] if row[2] is not None else row[0]
        if name in _FLAGS:
            values[name] = text == "on"
            continue
        number = -1.0 if text == "-1" else setting_number(text, row[1])
        if number is not None and abs(number) < 2**63:
            values[name] = number if name in _FRACTIONS else int(number)
    if "transaction_read_only" in values:
        default = setting_text(rows, "default_transaction_read_only")
        values["transaction_read_only"] = in_recovery or default == "on"
    return MoreSettings(server=server, **values)


def long_transactions(rows: Iterable[Row]) -> tuple[int, float]:
    """Return how many transactions are open, sessions at rest and autovacuum aside, and the oldest's age."""
    ages = [
        float(row["transaction_seconds"])
        for row in rows
        if row.get("transaction_seconds") is not None
        and row.get("state") != "idle"
        and not str(row.get("query") or "").startswith("autovacuum:")
    ]
    return len(ages), max(0.0, *ages, 0.0)


def detailed_activity(rows: Iterable[Row], databases: Iterable[str], server: str) -> list[Activity]:
    """Count the sessions of every database by all that tells them apart; each state from 0."""
    named = ("usename", "application", "backend_type", "wait_event_type", "wait_event")
    found: dict[tuple[str, ...], list[float]] = {}
    known = set(databases)
    for row in rows:
        datname, state = str(row.get("datname") or ""), str(row.get("state") or "")
        if datname in known and state in STATES:
            key = (datname, state, *(str(row.get(name) or "")[:80] for name in named))
            found.setdefault(key, []).append(max(float(row.get("transaction_seconds") or 0.0), 0.0))
    if len(found) > MAX_KINDS_OF_SESSIONS:
        merged: dict[tuple[str, ...], list[float]] = {}
        for key, ages in found.items():
            merged.setdefault((*key[:2], "", "", "", "", ""), []).extend(ages)
        found = merged
    seen = {key[:2] for key in found}
    for datname in known:
        for state in STATES:
            if (datname, state) not in seen:
                found[(datname, state, "", "", "", "", "")] = []
    return [
        Activity(
            datname=key[0],
            state=key[1],
            server=server,
            count=len(ages),
            max_tx_seconds=max(ages, default=0.0),
            **dict(zip(named, key[2:], strict=True)),
        )
        for key, ages in sorted(found.items())
    ]


def filled_locks(counted: Iterable[LockCount], databases: Iterable[str]) -> list[LockCount]:
    """Return the locks with every mode of every database, from 0."""
    found = {(lock.datname, lock.mode): lock for lock in counted}
    for datname in databases:
        for mode in LOCK_MODES:
            found.setdefault((datname, mode), LockCount(datname=datname, mode=mode))
    return [found[key] for key in sorted(found)]


def checkpointer(version: int) -> str:
    """Return the question for checkpoints under the names of PostgreSQL 17; empty for older ones."""
    if version < 170000:
        return ""
    return """
select num_timed as timed, num_requested as requested,
       restartpoints_timed, restartpoints_req as restartpoints_requested, restartpoints_done,
       write_time::float8 as write_milliseconds, sync_time::float8 as sync_milliseconds, buffers_written
  from pg_catalog.pg_stat_checkpointer
"""


def backend_writes(version: int) -> str:
    """Return the question for what backends wrote themselves, which pg_stat_bgwriter tells until 16.

    Since 18 one write may be of many pages, so bytes are counted.
    """
    if version < 170000:
        return ""
    pages = "write_bytes / current_setting('block_size')::int" if version >= 180000 else "writes"
    return f"""
select sum({pages})::bigint as buffers_backend, sum(fsyncs)::bigint as buffers_backend_fsync
  from pg_catalog.pg_stat_io
 where object = 'relation' and backend_type not in ('checkpointer', 'background writer')
"""


# -- asking ---------------------------------------------------------------------------------------


def add_details(
    asker: Asker,
    values: Row,
    settings: Any,
    activity: list[Row],
    connection: Mapping[str, Any],
    context: ProbeContext,
) -> None:
    """Add what metrics want to the fields of `PostgresFacts`; changed in place.

    Args:
        asker: connected to the service's database.
        values: the fields as far as they were read.
        settings: rows of `pg_settings` by name.
        activity: rows of `pg_stat_activity`.
        connection: parameters of the connection, for those to other databases.
        context: how long it may take.
    """
    server = context.target.address
    values["server"] = server
    values["settings"] = msgspec.structs.replace(values["settings"], server=server)
    if not values["in_recovery"]:
        values["replication_lag_seconds"] = 0.0
    names = [database.datname for database in values["databases"]]
    details: Row = {"settings": more_settings(settings, server, bool(values["in_recovery"]))}
    if "activity" in values:
        values["activity"] = detailed_activity(activity, names, server)
        details["long_transactions"], details["oldest_transaction_seconds"] = long_transactions(activity)
    if "locks" in values:
        values["locks"] = filled_locks(values["locks"], names)
    if checkpointer(values["version_number"]):
        for row in asker.ask("checkpointer", checkpointer(values["version_number"])):
            details["checkpointer"] = Checkpointer(**row)
        for row in asker.ask("backend writes", backend_writes(values["version_number"])):
            values |= {key: value for key, value in row.items() if value is not None}
    details |= other_databases(asker, values, connection, context)
    values["details"] = PostgresDetails(**details)
