"""What the kernel counts about the network. Pure: text in, values by metric name out, never raises."""

from __future__ import annotations

import re

from opsctl.facts.host_network import UdpQueues
from opsctl.probes.host_parsing import MAX_ROWS, whole

MAX_SOCKETS = 100_000
MAX_NAME = 64

_TRAFFIC = (
    "receive_bytes",
    "receive_packets",
    "receive_errs",
    "receive_drop",
    "receive_fifo",
    "receive_frame",
    "receive_compressed",
    "receive_multicast",
    "transmit_bytes",
    "transmit_packets",
    "transmit_errs",
    "transmit_drop",
    "transmit_fifo",
    "transmit_colls",
    "transmit_carrier",
    "transmit_compressed",
)
"""Columns of /proc/net/dev after the device."""
_QUEUE = {
    0: "processed_total",
    1: "dropped_total",
    2: "times_squeezed_total",
    8: "cpu_collision_total",
    9: "received_rps_total",
    10: "flow_limit_count_total",
    11: "backlog_len",
}
"""Columns of /proc/net/softnet_stat; older kernels have fewer."""
_CORE_COLUMN = 12
DEVICE_FILES = ("operstate", "carrier", "mtu", "speed", "statistics/rx_nohandler")
"""Files of /sys/class/net/DEVICE that `device_state` reads."""
_MEGABIT = 1_000_000 // 8


def traffic(text: str) -> dict[str, dict[str, float]]:
    """Return /proc/net/dev by device."""
    result: dict[str, dict[str, float]] = {}
    for line in text.splitlines()[2 : 2 + MAX_ROWS]:
        name, separator, rest = line.rpartition(":")
        values = [whole(part) for part in rest.split()]
        device = name.strip()
        if not separator or len(values) < len(_TRAFFIC) or not is_device(device):
            continue
        result[device] = {
            f"node_network_{column}_total": value
            for column, value in zip(_TRAFFIC, values, strict=False)
            if value is not None
        }
    return result


def is_device(name: str) -> bool:
    """Return whether a network device may be called this: it becomes a folder's name below /sys."""
    return (
        bool(name)
        and len(name) <= MAX_NAME
        and "/" not in name
        and "\0" not in name
        and name.strip(".") != ""
    )


def device_state(files: dict[str, str]) -> dict[str, float]:
    """Return a device's state from the files of its folder; what has no number there is left out.

    A device without a known speed says -1, or refuses to answer.
    """
    result: dict[str, float] = {}
    for file, name in (
        ("carrier", "carrier"),
        ("mtu", "mtu_bytes"),
        ("statistics/rx_nohandler", "receive_nohandler_total"),
    ):
        value = whole(files.get(file, ""))
        if value is not None:
            result[f"node_network_{name}"] = value
    speed = whole(files.get("speed", ""))
    if speed is not None:
        result["node_network_speed_bytes"] = speed * _MEGABIT
    state = files.get("operstate", "").strip()
    if state:
        result["node_network_up"] = state == "up"
    return result


def protocols(text: str, wanted: frozenset[str]) -> dict[str, float]:
    """Return the wanted metrics of /proc/net/snmp or /proc/net/netstat: pairs of lines, names above values.

    Both files together have some 300 numbers, of which few are asked for.
    """
    result: dict[str, float] = {}
    lines = text.splitlines()[:MAX_ROWS]
    for above, below in zip(lines[::2], lines[1::2], strict=False):
        protocol, _, names = above.partition(":")
        other, _, values = below.partition(":")
        if protocol != other:
            continue
        for name, number in zip(names.split(), values.split(), strict=False):
            metric = f"node_netstat_{protocol}_{name}"
            if metric in wanted and (value := signed(number)) is not None:
                result[metric] = value
    return result


def protocols6(text: str, wanted: frozenset[str]) -> dict[str, float]:
    """Return the wanted metrics of /proc/net/snmp6: `Ip6InOctets 123` is Ip6_InOctets."""
    result: dict[str, float] = {}
    for line in text.splitlines()[:MAX_ROWS]:
        name, _, number = line.partition(" ")
        metric = f"node_netstat_{name.strip().replace('6', '6_', 1)}"
        if metric in wanted and (value := signed(number)) is not None:
            result[metric] = value
    return result


def signed(text: str) -> int | None:
    """Return a whole number that may be negative, else None."""
    text = text.strip()
    value = whole(text.removeprefix("-"))
    return -value if value is not None and text.startswith("-") else value


def sockets(text: str, page_size: int) -> dict[str, float]:
    """Return /proc/net/sockstat or sockstat6; memory is counted in pages, and shown in bytes too."""
    result: dict[str, float] = {}
    for line in text.splitlines()[:MAX_ROWS]:
        protocol, separator, rest = line.partition(":")
        parts = rest.split()
        if not separator:
            continue
        for name, number in zip(parts[::2], parts[1::2], strict=False):
            value = whole(number)
            if value is None:
                continue
            result[f"node_sockstat_{protocol}_{name}"] = value
            if name == "mem":
                result[f"node_sockstat_{protocol}_mem_bytes"] = value * page_size
    return result


def packet_queues(text: str) -> dict[str, dict[str, float]]:
    """Return /proc/net/softnet_stat by core; lines name theirs since Linux 5.10, before they are in order."""
    result: dict[str, dict[str, float]] = {}
    for number, line in enumerate(text.splitlines()[:MAX_ROWS]):
        columns = [hexadecimal(part) for part in line.split()]
        named = columns[_CORE_COLUMN] if len(columns) > _CORE_COLUMN else None
        values: dict[str, float] = {
            f"node_softnet_{name}": value
            for index, name in _QUEUE.items()
            if index < len(columns) and (value := columns[index]) is not None
        }
        if values:
            result[str(number if named is None else named)] = values
    return result


def hexadecimal(text: str) -> int | None:
    """Return a whole number in base 16 of at most 64 bits, else None."""
    return int(text, 16) if re.fullmatch(r"[0-9A-Fa-f]{1,16}", text, re.ASCII) else None


def udp_queues(ip: str, text: str) -> UdpQueues | None:
    """Return the bytes waiting in all sockets of /proc/net/udp or udp6; None where there is no such file."""
    if not text:
        return None
    waiting = {"tx": 0, "rx": 0}
    for line in text.splitlines()[1 : 1 + MAX_SOCKETS]:
        columns = line.split()
        sent, separator, received = columns[4].partition(":") if len(columns) > 4 else ("", "", "")
        if separator:
            waiting["tx"] += hexadecimal(sent) or 0
            waiting["rx"] += hexadecimal(received) or 0
    return UdpQueues(ip=ip, waiting=waiting)


def neighbours(text: str) -> dict[str, int]:
    """Return how many neighbours /proc/net/arp knows on each device."""
    result: dict[str, int] = {}
    for line in text.splitlines()[1 : 1 + MAX_SOCKETS]:
        columns = line.split()
        if len(columns) >= 6:
            device = columns[-1][:MAX_NAME]
            result[device] = result.get(device, 0) + 1
    return result
