"""Judging listen addresses. Pure."""

from __future__ import annotations

import ipaddress


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
        return not ipaddress.ip_address(text).is_loopback
    except ValueError:
        return True
