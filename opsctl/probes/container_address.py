"""Reaching a server that no port publishes: the Compose name in an address, by the container's own.

A stack file may say `postgresql://user@postgres:5432/db` where `postgres` is the Compose service
that runs it. That name means something inside the Compose network only; the machine itself can
reach the container by its address, which the engine knows.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from opsctl.probes.base import ProbeError
from opsctl.stack.specs import HttpSpec, MonitoringSpec, PostgresSpec, RedisSpec

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext
    from opsctl.stack.specs import ServiceSpec, Spec


def names_container(spec: Spec, service: ServiceSpec) -> bool:
    """Return whether the spec's address names the container that runs the service. Pure."""
    field = _field(spec)
    return bool(service.container and field and urlsplit(getattr(spec, field)).hostname == service.container)


def by_address(context: ProbeContext) -> ProbeContext:
    """Return the context with the container's own address in place of its Compose name.

    Raises:
        ProbeError: the engine cannot be asked, or the container has no address: it does not run.
    """
    from opsctl.probes.container_listing import of_service
    from opsctl.probes.docker_api import ApiError, api, cannot_look, containers

    service, compose = context.service, context.stack.spec.compose
    try:
        listed = containers(context)
    except ApiError as error:
        raise cannot_look(error, api(context).endpoint) from None
    project = service.project or (compose.project if compose else "")
    address = first_address(of_service(listed, project, service.container))
    if not address:
        raise ProbeError(
            "missing",
            f"container {service.container} has no address: it does not run",
            hint=f"opsctl verify container/exited --target {context.target.service}",
            parent="container",
        )
    field = _field(context.spec)
    spec = msgspec.structs.replace(context.spec, **{field: with_host(getattr(context.spec, field), address)})
    return dataclasses.replace(context, spec=spec)


def first_address(listed: list[dict[str, Any]]) -> str:
    """Return the first address of the listed containers, empty where none has one. Pure."""
    for item in listed:
        networks = (item.get("NetworkSettings") or {}).get("Networks") or {}
        for network in networks.values():
            address = network.get("IPAddress") if isinstance(network, dict) else None
            if isinstance(address, str) and address:
                return address
    return ""


def with_host(url: str, host: str) -> str:
    """Return the URL with another host; user, port and the rest stay. Pure."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    shown = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"{user}{at}{shown}{port}"))


def _field(spec: Spec) -> str:
    if isinstance(spec, PostgresSpec):
        return "dsn"
    if isinstance(spec, MonitoringSpec):
        return "prometheus" if spec.prometheus else "alertmanager"
    return "url" if isinstance(spec, (RedisSpec, HttpSpec)) else ""
