"""Docker Compose projects, from the labels that Compose puts on its containers.

The engine's API is asked directly over its socket: two small requests, each bounded in time.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from opsctl.discovery.found import Discovered, FoundService, guessed_postgres, guessed_redis, http_spec
from opsctl.envfile import parse_env

if TYPE_CHECKING:
    from opsctl.stack.specs import PostgresSpec

SOCKET = "/var/run/docker.sock"
MAX_BYTES = 8 * 1024 * 1024
MAX_ENV_BYTES = 256 * 1024
_PREFIX = "com.docker.compose."
_WEB_PORTS = {80, 443, 3000, 5000, 8000, 8080, 8443, 9090, 9093}


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def projects(seconds: float) -> Discovered:
    """Return the services of all Compose projects of this machine."""
    path = _socket_path()
    if not Path(path).exists():
        return Discovered()
    ends = time.monotonic() + seconds * 0.9
    try:
        containers = _get(path, "/containers/json?all=1", ends)
    except PermissionError:
        return Discovered(notes=[f"no permission to ask Docker ({path}): run as root or in group docker"])
    except (OSError, http.client.HTTPException, ValueError) as error:
        words = "did not answer in time" if isinstance(error, TimeoutError) else str(error)[:200]
        return Discovered(notes=[f"Docker ({path}): {words}"])
    listed = [item for item in containers if isinstance(item, dict)] if isinstance(containers, list) else []
    found, files = services_of(listed)
    detailed = [_with_login(path, service, listed, ends) for service in found]
    return Discovered(services=detailed, projects=files)


def _socket_path() -> str:
    host = urlsplit(os.environ.get("DOCKER_HOST", ""))
    return host.path if host.scheme == "unix" and host.path else SOCKET


def _get(path: str, url: str, ends: float) -> Any:
    connection = _UnixConnection(path, max(ends - time.monotonic(), 0.05))
    try:
        connection.request("GET", url)
        response = connection.getresponse()
        body = response.read(MAX_BYTES)
        if response.status != http.client.OK:
            raise ValueError(f"the engine answered {response.status}")
        return json.loads(body)
    finally:
        connection.close()


def services_of(containers: list[dict[str, Any]]) -> tuple[list[FoundService], dict[str, str]]:
    """Return the Compose services of a container list, and project -> compose file. Pure."""
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    files: dict[str, str] = {}
    for item in containers:
        labels = item.get("Labels") or {}
        project, service = labels.get(f"{_PREFIX}project"), labels.get(f"{_PREFIX}service")
        if not project or not service or labels.get(f"{_PREFIX}oneoff") == "True":
            continue
        grouped.setdefault((project, service), []).append(item)
        files.setdefault(project, _compose_file(labels))
    services = [_service(project, name, items) for (project, name), items in sorted(grouped.items())]
    return services, files


def _compose_file(labels: dict[str, str]) -> str:
    first = labels.get(f"{_PREFIX}project.config_files", "").split(",")[0]
    folder = labels.get(f"{_PREFIX}project.working_dir", "")
    return first if first.startswith("/") or not (first and folder) else f"{folder}/{first}"


def _service(project: str, name: str, items: list[dict[str, Any]]) -> FoundService:
    first = items[0]
    labels = first.get("Labels") or {}
    wanted = labels.get(f"{_PREFIX}depends_on", "")
    published = _published(first)
    inside = {port for port, _, _ in published} | _exposed(first)
    role = _role(str(first.get("Image", "")), name, inside)
    http = tuple(
        http_spec(host, outside)
        for port, outside, host in published
        if role in ("http", "nginx") and port in _WEB_PORTS and len(items) == 1
    )
    redis_at = _reach(first, published, 6379)
    return FoundService(
        name=name,
        role=role,
        project=project,
        container=name,
        replicas=len(items),
        ports=frozenset(outside for _, outside, _ in published),
        depends_on=tuple(part.partition(":")[0] for part in wanted.split(",") if part),
        http=http[:1],
        redis=(guessed_redis(*redis_at),) if role == "redis" and redis_at else (),
    )


def _role(image: str, name: str, ports: set[int]) -> str:
    text = f"{image.rpartition('/')[2]} {name}".lower()
    for role, words, port in (
        ("postgres", ("postgres", "postgis", "timescale", "pgvector"), 5432),
        ("redis", ("redis", "valkey", "keydb"), 6379),
        ("nginx", ("nginx", "openresty"), 0),
    ):
        if any(word in text for word in words) or (port and port in ports):
            return role
    return "http" if ports & _WEB_PORTS else "application"


def _published(item: dict[str, Any]) -> list[tuple[int, int, str]]:
    """Return (port inside, port on this machine, address) of what a container publishes over TCP."""
    result: dict[tuple[int, int], str] = {}
    for port in item.get("Ports") or []:
        if port.get("PublicPort") and port.get("Type") == "tcp":
            address = port.get("IP") or ""
            host = "127.0.0.1" if address in ("", "0.0.0.0", "::") else address  # noqa: S104 - read, not bound
            result.setdefault((port["PrivatePort"], port["PublicPort"]), host)
    return [(inside, outside, host) for (inside, outside), host in sorted(result.items())]


def _exposed(item: dict[str, Any]) -> set[int]:
    return {port["PrivatePort"] for port in item.get("Ports") or [] if port.get("Type") == "tcp"}


def _reach(item: dict[str, Any], published: list[tuple[int, int, str]], port: int) -> tuple[str, int] | None:
    """Return (host, port) by which this machine reaches a container's port: published, else its address."""
    for inside, outside, host in published:
        if inside == port:
            return host, outside
    networks = (item.get("NetworkSettings") or {}).get("Networks") or {}
    address = next((net.get("IPAddress") for net in networks.values() if net.get("IPAddress")), None)
    return (address, port) if address else None


def _with_login(
    path: str, service: FoundService, containers: list[dict[str, Any]], ends: float
) -> FoundService:
    """Add user and database of a PostgreSQL container; of its password only the variable's name."""
    from dataclasses import replace

    if service.role != "postgres":
        return service
    item = next(
        one
        for one in containers
        if (one.get("Labels") or {}).get(f"{_PREFIX}project") == service.project
        and one["Labels"].get(f"{_PREFIX}service") == service.container
    )
    at = _reach(item, _published(item), 5432)
    if at is None:
        return service
    try:
        details = _get(path, f"/containers/{quote(str(item['Id']))}/json", ends)
        environment = parse_env("\n".join(details["Config"]["Env"] or []))
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        environment = {}
    labels = item["Labels"]
    spec = login(at, environment, _project_env(labels.get(f"{_PREFIX}project.working_dir", "")))
    return replace(service, postgres=(spec,))


def login(at: tuple[str, int], container: dict[str, str], project: dict[str, str]) -> PostgresSpec:
    """Return the spec of a PostgreSQL container; never a password, only where it is to be found. Pure.

    Args:
        at: host and port.
        container: the container's environment.
        project: the variables of the project's env file.
    """
    import msgspec

    user = container.get("POSTGRES_USER") or "postgres"
    spec = guessed_postgres(*at, user=user, database=container.get("POSTGRES_DB") or user)
    password = container.get("POSTGRES_PASSWORD")
    variable = next((name for name, value in project.items() if password and value == password), "")
    if variable:
        return msgspec.structs.replace(spec, password_env=variable, guessed=False)
    return spec


def _project_env(folder: str) -> dict[str, str]:
    try:
        with (Path(folder) / ".env").open("rb") as file:
            return parse_env(file.read(MAX_ENV_BYTES).decode("utf-8", "replace"))
    except (OSError, ValueError):
        return {}
