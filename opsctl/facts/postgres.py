"""What is known of a PostgreSQL server, from its statistics views and catalogs.

Field and metric names follow postgres_exporter where it has one. Texts of statements carry no
literals: they may be secret.
"""

from __future__ import annotations

from opsctl.facts.base import (
    Annotated,
    Connection,
    Facts,
    Info,
    Label,
    Record,
    counter,
    gauge,
)


class Activity(Record, frozen=True, kw_only=True):
    """Client sessions of one database in one state."""

    datname: Annotated[str, Label("datname")]
    state: Annotated[str, Label("state")]
    count: Annotated[int, gauge("pg_stat_activity_count", "Client sessions in this state")] = 0
    max_tx_seconds: Annotated[
        float | None,
        gauge(
            "pg_stat_activity_max_tx_duration", "Age of the oldest transaction in this state", unit="seconds"
        ),
    ] = None


class Holder(Record, frozen=True, kw_only=True):
    """Who holds connections: one application, role and client address."""

    application: Annotated[str, Label("application_name")]
    usename: Annotated[str, Label("usename")]
    client: Annotated[str, Label("client_addr")]
    count: Annotated[
        int, gauge("opsctl_postgres_connections_by_client", "Connections of one application and address")
    ] = 0
    idle: int | None = None


class Session(Record, frozen=True, kw_only=True):
    """One session that is worth a look: old, waiting, or blocking others.

    `blocked_by` are the pids that it waits for; `waits_for` is the lock in words.
    """

    pid: int
    usename: str = ""
    datname: str = ""
    application: str = ""
    client: str = ""
    state: str = ""
    wait: str = ""
    query: str = ""
    transaction_seconds: float | None = None
    query_seconds: float | None = None
    state_seconds: float | None = None
    blocked_by: list[int] = []
    waiting_seconds: float | None = None
    waits_for: str = ""


class LockCount(Record, frozen=True, kw_only=True):
    """Locks of one mode in one database."""

    datname: Annotated[str, Label("datname")]
    mode: Annotated[str, Label("mode")]
    count: Annotated[int, gauge("pg_locks_count", "Locks held or waited for")] = 0


class Database(Record, frozen=True, kw_only=True):
    """One row of pg_stat_database, with the database's size and age."""

    datname: Annotated[str, Label("datname")]
    size: Annotated[int | None, gauge("pg_database_size_bytes", "Disk space used", unit="bytes")] = None
    backends: Annotated[int | None, gauge("pg_stat_database_numbackends", "Backends connected")] = None
    commits: Annotated[int | None, counter("pg_stat_database_xact_commit", "Transactions committed")] = None
    rollbacks: Annotated[
        int | None, counter("pg_stat_database_xact_rollback", "Transactions rolled back")
    ] = None
    blocks_read: Annotated[
        int | None, counter("pg_stat_database_blks_read", "Blocks read from outside shared_buffers")
    ] = None
    blocks_hit: Annotated[
        int | None, counter("pg_stat_database_blks_hit", "Blocks found in shared_buffers")
    ] = None
    tuples_returned: Annotated[
        int | None, counter("pg_stat_database_tup_returned", "Rows read by sequential scans and indexes")
    ] = None
    tuples_fetched: Annotated[
        int | None, counter("pg_stat_database_tup_fetched", "Rows fetched by index scans")
    ] = None
    tuples_inserted: Annotated[int | None, counter("pg_stat_database_tup_inserted", "Rows inserted")] = None
    tuples_updated: Annotated[int | None, counter("pg_stat_database_tup_updated", "Rows updated")] = None
    tuples_deleted: Annotated[int | None, counter("pg_stat_database_tup_deleted", "Rows deleted")] = None
    conflicts: Annotated[
        int | None, counter("pg_stat_database_conflicts", "Queries cancelled by conflicts with recovery")
    ] = None
    temp_files: Annotated[int | None, counter("pg_stat_database_temp_files", "Temporary files made")] = None
    temp_bytes: Annotated[
        int | None, counter("pg_stat_database_temp_bytes", "Bytes written to temporary files")
    ] = None
    deadlocks: Annotated[int | None, counter("pg_stat_database_deadlocks", "Deadlocks detected")] = None
    read_milliseconds: Annotated[
        float | None, counter("pg_stat_database_blk_read_time", "Milliseconds spent reading blocks")
    ] = None
    write_milliseconds: Annotated[
        float | None, counter("pg_stat_database_blk_write_time", "Milliseconds spent writing blocks")
    ] = None
    stats_reset: Annotated[
        float | None, counter("pg_stat_database_stats_reset", "Time of the last reset of these figures")
    ] = None
    checksum_failures: Annotated[
        int | None, counter("opsctl_postgres_checksum_failures", "Pages whose checksum was wrong")
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


class Replica(Record, frozen=True, kw_only=True):
    """One standby that streams from this server."""

    application: Annotated[str, Label("application_name")]
    client: Annotated[str, Label("client_addr")]
    pid: Annotated[str, Label("pid")] = ""
    state: str = ""
    synchronous: str = ""
    lag_bytes: Annotated[
        int | None,
        gauge("pg_stat_replication_pg_wal_lsn_diff", "Write-ahead log not yet replayed there", unit="bytes"),
    ] = None
    replay_lag_seconds: Annotated[
        float | None,
        gauge(
            "opsctl_postgres_replica_replay_lag_seconds", "Time until a commit was replayed", unit="seconds"
        ),
    ] = None


class Slot(Record, frozen=True, kw_only=True):
    """A replication slot and the write-ahead log that it keeps."""

    name: Annotated[str, Label("slot_name")]
    type: Annotated[str, Label("slot_type")] = ""
    active: Annotated[
        bool | None, gauge("pg_replication_slot_slot_is_active", "1 while somebody reads from it")
    ] = None
    retained_bytes: Annotated[
        int | None,
        gauge("opsctl_postgres_slot_retained_bytes", "Write-ahead log kept for the slot", unit="bytes"),
    ] = None
    safe_bytes: Annotated[
        int | None,
        gauge(
            "pg_replication_slot_safe_wal_size_bytes",
            "Write-ahead log that may still be written before the slot is lost",
            unit="bytes",
        ),
    ] = None
    wal_status: str = ""


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


class Statement(Record, frozen=True, kw_only=True):
    """One of the statements that cost most, by pg_stat_statements."""

    datname: Annotated[str, Label("datname")]
    user: Annotated[str, Label("user")]
    queryid: Annotated[str, Label("queryid")]
    query: str = ""
    calls: Annotated[int | None, counter("pg_stat_statements_calls_total", "Times executed")] = None
    seconds: Annotated[
        float | None, counter("pg_stat_statements_seconds_total", "Time spent", unit="seconds")
    ] = None
    rows: Annotated[int | None, counter("pg_stat_statements_rows_total", "Rows returned or changed")] = None
    window_calls: Annotated[
        int | None, gauge("opsctl_postgres_statement_recent_calls", "Calls finished in the sampling window")
    ] = None
    window_mean_seconds: Annotated[
        float | None,
        gauge(
            "opsctl_postgres_statement_recent_mean_seconds",
            "Mean time of the calls finished in the sampling window",
            unit="seconds",
        ),
    ] = None


class PoolShare(Record, frozen=True, kw_only=True):
    """What one service of the stack may ask for: instances × (pool + overflow)."""

    service: Annotated[str, Label("client_service")]
    instances: Annotated[
        int, gauge("opsctl_postgres_pool_instances", "Instances of the service, by the stack file")
    ] = 1
    connections: Annotated[
        int, gauge("opsctl_postgres_pool_connections", "Connections that the service may open")
    ] = 0


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


class Settings(Record, frozen=True, kw_only=True):
    """Settings that matter for judging, in base units."""

    max_connections: Annotated[
        int | None, gauge("pg_settings_max_connections", "Most client connections")
    ] = None
    superuser_reserved_connections: Annotated[
        int | None,
        gauge("pg_settings_superuser_reserved_connections", "Connections kept back for superusers"),
    ] = None
    reserved_connections: Annotated[
        int | None,
        gauge("pg_settings_reserved_connections", "Connections kept back for pg_use_reserved_connections"),
    ] = None
    max_wal_senders: Annotated[
        int | None, gauge("pg_settings_max_wal_senders", "Most replication connections")
    ] = None
    max_worker_processes: Annotated[
        int | None, gauge("pg_settings_max_worker_processes", "Most background workers")
    ] = None
    max_locks_per_transaction: Annotated[
        int | None, gauge("pg_settings_max_locks_per_transaction", "Average locks per transaction")
    ] = None
    shared_buffers: Annotated[
        int | None, gauge("pg_settings_shared_buffers_bytes", "Shared buffers", unit="bytes")
    ] = None
    effective_cache_size: Annotated[
        int | None,
        gauge("pg_settings_effective_cache_size_bytes", "Cache that the planner reckons with", unit="bytes"),
    ] = None
    work_mem: Annotated[
        int | None, gauge("pg_settings_work_mem_bytes", "Memory of one sort or hash", unit="bytes")
    ] = None
    maintenance_work_mem: Annotated[
        int | None,
        gauge("pg_settings_maintenance_work_mem_bytes", "Memory of a vacuum or index build", unit="bytes"),
    ] = None
    max_wal_size: Annotated[
        int | None, gauge("pg_settings_max_wal_size_bytes", "WAL that forces a checkpoint", unit="bytes")
    ] = None
    min_wal_size: Annotated[
        int | None, gauge("pg_settings_min_wal_size_bytes", "WAL that is kept for reuse", unit="bytes")
    ] = None
    wal_segment_size: Annotated[
        int | None, gauge("pg_settings_wal_segment_size_bytes", "Size of one WAL file", unit="bytes")
    ] = None
    checkpoint_timeout: Annotated[
        float | None,
        gauge("pg_settings_checkpoint_timeout_seconds", "Longest time between checkpoints", unit="seconds"),
    ] = None
    checkpoint_warning: Annotated[
        float | None,
        gauge(
            "pg_settings_checkpoint_warning_seconds",
            "Forced checkpoints closer together than this are logged",
            unit="seconds",
        ),
    ] = None
    random_page_cost: Annotated[
        float | None, gauge("pg_settings_random_page_cost", "Planner's cost of a random page")
    ] = None
    seq_page_cost: Annotated[
        float | None, gauge("pg_settings_seq_page_cost", "Planner's cost of a sequential page")
    ] = None
    fsync: Annotated[bool | None, gauge("pg_settings_fsync", "1 if writes are forced to disk")] = None
    autovacuum: Annotated[bool | None, gauge("pg_settings_autovacuum", "1 if autovacuum is on")] = None
    autovacuum_max_workers: Annotated[
        int | None, gauge("pg_settings_autovacuum_max_workers", "Most autovacuum workers")
    ] = None
    autovacuum_vacuum_threshold: Annotated[
        int | None, gauge("pg_settings_autovacuum_vacuum_threshold", "Dead rows that trigger a vacuum")
    ] = None
    autovacuum_vacuum_scale_factor: Annotated[
        float | None,
        gauge("pg_settings_autovacuum_vacuum_scale_factor", "Share of dead rows that triggers a vacuum"),
    ] = None
    autovacuum_freeze_max_age: Annotated[
        int | None,
        gauge("pg_settings_autovacuum_freeze_max_age", "Age at which a table is vacuumed to freeze it"),
    ] = None
    autovacuum_multixact_freeze_max_age: Annotated[
        int | None,
        gauge("pg_settings_autovacuum_multixact_freeze_max_age", "The same for multixacts"),
    ] = None
    data_checksums: Annotated[
        bool | None, gauge("pg_settings_data_checksums", "1 if pages carry checksums")
    ] = None
    deadlock_timeout: Annotated[
        float | None,
        gauge("pg_settings_deadlock_timeout_seconds", "Wait before a deadlock is looked for", unit="seconds"),
    ] = None
    default_transaction_read_only: Annotated[
        bool | None,
        gauge("pg_settings_default_transaction_read_only", "1 if transactions start read-only"),
    ] = None


class PostgresFacts(Facts, frozen=True, kw_only=True, tag="postgres"):
    """One PostgreSQL server and the service's database on it. None is "not read", never zero."""

    up: Annotated[bool, gauge("pg_up", "1 if the server let us in")] = True
    connection: Connection = Connection(state="ok")
    address: str = ""
    database: str = ""
    user: str = ""
    in_container: bool = False
    data_directory: str = ""
    may_be_exposed: bool = False
    should_be_replica: bool = False
    expected_replicas: int = 0
    connect_seconds: Annotated[
        float | None, gauge("opsctl_postgres_connect_seconds", "Time to log in", unit="seconds")
    ] = None
    reserved_path: str = ""

    version: Annotated[str, Info("pg_static", "short_version", "Version of the server")] = ""
    version_number: Annotated[
        int | None, gauge("opsctl_postgres_server_version_num", "Version as a number: 150004 is 15.4")
    ] = None
    started_at: Annotated[
        float | None,
        gauge("pg_postmaster_start_time_seconds", "Time at which the server started", unit="seconds"),
    ] = None
    settings: Settings = Settings()
    listen_addresses: list[str] = []
    listens_beyond_loopback: Annotated[
        bool | None,
        gauge("opsctl_postgres_listens_beyond_loopback", "1 if other machines can connect, firewalls aside"),
    ] = None
    read_only_source: str = ""
    sees_all_sessions: bool | None = None

    connections_used: Annotated[
        int | None, gauge("opsctl_postgres_connections_used", "Client connections, our own aside")
    ] = None
    activity: list[Activity] = []
    holders: list[Holder] = []
    sessions: list[Session] = []
    locks: list[LockCount] = []
    waiting_sessions: Annotated[
        int | None, gauge("opsctl_postgres_sessions_waiting_for_locks", "Sessions that wait for a lock")
    ] = None

    databases: list[Database] = []
    tables: list[Table] = []
    invalid_indexes: list[Index] | None = None
    sequences: list[Sequence] | None = None
    wanted_tables: list[WantedTable] = []
    migrations: list[Migrations] = []
    statements: list[Statement] = []
    statements_seen: bool | None = None
    window: Window | None = None

    in_recovery: Annotated[
        bool | None, gauge("pg_replication_is_replica", "1 if the server is a replica")
    ] = None
    replication_lag_seconds: Annotated[
        float | None,
        gauge("pg_replication_lag_seconds", "Age of what a replica replayed last", unit="seconds"),
    ] = None
    replay_lag_bytes: Annotated[
        int | None,
        gauge("opsctl_postgres_replay_lag_bytes", "WAL received and not yet replayed", unit="bytes"),
    ] = None
    replay_paused: Annotated[
        bool | None, gauge("opsctl_postgres_replay_paused", "1 while replay is paused by hand")
    ] = None
    receiving: Annotated[
        bool | None, gauge("opsctl_postgres_wal_receiver_running", "1 if the replica streams from a primary")
    ] = None
    replicas: list[Replica] | None = None
    slots: list[Slot] | None = None

    archiving: Annotated[bool | None, gauge("opsctl_postgres_archive_mode", "1 if WAL is archived")] = None
    archiving_configured: bool | None = None
    archived_count: Annotated[
        int | None, counter("pg_stat_archiver_archived_count", "WAL files archived")
    ] = None
    archive_failed_count: Annotated[
        int | None, counter("pg_stat_archiver_failed_count", "Failed attempts to archive")
    ] = None
    last_archive_age: Annotated[
        float | None,
        gauge("pg_stat_archiver_last_archive_age", "Seconds since the last WAL file was archived"),
    ] = None
    last_archive_failure_age: Annotated[
        float | None,
        gauge(
            "opsctl_postgres_last_archive_failure_age_seconds",
            "Seconds since archiving failed last",
            unit="seconds",
        ),
    ] = None
    last_failed_wal: str = ""

    checkpoints_timed: Annotated[
        int | None, counter("pg_stat_bgwriter_checkpoints_timed_total", "Checkpoints by the clock")
    ] = None
    checkpoints_requested: Annotated[
        int | None, counter("pg_stat_bgwriter_checkpoints_req_total", "Checkpoints forced")
    ] = None
    checkpoint_write_milliseconds: Annotated[
        float | None,
        counter("pg_stat_bgwriter_checkpoint_write_time_total", "Milliseconds writing in checkpoints"),
    ] = None
    checkpoint_sync_milliseconds: Annotated[
        float | None,
        counter("pg_stat_bgwriter_checkpoint_sync_time_total", "Milliseconds syncing in checkpoints"),
    ] = None
    buffers_checkpoint: Annotated[
        int | None, counter("pg_stat_bgwriter_buffers_checkpoint_total", "Buffers written by checkpoints")
    ] = None
    buffers_clean: Annotated[
        int | None,
        counter("pg_stat_bgwriter_buffers_clean_total", "Buffers written by the background writer"),
    ] = None
    maxwritten_clean: Annotated[
        int | None, counter("pg_stat_bgwriter_maxwritten_clean_total", "Cleaning scans that stopped early")
    ] = None
    buffers_backend: Annotated[
        int | None, counter("pg_stat_bgwriter_buffers_backend_total", "Buffers written by backends")
    ] = None
    buffers_backend_fsync: Annotated[
        int | None, counter("pg_stat_bgwriter_buffers_backend_fsync_total", "fsync calls by backends")
    ] = None
    buffers_alloc: Annotated[
        int | None, counter("pg_stat_bgwriter_buffers_alloc_total", "Buffers allocated")
    ] = None
    last_checkpoint_age: Annotated[
        float | None,
        gauge(
            "opsctl_postgres_last_checkpoint_age_seconds",
            "Seconds since the last finished checkpoint began",
            unit="seconds",
        ),
    ] = None
    wal_position: Annotated[
        int | None, counter("opsctl_postgres_wal_position_bytes_total", "WAL written ever", unit="bytes")
    ] = None
    wal_since_checkpoint: Annotated[
        int | None,
        gauge("opsctl_postgres_wal_since_checkpoint_bytes", "WAL written since then", unit="bytes"),
    ] = None

    pools: list[PoolShare] = []
