"""Servers that listen on this machine: PostgreSQL, Redis, nginx, PHP-FPM, and whatever speaks HTTP."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

from opsctl.discovery.found import (
    Discovered,
    FoundService,
    guessed_postgres,
    guessed_redis,
    http_spec,
    local,
)
from opsctl.discovery.units import role_of, service_name
from opsctl.stack.specs import NginxSpec, PhpSpec

if TYPE_CHECKING:
    from opsctl.probes.listeners import Listener

_BY_PROCESS = {
    "postgres": "postgres",
    "postmaster": "postgres",
    "redis-server": "redis",
    "valkey-server": "redis",
    "nginx": "nginx",
    "openresty": "nginx",
}
_BY_PORT = {
    5432: "postgres",
    6379: "redis",
    80: "http",
    443: "http",
    8000: "http",
    8080: "http",
    3000: "http",
}
"""For sockets whose process may not be seen without root."""
_WEB = (
    "uvicorn",
    "gunicorn",
    "hypercorn",
    "python",
    "node",
    "java",
    "ruby",
    "puma",
    "php",
    "caddy",
    "apache2",
)
_MORE_WEB = ("httpd", "traefik", "haproxy", "prometheus", "alertmanager", "grafana")
MOST_ASKED = 40


def servers(seconds: float) -> Discovered:
    """Return the servers that listen, each once, whatever it listens on."""
    from opsctl.probes.listeners import listeners, unix_listeners

    ends = time.monotonic() + seconds * 0.6
    found = [item for item in listeners() if not item.container and item.process != "docker-proxy"]
    groups: dict[tuple[str, str], list[Listener]] = {}
    for item in found:
        role = role_of_listener(item)
        if role:
            key = item.unit or (f"pid {item.pid}" if item.pid else f"port {item.port}")
            groups.setdefault((role, key), []).append(item)
    web = {(role, key): items for (role, key), items in groups.items() if role == "http"}
    answers = _ask([item for items in web.values() for item in items][:MOST_ASKED], ends)
    services = [
        service
        for (role, _), items in groups.items()
        if (service := _service(role, sorted(items, key=lambda item: item.port), answers)) is not None
    ]
    notes: list[str] = []
    try:
        services += _php(unix_listeners())
    except OSError as error:
        notes.append(f"Unix sockets could not be listed: {error.strerror or error}")
    return Discovered(services=services, notes=notes)


def role_of_listener(item: Listener) -> str:
    """Return postgres, redis, nginx or http for a listening socket, empty for anything else. Pure."""
    name = item.process.partition(":")[0].strip()
    if name in _BY_PROCESS:
        return _BY_PROCESS[name]
    if not name:
        return _BY_PORT.get(item.port, "")
    return "http" if name.startswith((*_WEB, *_MORE_WEB)) else ""


def _service(role: str, items: list[Listener], answers: dict[tuple[str, int], int]) -> FoundService | None:
    first = items[0]
    unit = first.unit if _is_service(first.unit) else ""
    host, port = local(first.address), first.port
    ports = frozenset(item.port for item in items)
    common = {"unit": unit, "ports": ports, "role": role}
    if role == "postgres":
        spec = guessed_postgres(host, port)
        return FoundService(name="postgresql", postgres=(spec,), **common)  # type: ignore[arg-type]
    if role == "redis":
        return FoundService(name="redis", redis=(guessed_redis(host, port),), **common)  # type: ignore[arg-type]
    if role == "nginx":
        listen = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return FoundService(name="nginx", nginx=(NginxSpec(listen=listen),), **common)  # type: ignore[arg-type]
    pages = {
        item.port: http_spec(local(item.address), item.port, "/", answers[(item.address, item.port)])
        for item in items
        if (item.address, item.port) in answers
    }
    if not pages:
        return None
    name = service_name(unit) if unit else (first.process.split()[0] if first.process else "http")
    return FoundService(name=name.strip(":"), http=tuple(pages.values()), **common)  # type: ignore[arg-type]


def _is_service(unit: str) -> bool:
    """Return whether a unit runs this one server: not a login session, not the container engine."""
    return bool(unit) and (
        role_of(unit) is not None or not unit.startswith(("user@", "docker", "containerd"))
    )


def _php(sockets: list[Listener]) -> list[FoundService]:
    """Return one service a PHP-FPM pool that listens on a Unix socket."""
    result = []
    for item in sockets:
        if item.address.startswith("/") and (item.process.startswith("php-fpm") or "php" in item.address):
            if not (item.address.endswith(".sock") or item.process):
                continue
            unit = item.unit if role_of(item.unit) == "php" else ""
            spec = PhpSpec(fpm=item.address)
            result.append(FoundService(name="php-fpm", role="php", unit=unit, php=(spec,)))
    return result


def _ask(items: list[Listener], ends: float) -> dict[tuple[str, int], int]:
    """Return the HTTP status of each socket that speaks HTTP; 0 where it listens and says nothing."""
    answers: dict[tuple[str, int], int] = {}

    def one(item: Listener) -> None:
        status = http_status(local(item.address), item.port, max(ends - time.monotonic(), 0.05))
        if status is not None:
            answers[(item.address, item.port)] = status

    threads = [threading.Thread(target=one, args=(item,), daemon=True) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(ends - time.monotonic(), 0.01))
    return dict(answers)


def http_status(host: str, port: int, seconds: float) -> int | None:
    """Return what `HEAD /` is answered with, 0 for silence, None where it is not HTTP."""
    try:
        with socket.create_connection((host, port), timeout=seconds) as connection:
            connection.settimeout(seconds)
            connection.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            line = connection.recv(64)
    except TimeoutError:
        return 0
    except OSError:
        return None
    with contextlib.suppress(ValueError, IndexError):
        if line.startswith(b"HTTP/"):
            return int(line.split()[1])
    return None
