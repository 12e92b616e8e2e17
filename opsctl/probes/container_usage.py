"""What only metrics want of a container: its control groups, its network, its filesystem.

A few small files each, read at once; no stats stream, no walk over its layers.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opsctl.facts.container_usage import Device, Interface, Usage
from opsctl.probes.container_cgroup import (
    ROOT,
    Files,
    folder_of,
    parse_membership,
    parse_number,
    read_text,
)

CONTROLLERS = ("memory", "cpu", "cpuacct", "blkio")
MAX_ROWS = 64
DEFAULT_PERIOD = 100_000
"""Microseconds; what the kernel takes where none is set."""


@dataclass(frozen=True)
class Source:
    """Where a running container's use is read from, and what it may use: the same as long as it runs."""

    spec: dict[str, Any]
    pid: int = 0
    """Its main process, 0 where that is none of this machine."""
    groups: dict[str, Path] = field(default_factory=dict)
    own_network: bool = False
    layer: str = ""
    """The folder that it writes to."""


def source(inspected: dict[str, Any], here: bool) -> Source:
    """Return where to read what a container uses.

    Args:
        inspected: what `docker inspect` says.
        here: its main process is known to be one of this machine.
    """
    spec, pid = spec_values(inspected), (inspected.get("State") or {}).get("Pid")
    if not here or not isinstance(pid, int):
        return Source(spec)
    data = (inspected.get("GraphDriver") or {}).get("Data") or {}
    upper = str(data.get("UpperDir") or "")
    return Source(
        spec,
        pid,
        folders(read_text(Path(f"/proc/{pid}/cgroup")) or "", str(inspected.get("Id"))),
        # that of the machine would be counted as the container's
        (inspected.get("HostConfig") or {}).get("NetworkMode") != "host",
        upper if upper.startswith("/") else "",
    )


def usage(found: Source, files: Files | None = None) -> Usage:
    """Return what a running container uses now."""
    values = {**found.spec, "last_seen": float(int(time.time()))}
    if not found.pid:
        return Usage(**values)
    values |= group_values(found.groups, files)
    if found.own_network:
        values["interfaces"] = interfaces(read_text(Path(f"/proc/{found.pid}/net/dev")) or "")
    values["devices"] = _with_filesystem(_devices(found.groups), found.layer)
    return Usage(**values)


def spec_values(inspected: dict[str, Any]) -> dict[str, Any]:
    """Return the limits that the container was made with. Pure."""
    host = inspected.get("HostConfig")
    host = host if isinstance(host, dict) else {}

    def number(name: str) -> int:
        value = host.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63:
            return value
        return 0

    period = number("CpuPeriod") or DEFAULT_PERIOD
    quota = number("CpuQuota") or number("NanoCpus") * period // 1_000_000_000
    return {
        "cpu_period": period,
        "cpu_quota": quota or None,
        "cpu_shares": number("CpuShares") or 1024,
        "memory_reservation": number("MemoryReservation"),
        "memory_swap_limit": number("MemorySwap"),
    }


def folders(text: str, identity: str, root: Path = ROOT) -> dict[str, Path]:
    """Return controller -> folder of a container; the unified hierarchy has the key ''.

    Args:
        text: `/proc/PID/cgroup`.
        identity: the container's id, which the folder must bear.
        root: where the hierarchies are mounted.
    """
    paths, found = parse_membership(text), {}
    if identity in paths.get("memory", ""):
        for name in CONTROLLERS:
            folder = folder_of(root / name, paths.get(name, ""), identity)
            if folder is not None:
                found[name] = folder
    elif identity and identity in paths.get("", ""):
        folder = folder_of(root, paths[""], identity) or folder_of(root / "unified", paths[""], identity)
        if folder is not None:
            found[""] = folder
    return found


def group_values(groups: dict[str, Path], files: Files | None = None) -> dict[str, Any]:
    """Return the fields of `Usage` about memory and processor time that could be read."""
    files = files or Files()

    def pairs(controller: str, name: str) -> dict[str, int]:
        folder = groups.get(controller)
        return files.pairs(folder / name) if folder is not None else {}

    def number(controller: str, name: str) -> int | None:
        folder = groups.get(controller)
        return files.number(folder / name) if folder is not None else None

    if "" in groups:
        return unified_values(
            pairs("", "cpu.stat"),
            pairs("", "memory.stat"),
            number("", "memory.swap.current"),
            number("", "memory.peak"),
        )
    return legacy_values(
        number("cpuacct", "cpuacct.usage"),
        pairs("cpuacct", "cpuacct.stat"),
        pairs("cpu", "cpu.stat"),
        pairs("memory", "memory.stat"),
        number("memory", "memory.max_usage_in_bytes"),
    )


def unified_values(
    times: dict[str, int], sizes: dict[str, int], swap: int | None, peak: int | None
) -> dict[str, Any]:
    """Return the fields in cpu.stat, memory.stat and two numbers of control groups v2. Pure."""

    def seconds(name: str) -> float | None:
        return times[name] / 1e6 if name in times else None

    return {
        "cpu_seconds": seconds("usage_usec"),
        "cpu_user_seconds": seconds("user_usec"),
        "cpu_system_seconds": seconds("system_usec"),
        "cpu_throttled_seconds": seconds("throttled_usec"),
        "memory_cache": sizes.get("file"),
        "memory_rss": sizes.get("anon"),
        "memory_mapped": sizes.get("file_mapped"),
        "memory_swap": swap,
        "memory_peak": peak,
    }


def legacy_values(
    nanoseconds: int | None,
    times: dict[str, int],
    cpu: dict[str, int],
    sizes: dict[str, int],
    peak: int | None,
) -> dict[str, Any]:
    """Return the fields in cpuacct.stat, cpu.stat, memory.stat and two numbers of control groups v1. Pure."""
    throttled = cpu.get("throttled_time")
    each = os.sysconf("SC_CLK_TCK")

    def size(name: str) -> int | None:
        return sizes.get(f"total_{name}", sizes.get(name))

    return {
        "cpu_seconds": None if nanoseconds is None else nanoseconds / 1e9,
        "cpu_user_seconds": times["user"] / each if "user" in times else None,
        "cpu_system_seconds": times["system"] / each if "system" in times else None,
        "cpu_throttled_seconds": None if throttled is None else throttled / 1e9,
        "memory_cache": size("cache"),
        "memory_rss": size("rss"),
        "memory_mapped": size("mapped_file"),
        "memory_swap": size("swap"),
        "memory_peak": peak,
    }


Counts = dict[str, dict[str, int]]
"""Number of the device, as 254:0 -> field of `Device` -> value."""

_UNIFIED = {"rios": "reads", "wios": "writes", "rbytes": "read_bytes", "wbytes": "written_bytes"}


def unified_devices(text: str) -> Counts:
    """Read io.stat: `254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`. Pure."""
    found: Counts = {}
    for line in text.splitlines()[:MAX_ROWS]:
        number, *pairs = line.split() or [""]
        if not _is_device(number):
            continue
        values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        counts = {field: parse_number(values.get(name, "")) for name, field in _UNIFIED.items()}
        found[number] = {field: value for field, value in counts.items() if value is not None}
    return found


def legacy_devices(operations: str, sizes: str) -> Counts:
    """Read blkio.throttle.io_serviced and …io_service_bytes: `254:0 Read 17`. Pure."""
    found: Counts = {}
    for text, fields in (
        (operations, {"Read": "reads", "Write": "writes"}),
        (sizes, {"Read": "read_bytes", "Write": "written_bytes"}),
    ):
        for line in text.splitlines()[: MAX_ROWS * 8]:
            words = line.split()
            if len(words) == 3 and _is_device(words[0]) and words[1] in fields:
                value = parse_number(words[2])
                if value is not None:
                    found.setdefault(words[0], {})[fields[words[1]]] = value
    return found


def _is_device(text: str) -> bool:
    major, separator, minor = text.partition(":")
    return bool(separator) and all(
        part.isascii() and part.isdecimal() and len(part) < 9 for part in (major, minor)
    )


def interfaces(text: str) -> list[Interface]:
    """Read /proc/PID/net/dev, the loopback aside. Pure."""
    found: dict[str, Interface] = {}
    for line in text.splitlines()[: MAX_ROWS * 4]:
        name, separator, rest = line.partition(":")
        values = [parse_number(word) for word in rest.split()]
        name = name.strip()[:40]
        if not separator or len(values) < 12 or name in ("lo", "") or name in found:
            continue
        found[name] = Interface(
            interface=name,
            received_bytes=values[0],
            received_packets=values[1],
            receive_errors=values[2],
            receive_drops=values[3],
            sent_bytes=values[8],
            sent_packets=values[9],
            send_errors=values[10],
            send_drops=values[11],
        )
    return list(found.values())


def device_name(number: str, root: Path = Path("/sys/dev/block")) -> str:
    """Return the device file of a device's number, the number itself where it has none."""
    try:
        name = (root / number).readlink().name
    except OSError:
        return number
    return f"/dev/{name.replace('!', '/')}"[:100] if name else number


def _devices(groups: dict[str, Path]) -> Counts:
    if "" in groups:
        return unified_devices(read_text(groups[""] / "io.stat") or "")
    folder = groups.get("blkio")
    if folder is None:
        return {}
    return legacy_devices(
        read_text(folder / "blkio.throttle.io_serviced") or "",
        read_text(folder / "blkio.throttle.io_service_bytes") or "",
    )


def _with_filesystem(counts: Counts, layer: str) -> list[Device]:
    """Return the devices by name, with the size of the filesystem that holds the container's own layer."""
    if layer:
        try:
            number = os.stat(layer).st_dev  # noqa: PTH116 - asked for every container
            sizes = os.statvfs(layer)
        except OSError:  # it belongs to root
            pass
        else:
            own = counts.setdefault(f"{os.major(number)}:{os.minor(number)}", {})
            own |= {
                "size": sizes.f_blocks * sizes.f_frsize,
                "inodes": sizes.f_files,
                "inodes_free": sizes.f_ffree,
            }
    named: dict[str, dict[str, int]] = {}
    for key, values in counts.items():
        named.setdefault(device_name(key), {}).update(values)
    return [Device(device=device, **values) for device, values in sorted(named.items())]
