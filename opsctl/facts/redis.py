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
from opsctl.facts.redis_details import RedisDetails


class SlowCommand(Record, frozen=True, kw_only=True):
    """One entry of the slow log; arguments are left out, they may be secret.

    `ended_at` is by the server's own clock, in whole seconds.
    """

    command: str
    microseconds: int
    ended_at: float


class Queue(Record, frozen=True, kw_only=True):
    """A list, stream or sorted set that the stack file names as a queue."""

    database: Annotated[str, Label("db")] = "db0"
    name: Annotated[str, Label("key")]
    length: Annotated[int | None, gauge("redis_key_size", "Length of a watched queue")] = None
    limit: Annotated[int, gauge("opsctl_redis_queue_limit", "Length that the stack file calls too long")]
    command: str = "LLEN"
    """What tells its length."""
    growth_per_second: Annotated[
        float | None, gauge("opsctl_redis_queue_growth_per_second", "Entries more a second, over a second")
    ] = None


class RedisFacts(Facts, frozen=True, kw_only=True, tag="redis"):
    """One Redis server at one moment. None is "not read", never zero.

    `connection.state` may also be `busy`: a script runs and every command is turned away.
    """

    up: Annotated[bool, gauge("redis_up", "1 if the server answers commands")] = True
    connection: Connection = Connection(state="ok")
    address: str = ""
    may_be_exposed: bool = False
    expected_replica: bool = False
    """The stack file says that this server is a replica."""
    accepted: bool | None = None
    """Where nothing answered: whether the connection itself was accepted."""
    process_id: int | None = None
    """Of a server on this machine that did not answer in time, as is `process_state`."""
    process_state: str = ""
    """The kernel's one-letter state (proc(5)): T stopped, R running, S sleeping, D waiting for a disk."""
    process_waits_in: str = ""

    version: Annotated[str, Info("redis_instance_info", "redis_version", "The server itself")] = ""
    role: Annotated[str, Info("redis_instance_info", "role", "The server itself")] = ""
    system: Annotated[str, Info("redis_instance_info", "os", "The server itself")] = ""
    """Only where metrics are wanted, as the six below."""
    server_process_id: Annotated[str, Info("redis_instance_info", "process_id", "The server itself")] = ""
    build_id: Annotated[str, Info("redis_instance_info", "redis_build_id", "The server itself")] = ""
    mode: Annotated[str, Info("redis_instance_info", "redis_mode", "The server itself")] = ""
    run_id: Annotated[str, Info("redis_instance_info", "run_id", "The server itself")] = ""
    tcp_port: Annotated[str, Info("redis_instance_info", "tcp_port", "The server itself")] = ""
    master_replid: Annotated[str, Info("redis_instance_info", "master_replid", "The server itself")] = ""
    uptime_seconds: Annotated[
        int | None, gauge("redis_uptime_in_seconds", "Seconds since the server started", unit="seconds")
    ] = None
    server_time: Annotated[
        float | None, gauge("opsctl_redis_server_time_seconds", "The server's clock", unit="seconds")
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
    not_counted_for_eviction: Annotated[
        int | None,
        gauge(
            "redis_mem_not_counted_for_eviction_bytes",
            "Replication and append buffers, which maxmemory does not limit",
            unit="bytes",
        ),
    ] = None
    maxmemory: Annotated[
        int | None, gauge("redis_memory_max_bytes", "maxmemory, 0 for no limit", unit="bytes")
    ] = None
    maxmemory_policy: Annotated[str, Info("redis_instance_info", "maxmemory_policy", "The server itself")] = (
        ""
    )
    over_maxmemory_milliseconds: Annotated[
        int | None,
        gauge(
            "redis_current_eviction_exceeded_time_ms",
            "Milliseconds since memory rose above maxmemory, 0 if it is not above",
        ),
    ] = None
    refused_writes: Annotated[
        int | None, counter("redis_errors_total", "Error answers by kind; OOM: memory is full", err="OOM")
    ] = None
    refused_writes_per_second: Annotated[
        float | None,
        gauge("opsctl_redis_refused_writes_per_second", "Writes refused with OOM a second, over a second"),
    ] = None
    total_system_memory: Annotated[
        int | None, gauge("redis_total_system_memory_bytes", "Memory of the machine", unit="bytes")
    ] = None
    fragmentation_ratio: Annotated[
        float | None, gauge("redis_mem_fragmentation_ratio", "Resident memory over allocated memory")
    ] = None
    allocator_fragmentation_ratio: Annotated[
        float | None,
        gauge("redis_allocator_frag_ratio", "Memory in the allocator's pages over what is used of them"),
    ] = None
    allocator_fragmentation: Annotated[
        int | None, gauge("redis_allocator_frag_bytes", "Holes in the allocator's pages", unit="bytes")
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
    saves_by_itself: bool | None = None
    """Whether `save` names any moment; without one a failed save stops no writes."""
    aof_enabled: Annotated[bool | None, gauge("redis_aof_enabled", "1 if append only mode is on")] = None
    aof_last_write_ok: Annotated[
        bool | None, gauge("redis_aof_last_write_status", "1 if the last append succeeded")
    ] = None
    data_directory: str = ""

    master_link_up: Annotated[
        bool | None, gauge("redis_master_link_up", "1 if this replica is connected to its master")
    ] = None
    master_address: str = ""
    master_sync_in_progress: Annotated[
        bool | None, gauge("redis_master_sync_in_progress", "1 while the replica fetches the whole data set")
    ] = None
    master_link_down_seconds: Annotated[
        int | None,
        gauge("opsctl_redis_master_link_down_seconds", "How long the link is down", unit="seconds"),
    ] = None
    refuses_writes_as_replica: bool | None = None
    connected_replicas: Annotated[
        int | None, gauge("redis_connected_slaves", "Replicas connected to this server")
    ] = None
    expected_replicas: int = 0
    min_replicas_to_write: int | None = None
    good_replicas: Annotated[
        int | None, gauge("opsctl_redis_good_replicas", "Replicas that count for min-replicas-to-write")
    ] = None

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
    listens_on: list[str] = []
    """Addresses beyond loopback on which the port listens."""
    listens_beyond_loopback: bool | None = None
    needs_password: bool | None = None
    protected_mode: bool | None = None
    details: RedisDetails | None = None
    """Only where metrics are wanted."""
