"""Who passes requests to whom."""

from __future__ import annotations

from datetime import UTC, datetime

from opsctl.facts.base import Connection, Facts
from opsctl.facts.nginx import NginxFacts, Upstream
from opsctl.model import Reading, Snapshot, StackSummary, Target
from opsctl.wiring import passes_to

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def snapshot(*readings: tuple[Target, Facts | None]) -> Snapshot:
    return Snapshot(
        schema=1,
        opsctl_version="0",
        stack=StackSummary(name="x", flow="systemd", origin="test", services={}),
        taken_at=NOW,
        duration_seconds=0,
        deadline_seconds=10,
        readings=tuple(
            Reading(target=target, taken_at=NOW, duration_seconds=0, facts=facts)
            for target, facts in readings
        ),
    )


def test_upstreams_are_joined_to_the_services_that_listen_there() -> None:
    nginx = NginxFacts(
        connection=Connection(state="ok"),
        upstreams=[
            Upstream(address="localhost:8000"),
            Upstream(address="unix:/run/php/fpm.sock"),
            Upstream(address="10.0.0.9:1"),
        ],
    )
    found = passes_to(
        snapshot(
            (Target(kind="nginx", service="proxy", address="127.0.0.1:443"), nginx),
            (Target(kind="http", service="api", address="127.0.0.1:8000"), None),
            (Target(kind="http", service="site", address="127.0.0.1:8000", via="proxy"), None),
            (Target(kind="php", service="admin", address="/run/php/fpm.sock"), None),
        )
    )
    assert found == {"proxy": {"api", "admin"}}


def test_a_proxy_that_was_not_read_joins_nothing() -> None:
    assert passes_to(snapshot((Target(kind="nginx", service="proxy"), None))) == {}
