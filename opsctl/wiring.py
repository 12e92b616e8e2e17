"""Who passes requests to whom, and who is asked through whom, joined by address. Pure.

What `depends_on` does not say, the facts do.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from opsctl.judge import ancestors

if TYPE_CHECKING:
    from opsctl.model import Snapshot, Target

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
            serves.setdefault(plain_address(target.address), set()).add(target.service)
    result: dict[str, set[str]] = {}
    for reading in snapshot.readings:
        if reading.target.kind != "nginx" or reading.facts is None:
            continue
        facts: Any = reading.facts
        for upstream in facts.upstreams:
            found = serves.get(plain_address(upstream.address), set()) - {reading.target.service}
            result.setdefault(reading.target.service, set()).update(found)
    return result


WEB_PORTS = frozenset(("80", "443"))
"""Where a proxy listens for the world, whatever address we ask it at."""


def asked_through(snapshot: Snapshot) -> dict[str, frozenset[str]]:
    """Return, for each URL that is asked through an nginx, the services of that nginx.

    The stack file says so (`via`), or the URL's address is where nginx listens, or it has a host name,
    a port of the web, and belongs to nginx' own service or to one that leans on it.
    """
    listens: dict[str, set[str]] = {}
    for reading in snapshot.readings:
        if reading.target.kind == "nginx":
            listens.setdefault(reading.target.service, set()).add(plain_address(reading.target.address))
    services = snapshot.stack.services
    result: dict[str, frozenset[str]] = {}
    for reading in snapshot.readings:
        target = reading.target
        if target.kind != "http" and not target.via:
            continue
        found = {target.via} if target.via else set()
        found |= {name for name, addresses in listens.items() if plain_address(target.address) in addresses}
        if not found and _of_the_web(target):
            home = {target.service, *ancestors(target.service, services)}
            found = {name for name in listens if name in home}
        if found:
            result[target.id] = frozenset(found)
    return result


def _of_the_web(target: Target) -> bool:
    """Return whether an address is a host name with a port of the web."""
    host, _, port = target.address.rpartition(":")
    if port not in WEB_PORTS or host == "localhost":
        return False
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return True
    return False


def plain_address(address: str) -> str:
    """Return an address in the one form that all are compared in."""
    address = address.removeprefix("unix:")
    host, colon, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if colon and host in ("localhost", "[::1]", "0.0.0.0") else address  # noqa: S104
