"""What is known of a PostgreSQL server as a whole, from its statistics views and catalogs.

Its parts (sessions, relations, replication, settings) are in the files beside this one.

Field and metric names follow postgres_exporter where it has one. Texts of statements carry no
literals: they may be secret.
"""

from __future__ import annotations

from opsctl.facts.base import Annotated, Connection, Facts, Info, Metric, beside, counter, gauge
from opsctl.facts.postgres_details import PostgresDetails
from opsctl.facts.postgres_relations import Database, Index, Migrations, Sequence, Table, WantedTable
from opsctl.facts.postgres_replication import Replica, Slot
from opsctl.facts.postgres_sessions import Activity, Holder, LockCount, PoolShare, Session, Statement
from opsctl.facts.postgres_settings import Settings, Window


def _of_archiver(metric: Metric) -> Metric:
    """Name the server beside a figure of the archiver, as the standard exporter does."""
    return beside(metric, server="server")


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

    version: Annotated[str, Info("pg_static", "short_version", "Version of the server", "untyped")] = ""
    version_text: Annotated[str, Info("pg_static", "version", "Version of the server", "untyped")] = ""
    server: Annotated[str, Info("pg_static", "server", "Version of the server", "untyped")] = ""
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
        int | None, _of_archiver(counter("pg_stat_archiver_archived_count", "WAL files archived"))
    ] = None
    archive_failed_count: Annotated[
        int | None, _of_archiver(counter("pg_stat_archiver_failed_count", "Failed attempts to archive"))
    ] = None
    last_archive_age: Annotated[
        float | None,
        _of_archiver(
            gauge("pg_stat_archiver_last_archive_age", "Seconds since the last WAL file was archived")
        ),
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
    details: PostgresDetails | None = None
    """Only where metrics are wanted."""
