"""What only metrics want of a Redis: command statistics and the rest of INFO. Pure."""

from __future__ import annotations

from typing import Any

from opsctl.facts.redis_details import CommandCount, Keyspace, RedisDetails

COMMAND_PREFIX = "cmdstat_"
MAX_COMMANDS = 1000
MAX_DATABASES = 256

_WHOLE = {
    "connections_received": "total_connections_received",
    "expired_keys": "expired_keys",
    "input_bytes": "total_net_input_bytes",
    "output_bytes": "total_net_output_bytes",
    "replication_offset": "master_repl_offset",
    "aof_current_size": "aof_current_size",
    "used_memory_peak": "used_memory_peak",
    "used_memory_overhead": "used_memory_overhead",
    "used_memory_dataset": "used_memory_dataset",
    "pubsub_channels": "pubsub_channels",
    "pubsub_patterns": "pubsub_patterns",
    "rdb_save_in_progress": "rdb_bgsave_in_progress",
    "error_replies": "total_error_replies",
}
_FRACTIONS = {
    "cpu_system_seconds": "used_cpu_sys",
    "cpu_user_seconds": "used_cpu_user",
    "rdb_last_save_seconds": "rdb_last_bgsave_time_sec",
}
_LABELS = {
    "system": "os",
    "server_process_id": "process_id",
    "build_id": "redis_build_id",
    "mode": "redis_mode",
    "run_id": "run_id",
    "tcp_port": "tcp_port",
    "master_replid": "master_replid",
}


def number(value: Any) -> float | int | None:
    """Return a finite number of INFO, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if value == value and abs(value) < 2**63 else None


def whole(value: Any) -> int | None:
    """Return a number of INFO as a whole one."""
    found = number(value)
    return None if found is None else int(found)


def command_counts(info: dict[str, Any]) -> list[CommandCount]:
    """Return INFO commandstats, as `info_fields` reads it: cmdstat_config|get -> calls, usec, ...."""
    result: list[CommandCount] = []
    for key, value in info.items():
        if not key.startswith(COMMAND_PREFIX) or not isinstance(value, dict):
            continue
        microseconds = number(value.get("usec"))
        result.append(
            CommandCount(
                cmd=key.removeprefix(COMMAND_PREFIX)[:80],
                calls=whole(value.get("calls")),
                seconds=None if microseconds is None else microseconds / 1_000_000,
                rejected=whole(value.get("rejected_calls")),
                failed=whole(value.get("failed_calls")),
            )
        )
    return result[:MAX_COMMANDS]


def keyspaces(info: dict[str, Any], databases: Any = None) -> list[Keyspace]:
    """Return the numbered databases; INFO names those with keys, the others have none.

    Args:
        info: as `info_fields` reads it.
        databases: CONFIG's number of databases, where it may be read.
    """
    text = str(databases or "")
    most = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    found = {f"db{index}": Keyspace(db=f"db{index}", keys=0, expiring=0) for index in range(min(most, 16))}
    for key, value in info.items():
        if not (key.startswith("db") and key[2:].isascii() and key[2:].isdigit() and isinstance(value, dict)):
            continue
        if len(key) > 12 or (len(found) >= MAX_DATABASES and key not in found):
            continue
        milliseconds = number(value.get("avg_ttl"))
        found[key] = Keyspace(
            db=key,
            keys=whole(value.get("keys")),
            expiring=whole(value.get("expires")),
            average_ttl=milliseconds / 1000 if milliseconds else None,
        )
    return list(found.values())


def detail_values(
    info: dict[str, Any], commands: dict[str, Any], config: dict[str, str], slow_log_length: int | None = None
) -> dict[str, Any]:
    """Return the fields of `RedisFacts` that only metrics want.

    Args:
        info: INFO.
        commands: INFO commandstats.
        config: CONFIG GET, as far as it may be read.
        slow_log_length: how many entries the slow log has.
    """
    values: dict[str, Any] = {field: whole(info.get(name)) for field, name in _WHOLE.items()}
    values |= {
        field: None if (found := number(info.get(name))) is None else float(found)
        for field, name in _FRACTIONS.items()
    }
    microseconds, clock = number(info.get("latest_fork_usec")), number(info.get("server_time_usec"))
    uptime = number(info.get("uptime_in_seconds"))
    if microseconds is not None:
        values["latest_fork_seconds"] = microseconds / 1_000_000
    if clock is not None and uptime is not None:
        values["started_at"] = float(int(clock / 1_000_000 - uptime))
    maxclients = str(config.get("maxclients", ""))
    if maxclients.isascii() and maxclients.isdigit() and len(maxclients) < 19:
        values["config_maxclients"] = int(maxclients)
    details = RedisDetails(
        commands=command_counts(commands),
        databases=keyspaces(info, config.get("databases")),
        slow_log_length=slow_log_length,
        **values,
    )
    labels = {
        field: str(info[name])[:100] for field, name in _LABELS.items() if info.get(name) not in (None, "")
    }
    return {"details": details, **labels}
