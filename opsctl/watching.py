"""Whose trouble the stack's own monitoring reports: its targets and receivers, joined by address. Pure.

Prometheus calls a target down because the service there is down; Alertmanager cannot send because the
other side does not answer. Such a finding belongs to the monitoring and, by its address, to that service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.monitoring import MonitoringFacts
    from opsctl.model import Snapshot

Observed = dict[tuple[str, str], frozenset[str]]
"""(target id, subject) of a finding -> the services that are at the address it is about."""
LISTENING = ("http", "php", "nginx", "postgres", "redis", "monitoring")
"""Kinds whose address is where a service listens."""


def observed(snapshot: Snapshot) -> Observed:
    """Return, for what the monitoring of a stack finds out of order, the services that are there."""
    result: Observed = {}
    places: _Places | None = None
    for reading in snapshot.readings:
        if reading.target.kind != "monitoring" or reading.facts is None:
            continue
        for subject, url, address in _troubles(cast("MonitoringFacts", reading.facts)):
            places = places or _Places(snapshot)
            found = places.at(url, address)
            if found:
                result[(reading.target.id, subject)] = found
    return result


def target_subject(job: str, instance: str) -> str:
    """Return what a finding about a scrape target is called by."""
    return f"{job} {instance}"


def receiver_subject(receiver: str, integration: str) -> str:
    """Return what a finding about a receiver is called by."""
    return f"{receiver}/{integration}"


def _troubles(facts: MonitoringFacts) -> Iterator[tuple[str, str, str]]:
    """Yield subject, URL where known, and host:port of everything that may be found out of order."""
    for target in facts.targets:
        if target.up is False:
            yield target_subject(target.job, target.instance), target.url, target.address
    for link in facts.links:
        yield link.address, "", link.address
    for failure in facts.failures:
        yield receiver_subject(failure.receiver, failure.integration), "", failure.address


class _Places:
    """Which services are at an address."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._urls: dict[str, set[str]] = {}
        self._direct: dict[str, set[str]] = {}
        self._through: dict[str, set[str]] = {}
        self._containers: dict[str, set[str]] = {}
        for reading in snapshot.readings:
            target = reading.target
            if target.kind == "container":
                self._containers.setdefault(target.address, set()).add(target.service)
            elif target.kind == "telegram":
                self._direct.setdefault(_host_port(target.address), set()).add(target.service)
            elif target.kind in LISTENING and target.address:
                place = self._through if target.via else self._direct
                place.setdefault(_plain(target.address), set()).add(target.service)
            if target.kind == "http":
                self._urls.setdefault(target.name, set()).add(target.service)

    def at(self, url: str, address: str) -> frozenset[str]:
        """Return the services at a URL, else at its address; what is asked directly goes first.

        In a Compose network the host is the name of the service that runs the container.
        """
        found = self._urls.get(url) or self._direct.get(_plain(address)) or self._through.get(_plain(address))
        found = found or self._containers.get(address.rpartition(":")[0])
        return frozenset(found or ())


def _host_port(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return url
    return _plain(f"{parts.hostname}:{port}")


def _plain(address: str) -> str:
    """Return an address in the one form that all are compared in."""
    host, colon, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if colon and host in ("localhost", "[::1]", "0.0.0.0") else address  # noqa: S104
