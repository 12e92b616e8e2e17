"""Who passes requests to whom, joined by address: what `depends_on` does not say, the facts do. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opsctl.model import Snapshot

LISTENING = ("http", "php", "nginx", "postgres", "redis")
"""Kinds whose address is where the service itself listens."""


def passes_to(snapshot: Snapshot) -> dict[str, set[str]]:
    """Return, for each service with an nginx, the services that listen where it passes requests to.

    An nginx that serves static pages as well does not depend on its upstreams, and what leans on it
    need not either; yet its 502 is the upstream's fault.
    """
    serves: dict[str, set[str]] = {}
    for reading in snapshot.readings:
        target = reading.target
        if target.kind in LISTENING and target.address and not target.via:
            serves.setdefault(_plain(target.address), set()).add(target.service)
    result: dict[str, set[str]] = {}
    for reading in snapshot.readings:
        if reading.target.kind != "nginx" or reading.facts is None:
            continue
        facts: Any = reading.facts
        for upstream in facts.upstreams:
            found = serves.get(_plain(upstream.address), set()) - {reading.target.service}
            result.setdefault(reading.target.service, set()).update(found)
    return result


def _plain(address: str) -> str:
    """Return an address in the one form that all are compared in."""
    address = address.removeprefix("unix:")
    host, colon, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if colon and host in ("localhost", "[::1]", "0.0.0.0") else address  # noqa: S104
