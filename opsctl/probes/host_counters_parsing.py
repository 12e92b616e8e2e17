"""What the kernel counts for dashboards. Pure: text in, values by metric name out, never raises.

Names follow the rules of node_exporter, so that a field that a later kernel adds has its name already.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from opsctl.facts.host_counters import GuestCpu, OperatingSystem, OperatingSystemVersion
from opsctl.probes.host_parsing import KIBIBYTE, MAX_ROWS, counters, is_disk, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

MICRO = 1e6
PARTS_PER_MILLION = MICRO * 65536
"""adjtimex(2) gives frequencies in millionths, with 16 binary digits behind the point."""
NANOSECONDS = 0x2000
"""Set in the clock's status where its offset is in nanoseconds instead of microseconds."""
MAX_TEXT = 300

_SINGLE = {"ctxt": "node_context_switches_total", "processes": "node_forks_total", "intr": "node_intr_total"}
_PAGING = frozenset({"pgfault", "pgpgin", "pgpgout"})
_DISK_COLUMNS = (
    ("reads_completed_total", 1),
    ("reads_merged_total", 1),
    ("read_sectors", 1),
    ("read_time_seconds_total", 1000),
    ("writes_completed_total", 1),
    ("writes_merged_total", 1),
    ("written_sectors", 1),
    ("write_time_seconds_total", 1000),
    ("io_now", 1),
    ("io_time_seconds_total", 1000),
    ("io_time_weighted_seconds_total", 1000),
    ("discards_completed_total", 1),
    ("discards_merged_total", 1),
    ("discarded_sectors_total", 1),
    ("discard_time_seconds_total", 1000),
    ("flush_requests_total", 1),
    ("flush_requests_time_seconds_total", 1000),
)
"""Columns of /proc/diskstats after the name (Documentation/admin-guide/iostats.rst), and their divisor."""


def statistics(text: str) -> dict[str, float]:
    """Return context switches, forks and interrupts of /proc/stat."""
    result: dict[str, float] = {}
    for line in text.splitlines()[: 2 * MAX_ROWS]:
        name, _, rest = line[:64].partition(" ")
        if name in _SINGLE:
            value = whole(rest.partition(" ")[0])  # the total; behind it one number an interrupt
            if value is not None:
                result[_SINGLE[name]] = value
    return result


def guests(text: str, ticks: int) -> list[GuestCpu]:
    """Return the time that cores gave to virtual machines (/proc/stat, columns 9 and 10)."""
    result: list[GuestCpu] = []
    for line in text.splitlines()[:MAX_ROWS]:
        if not line.startswith("cpu"):
            break
        name, *columns = line.split()
        user, nice = (whole(part) for part in columns[8:10]) if len(columns) >= 10 else (None, None)
        number = name.removeprefix("cpu")
        if whole(number) is not None and user is not None and nice is not None:
            seconds = {"user": user / max(ticks, 1), "nice": nice / max(ticks, 1)}
            result.append(GuestCpu(cpu=number, seconds=seconds))
    return result


def memory(text: str) -> dict[str, float]:
    """Return /proc/meminfo: `Active(anon)` is node_memory_Active_anon_bytes."""
    result: dict[str, float] = {}
    for line in text.splitlines()[:MAX_ROWS]:
        name, _, rest = line.partition(":")
        number, _, unit = rest.strip().partition(" ")
        value = whole(number)
        if value is None:
            continue
        name = name.replace("(", "_").replace(")", "")
        if unit == "kB":
            result[f"node_memory_{name}_bytes"] = value * KIBIBYTE
        elif not unit:
            result[f"node_memory_{name}"] = value
    return result


def paging(text: str) -> dict[str, float]:
    """Return the lines of /proc/vmstat about pages read, written and not found in memory."""
    return {f"node_vmstat_{name}": value for name, value in counters(text, _PAGING).items()}


def disks(text: str) -> dict[str, dict[str, float]]:
    """Return /proc/diskstats by device; old kernels have fewer columns, and so fewer values."""
    result: dict[str, dict[str, float]] = {}
    for line in text.splitlines()[:MAX_ROWS]:
        parts = line.split()
        if len(parts) < 14 or not is_disk(parts[2]):
            continue
        values = [whole(part) for part in parts[3 : 3 + len(_DISK_COLUMNS)]]
        if not (values[0] or values[4]):  # never read, never written
            continue
        result[parts[2][:64]] = {
            f"node_disk_{name}": value if divisor == 1 else value / divisor
            for (name, divisor), value in zip(_DISK_COLUMNS, values, strict=False)
            if value is not None
        }
    return result


def stalls(resource: str, text: str) -> dict[str, float]:
    """Return the time lost since the start, from one file of /proc/pressure."""
    result: dict[str, float] = {}
    for line in text.splitlines()[:4]:
        share = {"some": "waiting", "full": "stalled"}.get(line.partition(" ")[0])
        total = whole(line.rpartition("total=")[2]) if "total=" in line else None
        if share and total is not None:
            result[f"node_pressure_{resource}_{share}_seconds_total"] = total / MICRO
    return result


class Timex(Protocol):
    """The fields of adjtimex(2) that are shown."""

    freq: int
    esterror: int
    status: int
    constant: int
    tick: int
    ppsfreq: int
    jitter: int
    shift: int
    stabil: int
    jitcnt: int
    calcnt: int
    errcnt: int
    stbcnt: int
    tai: int


def clock(state: Timex) -> dict[str, float]:
    """Return what adjtimex(2) says in seconds, hertz and ratios."""
    values: dict[str, float] = {
        "estimated_error_seconds": state.esterror / MICRO,
        "frequency_adjustment_ratio": 1 + state.freq / PARTS_PER_MILLION,
        "loop_time_constant": state.constant,
        "status": state.status,
        "tai_offset_seconds": float(state.tai),
        "tick_seconds": state.tick / MICRO,
        "pps_calibration_total": state.calcnt,
        "pps_error_total": state.errcnt,
        "pps_jitter_total": state.jitcnt,
        "pps_stability_exceeded_total": state.stbcnt,
        "pps_frequency_hertz": state.ppsfreq / PARTS_PER_MILLION,
        "pps_jitter_seconds": state.jitter / (1e9 if state.status & NANOSECONDS else MICRO),
        "pps_shift_seconds": float(state.shift),
        "pps_stability_hertz": state.stabil / PARTS_PER_MILLION,
    }
    return {f"node_timex_{name}": value for name, value in values.items()}


def assignments(text: str) -> dict[str, str]:
    """Return the lines `NAME=value` of os-release(5), names in small letters, quotes resolved."""
    result: dict[str, str] = {}
    for line in text.splitlines()[:MAX_ROWS]:
        name, separator, value = line.strip().partition("=")
        if not separator or not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", name):
            continue
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            quote, value = value[0], value[1:-1]
            value = re.sub(r'\\([\\"$`])', r"\1", value) if quote == '"' else value
        result[name.lower()] = value[:MAX_TEXT]
    return result


def operating_system(text: str) -> OperatingSystem | None:
    """Return what os-release(5) says; None where it says nothing."""
    values = assignments(text)
    known = {name: values[name] for name in OperatingSystem.__struct_fields__ if values.get(name)}
    return OperatingSystem(**known) if known else None


def system_versions(system: OperatingSystem | None) -> list[OperatingSystemVersion]:
    """Return the system's version as a number, in a list of one; rolling releases have none."""
    found = re.match(r"[0-9]{1,9}(\.[0-9]{1,9})?", system.version_id, re.ASCII) if system else None
    if system is None or found is None:
        return []
    number = float(found.group())
    return [OperatingSystemVersion(id=system.id, id_like=system.id_like, name=system.name, number=number)]


def merged(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    """Return the values of several files together."""
    return {name: value for part in parts for name, value in part.items()}
