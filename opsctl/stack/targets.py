"""Stack to targets: everything there is to look at, each with the spec that its probe reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from opsctl.model import HOST_SERVICE, Target
from opsctl.stack.specs import HostSpec, MonitoringSpec, ServiceSpec, Spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.stack.stack import Stack


@dataclass(frozen=True)
class Assignment:
    """A target, the service it belongs to, and its part of the stack file."""

    target: Target
    service: ServiceSpec
    spec: Spec


_NO_SERVICE = ServiceSpec()


def assignments(stack: Stack) -> list[Assignment]:
    """Return every target of the stack, ids unique, in reading order.

    Entries that look alike from outside (one URL with two Host headers, two databases of one
    server) are all kept: the second is called `NAME~2`.
    """
    result: list[Assignment] = []
    seen: dict[str, int] = {}
    for assignment in _all(stack):
        target = assignment.target
        count = seen[target.id] = seen.get(target.id, 0) + 1
        if count > 1:
            target = msgspec.structs.replace(target, name=f"{target.name}~{count}")
            assignment = replace(assignment, target=target)
        result.append(assignment)
    return result


def _all(stack: Stack) -> Iterator[Assignment]:
    spec = stack.spec
    yield Assignment(_host_target("host"), _NO_SERVICE, spec.host)
    if spec.compose is not None:
        target = _host_target("docker", spec.compose.project)
        yield Assignment(target, _NO_SERVICE, spec.compose)
    if spec.host != HostSpec():
        yield Assignment(_host_target("network"), _NO_SERVICE, spec.host)
    for name, service in spec.services.items():
        yield from _of_service(stack, name, service)


def _host_target(kind: str, address: str = "") -> Target:
    return Target(kind=kind, service=HOST_SERVICE, address=address)


def _of_service(stack: Stack, name: str, service: ServiceSpec) -> Iterator[Assignment]:
    def target(kind: str, which: str = "", address: str = "", paths: tuple[str, ...] = ()) -> Target:
        return Target(kind=kind, service=name, name=which, address=address, paths=paths)

    def several(count: int, text: str) -> str:
        return text if count > 1 else ""

    if service.container:
        yield Assignment(target("container", "", service.container), service, service)
    if service.unit:
        yield Assignment(target("systemd", "", service.unit), service, service)
    for postgres in service.postgres:
        address = host_port(postgres.dsn, 5432)
        paths = (str(stack.path(postgres.data_directory)),) if postgres.data_directory else ()
        which = several(len(service.postgres), address)
        yield Assignment(target("postgres", which, address, paths), service, postgres)
    for redis in service.redis:
        address = host_port(redis.url, 6379)
        paths = (str(stack.path(redis.data_directory)),) if redis.data_directory else ()
        which = several(len(service.redis), address)
        yield Assignment(target("redis", which, address, paths), service, redis)
    for http in service.http:
        address = host_port(http.url, 0)
        through = Target(kind="http", service=name, name=http.url, address=address, via=http.via)
        yield Assignment(through, service, http)
    for tls in service.tls:
        yield Assignment(target("tls", tls.name, tls.connect or tls.name), service, tls)
    for nginx in service.nginx:
        logs = tuple(str(stack.path(log)) for log in (nginx.access_log, nginx.error_log) if log)
        which = several(len(service.nginx), nginx.listen)
        yield Assignment(target("nginx", which, nginx.listen, logs), service, nginx)
    for php in service.php:
        paths = (str(stack.path(php.root)),) if php.root else ()
        yield Assignment(target("php", several(len(service.php), php.fpm), php.fpm, paths), service, php)
    for telegram in service.telegram:
        which = several(len(service.telegram), telegram.token_env or telegram.token_file)
        yield Assignment(target("telegram", which, telegram.api_url), service, telegram)
    for log in service.logs:
        paths = (str(stack.path(log.path)),) if log.path else ()
        which = several(len(service.logs), log.path)
        yield Assignment(target("logs", which, log.path, paths), service, log)
    if service.env is not None:
        path = str(stack.path(service.env.file))
        yield Assignment(target("config", "", path, (path,)), service, service.env)
    for data in service.data:
        address = host_port(service.postgres[0].dsn, 5432)
        yield Assignment(target("data", data.name, address), service, data)
    programs = [one for monitoring in service.monitoring for one in _one_each(monitoring)]
    for program in programs:
        url = program.prometheus or program.alertmanager
        which = several(len(programs), "prometheus" if program.prometheus else "alertmanager")
        yield Assignment(target("monitoring", which, host_port(url, 0)), service, program)
    for static in service.static:
        root = str(stack.path(static.root))
        yield Assignment(target("static", several(len(service.static), root), root, (root,)), service, static)


def _one_each(spec: MonitoringSpec) -> Iterator[MonitoringSpec]:
    """Yield a spec for each program that this one names."""
    if spec.prometheus:
        yield msgspec.structs.replace(spec, alertmanager="")
    if spec.alertmanager:
        yield msgspec.structs.replace(spec, prometheus="")


def host_port(url: str, default: int) -> str:
    """Return host:port of a URL or DSN, or its socket path; never user or password."""
    parts = urlsplit(url)
    if parts.scheme == "unix" or not parts.hostname:
        from urllib.parse import parse_qs

        return parts.path if parts.scheme == "unix" else parse_qs(parts.query).get("host", ["local"])[0]
    port = parts.port or default or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}"
