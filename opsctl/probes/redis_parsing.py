"""Turning Redis' answers into the fields of `RedisFacts`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opsctl.facts.redis import SlowCommand
from opsctl.probes.addresses import beyond_loopback

if TYPE_CHECKING:
    from collections.abc import Collection

_ANSWERED = ("misconf", "masterdown", "noperm", "noreplicas", "readonly", "oom ")
_ANSWERED_ERRORS = {"MasterDownError", "NoPermissionError", "ReadOnlyError", "OutOfMemoryError"}
"""Answers of a server that is there and knows us; PING itself gets MISCONF and MASTERDOWN."""

_AUTH_WORDS = (
    "noauth",
    "wrongpass",
    "invalid password",
    "invalid username-password",
    "no password is set",
    "without any password configured",
    "authentication required",
    "denied redis is running in protected mode",
)


def answer_state(error: str, kinds: Collection[str] = ()) -> str:
    """Return the `Connection.state` that an error answer means, empty where it says none.

    Args:
        error: its words. `ErrorReply` takes the leading code off some of them.
        kinds: names of the classes of the exception that it became.
    """
    lowered = error.lower()
    if lowered.startswith("busy ") or "busy running a script" in lowered:
        return "busy"
    if "BusyLoadingError" in kinds or lowered.startswith("loading") or "loading the dataset" in lowered:
        return "loading"
    if "max number of clients" in lowered:
        return "clients-exhausted"
    if "AuthenticationError" in kinds or any(word in lowered for word in _AUTH_WORDS):
        return "auth-failed"
    return "ok" if lowered.startswith(_ANSWERED) or _ANSWERED_ERRORS.intersection(kinds) else ""


def info_fields(reply: Any) -> dict[str, Any]:
    """Return the lines of INFO by name: a number where it is one, `a=1,b=2` as a dictionary.

    Args:
        reply: the text; anything else has no fields.
    """
    fields: dict[str, Any] = {}
    for line in reply.splitlines() if isinstance(reply, str) else ():
        name, colon, value = line.partition(":")
        if name == "cmdstat_host":  # a web browser's "Host:" counts as the command `host:`
            name, colon, value = line.rpartition(":")
        if colon and not line.startswith("#"):
            fields[name] = _field(value)
    return fields


def _field(text: str) -> Any:
    if "=" in text:
        pairs = [item.rpartition("=") for item in text.split(",") if item]
        return {
            name if equals else value: _number(value) if equals else True for name, equals, value in pairs
        }
    return _number(text)


def _number(text: str) -> int | float | str:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


def config_fields(reply: Any) -> dict[str, str]:
    """Return what CONFIG GET answered: names and values by turns."""
    return dict(zip(reply[::2], reply[1::2], strict=False)) if isinstance(reply, list) else {}


def slow_entries(reply: Any) -> list[dict[str, Any]]:
    """Return the entries of SLOWLOG GET; Redis Enterprise puts the complexity before the command."""
    entries = []
    for item in reply if isinstance(reply, list) else ():
        match item:
            case [int(), int(), int(), list() as command, *_] | [
                int(),
                int(),
                int(),
                _,
                list() as command,
                *_,
            ]:
                words = " ".join(str(word) for word in command)
                entries.append({"id": item[0], "start_time": item[1], "duration": item[2], "command": words})
    return entries


def info_values(info: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `RedisFacts` that INFO holds; what it lacks stays None."""

    def number(name: str, kind: type = int) -> Any:
        value = info.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            return None
        return None if abs(value) == float("inf") else kind(value)

    def flag(name: str, good: str | int) -> bool | None:
        return None if name not in info else info[name] == good

    microseconds = number("server_time_usec")
    refused = info.get("errorstat_OOM")
    if isinstance(refused, dict):
        refused = refused.get("count")
    elif "total_error_replies" in info:  # errors are counted since Redis 6.2
        refused = 0
    link_down = number("master_link_down_since_seconds")
    host, port = info.get("master_host"), info.get("master_port")
    return {
        "version": str(info.get("redis_version", ""))[:100],
        "role": str(info.get("role", ""))[:100],
        "uptime_seconds": number("uptime_in_seconds"),
        "server_time": None if microseconds is None else microseconds / 1_000_000,
        "loading": flag("loading", 1),
        "loading_eta_seconds": number("loading_eta_seconds"),
        "used_memory": number("used_memory"),
        "used_memory_rss": number("used_memory_rss"),
        "not_counted_for_eviction": number("mem_not_counted_for_evict"),
        "maxmemory": number("maxmemory"),
        "maxmemory_policy": str(info.get("maxmemory_policy", ""))[:100],
        "over_maxmemory_milliseconds": number("current_eviction_exceeded_time"),
        "total_system_memory": number("total_system_memory"),
        "fragmentation_ratio": number("mem_fragmentation_ratio", float),
        "allocator_fragmentation_ratio": number("allocator_frag_ratio", float),
        "allocator_fragmentation": number("allocator_frag_bytes"),
        "evicted_keys": number("evicted_keys"),
        "refused_writes": refused if isinstance(refused, int) else None,
        "rdb_last_save_ok": flag("rdb_last_bgsave_status", "ok"),
        "rdb_last_save_time": number("rdb_last_save_time"),
        "rdb_changes_since_save": number("rdb_changes_since_last_save"),
        "aof_enabled": flag("aof_enabled", 1),
        "aof_last_write_ok": flag("aof_last_write_status", "ok"),
        "master_link_up": flag("master_link_status", "up"),
        "master_address": f"{host}:{port}"[:300] if host is not None else "",
        "master_sync_in_progress": flag("master_sync_in_progress", 1),
        # -1: the link has never been up since the start
        "master_link_down_seconds": number("uptime_in_seconds") if link_down == -1 else link_down,
        "refuses_writes_as_replica": flag("slave_read_only", 1),
        "connected_replicas": number("connected_slaves"),
        "good_replicas": number("min_slaves_good_slaves"),
        "connected_clients": number("connected_clients"),
        "maxclients": number("maxclients"),
        "rejected_connections": number("rejected_connections"),
        "blocked_clients": number("blocked_clients"),
        "commands_processed": number("total_commands_processed"),
        "operations_per_second": number("instantaneous_ops_per_sec", float),
        "keyspace_hits": number("keyspace_hits"),
        "keyspace_misses": number("keyspace_misses"),
    }


CONFIG_NAMES = (
    "maxclients",
    "stop-writes-on-bgsave-error",
    "save",
    "bind",
    "protected-mode",
    "dir",
    "min-replicas-to-write",
)


def config_values(config: dict[str, str]) -> dict[str, Any]:
    """Return the fields of `RedisFacts` that CONFIG GET holds; passwords are never asked for."""
    values: dict[str, Any] = {}
    for name, field in (("maxclients", "maxclients"), ("min-replicas-to-write", "min_replicas_to_write")):
        text = str(config.get(name, ""))
        if text.isascii() and text.isdigit() and len(text) < 19:
            values[field] = int(text)
    if "stop-writes-on-bgsave-error" in config:
        values["stop_writes_on_save_error"] = config["stop-writes-on-bgsave-error"] == "yes"
    if "save" in config:
        values["saves_by_itself"] = bool(str(config["save"]).strip())
    if "protected-mode" in config:
        values["protected_mode"] = config["protected-mode"] == "yes"
    if "bind" in config:
        names = [name.lstrip("-")[:100] for name in str(config["bind"]).split()] or ["*"]
        values["listens_on"] = [name for name in names if beyond_loopback(name)][:20]
        values["listens_beyond_loopback"] = bool(values["listens_on"])
    values["data_directory"] = str(config.get("dir", ""))[:300]
    return values


def slow_command(entry: dict[str, Any]) -> SlowCommand:
    """Return one slow log entry with the command's name only: arguments may be secret."""
    command = entry.get("command", b"")
    words = command.decode("utf-8", "replace") if isinstance(command, bytes) else str(command)
    return SlowCommand(
        command=(words.split() or ["?"])[0].upper()[:40],
        microseconds=int(entry.get("duration", 0)),
        ended_at=float(entry.get("start_time", 0)),  # Redis notes the moment at which the command ended
    )


def process_state(stat: str) -> str:
    """Return the state letter in the text of /proc/PID/stat, empty where it is no such text."""
    words = stat.rpartition(")")[2].split()
    return words[0] if words and len(words[0]) == 1 and words[0].isalpha() else ""
