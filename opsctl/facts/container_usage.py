"""Facts of a container that only metrics want: what it uses, under cAdvisor's names."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Label, Record, counter, gauge


class Device(Record, frozen=True, kw_only=True):
    """What the container did on one block device."""

    device: Annotated[str, Label("device")]
    reads: Annotated[int | None, counter("container_fs_reads_total", "Reads completed")] = None
    writes: Annotated[int | None, counter("container_fs_writes_total", "Writes completed")] = None
    read_bytes: Annotated[
        int | None, counter("container_fs_reads_bytes_total", "Bytes read", unit="bytes")
    ] = None
    written_bytes: Annotated[
        int | None, counter("container_fs_writes_bytes_total", "Bytes written", unit="bytes")
    ] = None
    size: Annotated[
        int | None,
        gauge("container_fs_limit_bytes", "Size of the filesystem below the container", unit="bytes"),
    ] = None
    inodes: Annotated[
        int | None, gauge("container_fs_inodes_total", "Inodes of the filesystem below the container")
    ] = None
    inodes_free: Annotated[int | None, gauge("container_fs_inodes_free", "Inodes of it that are free")] = None


class Interface(Record, frozen=True, kw_only=True):
    """What went over one network interface of the container."""

    interface: Annotated[str, Label("interface")]
    received_bytes: Annotated[
        int | None, counter("container_network_receive_bytes_total", "Bytes received", unit="bytes")
    ] = None
    received_packets: Annotated[
        int | None, counter("container_network_receive_packets_total", "Packets received")
    ] = None
    receive_errors: Annotated[
        int | None, counter("container_network_receive_errors_total", "Errors in receiving")
    ] = None
    receive_drops: Annotated[
        int | None,
        counter("container_network_receive_packets_dropped_total", "Packets dropped in receiving"),
    ] = None
    sent_bytes: Annotated[
        int | None, counter("container_network_transmit_bytes_total", "Bytes sent", unit="bytes")
    ] = None
    sent_packets: Annotated[
        int | None, counter("container_network_transmit_packets_total", "Packets sent")
    ] = None
    send_errors: Annotated[
        int | None, counter("container_network_transmit_errors_total", "Errors in sending")
    ] = None
    send_drops: Annotated[
        int | None,
        counter("container_network_transmit_packets_dropped_total", "Packets dropped in sending"),
    ] = None


class Usage(Record, frozen=True, kw_only=True):
    """What one container uses and may use. None is "not read", never zero."""

    last_seen: Annotated[
        float | None, gauge("container_last_seen", "When the container was seen last", unit="seconds")
    ] = None
    cpu_seconds: Annotated[
        float | None,
        counter("container_cpu_usage_seconds_total", "CPU time consumed", unit="seconds", cpu="total"),
    ] = None
    cpu_user_seconds: Annotated[
        float | None, counter("container_cpu_user_seconds_total", "User CPU time consumed", unit="seconds")
    ] = None
    cpu_system_seconds: Annotated[
        float | None,
        counter("container_cpu_system_seconds_total", "System CPU time consumed", unit="seconds"),
    ] = None
    cpu_throttled_seconds: Annotated[
        float | None,
        counter(
            "container_cpu_cfs_throttled_seconds_total", "Time spent waiting at the limit", unit="seconds"
        ),
    ] = None
    memory_cache: Annotated[
        int | None, gauge("container_memory_cache", "Page cache of the container", unit="bytes")
    ] = None
    memory_rss: Annotated[
        int | None, gauge("container_memory_rss", "Memory of its processes, page cache aside", unit="bytes")
    ] = None
    memory_mapped: Annotated[
        int | None, gauge("container_memory_mapped_file", "Files mapped into memory", unit="bytes")
    ] = None
    memory_swap: Annotated[
        int | None, gauge("container_memory_swap", "Memory in swap space", unit="bytes")
    ] = None
    memory_peak: Annotated[
        int | None, gauge("container_memory_max_usage_bytes", "Most memory ever charged", unit="bytes")
    ] = None
    cpu_period: Annotated[
        int | None, gauge("container_spec_cpu_period", "Scheduling period in microseconds")
    ] = None
    cpu_quota: Annotated[
        int | None, gauge("container_spec_cpu_quota", "CPU time per period in microseconds, if limited")
    ] = None
    cpu_shares: Annotated[int | None, gauge("container_spec_cpu_shares", "Weight among others")] = None
    memory_reservation: Annotated[
        int | None,
        gauge("container_spec_memory_reservation_limit_bytes", "Memory reserved, 0 for none", unit="bytes"),
    ] = None
    memory_swap_limit: Annotated[
        int | None,
        gauge("container_spec_memory_swap_limit_bytes", "Limit of memory and swap, 0 for none", unit="bytes"),
    ] = None
    devices: list[Device] = []
    interfaces: list[Interface] = []
