"""Snapshots for tests of judging and showing: built from facts, without a look at this machine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from opsctl.facts.base import Connection, Facts
from opsctl.facts.redis import RedisFacts
from opsctl.model import Problem, Reading, ServiceSummary, Snapshot, StackSummary, Target
from opsctl.snapshot import SCHEMA

AT = datetime(2026, 11, 21, 4, 10, 2, 500000, UTC)


def redis(state: str = "ok", detail: str = "", **values: Any) -> RedisFacts:
    """Return the facts of a Redis, by default of one that is well and of which little is known."""
    return RedisFacts(
        up=state == "ok",
        connection=Connection(state=state, detail=detail, address="127.0.0.1:6379"),
        address="127.0.0.1:6379",
        **values,
    )


def snapshot(
    readings: dict[str, Facts | Problem], services: dict[str, list[str]] | None = None, flow: str = "systemd"
) -> Snapshot:
    """Return a snapshot of `{"service/kind": facts or problem}`; services lean on nothing by default."""
    built = []
    for name, value in readings.items():
        service, _, kind = name.partition("/")
        facts = None if isinstance(value, Problem) else value
        problem = value if isinstance(value, Problem) else None
        target = Target(kind=kind, service=service, address="127.0.0.1:6379")
        built.append(Reading(target=target, taken_at=AT, duration_seconds=0.01, facts=facts, problem=problem))
    names = {name.partition("/")[0] for name in readings} - {"host"}
    leans = services or {}
    return Snapshot(
        schema=SCHEMA,
        opsctl_version="0",
        stack=StackSummary(
            name="shop",
            flow=flow,
            origin="shop.yml",
            services={
                name: ServiceSummary(depends_on=tuple(leans.get(name, [])))
                for name in sorted(names | set(leans))
            },
        ),
        taken_at=AT,
        duration_seconds=0.25,
        deadline_seconds=10.0,
        readings=tuple(built),
    )
