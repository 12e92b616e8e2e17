"""Facts of PostgreSQL: databases, tables, indexes, sequences, and what the application needs of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.facts.base import Annotated, Label, Metric, Record, beside, counter, gauge

if TYPE_CHECKING:
    from collections.abc import Callable


def _of_database(make: Callable[[str, str], Metric], name: str, help: str) -> Metric:
    """Declare a figure of pg_stat_database; the standard exporter names the database's number beside it."""
    return beside(make(name, help), datid="datid")


class Database(Record, frozen=True, kw_only=True):
    """One row of pg_stat_database, with the database's size and age."""

    datname: Annotated[str, Label("datname")]
    datid: str = ""
    size: Annotated[int | None, gauge("pg_database_size_bytes", "Disk space used", unit="bytes")] = None
    backends: Annotated[
        int | None, _of_database(gauge, "pg_stat_database_numbackends", "Backends connected")
    ] = None
    commits: Annotated[
        int | None, _of_database(counter, "pg_stat_database_xact_commit", "Transactions committed")
    ] = None
    rollbacks: Annotated[
        int | None, _of_database(counter, "pg_stat_database_xact_rollback", "Transactions rolled back")
    ] = None
    blocks_read: Annotated[
        int | None,
        _of_database(counter, "pg_stat_database_blks_read", "Blocks read from outside shared_buffers"),
    ] = None
    blocks_hit: Annotated[
        int | None, _of_database(counter, "pg_stat_database_blks_hit", "Blocks found in shared_buffers")
    ] = None
    tuples_returned: Annotated[
        int | None,
        _of_database(counter, "pg_stat_database_tup_returned", "Rows read by sequential scans and indexes"),
    ] = None
    tuples_fetched: Annotated[
        int | None, _of_database(counter, "pg_stat_database_tup_fetched", "Rows fetched by index scans")
    ] = None
    tuples_inserted: Annotated[
        int | None, _of_database(counter, "pg_stat_database_tup_inserted", "Rows inserted")
    ] = None
    tuples_updated: Annotated[
        int | None, _of_database(counter, "pg_stat_database_tup_updated", "Rows updated")
    ] = None
    tuples_deleted: Annotated[
        int | None, _of_database(counter, "pg_stat_database_tup_deleted", "Rows deleted")
    ] = None
    conflicts: Annotated[
        int | None,
        _of_database(counter, "pg_stat_database_conflicts", "Queries cancelled by conflicts with recovery"),
    ] = None
    temp_files: Annotated[
        int | None, _of_database(counter, "pg_stat_database_temp_files", "Temporary files made")
    ] = None
    temp_bytes: Annotated[
        int | None, _of_database(counter, "pg_stat_database_temp_bytes", "Bytes written to temporary files")
    ] = None
    deadlocks: Annotated[
        int | None, _of_database(counter, "pg_stat_database_deadlocks", "Deadlocks detected")
    ] = None
    read_milliseconds: Annotated[
        float | None,
        _of_database(counter, "pg_stat_database_blk_read_time", "Milliseconds spent reading blocks"),
    ] = None
    write_milliseconds: Annotated[
        float | None,
        _of_database(counter, "pg_stat_database_blk_write_time", "Milliseconds spent writing blocks"),
    ] = None
    stats_reset: Annotated[
        float | None,
        _of_database(counter, "pg_stat_database_stats_reset", "Time of the last reset of these figures"),
    ] = None
    checksum_failures: Annotated[
        int | None, counter("opsctl_postgres_checksum_failures_total", "Pages whose checksum was wrong")
    ] = None
    checksum_last_failure: Annotated[
        float | None,
        gauge(
            "opsctl_postgres_checksum_last_failure_timestamp_seconds",
            "Time of the last wrong checksum",
            unit="seconds",
        ),
    ] = None
    xid_age: Annotated[
        int | None, gauge("opsctl_postgres_database_xid_age", "Transactions since the oldest unfrozen row")
    ] = None
    multixact_age: Annotated[
        int | None, gauge("opsctl_postgres_database_multixact_age", "Age of the oldest multixact")
    ] = None
    connection_limit: Annotated[
        int | None, gauge("pg_database_connection_limit", "Most connections to this database, -1 for any")
    ] = None


class Table(Record, frozen=True, kw_only=True):
    """One of the tables with most dead rows, or of the largest."""

    datname: Annotated[str, Label("datname")]
    schema: Annotated[str, Label("schemaname")]
    name: Annotated[str, Label("relname")]
    live: Annotated[int | None, gauge("pg_stat_user_tables_n_live_tup", "Rows, estimated")] = None
    dead: Annotated[int | None, gauge("pg_stat_user_tables_n_dead_tup", "Dead rows, estimated")] = None
    modified: Annotated[
        int | None,
        gauge("pg_stat_user_tables_n_mod_since_analyze", "Rows changed since the last analyze, estimated"),
    ] = None
    sequential_scans: Annotated[int | None, counter("pg_stat_user_tables_seq_scan", "Sequential scans")] = (
        None
    )
    sequential_rows: Annotated[
        int | None, counter("pg_stat_user_tables_seq_tup_read", "Rows read by sequential scans")
    ] = None
    index_scans: Annotated[int | None, counter("pg_stat_user_tables_idx_scan", "Index scans")] = None
    index_rows: Annotated[
        int | None, counter("pg_stat_user_tables_idx_tup_fetch", "Rows fetched by index scans")
    ] = None
    inserted: Annotated[int | None, counter("pg_stat_user_tables_n_tup_ins", "Rows inserted")] = None
    updated: Annotated[int | None, counter("pg_stat_user_tables_n_tup_upd", "Rows updated")] = None
    deleted: Annotated[int | None, counter("pg_stat_user_tables_n_tup_del", "Rows deleted")] = None
    hot_updated: Annotated[
        int | None, counter("pg_stat_user_tables_n_tup_hot_upd", "Rows updated in the same page")
    ] = None
    size: Annotated[
        int | None,
        gauge("opsctl_postgres_table_size_bytes", "Size at the last vacuum or analyze", unit="bytes"),
    ] = None
    last_vacuum: Annotated[
        float | None, gauge("pg_stat_user_tables_last_vacuum", "Time of the last manual vacuum")
    ] = None
    last_autovacuum: Annotated[
        float | None, gauge("pg_stat_user_tables_last_autovacuum", "Time of the last autovacuum")
    ] = None
    last_analyze: Annotated[
        float | None, gauge("pg_stat_user_tables_last_analyze", "Time of the last manual analyze")
    ] = None
    last_autoanalyze: Annotated[
        float | None, gauge("pg_stat_user_tables_last_autoanalyze", "Time of the last autoanalyze")
    ] = None
    vacuums: Annotated[int | None, counter("pg_stat_user_tables_vacuum_count", "Manual vacuums")] = None
    autovacuums: Annotated[int | None, counter("pg_stat_user_tables_autovacuum_count", "Autovacuums")] = None
    vacuum_trigger: Annotated[
        float | None,
        gauge("opsctl_postgres_table_vacuum_trigger", "Dead rows at which autovacuum starts"),
    ] = None
    autovacuum_enabled: Annotated[
        bool | None, gauge("opsctl_postgres_table_autovacuum_enabled", "1 unless switched off for the table")
    ] = None
    vacuuming: Annotated[
        bool | None, gauge("opsctl_postgres_table_vacuum_running", "1 while a vacuum works on the table")
    ] = None


class Sequence(Record, frozen=True, kw_only=True):
    """One of the sequences nearest to their end; the limit is the column's where that is smaller."""

    datname: Annotated[str, Label("datname")]
    name: Annotated[str, Label("sequence")]
    column: str = ""
    last: Annotated[int, gauge("opsctl_postgres_sequence_last_value", "Last value given out")] = 0
    limit: Annotated[int, gauge("opsctl_postgres_sequence_limit", "Last value possible")] = 1


class Index(Record, frozen=True, kw_only=True):
    """An index that is not valid: it costs writes and serves no query."""

    datname: Annotated[str, Label("datname")]
    table: Annotated[str, Label("relname")]
    name: Annotated[str, Label("indexrelname")]
    unique: bool = False
    building: Annotated[
        bool, gauge("opsctl_postgres_invalid_index_building", "1 while it is being built, 0 if left over")
    ] = False


class WantedTable(Record, frozen=True, kw_only=True):
    """A table that the stack file says must exist; `found_in` are other schemas that have one."""

    name: Annotated[str, Label("table")]
    exists: Annotated[bool, gauge("opsctl_postgres_table_exists", "1 if the table is there")] = False
    found_in: list[str] = []


class Migrations(Record, frozen=True, kw_only=True):
    """Migrations of the code against those of the database."""

    tool: Annotated[str, Label("tool")]
    applied: list[str] = []
    pending: list[str] = []
    unknown: list[str] = []
    known_count: Annotated[
        int | None, gauge("opsctl_postgres_migrations_known", "Migrations in the code")
    ] = None
    applied_count: Annotated[
        int | None, gauge("opsctl_postgres_migrations_applied", "Of the code's migrations, those applied")
    ] = None
    pending_count: Annotated[
        int | None, gauge("opsctl_postgres_migrations_pending", "Migrations not yet applied")
    ] = None
