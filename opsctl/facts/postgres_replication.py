"""Facts of PostgreSQL: replicas and replication slots, as the primary sees them."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Label, Record, gauge


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
