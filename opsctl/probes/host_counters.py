"""Reads what only dashboards ask of the machine. One open and read a file, no process."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from opsctl.facts.host_counters import DiskActivity, HostCounters, KernelClock, Stalls
from opsctl.facts.host_memory import HostMemory
from opsctl.facts.host_network import NetworkDevice, NetworkProtocols, PacketQueue, Sockets
from opsctl.probes import host_counters_parsing as parsing
from opsctl.probes import host_kernel
from opsctl.probes import host_network_parsing as network
from opsctl.probes.host_named import every, fields_of, metrics_of, named
from opsctl.probes.host_parsing import whole

if TYPE_CHECKING:
    from collections.abc import Callable


def values(read: Callable[[str], str]) -> dict[str, Any]:
    """Return the counters and the kernel's name, as fields of the host's facts.

    `read` gives a file's text, empty where there is none; files that others have read come from it.
    """
    name = os.uname()
    return {
        "counters": counters(read),
        "kernel": name.sysname,
        "kernel_release": name.release,
        "kernel_version": name.version,
        "machine": name.machine,
        "domain": read("/proc/sys/kernel/domainname").strip()[:255],
    }


def counters(read: Callable[[str], str]) -> HostCounters:
    """Return the counters; what this kernel does not have is None."""
    statistics = read("/proc/stat")
    single: dict[str, Any] = parsing.statistics(statistics) | parsing.paging(read("/proc/vmstat"))
    system = parsing.operating_system(read("/etc/os-release") or read("/usr/lib/os-release"))
    zone = time.localtime()
    return HostCounters(
        **{field: single[metric] for metric, field in fields_of(HostCounters) if metric in single},
        guests=parsing.guests(statistics, os.sysconf("SC_CLK_TCK")),
        memory=named(HostMemory, parsing.memory(read("/proc/meminfo"))),
        disks=every(DiskActivity, parsing.disks(read("/proc/diskstats")), "device"),
        stalls=named(
            Stalls,
            parsing.merged(
                parsing.stalls(resource, read(f"/proc/pressure/{resource}"))
                for resource in ("cpu", "io", "memory")
            ),
        ),
        entropy_bits=whole(read("/proc/sys/kernel/random/entropy_avail")),
        entropy_pool_bits=whole(read("/proc/sys/kernel/random/poolsize")),
        clock=_clock(),
        time_zone={zone.tm_zone: float(zone.tm_gmtoff)},
        system=system,
        system_versions=parsing.system_versions(system),
        **_network(read),
    )


def _clock() -> KernelClock | None:
    try:
        return named(KernelClock, parsing.clock(host_kernel.clock_state()))
    except OSError:  # the probe itself has said so already
        return None


def _network(read: Callable[[str], str]) -> dict[str, Any]:
    page_size = os.sysconf("SC_PAGE_SIZE")
    wanted = metrics_of(NetworkProtocols)
    protocols = parsing.merged(
        (
            network.protocols(read("/proc/net/snmp"), wanted),
            network.protocols(read("/proc/net/netstat"), wanted),
            network.protocols6(read("/proc/net/snmp6"), wanted),
        )
    )
    sockets = parsing.merged(
        network.sockets(read(f"/proc/net/{file}"), page_size) for file in ("sockstat", "sockstat6")
    )
    udp = (
        network.udp_queues(version, read(f"/proc/net/{file}"))
        for version, file in (("v4", "udp"), ("v6", "udp6"))
    )
    return {
        "network": _devices(network.traffic(read("/proc/net/dev")), read),
        "protocols": named(NetworkProtocols, protocols),
        "sockets": named(Sockets, sockets),
        "packet_queues": every(PacketQueue, network.packet_queues(read("/proc/net/softnet_stat")), "cpu"),
        "udp_queues": [queues for queues in udp if queues is not None],
        "neighbours": network.neighbours(read("/proc/net/arp")),
    }


def _devices(traffic: dict[str, dict[str, float]], read: Callable[[str], str]) -> list[NetworkDevice]:
    rows = {
        device: values
        | network.device_state(
            {file: read(f"/sys/class/net/{device}/{file}") for file in network.DEVICE_FILES}
        )
        for device, values in traffic.items()
    }
    return every(NetworkDevice, rows, "device")
