"""Facts of PostgreSQL that only metrics want: settings nothing is judged by, and what dashboards chart."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Metric, Record, beside, counter, gauge


def setting(name: str, help: str, unit: str = "") -> Metric:
    """Declare a setting; the standard exporter names the server beside it."""
    return beside(gauge(name, help, unit), server="server")


class MoreSettings(Record, frozen=True, kw_only=True):
    """Settings that dashboards show, in base units; -1 stays -1, it has a meaning of its own."""

    server: str = ""
    autovacuum_analyze_scale_factor: Annotated[
        float | None,
        setting(
            "pg_settings_autovacuum_analyze_scale_factor", "Share of changed rows that triggers an analyze"
        ),
    ] = None
    autovacuum_analyze_threshold: Annotated[
        int | None,
        setting("pg_settings_autovacuum_analyze_threshold", "Changed rows that trigger an analyze"),
    ] = None
    autovacuum_naptime: Annotated[
        float | None,
        setting("pg_settings_autovacuum_naptime_seconds", "Pause between autovacuum rounds", "seconds"),
    ] = None
    autovacuum_vacuum_cost_delay: Annotated[
        float | None,
        setting(
            "pg_settings_autovacuum_vacuum_cost_delay_seconds",
            "Pause of an autovacuum at its limit",
            "seconds",
        ),
    ] = None
    autovacuum_vacuum_cost_limit: Annotated[
        int | None,
        setting("pg_settings_autovacuum_vacuum_cost_limit", "Cost at which an autovacuum pauses, -1 for any"),
    ] = None
    autovacuum_work_mem: Annotated[
        int | None,
        setting(
            "pg_settings_autovacuum_work_mem_bytes",
            "Memory of an autovacuum worker, -1 for maintenance_work_mem",
            "bytes",
        ),
    ] = None
    block_size: Annotated[int | None, setting("pg_settings_block_size", "Size of a page in bytes")] = None
    default_statistics_target: Annotated[
        int | None, setting("pg_settings_default_statistics_target", "Detail of the planner's statistics")
    ] = None
    effective_io_concurrency: Annotated[
        int | None, setting("pg_settings_effective_io_concurrency", "Reads that are started ahead")
    ] = None
    log_duration: Annotated[
        bool | None, setting("pg_settings_log_duration", "1 if the time of every statement is logged")
    ] = None
    log_lock_waits: Annotated[
        bool | None, setting("pg_settings_log_lock_waits", "1 if long waits for locks are logged")
    ] = None
    log_min_duration_statement: Annotated[
        float | None,
        setting(
            "pg_settings_log_min_duration_statement_seconds",
            "Statements slower than this are logged, -1 for none",
            "seconds",
        ),
    ] = None
    logging_collector: Annotated[
        bool | None, setting("pg_settings_logging_collector", "1 if the server writes its log into files")
    ] = None
    max_parallel_workers: Annotated[
        int | None, setting("pg_settings_max_parallel_workers", "Most workers of parallel statements")
    ] = None
    max_parallel_workers_per_gather: Annotated[
        int | None, setting("pg_settings_max_parallel_workers_per_gather", "Most of them for one step")
    ] = None
    transaction_read_only: Annotated[
        bool | None,
        setting("pg_settings_transaction_read_only", "1 if a new transaction cannot write, as on a replica"),
    ] = None
    wal_buffers: Annotated[
        int | None, setting("pg_settings_wal_buffers_bytes", "Memory for WAL not yet written", "bytes")
    ] = None


class Checkpointer(Record, frozen=True, kw_only=True):
    """pg_stat_checkpointer of PostgreSQL 17 and later, under the names that the exporter gives it there."""

    timed: Annotated[
        int | None, counter("pg_stat_checkpointer_num_timed_total", "Checkpoints by the clock")
    ] = None
    requested: Annotated[
        int | None, counter("pg_stat_checkpointer_num_requested_total", "Checkpoints forced")
    ] = None
    restartpoints_timed: Annotated[
        int | None, counter("pg_stat_checkpointer_restartpoints_timed_total", "Restartpoints by the clock")
    ] = None
    restartpoints_requested: Annotated[
        int | None, counter("pg_stat_checkpointer_restartpoints_req_total", "Restartpoints forced")
    ] = None
    restartpoints_done: Annotated[
        int | None, counter("pg_stat_checkpointer_restartpoints_done_total", "Restartpoints carried out")
    ] = None
    write_milliseconds: Annotated[
        float | None, counter("pg_stat_checkpointer_write_time_total", "Milliseconds writing in checkpoints")
    ] = None
    sync_milliseconds: Annotated[
        float | None, counter("pg_stat_checkpointer_sync_time_total", "Milliseconds syncing in checkpoints")
    ] = None
    buffers_written: Annotated[
        int | None, counter("pg_stat_checkpointer_buffers_written_total", "Buffers written by checkpoints")
    ] = None


class PostgresDetails(Record, frozen=True, kw_only=True):
    """What is read for metrics alone."""

    settings: MoreSettings | None = None
    checkpointer: Checkpointer | None = None
    long_transactions: Annotated[
        int | None, gauge("pg_long_running_transactions", "Transactions that are open, those at rest aside")
    ] = None
    oldest_transaction_seconds: Annotated[
        float | None,
        gauge("pg_long_running_transactions_oldest_timestamp_seconds", "Age of the oldest of them"),
    ] = None
    other_databases: Annotated[
        int | None,
        gauge("opsctl_postgres_other_databases", "Databases beside the service's that let us in"),
    ] = None
    other_databases_read: Annotated[
        int | None,
        gauge("opsctl_postgres_other_databases_read", "Other databases whose tables were read in time"),
    ] = None
    other_databases_age: Annotated[
        float | None,
        gauge(
            "opsctl_postgres_other_databases_age_seconds",
            "How long ago the tables were read that were read first of these",
            unit="seconds",
        ),
    ] = None
