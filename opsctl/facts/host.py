"""What is known of the machine: file systems, memory, pressure, load, files, clock, kernel kills.

Names follow node_exporter. A `ratio` is between 0 and 1.
"""

from __future__ import annotations

from opsctl.facts.base import Annotated, Facts, Info, Label, Record, counter, gauge, untyped
from opsctl.facts.host_counters import HostCounters


class LargeFile(Record, frozen=True, kw_only=True):
    """A large file in a folder that is known to grow; found by listing, never by walking."""

    path: str
    size: int


class Filesystem(Record, frozen=True, kw_only=True):
    """One mounted file system."""

    device: Annotated[str, Label("device")]
    fstype: Annotated[str, Label("fstype")]
    mountpoint: Annotated[str, Label("mountpoint")]
    size: Annotated[int | None, gauge("node_filesystem_size_bytes", "Size", unit="bytes")] = None
    free: Annotated[
        int | None, gauge("node_filesystem_free_bytes", "Free, the reserve for root included", unit="bytes")
    ] = None
    available: Annotated[
        int | None, gauge("node_filesystem_avail_bytes", "Free for everybody", unit="bytes")
    ] = None
    files: Annotated[int | None, gauge("node_filesystem_files", "Inodes; 0 where they are not counted")] = (
        None
    )
    files_free: Annotated[int | None, gauge("node_filesystem_files_free", "Free inodes")] = None
    readonly: Annotated[bool | None, gauge("node_filesystem_readonly", "1 if mounted read-only")] = None
    device_error: Annotated[bool, gauge("node_filesystem_device_error", "1 if statvfs failed or hung")] = (
        False
    )
    kernel_errors: Annotated[
        int | None, gauge("opsctl_host_filesystem_errors", "Errors that ext4 has recorded on it")
    ] = None
    must_be_writable: Annotated[
        bool,
        gauge("opsctl_host_filesystem_must_be_writable", "1 if fstab or the stack want it writable"),
    ] = False
    shrinking_bytes_per_second: Annotated[
        float | None,
        gauge(
            "opsctl_host_filesystem_filling_bytes_per_second",
            "How fast its free space goes, over a second; read only where little is left",
        ),
    ] = None
    error: Annotated[str, Label("device_error", optional=True)] = ""
    writable_because: str = ""
    large_files: list[LargeFile] = []

    @property
    def used_ratio(self) -> float | None:
        """The share in use as df reckons it: the reserve for root does not count as free."""
        if self.size is None or self.free is None or self.available is None:
            return None
        used = self.size - self.free
        return used / (used + self.available) if used + self.available > 0 else None


class Disk(Record, frozen=True, kw_only=True):
    """One block device."""

    device: Annotated[str, Label("device")]
    reads: Annotated[
        int | None, counter("node_disk_reads_completed_total", "Reads completed successfully")
    ] = None
    read_bytes: Annotated[int | None, counter("node_disk_read_bytes_total", "Bytes read", unit="bytes")] = (
        None
    )
    writes: Annotated[
        int | None, counter("node_disk_writes_completed_total", "Writes completed successfully")
    ] = None
    written_bytes: Annotated[
        int | None, counter("node_disk_written_bytes_total", "Bytes written", unit="bytes")
    ] = None
    io_seconds: Annotated[
        float | None, counter("node_disk_io_time_seconds_total", "Time spent on I/O", unit="seconds")
    ] = None


class Cpu(Record, frozen=True, kw_only=True):
    """One core."""

    cpu: Annotated[str, Label("cpu")]
    seconds: Annotated[
        dict[str, float], counter("node_cpu_seconds_total", "Time spent per mode", "seconds", key="mode")
    ] = {}


class Pressure(Record, frozen=True, kw_only=True):
    """Pressure stall averages of one resource: the share of time that somebody, or everybody, waited."""

    resource: Annotated[str, Label("resource")]
    some_10: Annotated[
        float | None,
        gauge("opsctl_host_pressure_percent", "Share of time lost waiting", share="some", window="10s"),
    ] = None
    some_60: Annotated[
        float | None,
        gauge("opsctl_host_pressure_percent", "Share of time lost waiting", share="some", window="60s"),
    ] = None
    full_10: Annotated[
        float | None,
        gauge("opsctl_host_pressure_percent", "Share of time lost waiting", share="full", window="10s"),
    ] = None
    full_60: Annotated[
        float | None,
        gauge("opsctl_host_pressure_percent", "Share of time lost waiting", share="full", window="60s"),
    ] = None

    @property
    def some(self) -> float | None:
        """Per cent of time in which somebody waits, now and for a minute: the smaller of both windows."""
        return _smaller(self.some_10, self.some_60)

    @property
    def full(self) -> float | None:
        """Per cent of time in which everybody waits, now and for a minute: the smaller of both windows."""
        return _smaller(self.full_10, self.full_60)


def _smaller(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else min(one, other)


class ProcessFiles(Record, frozen=True, kw_only=True):
    """A process that has used more than half of the files that it may open."""

    process: Annotated[str, Label("process")]
    pid: Annotated[str, Label("pid")]
    files_open: Annotated[int, gauge("opsctl_host_process_open_files", "Files that it holds open")]
    files_most: Annotated[int, gauge("opsctl_host_process_max_files", "Files that it may open")]
    service: str = ""
    """The service of the stack whose unit it belongs to; empty where that is not known."""


class OomKill(Record, frozen=True, kw_only=True):
    """A process that the kernel killed for want of memory in the last minutes.

    `limit` is the control group whose limit was hit, empty where the whole machine had no memory
    left; `unit` is the stack's systemd unit that the victim belonged to, if it did to one.
    """

    process: str
    pid: int
    at: float
    cgroup: str = ""
    limit: str = ""
    unit: str = ""
    resident_bytes: int | None = None


class HostFacts(Facts, frozen=True, kw_only=True, tag="host"):
    """One machine at one moment. None is "not read", never zero."""

    hostname: Annotated[str, Info("node_uname_info", "nodename", "Name of the machine and its kernel")] = ""
    kernel: Annotated[str, Info("node_uname_info", "sysname", "Name of the machine and its kernel")] = ""
    kernel_release: Annotated[
        str, Info("node_uname_info", "release", "Name of the machine and its kernel")
    ] = ""
    kernel_version: Annotated[
        str, Info("node_uname_info", "version", "Name of the machine and its kernel")
    ] = ""
    machine: Annotated[str, Info("node_uname_info", "machine", "Name of the machine and its kernel")] = ""
    domain: Annotated[str, Info("node_uname_info", "domainname", "Name of the machine and its kernel")] = ""
    now: Annotated[float | None, gauge("node_time_seconds", "Time of the machine", unit="seconds")] = None
    boot_time: Annotated[
        float | None, gauge("node_boot_time_seconds", "When the machine started", unit="seconds")
    ] = None

    filesystems: list[Filesystem] = []
    disks: list[Disk] = []
    cpus: list[Cpu] = []
    pressure: list[Pressure] = []

    cores: Annotated[
        float | None, gauge("opsctl_host_cores", "Cores that may be used, a quota taken into account")
    ] = None
    load1: Annotated[float | None, gauge("node_load1", "Load average of a minute")] = None
    load5: Annotated[float | None, gauge("node_load5", "Load average of five minutes")] = None
    load15: Annotated[float | None, gauge("node_load15", "Load average of fifteen minutes")] = None
    running: Annotated[int | None, gauge("node_procs_running", "Processes that run or want to")] = None
    blocked: Annotated[int | None, gauge("node_procs_blocked", "Processes that wait for I/O")] = None

    memory_total: Annotated[
        int | None, gauge("node_memory_MemTotal_bytes", "Memory of the machine", unit="bytes")
    ] = None
    memory_free: Annotated[int | None, gauge("node_memory_MemFree_bytes", "Unused memory", unit="bytes")] = (
        None
    )
    memory_available: Annotated[
        int | None, gauge("node_memory_MemAvailable_bytes", "Memory to be had without swapping", unit="bytes")
    ] = None
    memory_buffers: Annotated[int | None, gauge("node_memory_Buffers_bytes", "Buffers", unit="bytes")] = None
    memory_cached: Annotated[int | None, gauge("node_memory_Cached_bytes", "Page cache", unit="bytes")] = None
    swap_total: Annotated[int | None, gauge("node_memory_SwapTotal_bytes", "Swap", unit="bytes")] = None
    swap_free: Annotated[int | None, gauge("node_memory_SwapFree_bytes", "Unused swap", unit="bytes")] = None
    memory_limit: Annotated[
        int | None,
        gauge("opsctl_host_memory_limit_bytes", "Limit of the container that is this machine", unit="bytes"),
    ] = None
    memory_limit_used: Annotated[
        int | None,
        gauge("opsctl_host_memory_limit_used_bytes", "Of that limit, what cannot be dropped", unit="bytes"),
    ] = None

    swapped_in: Annotated[int | None, untyped("node_vmstat_pswpin", "Pages read from swap")] = None
    swapped_out: Annotated[int | None, untyped("node_vmstat_pswpout", "Pages written to swap")] = None
    major_faults: Annotated[int | None, untyped("node_vmstat_pgmajfault", "Faults that had to read")] = None
    oom_kill_count: Annotated[
        int | None, untyped("node_vmstat_oom_kill", "Processes killed for want of memory since the start")
    ] = None
    swapped_in_per_second: Annotated[
        float | None,
        gauge("opsctl_host_swap_in_pages_per_second", "Pages read from swap a second, over a second"),
    ] = None
    oom_kills: list[OomKill] | None = None
    oom_kills_elsewhere: Annotated[
        int | None,
        gauge("opsctl_host_oom_kills_elsewhere", "Kills at the limits of groups that are not the stack's"),
    ] = None

    files_open: Annotated[int | None, gauge("node_filefd_allocated", "Open files of the machine")] = None
    files_most: Annotated[int | None, gauge("node_filefd_maximum", "Most open files")] = None
    process_files: list[ProcessFiles] = []
    conntrack_entries: Annotated[
        int | None, gauge("node_nf_conntrack_entries", "Connections that the firewall tracks")
    ] = None
    conntrack_limit: Annotated[
        int | None, gauge("node_nf_conntrack_entries_limit", "Most connections it can track")
    ] = None

    clock_synchronised: Annotated[
        bool | None, gauge("node_timex_sync_status", "1 if the kernel's clock is synchronised")
    ] = None
    clock_offset_seconds: Annotated[
        float | None, gauge("node_timex_offset_seconds", "Offset to the reference clock", unit="seconds")
    ] = None
    clock_max_error_seconds: Annotated[
        float | None, gauge("node_timex_maxerror_seconds", "Largest possible error", unit="seconds")
    ] = None
    clock_daemon: Annotated[
        str, Info("opsctl_host_clock_daemon_info", "daemon", "What keeps the clock right")
    ] = ""

    counters: HostCounters | None = None
    """What only dashboards ask; read for exporters, never for a diagnosis."""

    def pressure_of(self, resource: str) -> Pressure | None:
        """Return the pressure of `cpu`, `memory` or `io`; None where the kernel does not keep it."""
        return next((item for item in self.pressure if item.resource == resource), None)
