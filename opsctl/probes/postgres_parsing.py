"""Rows of PostgreSQL's views to facts. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.facts.postgres_relations import WantedTable
from opsctl.facts.postgres_sessions import Activity, Holder, PoolShare, Session, Statement
from opsctl.facts.postgres_settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opsctl.facts.postgres_relations import Database
    from opsctl.stack.specs import ServiceSpec

Row = dict[str, Any]

QUERY_LENGTH = 240
MAX_SESSIONS = 40
MAX_STATEMENTS = 20
WINDOW_COUNTERS = ("deadlocks", "temp_bytes", "blocks_read", "blocks_hit")
"""Counters of each database that the second sample compares."""
RECENT_SECONDS = 15.0
RECENT_BYTES = 64 * 1024
"""A checkpoint this young, with this much written since, may be one of many."""
STATEMENT_SECONDS = 0.3
"""A statement that has run this long is reason enough to take a second sample."""
SPILLING_SECONDS = 0.01
"""The same where temporary files have been written before. A sort that spills writes megabytes, which takes
longer; what a busy server does all the time takes less, and nobody waits because of it."""

_PIECES = re.compile(
    r"""(?P<escape>[eE]'(?:\\.|''|[^'\\])*(?:'|\Z))"""
    r"""|(?P<string>'(?:''|[^'])*(?:'|\Z))"""
    r"""|(?P<dollar>\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))"""
    r"""|(?P<comment>/\*.*?(?:\*/|\Z)|--[^\n]*)"""
    r"""|(?P<name>"(?:""|[^"])*(?:"|\Z))"""
    r"""|(?P<number>(?<![\w$])\d[\d.]{4,})""",
    re.S,
)


def without_literals(query: str | None) -> str:
    """Return a statement on one line without its literals and comments, bounded.

    Names and short numbers stay; strings, long numbers and what a cut-off statement left open go.
    """

    def replace(match: re.Match[str]) -> str:
        if match.lastgroup == "name" or match["name"]:
            return match[0]
        return " " if match["comment"] else "?"

    if not query:
        return ""
    text = " ".join(_PIECES.sub(replace, query).split())
    return text if len(text) <= QUERY_LENGTH else text[: QUERY_LENGTH - 1] + "…"


_UNITS = {
    "": 1.0, "B": 1.0, "kB": 1024.0, "MB": 1024.0**2, "GB": 1024.0**3, "TB": 1024.0**4,
    "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip


def setting_number(value: str | None, unit: str | None) -> float | None:
    """Return a setting in bytes or seconds: ("16384", "8kB") is 134217728."""
    match = re.fullmatch(r"(\d*)([A-Za-z]*)", unit or "")
    try:
        number = float(value or "")
    except ValueError:
        return None
    if match is None or match[2] not in _UNITS:
        return None
    return number * float(match[1] or 1) * _UNITS[match[2]]


_BOOLEANS = {"fsync", "autovacuum", "data_checksums", "default_transaction_read_only"}
_FLOATS = {
    "checkpoint_timeout",
    "checkpoint_warning",
    "random_page_cost",
    "seq_page_cost",
    "autovacuum_vacuum_scale_factor",
    "deadlock_timeout",
}


def settings_values(rows: Mapping[str, Sequence[str | None]] | None) -> Settings:
    """Return the settings; each row is (setting, unit, reset_val, source).

    `reset_val` is what a session of this role and database starts with.
    """
    values: dict[str, Any] = {}
    for name in Settings.__struct_fields__:
        row = (rows or {}).get(name)
        if row is None:
            continue
        value = row[2] if row[2] is not None else row[0]
        if name in _BOOLEANS:
            values[name] = value == "on"
            continue
        number = setting_number(value, row[1])
        if number is not None:
            values[name] = number if name in _FLOATS else int(number)
    settings = Settings(**values)
    return msgspec.structs.replace(settings, pool_limit=settings.room)


def setting_text(rows: Mapping[str, Sequence[str | None]] | None, name: str) -> str | None:
    """Return a setting's own text, None where the server does not know it."""
    row = (rows or {}).get(name)
    return None if row is None else str(row[0] or "")


def is_client(row: Row) -> bool:
    """Return whether a session is an application's.

    The type of other roles' sessions is hidden from a role without pg_read_all_stats; those with a
    user and a database are taken for clients.
    """
    kind = row.get("backend_type")
    hidden = kind is None and row.get("usename") is not None and row.get("datname") is not None
    return kind == "client backend" or hidden


def activity_counts(rows: Iterable[Row]) -> list[Activity]:
    """Count client sessions by database and state."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if is_client(row):
            key = (str(row.get("datname") or ""), str(row.get("state") or "unknown"))
            found.setdefault(key, []).append(float(row.get("transaction_seconds") or 0.0))
    return [
        Activity(datname=datname, state=state, count=len(ages), max_tx_seconds=max(0.0, *ages))
        for (datname, state), ages in sorted(found.items())
    ]


def holders(rows: Iterable[Row], most: int = 8) -> list[Holder]:
    """Return who holds most client connections."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if is_client(row):
            key = tuple(str(row.get(name) or "")[:80] for name in ("application", "usename", "client"))
            found.setdefault((key[0], key[1], key[2]), []).append(str(row.get("state") or ""))
    ranked = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))[:most]
    return [
        Holder(
            application=application,
            usename=usename,
            client=client,
            count=len(states),
            idle=sum(state == "idle" for state in states),
        )
        for (application, usename, client), states in ranked
    ]


def wait_text(waiting: Row) -> str:
    """Return what a session waits for in words: `AccessExclusiveLock on users`."""
    mode, kind = str(waiting.get("mode") or ""), str(waiting.get("locktype") or "")
    on = {
        "transactionid": "another transaction's rows",
        "tuple": f"a row of {waiting.get('relation') or 'a table'}",
        "virtualxid": "older transactions to end",
        "advisory": "an advisory lock",
    }.get(kind, str(waiting.get("relation") or kind))
    return f"{mode} on {on}"[:120]


def sessions(rows: Iterable[Row], waiting: Iterable[Row]) -> list[Session]:
    """Return the sessions worth a record: who waits, who blocks, who is old; oldest first, bounded."""
    waits = {int(row["pid"]): row for row in waiting if row.get("pid") is not None}
    blockers = {int(pid) for row in waits.values() for pid in row.get("blocked_by") or ()}
    result: list[Session] = []
    seen: set[int] = set()
    for row in rows:
        pid = int(row["pid"])
        wait = waits.get(pid)
        busy = str(row.get("state") or "") not in ("", "idle")
        ages = [float(row.get(name) or 0.0) for name in ("transaction_seconds", "query_seconds")]
        old = busy and is_client(row) and max(ages) >= STATEMENT_SECONDS
        if wait is not None or pid in blockers or old:
            seen.add(pid)
            result.append(_session(row, wait))
    for pid in sorted(blockers - seen):
        # pid 0 stands for a prepared transaction, which no session owns
        result.append(Session(pid=pid, state="prepared transaction" if pid == 0 else "unknown"))

    def weight(session: Session) -> tuple[bool, bool, float]:
        blocks = session.pid in blockers
        age = session.waiting_seconds or session.transaction_seconds or session.query_seconds or 0.0
        return (not (blocks and not session.blocked_by), not (blocks or session.blocked_by), -age)

    return sorted(result, key=weight)[:MAX_SESSIONS]


def _session(row: Row, wait: Row | None) -> Session:
    kind = str(row.get("backend_type") or "")
    event = [str(row[name]) for name in ("wait_event_type", "wait_event") if row.get(name)]
    seconds: float | None = None
    if wait is not None:
        seconds = wait.get("waiting_seconds")
        if seconds is None:  # before PostgreSQL 14 only the statement's own age is known
            seconds = row.get("query_seconds")
    return Session(
        pid=int(row["pid"]),
        usename=str(row.get("usename") or "")[:80],
        datname=str(row.get("datname") or "")[:80],
        application=str(row.get("application") or (kind if kind != "client backend" else ""))[:80],
        client=str(row.get("client") or "")[:80],
        state=str(row.get("state") or "")[:40],
        wait="/".join(event)[:80],
        query=without_literals(row.get("query")),
        transaction_seconds=row.get("transaction_seconds"),
        query_seconds=row.get("query_seconds"),
        state_seconds=row.get("state_seconds"),
        blocked_by=[int(pid) for pid in (wait or {}).get("blocked_by") or ()][:20],
        waiting_seconds=seconds,
        waits_for=wait_text(wait) if wait is not None else "",
    )


def wanted_tables(names: Iterable[str], rows: Iterable[Row]) -> list[WantedTable]:
    """Say of each wanted table (`users`, or `schema.users`) whether it is there."""
    found = list(rows)
    result: list[WantedTable] = []
    for name in names:
        schema, _, table = name.rpartition(".")
        same = [row for row in found if row["name"] == table]
        there = any(row["schema"] == schema if schema else bool(row["visible"]) for row in same)
        elsewhere = sorted(str(row["schema"]) for row in same) if not there else []
        result.append(WantedTable(name=name, exists=there, found_in=elsewhere[:5]))
    return result


def merged_statements(
    first: Iterable[Row], second: Iterable[Row], most: int = MAX_STATEMENTS
) -> list[Statement]:
    """Return the costliest statements, with what finished between two samples where there are two."""
    before = {(row["datname"], row["user"], row["queryid"]): row for row in first}
    after = {(row["datname"], row["user"], row["queryid"]): row for row in second}
    result: list[Statement] = []
    for key, row in (after or before).items():
        calls, mean = None, None
        if after:
            old = before.get(key)
            calls = int(row["calls"]) - int(old["calls"] if old else 0)
            spent = float(row["seconds"]) - float(old["seconds"] if old else 0.0)
            if calls < 0 or spent < 0:  # reset in between
                calls, mean = 0, None
            elif calls:
                mean = spent / calls
        result.append(
            Statement(
                datname=str(row["datname"]),
                user=str(row["user"]),
                queryid=str(row["queryid"]),
                query=without_literals(row.get("query")),
                calls=int(row["calls"]),
                seconds=float(row["seconds"]),
                rows=int(row["rows"]),
                window_calls=calls,
                window_mean_seconds=mean,
            )
        )
    result.sort(key=lambda item: (-(item.window_mean_seconds or 0.0), -(item.seconds or 0.0), item.queryid))
    return result[:most]


def pool_shares(services: Mapping[str, ServiceSpec], own: str) -> list[PoolShare]:
    """Return what the services of a stack may ask of `own`'s PostgreSQL: instances × (size + overflow).

    A pool belongs to the service that it names; where it names none, to those that its service
    depends on (or is part of).
    """
    result: list[PoolShare] = []
    for name, service in services.items():
        pool = service.pool
        if pool is None:
            continue
        refers = pool.service == own if pool.service else own in service.depends_on or name == own
        if refers:
            connections = service.replicas * (pool.size + pool.overflow)
            result.append(PoolShare(service=name, instances=service.replicas, connections=connections))
    return result


def reasons_for_second_sample(values: Mapping[str, Any], rows: Iterable[Row]) -> set[str]:
    """Return which counters are worth a second look; none on a quiet server, which stays fast.

    A rate can only be high while somebody works: that is cheap to see, and asked for first.
    """
    clients = [row for row in rows if is_client(row)]
    active = [row for row in clients if row.get("state") == "active" and row.get("wait_event_type") != "Lock"]
    longest = max((float(row.get("query_seconds") or 0.0) for row in active), default=0.0)
    events = {str(row.get("wait_event") or "") for row in active}
    databases = values.get("databases") or []

    def total(field: str) -> int:
        return sum(getattr(database, field) or 0 for database in databases)

    reasons: set[str] = set()
    if total("deadlocks") and values.get("waiting_sessions"):
        reasons.add("deadlocks")
    spilling = longest >= SPILLING_SECONDS or any(event.startswith("BufFile") for event in events)
    if total("temp_files") and spilling:
        reasons.add("temp-files")
    read, hit = total("blocks_read"), total("blocks_hit")
    if active and read > 10000 and (read > 0.1 * (read + hit) or "DataFileRead" in events):
        reasons.add("cache-miss")
    if (
        (values.get("checkpoints_requested") or 0) >= 2
        and (values.get("last_checkpoint_age") or RECENT_SECONDS) < RECENT_SECONDS
        and (values.get("wal_since_checkpoint") or 0) >= RECENT_BYTES
    ):
        reasons.add("checkpoints")
    if longest >= STATEMENT_SECONDS and values.get("statements_seen"):
        reasons.add("statements")
    return reasons


def database_changes(before: Iterable[Database], after: Iterable[Row]) -> dict[str, int | None]:
    """Return by how much the counters of the databases in both samples grew; None where none is in both.

    Only like is compared with like: a database that one sample lacks would add all that it ever counted.
    """
    first = {database.datname: database for database in before}
    changes: dict[str, int | None] = dict.fromkeys(WINDOW_COUNTERS)
    for row in after:
        database = first.get(str(row.get("datname")))
        for field in WINDOW_COUNTERS:
            old, new = getattr(database, field, None), row.get(field)
            if old is not None and new is not None:  # a counter that fell was reset
                changes[field] = (changes[field] or 0) + max(int(new) - old, 0)
    return changes
