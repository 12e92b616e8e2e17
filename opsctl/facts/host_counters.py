"""Counters of the machine that dashboards show and no check judges; read for exporters only.

Names follow node_exporter.
"""

from __future__ import annotations

from opsctl.facts.base import Annotated, Info, Label, Metric, Record, counter, gauge, untyped
from opsctl.facts.host_memory import HostMemory
from opsctl.facts.host_network import NetworkDevice, NetworkProtocols, PacketQueue, Sockets, UdpQueues


def _seconds(name: str, help: str) -> Metric:
    return counter(name, help, unit="seconds")


class GuestCpu(Record, frozen=True, kw_only=True):
    """Time that one core gave to virtual machines; it is part of `user` and `nice` as well."""

    cpu: Annotated[str, Label("cpu")]
    seconds: Annotated[
        dict[str, float],
        counter("node_cpu_guest_seconds_total", "Time given to virtual machines", "seconds", key="mode"),
    ] = {}


class DiskActivity(Record, frozen=True, kw_only=True):
    """What one block device did, beyond what checks judge."""

    device: Annotated[str, Label("device")]
    reads_merged: Annotated[
        int | None, counter("node_disk_reads_merged_total", "Reads merged with others")
    ] = None
    writes_merged: Annotated[
        int | None, counter("node_disk_writes_merged_total", "Writes merged with others")
    ] = None
    discards: Annotated[int | None, counter("node_disk_discards_completed_total", "Discards completed")] = (
        None
    )
    discards_merged: Annotated[
        int | None, counter("node_disk_discards_merged_total", "Discards merged with others")
    ] = None
    discarded_sectors: Annotated[
        int | None, counter("node_disk_discarded_sectors_total", "Sectors discarded")
    ] = None
    flushes: Annotated[int | None, counter("node_disk_flush_requests_total", "Flushes completed")] = None
    read_seconds: Annotated[
        float | None, _seconds("node_disk_read_time_seconds_total", "Time that reads took, all together")
    ] = None
    write_seconds: Annotated[
        float | None, _seconds("node_disk_write_time_seconds_total", "Time that writes took, all together")
    ] = None
    weighted_seconds: Annotated[
        float | None,
        _seconds(
            "node_disk_io_time_weighted_seconds_total", "Time spent on I/O, times the requests in flight"
        ),
    ] = None
    discard_seconds: Annotated[
        float | None,
        _seconds("node_disk_discard_time_seconds_total", "Time that discards took, all together"),
    ] = None
    flush_seconds: Annotated[
        float | None,
        _seconds("node_disk_flush_requests_time_seconds_total", "Time that flushes took, all together"),
    ] = None
    in_flight: Annotated[int | None, gauge("node_disk_io_now", "Requests in flight")] = None


class Stalls(Record, frozen=True, kw_only=True):
    """Time lost waiting since the start (/proc/pressure): somebody waited, or everybody (stalled)."""

    cpu_waiting: Annotated[
        float | None,
        _seconds("node_pressure_cpu_waiting_seconds_total", "Time in which somebody waited for a core"),
    ] = None
    io_waiting: Annotated[
        float | None,
        _seconds("node_pressure_io_waiting_seconds_total", "Time in which somebody waited for I/O"),
    ] = None
    io_stalled: Annotated[
        float | None,
        _seconds("node_pressure_io_stalled_seconds_total", "Time in which everybody waited for I/O"),
    ] = None
    memory_waiting: Annotated[
        float | None,
        _seconds("node_pressure_memory_waiting_seconds_total", "Time in which somebody waited for memory"),
    ] = None
    memory_stalled: Annotated[
        float | None,
        _seconds("node_pressure_memory_stalled_seconds_total", "Time in which everybody waited for memory"),
    ] = None


class KernelClock(Record, frozen=True, kw_only=True):
    """What adjtimex(2) says, beyond synchronisation, offset and largest error."""

    estimated_error_seconds: Annotated[
        float | None, gauge("node_timex_estimated_error_seconds", "Estimated error", unit="seconds")
    ] = None
    frequency_adjustment_ratio: Annotated[
        float | None,
        gauge("node_timex_frequency_adjustment_ratio", "By how much the clock is made faster or slower"),
    ] = None
    loop_time_constant: Annotated[
        int | None, gauge("node_timex_loop_time_constant", "How slowly it follows corrections")
    ] = None
    status: Annotated[int | None, gauge("node_timex_status", "Status bits")] = None
    tai_offset_seconds: Annotated[
        float | None, gauge("node_timex_tai_offset_seconds", "Atomic time minus this clock's", unit="seconds")
    ] = None
    tick_seconds: Annotated[
        float | None, gauge("node_timex_tick_seconds", "Time between clock ticks", unit="seconds")
    ] = None
    pps_calibrations: Annotated[
        int | None,
        counter("node_timex_pps_calibration_total", "Calibration intervals of the pulse per second"),
    ] = None
    pps_errors: Annotated[
        int | None, counter("node_timex_pps_error_total", "Calibration errors of the pulse per second")
    ] = None
    pps_jitters: Annotated[
        int | None, counter("node_timex_pps_jitter_total", "How often its jitter was too large")
    ] = None
    pps_stability_exceeded: Annotated[
        int | None, counter("node_timex_pps_stability_exceeded_total", "How often its stability was exceeded")
    ] = None
    pps_frequency_hertz: Annotated[
        float | None,
        gauge("node_timex_pps_frequency_hertz", "Frequency of the pulse per second", unit="hertz"),
    ] = None
    pps_jitter_seconds: Annotated[
        float | None, gauge("node_timex_pps_jitter_seconds", "Jitter of the pulse per second", unit="seconds")
    ] = None
    pps_shift_seconds: Annotated[
        float | None,
        gauge("node_timex_pps_shift_seconds", "Calibration interval of the pulse per second", unit="seconds"),
    ] = None
    pps_stability_hertz: Annotated[
        float | None,
        gauge("node_timex_pps_stability_hertz", "Stability of the pulse per second", unit="hertz"),
    ] = None


class OperatingSystem(Record, frozen=True, kw_only=True):
    """What /etc/os-release says."""

    build_id: Annotated[str, Info("node_os_info", "build_id", "Operating system")] = ""
    id: Annotated[str, Info("node_os_info", "id", "Operating system")] = ""
    id_like: Annotated[str, Info("node_os_info", "id_like", "Operating system")] = ""
    image_id: Annotated[str, Info("node_os_info", "image_id", "Operating system")] = ""
    image_version: Annotated[str, Info("node_os_info", "image_version", "Operating system")] = ""
    name: Annotated[str, Info("node_os_info", "name", "Operating system")] = ""
    pretty_name: Annotated[str, Info("node_os_info", "pretty_name", "Operating system")] = ""
    variant: Annotated[str, Info("node_os_info", "variant", "Operating system")] = ""
    variant_id: Annotated[str, Info("node_os_info", "variant_id", "Operating system")] = ""
    version: Annotated[str, Info("node_os_info", "version", "Operating system")] = ""
    version_codename: Annotated[str, Info("node_os_info", "version_codename", "Operating system")] = ""
    version_id: Annotated[str, Info("node_os_info", "version_id", "Operating system")] = ""


class OperatingSystemVersion(Record, frozen=True, kw_only=True):
    """The operating system's version as a number: major.minor."""

    id: Annotated[str, Label("id")]
    id_like: Annotated[str, Label("id_like", optional=True)] = ""
    name: Annotated[str, Label("name", optional=True)] = ""
    number: Annotated[float, gauge("node_os_version", "Version as major.minor")]


class HostCounters(Record, frozen=True, kw_only=True):
    """Everything that standard dashboards ask of a machine beyond what checks judge."""

    context_switches: Annotated[int | None, counter("node_context_switches_total", "Context switches")] = None
    forks: Annotated[int | None, counter("node_forks_total", "Processes and threads started")] = None
    interrupts: Annotated[int | None, counter("node_intr_total", "Interrupts served")] = None
    guests: list[GuestCpu] = []
    memory: HostMemory | None = None
    page_faults: Annotated[int | None, untyped("node_vmstat_pgfault", "Page faults of every kind")] = None
    paged_in: Annotated[int | None, untyped("node_vmstat_pgpgin", "KiB read from block devices")] = None
    paged_out: Annotated[int | None, untyped("node_vmstat_pgpgout", "KiB written to block devices")] = None
    disks: list[DiskActivity] = []
    stalls: Stalls | None = None
    network: list[NetworkDevice] = []
    protocols: NetworkProtocols | None = None
    sockets: Sockets | None = None
    packet_queues: list[PacketQueue] = []
    udp_queues: list[UdpQueues] = []
    neighbours: Annotated[
        dict[str, int], gauge("node_arp_entries", "Neighbours known by address", key="device")
    ] = {}
    entropy_bits: Annotated[
        int | None, gauge("node_entropy_available_bits", "Randomness that the kernel holds")
    ] = None
    entropy_pool_bits: Annotated[
        int | None, gauge("node_entropy_pool_size_bits", "Most randomness that it can hold")
    ] = None
    clock: KernelClock | None = None
    time_zone: Annotated[
        dict[str, float],
        gauge(
            "node_time_zone_offset_seconds", "Time zone: east of UTC is positive", "seconds", key="time_zone"
        ),
    ] = {}
    system: OperatingSystem | None = None
    system_versions: list[OperatingSystemVersion] = []
