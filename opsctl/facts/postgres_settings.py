"""Facts of PostgreSQL: the settings that judge it, and what it did in the last window."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Record, gauge
from opsctl.facts.postgres_details import setting


class Settings(Record, frozen=True, kw_only=True):
    """Settings that matter for judging, in base units. `server` is named where metrics are wanted."""

    server: str = ""
    max_connections: Annotated[
        int | None, setting("pg_settings_max_connections", "Most client connections")
    ] = None
    superuser_reserved_connections: Annotated[
        int | None,
        setting("pg_settings_superuser_reserved_connections", "Connections kept back for superusers"),
    ] = None
    reserved_connections: Annotated[
        int | None,
        setting("pg_settings_reserved_connections", "Connections kept back for pg_use_reserved_connections"),
    ] = None
    pool_limit: Annotated[
        int | None,
        gauge(
            "opsctl_postgres_pool_limit_connections",
            "Connections that ordinary roles may have together: max_connections less the reserved ones",
        ),
    ] = None
    """`room`, as a metric to compare the pools with."""
    max_wal_senders: Annotated[
        int | None, setting("pg_settings_max_wal_senders", "Most replication connections")
    ] = None
    max_worker_processes: Annotated[
        int | None, setting("pg_settings_max_worker_processes", "Most background workers")
    ] = None
    max_locks_per_transaction: Annotated[
        int | None, setting("pg_settings_max_locks_per_transaction", "Average locks per transaction")
    ] = None
    shared_buffers: Annotated[
        int | None, setting("pg_settings_shared_buffers_bytes", "Shared buffers", "bytes")
    ] = None
    effective_cache_size: Annotated[
        int | None,
        setting("pg_settings_effective_cache_size_bytes", "Cache that the planner reckons with", "bytes"),
    ] = None
    work_mem: Annotated[
        int | None, setting("pg_settings_work_mem_bytes", "Memory of one sort or hash", "bytes")
    ] = None
    maintenance_work_mem: Annotated[
        int | None,
        setting("pg_settings_maintenance_work_mem_bytes", "Memory of a vacuum or index build", "bytes"),
    ] = None
    max_wal_size: Annotated[
        int | None, setting("pg_settings_max_wal_size_bytes", "WAL that forces a checkpoint", "bytes")
    ] = None
    min_wal_size: Annotated[
        int | None, setting("pg_settings_min_wal_size_bytes", "WAL that is kept for reuse", "bytes")
    ] = None
    wal_segment_size: Annotated[
        int | None, setting("pg_settings_wal_segment_size_bytes", "Size of one WAL file", "bytes")
    ] = None
    checkpoint_timeout: Annotated[
        float | None,
        setting("pg_settings_checkpoint_timeout_seconds", "Longest time between checkpoints", "seconds"),
    ] = None
    checkpoint_warning: Annotated[
        float | None,
        setting(
            "pg_settings_checkpoint_warning_seconds",
            "Forced checkpoints closer together than this are logged",
            "seconds",
        ),
    ] = None
    random_page_cost: Annotated[
        float | None, setting("pg_settings_random_page_cost", "Planner's cost of a random page")
    ] = None
    seq_page_cost: Annotated[
        float | None, setting("pg_settings_seq_page_cost", "Planner's cost of a sequential page")
    ] = None
    fsync: Annotated[bool | None, setting("pg_settings_fsync", "1 if writes are forced to disk")] = None
    autovacuum: Annotated[bool | None, setting("pg_settings_autovacuum", "1 if autovacuum is on")] = None
    autovacuum_max_workers: Annotated[
        int | None, setting("pg_settings_autovacuum_max_workers", "Most autovacuum workers")
    ] = None
    autovacuum_vacuum_threshold: Annotated[
        int | None, setting("pg_settings_autovacuum_vacuum_threshold", "Dead rows that trigger a vacuum")
    ] = None
    autovacuum_vacuum_scale_factor: Annotated[
        float | None,
        setting("pg_settings_autovacuum_vacuum_scale_factor", "Share of dead rows that triggers a vacuum"),
    ] = None
    autovacuum_freeze_max_age: Annotated[
        int | None,
        setting("pg_settings_autovacuum_freeze_max_age", "Age at which a table is vacuumed to freeze it"),
    ] = None
    autovacuum_multixact_freeze_max_age: Annotated[
        int | None,
        setting("pg_settings_autovacuum_multixact_freeze_max_age", "The same for multixacts"),
    ] = None
    data_checksums: Annotated[
        bool | None, setting("pg_settings_data_checksums", "1 if pages carry checksums")
    ] = None
    deadlock_timeout: Annotated[
        float | None,
        setting("pg_settings_deadlock_timeout_seconds", "Wait before a deadlock is looked for", "seconds"),
    ] = None
    default_transaction_read_only: Annotated[
        bool | None,
        setting("pg_settings_default_transaction_read_only", "1 if transactions start read-only"),
    ] = None

    @property
    def room(self) -> int | None:
        """Connections for ordinary roles: max_connections less what is kept back, at least one."""
        if self.max_connections is None:
            return None
        kept = (self.superuser_reserved_connections or 0) + (self.reserved_connections or 0)
        return max(self.max_connections - kept, 1)


class Window(Record, frozen=True, kw_only=True):
    """Changes of a few counters over about a second, taken only where there was reason to look."""

    seconds: Annotated[
        float, gauge("opsctl_postgres_window_seconds", "Length of the sampling window", unit="seconds")
    ] = 0.0
    deadlocks: Annotated[
        int | None, gauge("opsctl_postgres_window_deadlocks", "Deadlocks in the sampling window")
    ] = None
    temp_bytes: Annotated[
        int | None,
        gauge(
            "opsctl_postgres_window_temp_bytes",
            "Bytes of temporary files finished in the sampling window",
            unit="bytes",
        ),
    ] = None
    blocks_read: Annotated[
        int | None, gauge("opsctl_postgres_window_blocks_read", "Blocks read in the sampling window")
    ] = None
    blocks_hit: Annotated[
        int | None, gauge("opsctl_postgres_window_blocks_hit", "Blocks hit in the sampling window")
    ] = None
    checkpoints_requested: Annotated[
        int | None, gauge("opsctl_postgres_window_checkpoints", "Checkpoints forced in the sampling window")
    ] = None
    wal_bytes: Annotated[
        int | None,
        gauge("opsctl_postgres_window_wal_bytes", "WAL written in the sampling window", unit="bytes"),
    ] = None
