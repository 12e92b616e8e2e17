"""What is known of a Redis server: INFO, a few CONFIG values, queue lengths, the slow log.

Field and metric names follow redis_exporter where it has one.
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


class SlowCommand(Record, frozen=True, kw_only=True):
    """One entry of the slow log; arguments are left out, they may be secret."""

    command: str
    microseconds: int
    started_at: float


class Queue(Record, frozen=True, kw_only=True):
    """A list or stream that the stack file names as a queue."""

    name: Annotated[str, Label("key")]
    length: Annotated[int | None, gauge("redis_key_size", "Length of a watched list or stream")] = None
    limit: Annotated[int, gauge("opsctl_redis_queue_limit", "Length that the stack file calls too long")]


class RedisFacts(Facts, frozen=True, kw_only=True, tag="redis"):
    """One Redis server at one moment. None is "not read", never zero."""

    up: Annotated[bool, gauge("redis_up", "1 if the server answered PING")] = True
    connection: Connection
    address: str = ""
    may_be_exposed: bool = False

    version: Annotated[str, Info("redis_instance_info", "redis_version", "Version of the server")] = ""
    role: str = ""
    uptime_seconds: Annotated[
        int | None, gauge("redis_uptime_in_seconds", "Seconds since the server started", unit="seconds")
    ] = None
    ping_seconds: Annotated[
        float | None, gauge("opsctl_redis_ping_seconds", "Time of one PING", unit="seconds")
    ] = None

    loading: Annotated[
        bool | None, gauge("redis_loading_dump_file", "1 while the data set is read from disk")
    ] = None
    loading_eta_seconds: Annotated[
        int | None, gauge("opsctl_redis_loading_eta_seconds", "Seconds until loading ends", unit="seconds")
    ] = None

    used_memory: Annotated[
        int | None, gauge("redis_memory_used_bytes", "Memory allocated by Redis", unit="bytes")
    ] = None
    used_memory_rss: Annotated[
        int | None, gauge("redis_memory_used_rss_bytes", "Resident memory", unit="bytes")
    ] = None
    maxmemory: Annotated[
        int | None, gauge("redis_memory_max_bytes", "maxmemory, 0 for no limit", unit="bytes")
    ] = None
    maxmemory_policy: Annotated[
        str, Info("opsctl_redis_maxmemory_policy_info", "policy", "What happens when memory is full")
    ] = ""
    total_system_memory: Annotated[
        int | None, gauge("redis_total_system_memory_bytes", "Memory of the machine", unit="bytes")
    ] = None
    fragmentation_ratio: Annotated[
        float | None, gauge("redis_mem_fragmentation_ratio", "Resident memory over allocated memory")
    ] = None
    evicted_keys: Annotated[
        int | None, counter("redis_evicted_keys_total", "Keys evicted because memory was full")
    ] = None
    evicted_per_second: Annotated[
        float | None, gauge("opsctl_redis_evictions_per_second", "Keys evicted a second, over a second")
    ] = None

    rdb_last_save_ok: Annotated[
        bool | None, gauge("redis_rdb_last_bgsave_status", "1 if the last background save succeeded")
    ] = None
    rdb_last_save_time: Annotated[
        int | None,
        gauge("redis_rdb_last_save_timestamp_seconds", "Time of the last good save", unit="seconds"),
    ] = None
    rdb_changes_since_save: Annotated[
        int | None, gauge("redis_rdb_changes_since_last_save", "Changes since the last good save")
    ] = None
    stop_writes_on_save_error: bool | None = None
    aof_enabled: Annotated[bool | None, gauge("redis_aof_enabled", "1 if append only mode is on")] = None
    aof_last_write_ok: Annotated[
        bool | None, gauge("redis_aof_last_write_status", "1 if the last append succeeded")
    ] = None
    data_directory: str = ""

    master_link_up: Annotated[
        bool | None, gauge("redis_master_link_up", "1 if this replica is connected to its master")
    ] = None
    master_link_down_seconds: Annotated[
        int | None,
        gauge("opsctl_redis_master_link_down_seconds", "How long the link is down", unit="seconds"),
    ] = None
    connected_replicas: Annotated[
        int | None, gauge("redis_connected_slaves", "Replicas connected to this server")
    ] = None
    expected_replicas: int = 0
    min_replicas_to_write: int | None = None

    connected_clients: Annotated[
        int | None, gauge("redis_connected_clients", "Client connections, replicas aside")
    ] = None
    maxclients: Annotated[int | None, gauge("redis_max_clients", "Most connections accepted")] = None
    rejected_connections: Annotated[
        int | None, counter("redis_rejected_connections_total", "Connections refused at maxclients")
    ] = None
    blocked_clients: Annotated[
        int | None, gauge("redis_blocked_clients", "Clients waiting in a blocking call")
    ] = None
    commands_processed: Annotated[
        int | None, counter("redis_commands_processed_total", "Commands processed")
    ] = None
    operations_per_second: Annotated[
        float | None, gauge("redis_instantaneous_ops_per_sec", "Commands a second, as Redis reckons it")
    ] = None
    keyspace_hits: Annotated[int | None, counter("redis_keyspace_hits_total", "Lookups that hit")] = None
    keyspace_misses: Annotated[int | None, counter("redis_keyspace_misses_total", "Lookups that missed")] = (
        None
    )

    slow_commands: list[SlowCommand] = []
    queues: list[Queue] = []
    listens_beyond_loopback: bool | None = None
    needs_password: bool | None = None
    protected_mode: bool | None = None
