"""What the engine says of a container, as fields of `Instance`. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

MAX_TEXT = 300
MAX_LINES = 8

_TIME = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$")
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def unix_time(text: Any) -> float | None:
    """Return the engine's RFC 3339 time in unix seconds; None for its year 1, which means "never"."""
    match = _TIME.match(text) if isinstance(text, str) else None
    if match is None or match[1].startswith("0001"):
        return None
    zone = "+00:00" if match[3] == "Z" else match[3]
    try:
        whole = datetime.fromisoformat(match[1] + zone).timestamp()
    except (ValueError, OverflowError):
        return None
    return whole + float(f"0{match[2] or '.0'}"[:12])


def one_line(text: Any, most: int = MAX_TEXT) -> str:
    """Return a text on one line, without control characters, bounded."""
    plain = _CONTROL.sub("", str(text or "")[: most * 8])
    return " ".join(plain.split())[:most]


def log_lines(data: bytes, framed: bool) -> list[str]:
    """Return the last lines of what `/logs` gave, each bounded.

    Args:
        data: the body; `framed` where the container has no terminal: frames of an 8-byte header
            (stream, three zeros, length) and as many bytes.
        framed: see `data`.
    """
    text = _unframed(data) if framed else data
    lines = [one_line(line) for line in text.decode("utf-8", "replace").splitlines()]
    return [line for line in lines if line][-MAX_LINES:]


def _unframed(data: bytes) -> bytes:
    parts: list[bytes] = []
    position = 0
    while position + 8 <= len(data):
        if data[position] > 2 or data[position + 1 : position + 4] != b"\0\0\0":
            return data  # not framed after all
        length = int.from_bytes(data[position + 4 : position + 8], "big")
        parts.append(data[position + 8 : position + 8 + length])
        position += 8 + length
    return b"".join(parts)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def instance_values(inspected: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `Instance` that `docker inspect` holds; values of the environment are not kept."""
    state, host = _mapping(inspected.get("State")), _mapping(inspected.get("HostConfig"))
    config, network = _mapping(inspected.get("Config")), _mapping(inspected.get("NetworkSettings"))
    log, policy = _mapping(host.get("LogConfig")), _mapping(host.get("RestartPolicy"))
    status = str(state.get("Status") or "")
    ended = status in ("exited", "dead", "restarting", "created")
    return {
        "name": one_line(str(inspected.get("Name") or "").lstrip("/")),
        "image": one_line(config.get("Image")),
        "id": one_line(inspected.get("Id")),
        "state": one_line(status, 20),
        "error": one_line(state.get("Error")),
        "exit_code": _number(state.get("ExitCode")) if ended else None,
        "started_at": unix_time(state.get("StartedAt")),
        "finished_at": unix_time(state.get("FinishedAt")),
        "restart_count": _number(inspected.get("RestartCount")),
        "restart_policy": one_line(policy.get("Name") or "no", 20),
        "oom_killed": state["OOMKilled"] if isinstance(state.get("OOMKilled"), bool) else None,
        "memory_limit": _number(host.get("Memory")),
        "cpu_limit": cpu_limit(host),
        "image_id": one_line(inspected.get("Image")),
        "networks": sorted(one_line(name) for name in _mapping(network.get("Networks"))),
        "ports": sorted(published_ports(network.get("Ports"))),
        "mounts": mounts(inspected.get("Mounts")),
        "log_driver": one_line(log.get("Type"), 40),
        "log_max_size": one_line(_mapping(log.get("Config")).get("max-size"), 20),
        **health_values(_mapping(state.get("Health")), _mapping(config.get("Healthcheck"))),
    }


def mounts(listed: Any) -> list[str]:
    """Return where on the machine the folders lie that a container may write to."""
    rows = [_mapping(item) for item in listed] if isinstance(listed, list) else []
    sources = [one_line(row.get("Source")) for row in rows if row.get("RW")]
    return sorted({source for source in sources if source.startswith("/")})[:20]


def health_values(health: dict[str, Any], check: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `Instance` that tell of the health check; none where there is no check."""
    status = one_line(health.get("Status"), 20)
    if not status or status == "none":
        return {}
    runs = health.get("Log")
    last = _mapping(runs[-1]) if isinstance(runs, list) and runs else {}
    every = 0.0
    for name in ("Interval", "Timeout"):
        every += (_number(check.get(name)) or 30_000_000_000) / 1e9  # Docker's default of both is 30 s
    return {
        "health": status,
        "failing_streak": _number(health.get("FailingStreak")),
        "health_checked_at": unix_time(last.get("End")),
        "health_exit_code": _number(last.get("ExitCode")),
        "health_output": one_line(last.get("Output")),
        "health_every_seconds": every,
    }


def ended_badly(status: Any) -> bool:
    """Return whether the status column of `docker ps` shows an error code that no `docker stop` leaves."""
    match = re.match(r"(?:Exited|Restarting) \((\d{1,3})\)", status) if isinstance(status, str) else None
    return match is not None and int(match[1]) not in (0, 137, 143)


def cpu_limit(host: dict[str, Any]) -> float | None:
    """Return the CPU limit in cores, 0 for none."""
    nano, quota = _number(host.get("NanoCpus")), _number(host.get("CpuQuota"))
    if nano is None and quota is None:
        return None
    if nano:
        return nano / 1e9
    if quota and quota > 0:
        return quota / (_number(host.get("CpuPeriod")) or 100_000)
    return 0.0


def published_ports(value: Any) -> list[str]:
    """Return the container ports that have a port of this machine, as `8000/tcp`."""
    return [one_line(port, 20) for port, bindings in _mapping(value).items() if bindings]


def wanted_networks(inspected: dict[str, Any]) -> list[str]:
    """Return the network that the container was made for, where the engine still knows it by name."""
    mode = str(_mapping(inspected.get("HostConfig")).get("NetworkMode") or "")
    if mode in ("", "default", "bridge", "host", "none") or mode.startswith("container:"):
        return []
    return [] if re.fullmatch(r"[0-9a-f]{64}", mode) else [one_line(mode)]


def wanted_ports(inspected: dict[str, Any]) -> list[str]:
    """Return the container ports that it was made to publish."""
    host = _mapping(inspected.get("HostConfig"))
    if str(host.get("NetworkMode") or "") in ("host", "none"):
        return []
    return published_ports(host.get("PortBindings"))


def environment(inspected: dict[str, Any]) -> dict[str, str]:
    """Return the environment that the container was made with. Secret: never keep it."""
    items = _mapping(inspected.get("Config")).get("Env")
    pairs = [str(item).partition("=") for item in items] if isinstance(items, list) else []
    return {name: value for name, equals, value in pairs if equals}


def environment_differences(
    running: dict[str, str], wanted: dict[str, str | None], from_file: dict[str, str], passed: bool
) -> list[str]:
    """Return the names of variables with which the container runs differently.

    Args:
        running: the container's environment.
        wanted: what the compose file sets itself; None where the value cannot be known.
        from_file: the env file's variables.
        passed: the whole env file is handed to the container, so that a name absent from it differs too.
    """

    def same(ours: str, theirs: str) -> bool:
        """Quotes are kept by some clients and taken off by others; both mean the same."""
        return ours.strip().strip("'\"") == theirs.strip().strip("'\"")

    expected: dict[str, str | None] = {
        name: None if "$" in value else value for name, value in from_file.items()
    }
    expected |= wanted
    differing: list[str] = []
    for name, value in expected.items():
        if name in running:
            if value is not None and not same(value, running[name]):
                differing.append(name)
        elif passed and name in from_file and name not in wanted:
            differing.append(name)
    return sorted(differing)[:20]


def stats_values(stats: Any) -> tuple[dict[str, Any], tuple[int, int] | None]:
    """Return memory fields of `Instance` and (periods, throttled periods) of one `docker stats` sample."""
    memory = _mapping(_mapping(stats).get("memory_stats"))
    detail = _mapping(memory.get("stats"))
    usage = _number(memory.get("usage"))
    idle = _number(detail.get("total_inactive_file", detail.get("inactive_file")))
    working = max(usage - idle, 0) if usage is not None and idle is not None else None
    throttling = _mapping(_mapping(_mapping(stats).get("cpu_stats")).get("throttling_data"))
    periods, throttled = _number(throttling.get("periods")), _number(throttling.get("throttled_periods"))
    cpu = (periods, throttled) if periods is not None and throttled is not None else None
    return {"memory_usage": usage, "memory_working_set": working}, cpu
