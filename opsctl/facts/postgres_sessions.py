"""Facts of PostgreSQL: who is connected, what they do, and what they wait for.

Texts of statements carry no literals: they may be secret.
"""

from __future__ import annotations

from opsctl.facts.base import Annotated, Label, Record, counter, gauge


class Activity(Record, frozen=True, kw_only=True):
    """Client sessions of one database in one state; for metrics by all that tells them apart."""

    datname: Annotated[str, Label("datname")]
    state: Annotated[str, Label("state")]
    usename: Annotated[str, Label("usename")] = ""
    application: Annotated[str, Label("application_name")] = ""
    backend_type: Annotated[str, Label("backend_type")] = ""
    wait_event_type: Annotated[str, Label("wait_event_type")] = ""
    wait_event: Annotated[str, Label("wait_event")] = ""
    server: Annotated[str, Label("server")] = ""
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


class PoolShare(Record, frozen=True, kw_only=True):
    """What one service of the stack may ask for: instances × (pool + overflow)."""

    service: Annotated[str, Label("client_service")]
    instances: Annotated[
        int, gauge("opsctl_postgres_pool_instances", "Instances of the service, by the stack file")
    ] = 1
    connections: Annotated[
        int, gauge("opsctl_postgres_pool_connections", "Connections that the service may open")
    ] = 0


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
