"""What the kernel's text files say about the machine. Pure: text in, values out, never raises."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from opsctl.facts.host import Cpu, Disk, Pressure

KIBIBYTE = 1024
SECTOR = 512
"""/proc/diskstats counts sectors of 512 bytes, whatever the device's own are."""
MAX_ROWS = 1024
CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def whole(text: str) -> int | None:
    """Return a non-negative whole number of sane length, else None."""
    if not text.isdigit():
        text = text.strip()
    return int(text) if text.isdigit() and text.isascii() and len(text) <= 20 else None


def decimal(text: str) -> float | None:
    """Return a non-negative decimal number, else None."""
    text = text.strip()
    return float(text) if re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", text, re.ASCII) else None


def meminfo(text: str) -> dict[str, int]:
    """Return /proc/meminfo in bytes."""
    result: dict[str, int] = {}
    for line in text.splitlines()[:MAX_ROWS]:
        name, _, rest = line.partition(":")
        parts = rest.split()
        value = whole(parts[0]) if parts else None
        if value is not None:
            result[name.strip()] = value * (KIBIBYTE if parts[1:] == ["kB"] else 1)
    return result


def counters(text: str, wanted: frozenset[str] | None = None) -> dict[str, int]:
    """Return lines of `name number` (/proc/vmstat, memory.events, memory.stat), all or the wanted ones."""
    result: dict[str, int] = {}
    for line in text.splitlines()[:MAX_ROWS]:
        name, _, rest = line.partition(" ")
        if wanted is not None and name not in wanted:
            continue
        value = whole(rest)
        if name and value is not None:
            result[name] = value
    return result


def loads(text: str) -> dict[str, Any]:
    """Return load1, load5 and load15 of /proc/loadavg."""
    parts = text.split()[:3]
    values = [decimal(part) for part in parts]
    return dict(zip(("load1", "load5", "load15"), values, strict=False)) if len(values) == 3 else {}


@dataclass(frozen=True, slots=True)
class KernelStatistics:
    """/proc/stat: seconds per core and mode, start of the machine, processes running and waiting."""

    cpus: list[Cpu]
    boot_time: float | None
    running: int | None
    blocked: int | None


def statistics(text: str, ticks: int) -> KernelStatistics:
    """Read /proc/stat; `ticks` is how many clock ticks make a second."""
    cpus: list[Cpu] = []
    single: dict[str, int] = {}
    for line in text.splitlines()[: 2 * MAX_ROWS]:
        name, _, rest = line.partition(" ")
        number = name.removeprefix("cpu")
        if name.startswith("cpu") and whole(number) is not None and len(cpus) < MAX_ROWS:
            values = [whole(part) for part in rest.split()[: len(CPU_MODES)]]
            seconds = {
                mode: value / max(ticks, 1)
                for mode, value in zip(CPU_MODES, values, strict=False)
                if value is not None
            }
            cpus.append(Cpu(cpu=number, seconds=seconds))
        elif name in ("btime", "procs_running", "procs_blocked"):
            value = whole(rest)
            if value is not None:
                single[name] = value
    boot = single.get("btime")
    return KernelStatistics(
        cpus=cpus,
        boot_time=float(boot) if boot is not None else None,
        running=single.get("procs_running"),
        blocked=single.get("procs_blocked"),
    )


def pressure(resource: str, text: str) -> Pressure | None:
    """Return one file of /proc/pressure; None where it holds no line that can be read."""
    values: dict[str, float] = {}
    for line in text.splitlines()[:4]:
        share, *fields = line.split()[:8] or [""]
        if share not in ("some", "full"):
            continue
        for entry in fields:
            name, _, number = entry.partition("=")
            value = decimal(number)
            if name in ("avg10", "avg60") and value is not None:
                values[f"{share}_{name.removeprefix('avg')}"] = value
    return Pressure(resource=resource, **values) if values else None


_NO_DISK = re.compile(r"(loop|z?ram|fd|sr).*|((h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+", re.ASCII)
"""Partitions, whose work the disk counts as well, and what is no disk: node_exporter's own default."""


def is_disk(device: str) -> bool:
    """Return whether a block device is a disk: no partition, no file, no memory, no drive for discs."""
    return not _NO_DISK.fullmatch(device)


def disks(text: str) -> list[Disk]:
    """Return the disks of /proc/diskstats that have ever done anything."""
    result: list[Disk] = []
    for line in text.splitlines()[:MAX_ROWS]:
        parts = line.split()
        if len(parts) < 14 or not is_disk(parts[2]):
            continue
        numbers = [whole(part) for part in parts[3:14]]
        reads, read_sectors, writes, written, busy = (numbers[index] for index in (0, 2, 4, 6, 9))
        if None in (reads, read_sectors, writes, written, busy) or not (reads or writes):
            continue
        result.append(
            Disk(
                device=parts[2][:64],
                reads=reads,
                read_bytes=(read_sectors or 0) * SECTOR,
                writes=writes,
                written_bytes=(written or 0) * SECTOR,
                io_seconds=(busy or 0) / 1000,
            )
        )
    return result


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of /proc/self/mountinfo."""

    device_number: str
    root: str
    mountpoint: str
    readonly: bool
    fstype: str
    device: str


def mounts(text: str) -> list[Mount]:
    """Read /proc/self/mountinfo (proc(5)); lines that are not of that form are left out."""
    result: list[Mount] = []
    for line in text.splitlines()[: 8 * MAX_ROWS]:
        left, separator, right = line.partition(" - ")
        before, after = left.split(" "), right.split(" ")
        if not separator or len(before) < 6 or len(after) < 2:
            continue
        options = {*before[5].split(","), *(after[2].split(",") if len(after) > 2 else ())}
        result.append(
            Mount(
                device_number=before[2],
                root=unescape(before[3]),
                mountpoint=unescape(before[4]),
                readonly="ro" in options,
                fstype=after[0],
                device=unescape(after[1]),
            )
        )
    return result


def unescape(text: str) -> str:
    r"""Return a path of mountinfo or fstab with `\040` and its like resolved."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8) & 0xFF), text)


def writable_by_fstab(text: str) -> set[str]:
    """Return the mount points that /etc/fstab wants writable."""
    result: set[str] = set()
    for line in text.splitlines()[:MAX_ROWS]:
        parts = line.split()
        if len(parts) < 4 or parts[0].startswith("#") or parts[2] in ("swap", "iso9660"):
            continue
        if "ro" not in parts[3].split(","):
            result.add(unescape(parts[1]))
    return result


def open_files_limit(text: str) -> int | None:
    """Return the soft limit of open files in /proc/PID/limits; None for unlimited."""
    found = re.search(r"^Max open files\s+(\d{1,19})\s", text, re.MULTILINE | re.ASCII)
    return int(found.group(1)) if found else None


def quota_cores(text: str) -> float | None:
    """Return the cores that cpu.max (`quota period`, or `max period`) leaves; None for no limit."""
    parts = text.split()
    if len(parts) != 2:
        return None
    quota, period = whole(parts[0]), whole(parts[1])
    return quota / period if quota and period else None


_OOM_CONTEXT = re.compile(
    r"oom-kill:constraint=(?P<constraint>[A-Z_]+),.*?"
    r"(?:,oom_memcg=(?P<limit>[^,]*))?(?P<global>,global_oom)?,task_memcg=(?P<group>[^,]*),task=(?P<task>.*),"
    r"pid=(?P<pid>\d{1,10}),uid=\d+$"
)
_OOM_KILLED = re.compile(
    r"(?P<scope>Out of memory|Memory cgroup out of memory)[^:]*: Killed process (?P<pid>\d{1,10}) "
    r"\((?P<name>.{0,64}?)\),? (?:total-vm.*?anon-rss:(?P<rss>\d{1,15})kB)?"
)


@dataclass(frozen=True, slots=True)
class KernelKill:
    """One process that the kernel killed for want of memory. `at` is in the log's own clock."""

    process: str
    pid: int
    at: float
    cgroup: str
    limit: str
    whole_machine: bool
    resident_bytes: int | None


def oom_kills(lines: list[tuple[float, str]]) -> list[KernelKill]:
    """Read the kernel's log, given as (time, message), for kills.

    The kernel writes two lines a kill: one with the control group, one with the victim.
    """
    result: list[KernelKill] = []
    context: dict[int, tuple[str, str, bool]] = {}
    for at, message in lines:
        found = _OOM_CONTEXT.search(message[:1000])
        if found:
            everywhere = found["constraint"] != "CONSTRAINT_MEMCG"
            context[int(found["pid"])] = (found["group"][:300], (found["limit"] or "")[:300], everywhere)
            continue
        found = _OOM_KILLED.search(message[:1000])
        if not found:
            continue
        pid = int(found["pid"])
        everywhere = found["scope"] == "Out of memory"
        group, limit, everywhere = context.pop(pid, ("", "", everywhere))
        result.append(
            KernelKill(
                process=found["name"],
                pid=pid,
                at=at,
                cgroup=group,
                limit="" if everywhere else limit,
                whole_machine=everywhere,
                resident_bytes=int(found["rss"]) * KIBIBYTE if found["rss"] else None,
            )
        )
    return result[-MAX_ROWS:]


def kernel_record(record: str) -> tuple[float, str] | None:
    """Return (seconds since the start, message) of one /dev/kmsg record; None for its other lines."""
    head, separator, message = record.partition(";")
    fields = head.split(",")
    if not separator or len(fields) < 3:
        return None
    microseconds = whole(fields[2])
    if microseconds is None:
        return None
    return microseconds / 1e6, message.partition("\n")[0][:1000]


def journal_short_unix(line: str) -> tuple[float, str] | None:
    """Return (unix time, message) of a line of `journalctl -k -o short-unix`."""
    stamp, _, rest = line.partition(" ")
    at = decimal(stamp)
    _, separator, message = rest.partition("kernel: ")
    return (at, message[:1000]) if at is not None and separator else None


def service_of(groups: str, services: dict[str, str]) -> str:
    """Return the service whose unit /proc/PID/cgroup names; empty where it names none of them."""
    parts = {part for line in groups.splitlines() for part in line.split("/")}
    return next((service for unit, service in services.items() if unit in parts), "")
