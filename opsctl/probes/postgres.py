"""Looks at a PostgreSQL server through its statistics views: one connection, about ten questions.

A refusal, a hang or a wrong password is an answer too. Where every slot is taken, the slots
kept back for superusers are tried through the local socket.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.facts.base import Connection
from opsctl.facts.postgres import PostgresFacts
from opsctl.facts.postgres_relations import Database, Index, Sequence, Table
from opsctl.facts.postgres_replication import Replica, Slot
from opsctl.facts.postgres_sessions import LockCount
from opsctl.probes import postgres_details as details
from opsctl.probes import postgres_parsing as parsing
from opsctl.probes import postgres_queries as queries
from opsctl.probes.addresses import beyond_loopback
from opsctl.probes.postgres_connection import Asker, Unreachable, connect, parameters
from opsctl.probes.postgres_kept import kept_asker
from opsctl.probes.postgres_window import second_sample, since_the_last_look
from opsctl.probes.remembering import for_metrics, memory, remembered
from opsctl.stack.specs import PostgresSpec

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext

SIZE_SECONDS = 0.5
"""Sizes are read file by file; with very many of them they are left out rather than waited for."""
ALL_SIZES_SECONDS = 1.5
SIZES_AGAIN_SECONDS = 30.0
"""For how long metrics show the same sizes: the server looks at every file for them."""

ALL_STATEMENTS = 100
"""How many statements metrics show."""

REMEMBERED_SECONDS = 60.0
"""For how long metrics believe what files say: where the data is, which migrations the code has."""


def probe(context: ProbeContext) -> PostgresFacts:
    """Return the facts of one PostgreSQL server; refusals and hangs are facts as well."""
    spec = context.spec
    assert isinstance(spec, PostgresSpec)
    values = parameters(context, spec)
    base: dict[str, Any] = {
        "address": context.target.address,
        "database": str(values.get("dbname") or ""),
        "user": str(values.get("user") or ""),
        "in_container": bool(context.service.container),
        "data_directory": _data_directory(context, spec, values),
        "may_be_exposed": spec.exposed,
        "should_be_replica": spec.replica,
        "expected_replicas": spec.replicas,
        "pools": parsing.pool_shares(context.stack.spec.services, context.target.service),
    }
    store = memory(context) if for_metrics(context) else None
    began = time.monotonic()
    try:
        asker = connect(context, values) if store is None else kept_asker(context, values, store)
    except Unreachable as unreachable:
        if unreachable.connection.state != "clients-exhausted":
            failed = _or_stranger(context, values, unreachable.connection)
            return PostgresFacts(up=False, connection=failed, **base)
        reserved = _reserved(context, values)
        if reserved is None:
            base |= _seen_by_postgres(context, values)
            return PostgresFacts(up=False, connection=unreachable.connection, **base)
        asker, base["reserved_path"] = reserved
        connection = unreachable.connection
    else:
        seconds = asker.login_seconds or time.monotonic() - began
        base["connect_seconds"] = seconds
        connection = Connection(state="ok", address=context.target.address, seconds=seconds)
    try:
        read = _read(asker, spec, context, values)
        if asker.cut_off or not (asker.alive or read):
            stopped = Connection(
                state="timeout" if asker.cut_off else "closed",
                detail="it let us in and then stopped answering",
                address=context.target.address,
            )
            return PostgresFacts(up=False, connection=stopped, problems=asker.problems, **base)
        return PostgresFacts(up=True, connection=connection, problems=asker.problems, **(base | read))
    finally:
        asker.close()


SERVERS = ("postgres", "postmaster", "pgbouncer", "pgcat", "odyssey")
"""Processes that speak PostgreSQL's protocol."""


def _or_stranger(context: ProbeContext, values: dict[str, Any], connection: Connection) -> Connection:
    """Return the connection, or that something else than a PostgreSQL answers there."""
    from opsctl.probes.stranger import who_answers

    host, port = str(values.get("host") or ""), str(values.get("port") or "5432")
    doubtful = connection.state in ("timeout", "closed", "protocol", "tls")
    if not doubtful or not host or host.startswith(("/", "@")) or not port.isdecimal():
        return connection
    said = who_answers(context, host, int(port), SERVERS)
    return msgspec.structs.replace(connection, state="protocol", detail=said[:300]) if said else connection


def _data_directory(context: ProbeContext, spec: PostgresSpec, values: dict[str, Any]) -> str:
    from opsctl.probes.postgres_files import data_directory

    if context.service.container:
        return ""
    if spec.data_directory:
        return str(context.stack.path(spec.data_directory))
    host, port = str(values.get("host") or ""), str(values.get("port") or "")
    return remembered(context, "folder", REMEMBERED_SECONDS, lambda: (data_directory(host, port),))[0]


def _reserved(context: ProbeContext, values: dict[str, Any]) -> tuple[Asker, str] | None:
    """Try the slots kept back for superusers, through the server's socket on this machine."""
    from opsctl.probes.postgres_sockets import local_sockets

    for folder in local_sockets(str(values.get("host") or ""), str(values.get("port") or "5432")):
        ours = {
            key: value
            for key, value in values.items()
            if key not in ("password", "host", "hostaddr", "sslmode", "passfile")
        }
        try:
            return connect(context, {**ours, "host": folder, "user": "postgres"}), folder
        except Unreachable:
            continue
    return None


def _seen_by_postgres(context: ProbeContext, values: dict[str, Any]) -> dict[str, Any]:
    """Say who holds the slots, as the server's own account sees it; nothing where that may not be asked."""
    from opsctl.probes.postgres_sockets import ask_as_postgres, local_sockets

    port, database = str(values.get("port") or "5432"), str(values.get("dbname") or "postgres")
    for folder in local_sockets(str(values.get("host") or ""), port):
        query = f"select s.settings, a.* from ({queries.ACTIVITY}) a, ({queries.SLOTS}) s"
        rows = ask_as_postgres(folder, port, database, query, min(1.0, context.left * 0.8))
        if rows:
            return {
                "reserved_path": folder,
                "connections_used": sum(parsing.is_client(row) for row in rows),
                "holders": parsing.holders(rows),
                "settings": parsing.settings_values(rows[0].get("settings")),
            }
    return {}


def _read(
    asker: Asker, spec: PostgresSpec, context: ProbeContext, parameters: dict[str, Any]
) -> dict[str, Any]:
    """Ask everything; what cannot be answered is left out and noted in `asker.problems`."""
    detailed = for_metrics(context)
    rows = asker.ask("server", queries.SERVER)
    if not rows:
        return {}
    server = rows[0]
    version, settings = int(server["number"]), _settings(asker, server, detailed)
    listen = parsing.setting_text(settings, "listen_addresses")
    addresses = [item.strip() for item in (listen or "").split(",") if item.strip()]
    values: dict[str, Any] = {
        "version": str(server["version"]).split(" ")[0],
        "version_text": str(server["version_text"])[:200],
        "version_number": version,
        "started_at": server["started_at"],
        "in_recovery": server["in_recovery"],
        "database": str(server["database"]),
        "user": str(server["role"]),
        "sees_all_sessions": server["sees_all"],
        "settings": parsing.settings_values(settings),
        "listen_addresses": addresses,
        "listens_beyond_loopback": None if listen is None else any(map(beyond_loopback, addresses)),
        "read_only_source": str((settings.get("default_transaction_read_only") or ["", "", "", ""])[3] or ""),
        "statements_seen": server["statements_schema"] is not None,
    }
    activity = asker.ask("sessions", queries.ACTIVITY)
    _sessions(asker, values, activity, version)
    _databases(asker, values, context)
    first_sample = time.monotonic()
    statements = _statements(asker, version, server["statements_schema"], detailed)
    _tables(asker, values, spec, detailed)
    _replication(asker, values, version)
    _write_ahead_log(asker, values, settings, version)
    if spec.migrations:
        from opsctl.probes.postgres_migrations import ask_migrations

        values |= remembered(
            context, "migrations", REMEMBERED_SECONDS, lambda: ask_migrations(asker, spec, context)
        )
    reasons = parsing.reasons_for_second_sample(values, activity)
    if detailed:
        statements, again = since_the_last_look(context, values, reasons, statements)
    else:
        ask = functools.partial(_statements, asker, version, server["statements_schema"], detailed)
        again = second_sample(asker, values, reasons, first_sample, ask, context)
    most = ALL_STATEMENTS if detailed else parsing.MAX_STATEMENTS
    values["statements"] = parsing.merged_statements(statements, again, most)
    if detailed and asker.alive:
        details.add_details(asker, values, settings, activity, parameters, context)
    return values


def _settings(asker: Asker, server: dict[str, Any], detailed: bool) -> dict[str, Any]:
    """Return rows of pg_settings by name; a session reads them anew when the server was told to."""
    loaded = (asker.settings or ("",))[0]
    if asker.settings is None or loaded != server["configured_at"]:
        rows = asker.ask("settings", queries.settings(details.MORE_SETTINGS if detailed else ()))
        if not rows:
            return {}
        asker.settings = (server["configured_at"], rows[0]["settings"] or {})
    return asker.settings[1]


def _sessions(asker: Asker, values: dict[str, Any], activity: list[dict[str, Any]], version: int) -> None:
    if asker.problems:
        return
    locks = asker.ask("locks", queries.locks(version))
    waiting: list[dict[str, Any]] = []
    if locks:
        waiting = locks[0]["waiting"] or []
        values["locks"] = [LockCount(**row) for row in locks[0]["modes"] or []]
        values["waiting_sessions"] = locks[0]["waiting_count"]
    values["connections_used"] = sum(parsing.is_client(row) for row in activity)
    values["activity"] = parsing.activity_counts(activity)
    values["holders"] = parsing.holders(activity)
    values["sessions"] = parsing.sessions(activity, waiting)


def _databases(asker: Asker, values: dict[str, Any], context: ProbeContext) -> None:
    if for_metrics(context):
        query, seconds, most = queries.ALL_SIZES, ALL_SIZES_SECONDS, details.MAX_DATABASES
    else:
        query, seconds, most = queries.SIZES, SIZE_SECONDS, queries.MAX_DATABASES

    def ask() -> dict[str, int | None]:
        rows = asker.ask("database sizes", query, seconds=seconds)
        return {row["datname"]: row["size"] for row in rows} or {"": None}  # not retried at once

    sizes = remembered(context, "sizes", SIZES_AGAIN_SECONDS, ask)
    rows = asker.ask("databases", queries.databases(most))
    values["databases"] = [Database(size=sizes.get(row["datname"]), **row) for row in rows]


def _statements(asker: Asker, version: int, schema: str | None, everywhere: bool) -> list[dict[str, Any]]:
    if schema is None:
        return []
    hint = "load pg_stat_statements with shared_preload_libraries"
    return asker.ask("statements", queries.statements(version, schema, everywhere), hint=hint)


def _tables(asker: Asker, values: dict[str, Any], spec: PostgresSpec, detailed: bool) -> None:
    datname = values["database"]
    query = queries.ALL_TABLES if detailed else queries.TABLES
    values["tables"] = [Table(datname=datname, **row) for row in asker.ask("tables", query)]
    noted = len(asker.problems)
    indexes = asker.ask("indexes", queries.INDEXES)
    if len(asker.problems) == noted:
        values["invalid_indexes"] = [Index(datname=datname, **row) for row in indexes]
    if not values["in_recovery"]:
        noted = len(asker.problems)
        sequences = asker.ask("sequences", queries.SEQUENCES)
        if len(asker.problems) == noted:
            values["sequences"] = [Sequence(datname=datname, **row) for row in sequences]
    if spec.tables:
        names = sorted({name.rpartition(".")[2] for name in spec.tables})
        noted = len(asker.problems)
        found = asker.ask("wanted tables", queries.WANTED_TABLES, (names,))
        if len(asker.problems) == noted:
            values["wanted_tables"] = parsing.wanted_tables(spec.tables, found)


def _replication(asker: Asker, values: dict[str, Any], version: int) -> None:
    rows = asker.ask("replication", queries.replication(version))
    if not rows:
        return
    standby = rows[0]["standby"] or {}
    values["replicas"] = [
        Replica(**{key: value for key, value in row.items() if value is not None})
        for row in rows[0]["replicas"] or []
    ]
    values["slots"] = [
        Slot(**{key: value for key, value in row.items() if value is not None})
        for row in rows[0]["slots"] or []
    ]
    values["replay_paused"] = standby.get("paused")
    values["receiving"] = standby.get("receiving")
    values["replication_lag_seconds"] = standby.get("lag")
    values["replay_lag_bytes"] = standby.get("lag_bytes")


def _write_ahead_log(asker: Asker, values: dict[str, Any], settings: Any, version: int) -> None:
    mode = parsing.setting_text(settings, "archive_mode")
    values["archiving"] = None if mode is None else mode != "off"
    command = parsing.setting_text(settings, "archive_command") or ""
    library = parsing.setting_text(settings, "archive_library") or ""
    values["archiving_configured"] = bool(library or command not in ("", "(disabled)"))
    for part, query in (
        ("archiver", queries.ARCHIVER),
        ("checkpoints", queries.background(version)),
        ("control file", queries.CONTROL),
    ):
        for row in asker.ask(part, query):
            values |= {key: value for key, value in row.items() if value is not None}
