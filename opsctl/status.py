"""Snapshot to the state of everything that runs: one row a container or unit. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from opsctl.facts.container import ContainerFacts
    from opsctl.facts.systemd import SystemdFacts
    from opsctl.model import Reading, Snapshot

KINDS = frozenset({"container", "systemd"})
STATES = ("running", "active")
"""States in which nothing has to be done."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One container or unit. None and empty are "not known". `since` is a unix time."""

    service: str
    kind: str
    name: str
    state: str
    health: str = ""
    since: float | None = None
    restarts: int | None = None
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    runs: str = ""
    problem: str = ""

    @property
    def well(self) -> bool:
        """True where it runs and no health check says otherwise."""
        return self.state in STATES and self.health in ("", "healthy")


def rows(snapshot: Snapshot) -> list[Row]:
    """Return the rows of a snapshot, in the order of the stack."""
    result: list[Row] = []
    for reading in snapshot.readings:
        if reading.target.kind not in KINDS:
            continue
        if reading.facts is None:
            result.append(_unread(reading))
        elif reading.target.kind == "container":
            result.extend(_containers(reading))
        else:
            result.extend(_units(reading))
    return result


def _unread(reading: Reading) -> Row:
    problem = reading.problem.message if reading.problem else "not read"
    return Row(
        service=reading.target.service,
        kind=reading.target.kind,
        name=reading.target.address or reading.target.id,
        state="unknown",
        problem=problem,
    )


def _containers(reading: Reading) -> list[Row]:
    facts: Any = reading.facts
    container: ContainerFacts = facts
    service = reading.target.service
    if not container.instances:
        name = reading.target.address
        return [Row(service=service, kind="container", name=name, state="missing")]
    return [
        Row(
            service=service,
            kind="container",
            name=item.name,
            state=item.state or "unknown",
            health=item.health,
            since=item.started_at if item.state == "running" else item.finished_at,
            restarts=item.restart_count,
            memory_bytes=item.memory_working_set
            if item.memory_working_set is not None
            else item.memory_usage,
            memory_limit_bytes=item.memory_limit or None,
            runs=item.image,
            problem=item.error,
        )
        for item in container.instances
    ]


def _units(reading: Reading) -> list[Row]:
    facts: Any = reading.facts
    unit: SystemdFacts = facts
    return [
        Row(
            service=reading.target.service,
            kind="systemd",
            name=item.name,
            state=_unit_state(item.state, item.load_state),
            health=item.result if item.result not in ("", "success") else "",
            since=item.started_at if item.running else item.changed_at or item.stopped_at,
            restarts=item.restarts,
            memory_bytes=item.memory_current,
            memory_limit_bytes=item.memory_max,
            runs=item.file,
            problem=item.load_error,
        )
        for item in unit.units
    ]


def _unit_state(state: str, load_state: str) -> str:
    if load_state == "not-found":
        return "missing"
    return "masked" if load_state == "masked" else state or "unknown"
