"""Facts of Redis that only metrics want: commands one by one, databases, what dashboards chart."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Label, Record, counter, gauge


class CommandCount(Record, frozen=True, kw_only=True):
    """How often one command was called since the start, as INFO commandstats has it."""

    cmd: Annotated[str, Label("cmd")]
    calls: Annotated[int | None, counter("redis_commands_total", "Calls of the command")] = None
    seconds: Annotated[
        float | None,
        counter("redis_commands_duration_seconds_total", "Time spent in the command", unit="seconds"),
    ] = None
    rejected: Annotated[
        int | None, counter("redis_commands_rejected_calls_total", "Calls refused before they ran")
    ] = None
    failed: Annotated[int | None, counter("redis_commands_failed_calls_total", "Calls that failed")] = None


class Keyspace(Record, frozen=True, kw_only=True):
    """One of the server's numbered databases."""

    db: Annotated[str, Label("db")]
    keys: Annotated[int | None, gauge("redis_db_keys", "Keys")] = None
    expiring: Annotated[int | None, gauge("redis_db_keys_expiring", "Keys that have an end")] = None
    average_ttl: Annotated[
        float | None, gauge("redis_db_avg_ttl_seconds", "Average time until such keys end", unit="seconds")
    ] = None


class RedisDetails(Record, frozen=True, kw_only=True):
    """What is read for metrics alone."""

    commands: list[CommandCount] = []
    databases: list[Keyspace] = []
    config_maxclients: Annotated[
        int | None, gauge("redis_config_maxclients", "Most connections, as configured")
    ] = None
    connections_received: Annotated[
        int | None, counter("redis_connections_received_total", "Connections accepted")
    ] = None
    expired_keys: Annotated[
        int | None, counter("redis_expired_keys_total", "Keys removed because their time was over")
    ] = None
    input_bytes: Annotated[
        int | None, counter("redis_net_input_bytes_total", "Bytes read from clients", unit="bytes")
    ] = None
    output_bytes: Annotated[
        int | None, counter("redis_net_output_bytes_total", "Bytes written to clients", unit="bytes")
    ] = None
    replication_offset: Annotated[
        int | None, gauge("redis_master_repl_offset", "Bytes of the replication stream so far")
    ] = None
    aof_current_size: Annotated[
        int | None, gauge("redis_aof_current_size_bytes", "Size of the append only file", unit="bytes")
    ] = None
    started_at: Annotated[
        float | None, gauge("redis_start_time_seconds", "Time at which the server started", unit="seconds")
    ] = None
    used_memory_peak: Annotated[
        int | None, gauge("redis_memory_used_peak_bytes", "Most memory ever allocated", unit="bytes")
    ] = None
    used_memory_overhead: Annotated[
        int | None,
        gauge("redis_memory_used_overhead_bytes", "Memory for everything but the data", unit="bytes"),
    ] = None
    used_memory_dataset: Annotated[
        int | None, gauge("redis_memory_used_dataset_bytes", "Memory for the data", unit="bytes")
    ] = None
    cpu_system_seconds: Annotated[
        float | None, counter("redis_cpu_sys_seconds_total", "System time of the server", unit="seconds")
    ] = None
    cpu_user_seconds: Annotated[
        float | None, counter("redis_cpu_user_seconds_total", "User time of the server", unit="seconds")
    ] = None
    pubsub_channels: Annotated[
        int | None, gauge("redis_pubsub_channels", "Channels that somebody listens to")
    ] = None
    pubsub_patterns: Annotated[
        int | None, gauge("redis_pubsub_patterns", "Patterns of channels that somebody listens to")
    ] = None
    rdb_save_in_progress: Annotated[
        int | None, gauge("redis_rdb_bgsave_in_progress", "1 while a background save runs")
    ] = None
    rdb_last_save_seconds: Annotated[
        float | None,
        gauge("redis_rdb_last_bgsave_duration_sec", "Duration of the last background save, -1 for none"),
    ] = None
    latest_fork_seconds: Annotated[
        float | None, gauge("redis_latest_fork_seconds", "Duration of the latest fork", unit="seconds")
    ] = None
    error_replies: Annotated[int | None, counter("redis_total_error_replies", "Answers that were errors")] = (
        None
    )
    slow_log_length: Annotated[int | None, gauge("redis_slowlog_length", "Entries of the slow log")] = None
