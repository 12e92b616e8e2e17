"""Looks at a Redis server: PING, INFO, a handful of CONFIG GET, the slow log, queue lengths.

Never KEYS or SCAN. One connection, closed at the end.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from opsctl.facts.base import Connection, FactProblem
from opsctl.facts.redis import Queue, RedisFacts, SlowCommand
from opsctl.probes.addresses import beyond_loopback
from opsctl.probes.connection import connection_state
from opsctl.stack.specs import RedisSpec

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext

SLOW_LOG_ENTRIES = 16
EVICTION_WINDOW_SECONDS = 1.0
"""Evictions are judged as a rate over this window, never as a lifetime total."""


def probe(context: ProbeContext) -> RedisFacts:
    """Return the facts of one Redis server; refusals and hangs are facts as well."""
    import redis

    spec = context.spec
    assert isinstance(spec, RedisSpec)
    client = _client(context, spec)
    base: dict[str, Any] = {
        "address": context.target.address,
        "may_be_exposed": spec.exposed,
        "expected_replicas": spec.replicas,
    }
    began = time.monotonic()
    try:
        try:
            client.ping()
        except redis.exceptions.BusyLoadingError as error:
            base |= {"loading": True}
            return _read(context, client, spec, base, began, str(error))
        except redis.exceptions.RedisError as error:
            return RedisFacts(up=False, connection=_failure(error, context), **base)
        except OSError as error:
            return RedisFacts(up=False, connection=_failure(error, context), **base)
        base["ping_seconds"] = time.monotonic() - began
        return _read(context, client, spec, base, began, "")
    finally:
        with contextlib.suppress(Exception):
            client.close()


def _client(context: ProbeContext, spec: RedisSpec) -> Any:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    password = context.secrets.resolve(context.service, spec.password_env, spec.password_file)
    parts = urlsplit(spec.url)
    common: dict[str, Any] = {
        "username": unquote(parts.username) if parts.username else None,
        "password": password,
        "socket_timeout": context.left * 0.8,
        "socket_connect_timeout": context.left * 0.8,
        "client_name": "opsctl",
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": True,
        "encoding_errors": "replace",
        "protocol": 2,
    }
    if parts.scheme == "unix":
        return redis.Redis(unix_socket_path=parts.path, **common)
    database = parts.path.strip("/")
    return redis.Redis(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 6379,
        db=int(database) if database.isdigit() else 0,
        ssl=parts.scheme == "rediss",
        **common,
    )


def _failure(error: Exception, context: ProbeContext) -> Connection:
    """Say how the connection failed in the words of `Connection`."""
    import redis

    text = str(error)
    lowered = text.lower()
    if isinstance(error, redis.exceptions.AuthenticationError) or any(
        word in lowered for word in ("noauth", "wrongpass", "invalid username-password", "noperm")
    ):
        state = "auth-failed"
    elif "max number of clients" in lowered:
        state = "clients-exhausted"
    elif isinstance(error, redis.exceptions.TimeoutError):
        state = "timeout"
    else:
        state = connection_state(error)
    return Connection(state=state, detail=text[:300], address=context.target.address)


def _read(
    context: ProbeContext, client: Any, spec: RedisSpec, base: dict[str, Any], began: float, loading: str
) -> RedisFacts:
    import redis

    problems: list[FactProblem] = []
    values = dict(base)

    def attempt(part: str, hint: str, read: Any) -> Any:
        try:
            return read()
        except (redis.exceptions.RedisError, OSError) as error:
            code = "timeout" if isinstance(error, redis.exceptions.TimeoutError) else "permission"
            problems.append(FactProblem(part=part, code=code, message=f"{part}: {error}"[:300], hint=hint))
            return None

    info = attempt("INFO", "let the user run INFO", client.info) or {}
    values |= info_values(info)
    if values.get("loading"):
        return RedisFacts(
            up=False,
            connection=Connection(state="loading", detail=loading, address=context.target.address),
            problems=problems,
            **values,
        )
    config = attempt("CONFIG GET", "let the user run CONFIG GET", lambda: _config(client)) or {}
    values |= config_values(config)
    slow = attempt("SLOWLOG", "let the user run SLOWLOG GET", lambda: client.slowlog_get(SLOW_LOG_ENTRIES))
    values["slow_commands"] = [slow_command(entry) for entry in slow or []]
    values["queues"] = [
        Queue(
            name=name,
            limit=limit,
            length=attempt(f"queue {name}", "", lambda name=name: _length(client, name)),
        )
        for name, limit in spec.queues.items()
    ]
    if values.get("maxmemory") and near_full(values):
        values["evicted_per_second"] = attempt("INFO stats", "", lambda: _eviction_rate(client, context))
    return RedisFacts(
        up=True,
        connection=Connection(state="ok", address=context.target.address, seconds=time.monotonic() - began),
        problems=problems,
        **values,
    )


def _config(client: Any) -> dict[str, str]:
    names = ("maxclients", "stop-writes-on-bgsave-error", "bind", "protected-mode", "requirepass", "dir")
    more = ("min-replicas-to-write", "maxmemory-policy")
    return dict(client.config_get(*names, *more))


def _length(client: Any, name: str) -> int:
    kind = client.type(name)
    if kind == "stream":
        return int(client.xlen(name))
    if kind == "zset":
        return int(client.zcard(name))
    return int(client.llen(name)) if kind == "list" else 0


def near_full(values: dict[str, Any]) -> bool:
    """Return whether memory is full enough that evictions are possible (90 % of maxmemory)."""
    return bool(values.get("used_memory") and values["used_memory"] >= 0.9 * values["maxmemory"])


def _eviction_rate(client: Any, context: ProbeContext) -> float | None:
    window = min(EVICTION_WINDOW_SECONDS, context.left - 0.3)
    if window < 0.2:
        return None
    first, at = int(client.info("stats")["evicted_keys"]), time.monotonic()
    time.sleep(window)
    second = int(client.info("stats")["evicted_keys"])
    return (second - first) / (time.monotonic() - at)


def info_values(info: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `RedisFacts` that INFO holds; what it lacks stays None. Pure."""

    def number(name: str, kind: type = int) -> Any:
        value = info.get(name)
        return kind(value) if isinstance(value, (int, float)) else None

    def flag(name: str, good: str | int) -> bool | None:
        return None if name not in info else info[name] == good

    return {
        "version": str(info.get("redis_version", "")),
        "role": str(info.get("role", "")),
        "uptime_seconds": number("uptime_in_seconds"),
        "loading": flag("loading", 1),
        "loading_eta_seconds": number("loading_eta_seconds"),
        "used_memory": number("used_memory"),
        "used_memory_rss": number("used_memory_rss"),
        "maxmemory": number("maxmemory"),
        "maxmemory_policy": str(info.get("maxmemory_policy", "")),
        "total_system_memory": number("total_system_memory"),
        "fragmentation_ratio": number("mem_fragmentation_ratio", float),
        "evicted_keys": number("evicted_keys"),
        "rdb_last_save_ok": flag("rdb_last_bgsave_status", "ok"),
        "rdb_last_save_time": number("rdb_last_save_time"),
        "rdb_changes_since_save": number("rdb_changes_since_last_save"),
        "aof_enabled": flag("aof_enabled", 1),
        "aof_last_write_ok": flag("aof_last_write_status", "ok"),
        "master_link_up": flag("master_link_status", "up"),
        "master_link_down_seconds": number("master_link_down_since_seconds"),
        "connected_replicas": number("connected_slaves"),
        "connected_clients": number("connected_clients"),
        "maxclients": number("maxclients"),
        "rejected_connections": number("rejected_connections"),
        "blocked_clients": number("blocked_clients"),
        "commands_processed": number("total_commands_processed"),
        "operations_per_second": number("instantaneous_ops_per_sec", float),
        "keyspace_hits": number("keyspace_hits"),
        "keyspace_misses": number("keyspace_misses"),
    }


def config_values(config: dict[str, str]) -> dict[str, Any]:
    """Return the fields of `RedisFacts` that CONFIG GET holds. Pure; the password itself is dropped."""
    values: dict[str, Any] = {}
    if str(config.get("maxclients", "")).isdigit():
        values["maxclients"] = int(config["maxclients"])
    if "stop-writes-on-bgsave-error" in config:
        values["stop_writes_on_save_error"] = config["stop-writes-on-bgsave-error"] == "yes"
    if "requirepass" in config:
        values["needs_password"] = bool(config["requirepass"])
    if "protected-mode" in config:
        values["protected_mode"] = config["protected-mode"] == "yes"
    if "bind" in config:
        names = [name.lstrip("-") for name in config["bind"].split()]
        values["listens_beyond_loopback"] = not names or any(beyond_loopback(name) for name in names)
    if str(config.get("min-replicas-to-write", "")).isdigit():
        values["min_replicas_to_write"] = int(config["min-replicas-to-write"])
    values["data_directory"] = config.get("dir", "")
    return values


def slow_command(entry: dict[str, Any]) -> SlowCommand:
    """Return one slow log entry with the command's name only. Pure."""
    command = entry.get("command", "")
    words = command if isinstance(command, str) else str(command)
    return SlowCommand(
        command=(words.split() or ["?"])[0].upper()[:40],
        microseconds=int(entry.get("duration", 0)),
        started_at=float(entry.get("start_time", 0)),
    )
