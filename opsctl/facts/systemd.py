"""What systemd says of a unit of the stack, and of the units that a collective one stands for.

Names follow node_exporter's systemd collector where it has one.
"""

from __future__ import annotations

from opsctl.facts.base import Annotated, Facts, Info, Label, Record, beside, counter, gauge
from opsctl.facts.systemd_details import SystemdDetails

STATES = ("active", "activating", "deactivating", "failed", "inactive")


class Unit(Record, frozen=True, kw_only=True):
    """One unit. Times are unix seconds; None is "not read" or "never"."""

    name: Annotated[str, Label("name")]
    states: Annotated[
        dict[str, int],
        beside(
            gauge("node_systemd_unit_state", "1 for the state that the unit is in", key="state"), type="type"
        ),
    ] = {}
    sub_state: Annotated[
        str, Info("opsctl_systemd_unit_sub_state_info", "sub_state", "State in the words of the unit's type")
    ] = ""
    load_state: Annotated[
        str, Info("opsctl_systemd_unit_load_state_info", "load_state", "loaded, not-found, masked, …")
    ] = ""
    file_state: Annotated[
        str, Info("opsctl_systemd_unit_file_state_info", "file_state", "enabled, disabled, static, …")
    ] = ""
    result: Annotated[
        str,
        Info("opsctl_systemd_unit_result_info", "result", "How the last run ended: success, exit-code, …"),
    ] = ""
    type: Annotated[str, Info("opsctl_systemd_unit_type_info", "type", "Type= of the service")] = ""
    exit_status: Annotated[
        int | None, gauge("opsctl_systemd_unit_exit_status", "Exit status or signal of the main process")
    ] = None
    killed_by_signal: Annotated[
        bool | None, gauge("opsctl_systemd_unit_killed_by_signal", "1 if that status is a signal")
    ] = None
    restarts: Annotated[
        int | None,
        counter("node_systemd_service_restart_total", "Automatic restarts since it was started by hand"),
    ] = None
    restarts_lately: Annotated[
        int | None, gauge("opsctl_systemd_unit_restarts_10m", "Automatic restarts in ten minutes")
    ] = None
    oom_kills_lately: Annotated[
        int | None,
        gauge("opsctl_systemd_unit_oom_kills_10m", "Processes killed for want of memory in 10 min"),
    ] = None
    last_oom_kill: Annotated[
        float | None,
        gauge("opsctl_systemd_unit_last_oom_kill_timestamp_seconds", "Last such kill", unit="seconds"),
    ] = None
    started_at: Annotated[
        float | None,
        gauge("node_systemd_unit_start_time_seconds", "When it became active", unit="seconds"),
    ] = None
    stopped_at: Annotated[
        float | None,
        gauge("opsctl_systemd_unit_stop_time_seconds", "When it became inactive or failed", unit="seconds"),
    ] = None
    changed_at: Annotated[
        float | None,
        gauge("opsctl_systemd_unit_change_time_seconds", "When its state changed last", unit="seconds"),
    ] = None
    needs_reload: Annotated[
        bool | None, gauge("opsctl_systemd_unit_needs_reload", "1 if its file changed since systemd read it")
    ] = None
    memory_current: Annotated[
        int | None, gauge("opsctl_systemd_unit_memory_bytes", "Memory of its processes", unit="bytes")
    ] = None
    memory_max: Annotated[
        int | None, gauge("opsctl_systemd_unit_memory_limit_bytes", "MemoryMax=", unit="bytes")
    ] = None
    tasks: Annotated[
        int | None, gauge("node_systemd_unit_tasks_current", "Processes and threads of the unit")
    ] = None
    remains_after_exit: Annotated[
        bool | None, gauge("opsctl_systemd_unit_remains_after_exit", "RemainAfterExit=")
    ] = None
    condition_failed: Annotated[
        bool | None, gauge("opsctl_systemd_unit_condition_failed", "1 if a Condition*= kept it from starting")
    ] = None
    member: Annotated[
        bool, gauge("opsctl_systemd_unit_is_member", "1 if it is part of the unit that the stack names")
    ] = False
    main_pid: int | None = None
    restart_policy: str = ""
    file: str = ""
    load_error: str = ""
    environment_files: list[str] = []
    triggered_by: list[str] = []
    wanted_by: list[str] = []
    log: list[str] = []

    @property
    def state(self) -> str:
        """The state that the unit is in: active, inactive, failed, activating, deactivating, …."""
        return next((name for name, value in self.states.items() if value), "")

    @property
    def running(self) -> bool:
        """True where it does what it is for: it runs, or it is done and stays active."""
        return self.state in ("active", "reloading", "refreshing")


class SystemdFacts(Facts, frozen=True, kw_only=True, tag="systemd"):
    """A unit of the stack, first in `units`, and its members where it only stands for others."""

    up: Annotated[bool, gauge("opsctl_systemd_unit_up", "1 if the unit is active")] = True
    asked: str = ""
    units: list[Unit] = []
    details: SystemdDetails | None = None
    """Only where metrics are wanted."""
