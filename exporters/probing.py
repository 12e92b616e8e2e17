"""`/probe?target=&module=`: one look at one target of the stack, and at nothing else.

A target is called by what the stack file calls it (a URL, a host name, HOST:PORT), or by its id.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from exporters.exposition import LabelTexts, Page
from exporters.pages import up_metric
from exporters.requests import BadRequest
from exporters.self_facts import DialFacts, ProbeFallbackFacts
from opsctl.stack.targets import host_port

if TYPE_CHECKING:
    from exporters.looking import Lookout
    from opsctl.facts.base import Facts
    from opsctl.model import Reading
    from opsctl.stack.targets import Assignment

MODULES = ("http", "tls", "tcp", "dns", "telegram")
ALIASES = {"http_2xx": "http", "tcp_connect": "tcp"}
"""What the standard exporter's example configuration calls them."""
_DIAL_SECONDS = 3.0


class Prober:
    """Knows what may be probed: the targets of the stack, by module and name."""

    def __init__(self, lookout: Lookout) -> None:
        self._lookout = lookout
        self.targets: dict[str, dict[str, Assignment | str]] = {name: {} for name in MODULES}
        for item in lookout.assignments:
            target = item.target
            if target.kind in ("http", "tls", "telegram"):
                known = self.targets[target.kind]
                for name in (target.name.partition("~")[0], target.address, target.id, target.service):
                    if name and not (target.kind == "http" and name == target.address):
                        known.setdefault(name, item)
            for address in _addresses(item):
                self.targets["tcp"].setdefault(address, address)
                host = address.rpartition(":")[0].strip("[]")
                self.targets["dns"].setdefault(host, host)
        for name in lookout.stack.spec.host.names:
            self.targets["dns"].setdefault(name, name)

    def page(self, target: str, module: str, until: float, texts: LabelTexts, here: bool = False) -> Page:
        """Look at a target and return the page; `here` says that the calling thread may hang.

        Raises:
            BadRequest: no such module, or the target is none of the stack.
        """
        module = ALIASES.get(module, module) or "http"
        if module not in self.targets:
            raise BadRequest(400, f"no module of that name; there are {', '.join(MODULES)}")
        if not target:
            raise BadRequest(400, "the parameter target is missing")
        found = self.targets[module].get(target)
        if found is None:
            raise BadRequest(400, f"that is no target of the stack for the module {module}")
        if isinstance(found, str):
            return self._dialled(found, module, until, texts)
        (reading,) = self._lookout.readings([found], until, here)
        page = Page(texts)
        if reading.facts is not None:
            page.add(reading.facts)
        elif (metric := up_metric(reading.target.kind)) is not None:
            page.add_metric(metric, metric.labels, 0)
        page.add(_fallback(reading))
        return page

    def _dialled(self, address: str, module: str, until: float, texts: LabelTexts) -> Page:
        work = (lambda: resolve(address)) if module == "dns" else (lambda: dial(address))
        flights = self._lookout.flights
        flight = flights.start((module, address), work, min(_DIAL_SECONDS, until - time.monotonic()))
        landed = flights.wait(flight, until)
        page = Page(texts)
        if landed and isinstance(flight.value, DialFacts):
            page.add(flight.value)
        else:
            page.add(DialFacts(success=False, duration=round(time.monotonic() - flight.began, 6)))
        return page


def _addresses(item: Assignment) -> set[str]:
    """Return the HOST:PORT that a target is reached at; a socket has none."""
    spec, found = item.spec, {item.target.address}
    for name in ("url", "status_url", "api_url"):
        url = getattr(spec, name, "")
        if isinstance(url, str) and urlsplit(url).scheme in ("http", "https"):
            found.add(host_port(url, 0))
    if item.target.kind == "tls":
        found.add(item.target.address if ":" in item.target.address else f"{item.target.address}:443")
    return {address for address in found if _is_host_port(address)}


def _is_host_port(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return bool(host) and "/" not in host and port.isdecimal() and 0 < int(port) < 65536


def _fallback(reading: Reading) -> ProbeFallbackFacts:
    """Return what every probe says, for facts that do not say it; what is on the page already stays."""
    facts: Facts | None = reading.facts
    success = bool(facts is not None and facts.up and getattr(facts, "success", None) is not False)
    return ProbeFallbackFacts(success=success, duration=reading.duration_seconds)


def resolve(host: str) -> DialFacts:
    """Look a name up as every program of this machine does."""
    began = time.monotonic()
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return DialFacts(success=False, duration=time.monotonic() - began)
    seconds = time.monotonic() - began
    return DialFacts(
        success=True,
        duration=seconds,
        lookup=seconds,
        answers=len({item[4][0] for item in found}),
        protocol=6 if found[0][0] == socket.AF_INET6 else 4,
    )


def dial(address: str) -> DialFacts:
    """Open and close a TCP connection to the first address that takes one."""
    host, _, port = address.rpartition(":")
    began = time.monotonic()
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return DialFacts(success=False, duration=time.monotonic() - began)
    lookup = time.monotonic() - began
    for family, kind, protocol, _, place in found[:4]:
        left = began + _DIAL_SECONDS - time.monotonic()
        if left <= 0:
            break
        with socket.socket(family, kind, protocol) as connection:
            connection.settimeout(left)
            if connection.connect_ex(place) == 0:
                version = 6 if family == socket.AF_INET6 else 4
                return DialFacts(
                    success=True, duration=time.monotonic() - began, lookup=lookup, protocol=version
                )
    return DialFacts(success=False, duration=time.monotonic() - began, lookup=lookup)
