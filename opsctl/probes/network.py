"""Looks at the machine's network: listening sockets, name lookups, port conflicts, the firewall.

Lookups run in threads that are left behind when the resolver hangs.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opsctl import system
from opsctl.facts.base import FactProblem
from opsctl.facts.network import HostName, NamedPort, NetworkFacts, PortConflict
from opsctl.probes.addresses import beyond_loopback, is_address
from opsctl.probes.listeners import Listener, listeners
from opsctl.probes.network_parsing import iptables_filters_input, nftables_filters_input, ports_in_use
from opsctl.stack.specs import HostSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opsctl.probes.base import ProbeContext
    from opsctl.stack.specs import ServiceSpec, StackSpec

MAX_NAMES = 32
_NOT_RUNNING = ("failed", "inactive", "activating", "deactivating")


def probe(context: ProbeContext) -> NetworkFacts:
    """Return the network's facts; parts that could not be read are among its problems."""
    spec = context.spec
    assert isinstance(spec, HostSpec)
    problems: list[FactProblem] = []
    names = _Lookups([*spec.names, *names_of_urls(context.stack.spec)][:MAX_NAMES])
    sockets: list[Listener] | None = None
    try:
        sockets = context.shared.once("listeners", listeners)
    except OSError as error:
        problems.append(
            FactProblem(part="sockets", code="missing", message=f"/proc/net/tcp: {error.strerror}")
        )
    published: list[Listener] = []
    containers: list[dict[str, Any]] = []
    if context.stack.spec.compose is not None or any(
        service.container for service in context.stack.spec.services.values()
    ):
        containers = _containers(context)
        published = published_ports(containers)
    firewall, detail = None, ""
    if spec.firewall:
        firewall, detail, problem = _firewall(context)
        if problem is not None:
            problems.append(problem)
    conflicts = [] if sockets is None else _conflicts(context, sockets, containers)
    return NetworkFacts(
        listening_sockets=None if sockets is None else len(sockets),
        ports=named_ports(
            spec, None if sockets is None else [*sockets, *published], owners_of_ports(context.stack.spec)
        ),
        conflicts=conflicts,
        firewall_expected=spec.firewall,
        firewall_active=firewall,
        firewall_detail=detail,
        names=names.results(context.left * 0.9),
        problems=problems,
    )


def names_of_urls(stack: StackSpec) -> list[str]:
    """Return the host names that the stack file's pages and certificates are looked up by. Pure.

    One name that does not resolve is one fault, however many pages it takes away.
    """
    found: list[str] = []
    for service in stack.services.values():
        urls = [item.url for item in service.http if not item.connect]
        urls += [f"https://{item.name}" for item in service.tls if not item.connect]
        for url in urls:
            with contextlib.suppress(ValueError):
                host = urlsplit(url).hostname or ""
                if host and host != "localhost" and not is_address(host) and host not in found:
                    found.append(host)
    return found


def owners_of_ports(stack: StackSpec) -> dict[int, str]:
    """Return the service of each port that exactly one service of the stack file has. Pure."""
    owners: dict[int, list[str]] = {}
    for name, service in stack.services.items():
        for port in claimed_ports(service):
            owners.setdefault(port, []).append(name)
    return {port: names[0] for port, names in owners.items() if len(names) == 1}


def named_ports(
    spec: HostSpec, sockets: list[Listener] | None, owners: Mapping[int, str] = MappingProxyType({})
) -> list[NamedPort]:
    """Return the stack file's ports with what listens on each. Pure."""
    wanted = [(port, "open") for port in spec.open_ports] + [(port, "closed") for port in spec.closed_ports]
    result: list[NamedPort] = []
    for port, want in dict.fromkeys(wanted):
        held = [item for item in sockets or () if item.port == port]
        outside = [item for item in held if item.beyond_loopback]
        result.append(
            NamedPort(
                port=str(port),
                wanted=want,
                listening=None if sockets is None else bool(held),
                exposed=None if sockets is None else bool(outside),
                addresses=list(dict.fromkeys(item.address for item in (outside or held)))[:8],
                holder=", ".join(dict.fromkeys(filter(None, map(holder, outside or held))))[:300],
                service=owners.get(port, ""),
            )
        )
    return result


def holder(item: Listener) -> str:
    """Return who holds a socket in words: process, pid, unit; empty where that may not be seen. Pure."""
    if item.pid is None:
        return item.process
    unit = f", {item.unit}" if item.unit else ""
    return f"{item.process} (pid {item.pid}{unit})"


def _containers(context: ProbeContext) -> list[dict[str, Any]]:
    """Return the engine's containers, none where it cannot be asked: /proc shows its proxies anyway."""
    from opsctl.probes.docker_api import ApiError, containers

    try:
        return containers(context)
    except ApiError:
        return []


def published_ports(containers: Iterable[dict[str, Any]]) -> list[Listener]:
    """Return the ports that containers publish; without its proxy Docker holds no socket for them. Pure."""
    result: list[Listener] = []
    for container in containers:
        names = container.get("Names") or [container.get("Id", "")[:12]]
        for port in container.get("Ports") or ():
            public, address = port.get("PublicPort"), str(port.get("IP", ""))
            if isinstance(public, int) and port.get("Type", "tcp") == "tcp":
                name = f"container {str(names[0]).lstrip('/')}"
                result.append(Listener(address=address or "0.0.0.0", port=public, process=name))  # noqa: S104
    return result


class _Lookups:
    """Name lookups that start at once and are waited for no longer than asked."""

    def __init__(self, names: list[str]) -> None:
        self._names = list(dict.fromkeys(names))
        self._answers: queue.SimpleQueue[HostName] = queue.SimpleQueue()
        self._began = time.monotonic()
        for name in self._names:
            threading.Thread(target=self._look, args=(name,), name=f"lookup {name}", daemon=True).start()

    def _look(self, name: str) -> None:
        error, addresses = "", []
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(item[4][0]) for item in found))[:8]
        except (OSError, UnicodeError) as problem:
            error = (getattr(problem, "strerror", None) or str(problem))[:300]
        seconds = time.monotonic() - self._began
        self._answers.put(
            HostName(name=name, resolves=not error, seconds=seconds, addresses=addresses, error=error)
        )

    def results(self, seconds: float) -> list[HostName]:
        ends = time.monotonic() + seconds
        found: dict[str, HostName] = {}
        while len(found) < len(self._names):
            try:
                answer = self._answers.get(timeout=max(ends - time.monotonic(), 0.001))
            except queue.Empty:
                break
            found[answer.name] = answer
        waited = time.monotonic() - self._began
        silent = f"no answer from the resolver in {waited:.1f} s"
        return [
            found.get(name) or HostName(name=name, resolves=False, seconds=waited, error=silent)
            for name in self._names
        ]


def _firewall(context: ProbeContext) -> tuple[bool | None, str, FactProblem | None]:
    """Return whether something filters incoming packets, by what, or why that is not known."""
    timeout = min(context.left / 3, 1.0)
    answers: list[str] = []
    for argv, filters in (
        (["nft", "list", "ruleset"], nftables_filters_input),
        (["iptables", "-S", "INPUT"], iptables_filters_input),
    ):
        result = system.run(argv, timeout)
        if result.missing:
            continue
        if not result.ok:
            answers.append(f"{argv[0]}: {(result.stderr or 'no answer').strip().splitlines()[0][:200]}")
        elif filters(result.stdout):
            return True, " ".join(argv), None
        else:
            answers.append("")
    if answers and not any(answers):
        return False, "no rule refuses incoming packets", None
    reason = next((answer for answer in answers if answer), "neither nft nor iptables is installed")
    code = "missing" if not answers else "permission" if os.geteuid() != 0 else "unsupported"
    hint = "run as root" if os.geteuid() != 0 else "install nftables"
    return None, "", FactProblem(part="firewall", code=code, message=reason, hint=hint)


def _conflicts(
    context: ProbeContext, sockets: list[Listener], containers: list[dict[str, Any]]
) -> list[PortConflict]:
    """Return the services that said they could not take their port, and whose port another holds.

    Both are needed: what the service said may be old, and a foreign holder alone may be meant so.
    """
    result: list[PortConflict] = []
    stopped = _units_that_do_not_run(context)
    for name, service in context.stack.spec.services.items():
        said: list[tuple[int, str]] = []
        if service.container and containers:
            said = _said_by_containers(context, service, containers)
        elif service.unit in stopped:
            said = _said_by_unit(context, service.unit)
        claimed = claimed_ports(service) if any(port == 0 for port, _ in said) else []
        seen: set[int] = set()
        for port, words in said:
            for wanted in [port] if port else claimed:
                others = [
                    item for item in sockets if item.port == wanted and item.unit != (service.unit or "-")
                ]
                if others and wanted not in seen:
                    seen.add(wanted)
                    result.append(
                        PortConflict(
                            service=name,
                            port=str(wanted),
                            holder=holder(others[0]) or f"a process of uid {others[0].uid}",
                            said=context.redactor.text(words)[:300],
                            source=f"journalctl -u {service.unit}" if service.unit else "docker inspect",
                        )
                    )
    return result[:16]


def claimed_ports(service: ServiceSpec) -> list[int]:
    """Return the ports on this machine that the stack file gives to a service. Pure."""
    urls = [item.dsn for item in service.postgres] + [item.url for item in service.redis]
    urls += [item.url for item in service.http if not item.via]
    urls += [f"tcp://{item.listen}" for item in service.nginx]
    ports: list[int] = []
    for url in urls:
        with contextlib.suppress(ValueError):
            parts = urlsplit(url)
            default = {"https": 443, "http": 80, "redis": 6379, "postgresql": 5432}.get(parts.scheme)
            port = parts.port or default
            local = parts.hostname in ("localhost", "0.0.0.0", "::", None) or not beyond_loopback(  # noqa: S104
                parts.hostname
            )
            if port and local and port not in ports:
                ports.append(port)
    return ports


def _said_by_containers(
    context: ProbeContext, service: ServiceSpec, containers: list[dict[str, Any]]
) -> list[tuple[int, str]]:
    """Return what the engine said about ports when it last failed to start the service's containers."""
    from opsctl.probes.container_listing import own_containers
    from opsctl.probes.docker_api import ApiError, api

    said: list[tuple[int, str]] = []
    for item in own_containers(context, service, containers):
        if item.get("State") not in ("running", "paused"):
            with contextlib.suppress(ApiError):
                state = api(context).inspect(str(item.get("Id", ""))).get("State") or {}
                said += ports_in_use(str(state.get("Error", "")))
    return said


def _units_that_do_not_run(context: ProbeContext) -> set[str]:
    """Return the stack's units that are not active, or are for a moment between two restarts; in one go."""
    units = list(dict.fromkeys(item.unit for item in context.stack.spec.services.values() if item.unit))
    if not units or not Path("/run/systemd/system").is_dir():
        return set()
    argv = ["systemctl", "show", "--property=ActiveState,NRestarts", "--", *units]
    running = units_running(system.run(argv, min(1.5, context.left)).stdout)
    return {unit for unit, runs in zip(units, running, strict=False) if not runs}


def units_running(output: str) -> list[bool]:
    """Return of each unit whether it is active and was never restarted by itself. Pure.

    `output` is what `systemctl show --property=ActiveState,NRestarts` gives. A unit that loops is
    active whenever its program has just been started and has not failed yet.
    """
    result: list[bool] = []
    for block in output.strip().split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.splitlines())
        if "ActiveState" in values:
            stopped = values["ActiveState"] in _NOT_RUNNING
            result.append(not stopped and values.get("NRestarts", "0") in ("", "0"))
    return result


def _said_by_unit(context: ProbeContext, unit: str) -> list[tuple[int, str]]:
    """Return what a unit said about ports in its last lines."""
    argv = ["journalctl", "-u", unit, "-n", "40", "-o", "cat", "--no-pager", "-b"]
    return ports_in_use(system.run(argv, min(1.5, context.left)).stdout)
