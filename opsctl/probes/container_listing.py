"""Which of the engine's containers belong to which Compose service: one list for all services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.probes.docker_api import api

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext
    from opsctl.stack.specs import ServiceSpec

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
ONE_OFF = "com.docker.compose.oneoff"


class Listing:
    """The engine's list of containers, made ready once per run for any number of services."""

    def __init__(self, listed: list[dict[str, Any]]) -> None:
        self._by_label: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._by_name: dict[str, list[dict[str, Any]]] = {}
        for item in listed:
            labels = item.get("Labels") or {}
            if str(labels.get(ONE_OFF, "")).lower() != "true":  # that is `docker compose run`
                key = (str(labels.get(PROJECT)), str(labels.get(SERVICE)))
                self._by_label.setdefault(key, []).append(item)
            for name in item.get("Names") or []:
                self._by_name.setdefault(str(name).lstrip("/"), []).append(item)

    def of_service(self, project: str, service: str) -> list[dict[str, Any]]:
        """Return the containers of a Compose service; by container name where no label fits."""
        return self._by_label.get((project, service)) or self._by_name.get(service, [])


def of_service(listed: list[dict[str, Any]], project: str, service: str) -> list[dict[str, Any]]:
    """Return the listed containers of one Compose service; for several, keep a `Listing`. Pure."""
    return Listing(listed).of_service(project, service)


def own_containers(
    context: ProbeContext, service: ServiceSpec, listed: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the containers of a service of the stack: of its own project, without one-off runs."""
    listing = context.shared.once(("docker listing", api(context).endpoint), lambda: Listing(listed))
    compose = context.stack.spec.compose
    return listing.of_service(service.project or (compose.project if compose else ""), service.container)


def speaker(context: ProbeContext, lasting: dict[str, str]) -> str:
    """Return the service that speaks for the project: the first one of those that are looked at."""
    wanted = context.options.get("wanted")
    for name, container in lasting.items():
        target = msgspec.structs.replace(context.target, service=name, address=container)
        if wanted is None or wanted(target):
            return name
    return ""
