"""What is known of a Compose service: its containers, and what the compose file says of them.

Metric names follow cAdvisor where it has one. Values of environment variables are never kept,
only the names of those that differ.
"""

from __future__ import annotations

from opsctl.facts.base import Annotated, Facts, Info, Label, Record, counter, gauge
from opsctl.facts.container_usage import Usage


class Instance(Record, frozen=True, kw_only=True):
    """One container of the service."""

    name: Annotated[str, Label("name")]
    image: Annotated[str, Label("image")]
    id: Annotated[str, Label("id")]

    state: Annotated[
        str,
        Info("opsctl_container_state_info", "state", "created, running, paused, restarting, exited, dead"),
    ] = ""
    error: str = ""
    exit_code: Annotated[
        int | None, gauge("opsctl_container_exit_code", "How the main process ended, where it has")
    ] = None
    started_at: Annotated[
        float | None, gauge("container_start_time_seconds", "Start of the container", unit="seconds")
    ] = None
    finished_at: Annotated[
        float | None,
        gauge("opsctl_container_finish_time_seconds", "Last end of the main process", unit="seconds"),
    ] = None
    restart_count: Annotated[
        int | None, counter("opsctl_container_restarts_total", "Restarts by the restart policy")
    ] = None
    restart_policy: str = ""
    deaths: list[float] = []
    """Moments of the last ten minutes at which the main process ended, as far as the engine remembers."""
    death_exit_code: Annotated[
        int | None,
        gauge("opsctl_container_last_death_exit_code", "How the main process ended the last of these times"),
    ] = None
    deaths_read: bool = False
    """Whether the engine told its events; without them `deaths` says nothing."""
    mounts: list[str] = []
    """Where on this machine the container's volumes and bound folders lie."""
    log_tail: list[str] = []
    """The last lines that the container wrote, only where it is not well."""

    health: Annotated[
        str,
        Info(
            "opsctl_container_health_info", "health", "healthy, unhealthy, starting; absent without a check"
        ),
    ] = ""
    failing_streak: Annotated[
        int | None, gauge("opsctl_container_health_failing_streak", "Health checks failed in a row")
    ] = None
    health_checked_at: Annotated[
        float | None,
        gauge(
            "opsctl_container_health_checked_timestamp_seconds",
            "End of the last health check",
            unit="seconds",
        ),
    ] = None
    health_exit_code: int | None = None
    health_output: str = ""
    health_every_seconds: Annotated[
        float | None,
        gauge(
            "opsctl_container_health_interval_seconds",
            "Interval and timeout of the health check together",
            unit="seconds",
        ),
    ] = None

    oom_killed: Annotated[
        bool | None, gauge("opsctl_container_oom_killed", "1 if the engine says that memory ended it")
    ] = None
    oom_kills: Annotated[
        int | None, counter("container_oom_events_total", "Processes killed for memory since the start")
    ] = None
    oom_at: Annotated[
        float | None,
        gauge(
            "opsctl_container_oom_timestamp_seconds", "Last kill for memory that is on record", unit="seconds"
        ),
    ] = None
    oom_process: str = ""
    oom_record: str = ""
    """Where `oom_at` comes from: the kernel's log, the engine's events, or nowhere."""
    memory_usage: Annotated[
        int | None, gauge("container_memory_usage_bytes", "Memory charged, page cache as well", unit="bytes")
    ] = None
    memory_working_set: Annotated[
        int | None,
        gauge("container_memory_working_set_bytes", "Memory charged less the idle page cache", unit="bytes"),
    ] = None
    memory_limit: Annotated[
        int | None, gauge("container_spec_memory_limit_bytes", "Memory limit, 0 for none", unit="bytes")
    ] = None

    cpu_limit: Annotated[
        float | None, gauge("opsctl_container_cpu_limit_cores", "CPU limit in cores, 0 for none")
    ] = None
    cpu_periods: Annotated[
        int | None, counter("container_cpu_cfs_periods_total", "Scheduling periods since the start")
    ] = None
    cpu_throttled_periods: Annotated[
        int | None, counter("container_cpu_cfs_throttled_periods_total", "Periods in which it had to wait")
    ] = None
    cpu_throttled_ratio: Annotated[
        float | None,
        gauge(
            "opsctl_container_cpu_throttled_ratio", "Share of the periods of the last second spent waiting"
        ),
    ] = None

    image_id: str = ""
    wanted_image: str = ""
    wanted_image_id: str | None = None
    networks: list[str] = []
    missing_networks: list[str] = []
    ports: list[str] = []
    missing_ports: list[str] = []
    log_driver: str = ""
    log_max_size: str = ""
    log_bytes: Annotated[
        int | None, gauge("opsctl_container_log_bytes", "Size of the json-file log", unit="bytes")
    ] = None
    environment_compared: int | None = None
    environment_differs: list[str] = []
    usage: Usage | None = None
    """Only where metrics are wanted."""


class ContainerFacts(Facts, frozen=True, kw_only=True, tag="container"):
    """One Compose service at one moment. None is "not read", never zero."""

    up: Annotated[bool, gauge("opsctl_container_service_up", "1 if a container of the service runs")] = True
    service: str = ""
    project: str = ""
    running: Annotated[
        int | None, gauge("opsctl_container_instances_running", "Containers of the service that run")
    ] = None
    wanted: Annotated[
        int | None, gauge("opsctl_container_instances_wanted", "Containers that the service should have")
    ] = None
    one_shot: bool = False
    """It is meant to end by itself with 0 (migrations, seeding)."""
    speaks_for_project: bool = False
    """One service of each stack says whether all of them are down, so that it is said once."""
    project_services: Annotated[
        int | None, gauge("opsctl_container_project_services", "Services of the stack that run in containers")
    ] = None
    project_services_running: Annotated[
        int | None,
        gauge(
            "opsctl_container_project_services_running",
            "Services of the project that have a running container",
        ),
    ] = None
    project_services_failed: Annotated[
        int | None,
        gauge("opsctl_container_project_services_failed", "Services of the project that ended with an error"),
    ] = None
    compose_file: str = ""
    env_files: list[str] = []
    instances: list[Instance] = []
