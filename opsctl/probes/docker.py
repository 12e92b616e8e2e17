"""Looks at the Docker engine: a ping, `info`, and the shared list of containers. Never `system df`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from opsctl.facts.base import Connection, FactProblem
from opsctl.facts.docker import DockerFacts
from opsctl.probes.base import ProbeError
from opsctl.probes.docker_api import ApiError, api, containers
from opsctl.probes.remembering import for_metrics, remembered
from opsctl.stack.specs import ComposeSpec

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext

INFO_SECONDS = 60.0
"""For how long versions, drivers and the number of images are believed by who asks again and again."""
PROJECT = "com.docker.compose.project"


def probe(context: ProbeContext) -> DockerFacts:
    """Return the facts of the engine; refusals, silence and missing rights are facts as well."""
    spec = context.spec
    assert isinstance(spec, ComposeSpec)
    engine = api(context)
    began = time.monotonic()
    try:
        engine.get("/_ping")
    except ApiError as error:
        if error.state == "unsupported":
            raise ProbeError(
                "unsupported", error.detail, "name a unix:// or tcp:// socket in compose.docker_host"
            ) from None
        connection = Connection(state=error.state, detail=error.detail, address=engine.endpoint)
        return DockerFacts(up=False, connection=connection, endpoint=engine.endpoint, project=spec.project)
    ping = time.monotonic() - began
    problems: list[FactProblem] = []
    values: dict[str, Any] = {}
    try:
        if for_metrics(context):  # the engine starts processes to answer it
            values |= remembered(context, "info", INFO_SECONDS, lambda: info_values(engine.json("/info")))
        else:
            values |= info_values(engine.json("/info"))
    except ApiError as error:
        problems.append(FactProblem(part="info", code="refused", message=f"docker info: {error.detail}"))
    try:
        listed = containers(context)
        values |= project_values(listed, spec.project)
        if for_metrics(context):
            values["containers"] = states(listed)
    except ApiError as error:
        problems.append(FactProblem(part="containers", code="refused", message=f"docker ps: {error.detail}"))
    if for_metrics(context) and engine.endpoint.startswith("unix:"):
        from opsctl.probes.docker_machine import machine

        values["machine"] = machine()
    return DockerFacts(
        up=True,
        connection=Connection(state="ok", address=engine.endpoint, seconds=ping),
        endpoint=engine.endpoint,
        project=spec.project,
        ping_seconds=ping,
        problems=problems,
        **values,
    )


def info_values(info: Any) -> dict[str, Any]:
    """Return the fields of `DockerFacts` that `docker info` holds. Pure."""
    if not isinstance(info, dict):
        return {}

    def number(name: str) -> int | None:
        value = info.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    states = {
        "running": number("ContainersRunning"),
        "paused": number("ContainersPaused"),
        "stopped": number("ContainersStopped"),
    }
    known = {name: value for name, value in states.items() if value is not None}
    return {
        "version": str(info.get("ServerVersion") or "")[:60],
        "storage_driver": str(info.get("Driver") or "")[:60],
        "cgroup_version": str(info.get("CgroupVersion") or "")[:10],
        "data_root": str(info.get("DockerRootDir") or "")[:300],
        "containers": known or None,
        "images": number("Images"),
    }


def states(listed: list[dict[str, Any]]) -> dict[str, int]:
    """Return how many containers run, are paused, are stopped, as `docker info` counts them. Pure."""
    found = {"running": 0, "paused": 0, "stopped": 0}
    for item in listed:
        state = item.get("State")
        found[state if state in found else "stopped"] += 1
    return found


def project_values(listed: list[dict[str, Any]], project: str) -> dict[str, Any]:
    """Return how many containers the project has, and how many of them run. Pure."""
    own = [item for item in listed if (item.get("Labels") or {}).get(PROJECT) == project]
    return {
        "project_containers": len(own),
        "project_running": sum(1 for item in own if item.get("State") == "running"),
    }
