"""Facts of systemd that only metrics want: all units of the machine, not the stack's alone.

Two standard exporters tell the same under two names; both names are declared beside one value.
"""

from __future__ import annotations

from opsctl.facts.base import Annotated, Label, Metric, Record, beside, counter, gauge


def _typed(metric: Metric) -> Metric:
    return beside(metric, type="type")


class AnyUnit(Record, frozen=True, kw_only=True):
    """One service, socket or timer of the machine. None is "not read", or not of this type of unit."""

    name: Annotated[str, Label("name")]
    type: str = ""
    states: Annotated[
        dict[str, int],
        _typed(gauge("systemd_unit_state", "1 for the state that the unit is in", key="state")),
    ] = {}
    tasks: Annotated[int | None, gauge("systemd_unit_tasks_current", "Processes and threads of the unit")] = (
        None
    )
    tasks_max: Annotated[
        int | None,
        _typed(gauge("systemd_unit_tasks_max", "Most processes and threads of the unit")),
        gauge("node_systemd_unit_tasks_max", "Most processes and threads of the unit"),
    ] = None
    restarts: Annotated[
        int | None,
        counter("systemd_service_restart_total", "Automatic restarts since it was started by hand"),
    ] = None
    accepted: Annotated[
        int | None,
        counter("systemd_socket_accepted_connections_total", "Connections accepted by the socket"),
        counter("node_systemd_socket_accepted_connections_total", "Connections accepted by the socket"),
    ] = None
    connections: Annotated[
        int | None,
        gauge("systemd_socket_current_connections", "Connections of the socket that are open"),
        gauge("node_systemd_socket_current_connections", "Connections of the socket that are open"),
    ] = None
    refused: Annotated[
        int | None,
        gauge("systemd_socket_refused_connections_total", "Connections refused by the socket"),
        gauge("node_systemd_socket_refused_connections_total", "Connections refused by the socket"),
    ] = None
    last_trigger: Annotated[
        float | None,
        gauge("systemd_timer_last_trigger_seconds", "When the timer went off last", unit="seconds"),
        gauge("node_systemd_timer_last_trigger_seconds", "When the timer went off last", unit="seconds"),
    ] = None


class SystemdDetails(Record, frozen=True, kw_only=True):
    """The machine's units, told by one service of the stack."""

    counted: Annotated[
        dict[str, int], gauge("node_systemd_units", "Units that are loaded, by state", key="state")
    ] = {}
    units: list[AnyUnit] = []
