"""Judging addresses: whether strangers can reach one, and whether it is this machine's own."""

from __future__ import annotations

import ipaddress
import socket


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


def is_address(host: str) -> bool:
    """Return whether a host is written as an address, so that no name has to be looked up."""
    try:
        ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True


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
