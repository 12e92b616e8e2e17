"""What is known of a Docker engine: does it answer, its version, its containers by state.

The container states carry the name that the engine's own metrics page gives them.
"""

from __future__ import annotations

from opsctl.facts.base import Annotated, Connection, Facts, Info, gauge
from opsctl.facts.docker_machine import Machine


class DockerFacts(Facts, frozen=True, kw_only=True, tag="docker"):
    """One engine at one moment. None is "not read", never zero."""

    up: Annotated[bool, gauge("opsctl_docker_up", "1 if the engine answered")] = True
    connection: Connection
    endpoint: str = ""
    project: str = ""
    version: Annotated[str, Info("opsctl_docker_version_info", "version", "Version of the engine")] = ""
    storage_driver: Annotated[
        str, Info("opsctl_docker_storage_driver_info", "driver", "How images and layers are stored")
    ] = ""
    cgroup_version: str = ""
    data_root: str = ""
    containers: Annotated[
        dict[str, int] | None,
        gauge("engine_daemon_container_states_containers", "Containers by state", key="state"),
    ] = None
    images: Annotated[int | None, gauge("opsctl_docker_images", "Images on this machine")] = None
    project_containers: Annotated[
        int | None, gauge("opsctl_docker_project_containers", "Containers of the Compose project")
    ] = None
    project_running: Annotated[
        int | None, gauge("opsctl_docker_project_containers_running", "Containers of the project that run")
    ] = None
    ping_seconds: Annotated[
        float | None, gauge("opsctl_docker_ping_seconds", "Time of one ping", unit="seconds")
    ] = None
    machine: Machine | None = None
    """Only where metrics are wanted."""
