"""Looks at the machine: /proc, statvfs, the kernel's log and clock. Starts no process on most machines."""

from __future__ import annotations

import functools
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from opsctl.facts.base import FactProblem
from opsctl.facts.host import HostFacts, OomKill
from opsctl.probes import host_filesystems, host_kernel
from opsctl.probes import host_parsing as parsing
from opsctl.probes.base import ProbeContext, ProbeError
from opsctl.probes.host_files import text
from opsctl.probes.remembering import earlier, for_metrics
from opsctl.stack.specs import HostSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from opsctl.probes.host_parsing import KernelKill

T = TypeVar("T")

PAGING = frozenset({"pswpin", "pswpout", "pgmajfault", "oom_kill"})
SWAP_SAMPLE_SECONDS = 1.0
PROCESS_SECONDS = 0.3
MAX_KILLS = 20
SELDOM_SECONDS = 30.0
"""For how long a server that is asked again and again trusts what takes a walk over every process."""


def probe(context: ProbeContext) -> HostFacts:
    """Return the facts of the machine that this runs on."""
    if not Path("/proc/stat").exists():
        raise ProbeError("unsupported", "there is no /proc here", "opsctl looks at Linux machines")
    spec = context.spec
    named = spec.filesystems if isinstance(spec, HostSpec) else []
    problems: list[FactProblem] = []
    values: dict[str, Any] = {"hostname": os.uname().nodename, "now": time.time()}
    read = functools.cache(text)  # a file that several want is read once
    values |= kernel_values(read)
    values |= memory_values(read)
    if for_metrics(context):
        from opsctl.probes import host_counters  # a diagnosis never needs it

        values |= host_counters.values(read)
    try:
        values |= host_kernel.clock()
        values["clock_daemon"] = _seldom(context, "clock_daemon", 0, host_kernel.clock_daemon)
    except OSError as error:
        problems.append(FactProblem(part="clock", code="permission", message=f"adjtimex: {error.strerror}"))
    values |= _kills(context, values.get("oom_kill_count"), problems)
    try:
        values["filesystems"], more = host_filesystems.read(context, named)
        problems.extend(more)
    except OSError as error:
        problems.append(FactProblem(part="filesystems", code="missing", message=str(error)[:300]))
    units = {
        item.unit if "." in item.unit else f"{item.unit}.service": name
        for name, item in context.stack.spec.services.items()
        if item.unit
    }
    seconds = min(PROCESS_SECONDS, context.left / 4)
    values["process_files"] = _seldom(
        context, "process_files", 0, lambda: host_kernel.files_of_processes(seconds, units)
    )
    values["swapped_in_per_second"] = _swap_rate(context, values)
    return HostFacts(problems=problems, **values)


def _seldom(context: ProbeContext, key: str, version: int | None, make: Callable[[], T]) -> T:
    """Return `make()`; where a server keeps something from look to look, what it said lately.

    Another `version` makes it anew at once.
    """
    kept = context.options.get("kept")
    if not isinstance(kept, dict):
        return make()
    known = kept.get(key)
    if known is None or known[1] != version or time.monotonic() - known[0] > SELDOM_SECONDS:
        known = kept[key] = (time.monotonic(), version, make())
    result: T = known[2]
    return result


def kernel_values(read: Callable[[str], str] | None = None) -> dict[str, Any]:
    """Return load, cores, pressure, disks, open files and tracked connections."""
    read = read or text
    statistics = parsing.statistics(read("/proc/stat"), os.sysconf("SC_CLK_TCK"))
    files = read("/proc/sys/fs/file-nr").split()
    stalls = [parsing.pressure(name, read(f"/proc/pressure/{name}")) for name in ("cpu", "memory", "io")]
    return {
        "boot_time": statistics.boot_time,
        "cpus": statistics.cpus,
        "running": statistics.running,
        "blocked": statistics.blocked,
        "cores": usable_cores(),
        "pressure": [item for item in stalls if item is not None],
        "disks": parsing.disks(read("/proc/diskstats")),
        "files_open": parsing.whole(files[0]) if len(files) == 3 else None,
        "files_most": parsing.whole(files[2]) if len(files) == 3 else None,
        "conntrack_entries": parsing.whole(read("/proc/sys/net/netfilter/nf_conntrack_count")),
        "conntrack_limit": parsing.whole(read("/proc/sys/net/netfilter/nf_conntrack_max")),
        **parsing.loads(read("/proc/loadavg")),
    }


def usable_cores() -> float:
    """Return the cores that processes here may use: affinity, and the quota of the container."""
    cores = float(len(os.sched_getaffinity(0)))
    quota = parsing.quota_cores(text("/sys/fs/cgroup/cpu.max"))
    if quota is None:
        folder = "/sys/fs/cgroup/cpu/cpu.cfs_"
        quota = parsing.quota_cores(f"{text(folder + 'quota_us')} {text(folder + 'period_us')}")
    return min(cores, quota) if quota else cores


def memory_values(read: Callable[[str], str] | None = None) -> dict[str, Any]:
    """Return memory, swap, the kernel's paging counters, and the limit of a container that is the machine."""
    read = read or text
    memory = parsing.meminfo(read("/proc/meminfo"))
    paging = parsing.counters(read("/proc/vmstat"), PAGING)
    limit, used = container_memory(memory.get("MemTotal"))
    return {
        "memory_total": memory.get("MemTotal"),
        "memory_free": memory.get("MemFree"),
        "memory_available": memory.get("MemAvailable"),
        "memory_buffers": memory.get("Buffers"),
        "memory_cached": memory.get("Cached"),
        "swap_total": memory.get("SwapTotal"),
        "swap_free": memory.get("SwapFree"),
        "memory_limit": limit,
        "memory_limit_used": used,
        "swapped_in": paging.get("pswpin"),
        "swapped_out": paging.get("pswpout"),
        "major_faults": paging.get("pgmajfault"),
        "oom_kill_count": paging.get("oom_kill"),
    }


def container_memory(total: int | None) -> tuple[int | None, int | None]:
    """Return limit and use of the control group at the root of what is seen here.

    On a machine of its own that group has no limit; in a container it is the container's.
    Page cache that can be dropped does not count as used.
    """
    root = Path("/sys/fs/cgroup")
    for folder, limit_file, used_file, cache in (
        (root, "memory.max", "memory.current", "inactive_file"),
        (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit = parsing.whole(text(str(folder / limit_file)))
        used = parsing.whole(text(str(folder / used_file)))
        if limit is None or used is None or (total is not None and limit >= total):
            continue
        droppable = parsing.counters(text(str(folder / "memory.stat"))).get(cache, 0)
        return limit, max(used - droppable, 0)
    return None, None


def _kills(context: ProbeContext, count: int | None, problems: list[FactProblem]) -> dict[str, Any]:
    """Return recent kills for want of memory. With the kernel's counter at 0 there is no need to look."""
    if count == 0:
        return {"oom_kills": [], "oom_kills_elsewhere": 0}
    try:
        kills = _seldom(context, "kills", count, lambda: host_kernel.recent_kills(context.left))
    except ProbeError as error:
        problems.append(
            FactProblem(part="kernel log", code=error.code, message=error.message, hint=error.hint)
        )
        return {}
    units = {service.unit for service in context.stack.spec.services.values() if service.unit}
    ours, elsewhere = of_the_stack(kills, units)
    ours = [kill for kill in ours if not (kill.limit and _is_back(kill))]
    return {"oom_kills": ours[-MAX_KILLS:], "oom_kills_elsewhere": elsewhere}


def of_the_stack(kills: list[KernelKill], units: set[str]) -> tuple[list[OomKill], int]:
    """Part the kills that concern the stack from those at other groups' limits. Pure.

    The whole machine without memory concerns everybody; a limit of its own only the unit that has it.
    Containers are judged by their own kind, from their control group's counters.
    """
    ours: list[OomKill] = []
    elsewhere = 0
    for kill in kills:
        unit = unit_of(kill.cgroup, units)
        if not kill.whole_machine and not unit:
            elsewhere += 1
            continue
        ours.append(
            OomKill(
                process=kill.process,
                pid=kill.pid,
                at=kill.at,
                cgroup=kill.cgroup,
                limit=kill.limit,
                unit=unit,
                resident_bytes=kill.resident_bytes,
            )
        )
    return ours, elsewhere


def _is_back(kill: OomKill) -> bool:
    """True where the victim's unit has been started anew since; the unit's own kind judges it then."""
    since = host_kernel.living_since(kill.unit)
    return since is not None and since + 1 >= kill.at


def unit_of(cgroup: str, units: set[str]) -> str:
    """Return which of the units a control group belongs to, with its type; empty for none. Pure."""
    parts = set(cgroup.split("/"))
    for unit in sorted(units):
        name = unit if re.search(r"\.[a-z]+$", unit) else f"{unit}.service"
        if name in parts:
            return name
    return ""


def _swap_rate(context: ProbeContext, values: dict[str, Any]) -> float | None:
    """Return pages read from swap a second. Without swap or without any stall it is 0 and costs no time."""
    first, swap = values.get("swapped_in"), values.get("swap_total")
    if first is None or swap is None:
        return None
    stall = next((item for item in values["pressure"] if item.resource == "memory"), None)
    used = swap - (values.get("swap_free") or 0)
    if used == 0 or (stall is not None and stall.some_10 == 0):
        return 0.0
    if for_metrics(context):
        before = earlier(context, "swapped in", first, SWAP_SAMPLE_SECONDS)
        return None if before is None else max(first - before[1], 0) / before[0]
    window = min(SWAP_SAMPLE_SECONDS, context.left - 0.4)
    if window < 0.2:
        return None
    began = time.monotonic()
    first = parsing.counters(text("/proc/vmstat")).get("pswpin")
    time.sleep(window)
    second = parsing.counters(text("/proc/vmstat")).get("pswpin")
    if first is None or second is None:
        return None
    return max(second - first, 0) / (time.monotonic() - began)
