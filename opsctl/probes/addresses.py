"""Listen addresses: whether strangers can reach them, and where a port of this machine listens."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opsctl.probes.base import Shared
    from opsctl.probes.listeners import Listener


def beyond_loopback(address: str) -> bool:
    """Return whether a listen address can be reached from another machine.

    Wildcards (`*`, empty, `0.0.0.0`, `::`) can; loopback and socket paths cannot.
    """
    text = address.strip().strip("[]").partition("%")[0]
    if text in ("", "*"):
        return True
    if text.startswith("/") or text == "localhost":
        return False
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return True
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return not (mapped or parsed).is_loopback


def listen_addresses(shared: Shared, host: str, port: int) -> list[str] | None:
    """Return the addresses of this machine on which `port` listens, None where `host` is elsewhere.

    `host` is where clients connect to. An address of another machine or of a container says
    nothing about this machine's sockets. Needs no right; processes are not looked for.
    """
    if not is_here(host):
        return None
    try:
        found = shared.once("listening-addresses", _listening)
    except OSError:
        return None
    return list(dict.fromkeys(item.address for item in found if item.port == port))


def _listening() -> list[Listener]:
    from pathlib import Path

    from opsctl.probes.listeners import MAX_BYTES, parse_tcp

    found: list[Listener] = []
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError), Path("/proc/net", name).open("rb") as file:
            found += parse_tcp(file.read(MAX_BYTES).decode("ascii", "replace"))
    return found


def is_here(host: str) -> bool:
    """Return whether an address is this machine's own; names other than localhost are not looked up."""
    text = host.strip("[]")
    if text == "localhost" or (text and not beyond_loopback(text)):
        return True
    try:
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        address = ipaddress.ip_address(text)
        if address.is_unspecified or address.is_multicast:
            return address.is_unspecified
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((text, 0))  # the kernel accepts only its own addresses; nothing is sent
    except (OSError, ValueError):
        return False
    return True
