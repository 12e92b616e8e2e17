"""Fix commands name what the stack says runs the service, and nothing where it does not say."""

from __future__ import annotations

import msgspec
import pytest

from opsctl.facts.base import Connection, Facts
from opsctl.facts.monitoring import MonitoringFacts
from opsctl.facts.php import PhpFacts
from opsctl.facts.postgres import PostgresFacts
from opsctl.facts.telegram import TelegramFacts
from opsctl.judge import judge
from opsctl.model import ServiceSummary
from tests.unit.snapshots import redis, snapshot

REFUSED = Connection(state="refused", detail="Connection refused")
DOWN: dict[str, Facts] = {
    "postgres": PostgresFacts(up=False, connection=REFUSED, address="127.0.0.1:5432"),
    "redis": redis("refused", "Connection refused"),
    "php": PhpFacts(up=False, connection=REFUSED, address="/run/php/pool.sock"),
    "monitoring": MonitoringFacts(up=False, connection=REFUSED, program="prometheus", url="http://h:9090"),
    "telegram": TelegramFacts(up=False, connection=Connection(state="missing"), token_source="BOT_TOKEN"),
}
NOT_OF_THE_STACK = ("redis-server", "postgresql", "pg_lsclusters", "php-fpm8.2", "compose ps", " bot", " db")


def commands(kind: str, unit: str = "", container: str = "") -> str:
    taken = snapshot({f"zebra/{kind}": DOWN[kind]})
    stack = msgspec.structs.replace(
        taken.stack, services={"zebra": ServiceSummary(unit=unit, container=container)}
    )
    found = [item for item in judge(msgspec.structs.replace(taken, stack=stack)) if item.status.failing]
    assert found
    return "\n".join("\n".join(item.remediation.commands) for item in found if item.remediation)


@pytest.mark.parametrize("kind", DOWN)
def test_a_unit_a_container_or_nothing(kind: str) -> None:
    unit, container, unknown = (
        commands(kind, unit="zoo.service"),
        commands(kind, container="cage"),
        commands(kind),
    )
    assert "systemctl status --no-pager zoo.service" in unit
    assert "docker" not in unit
    assert "docker ps -a --filter label=com.docker.compose.service=cage" in container
    for text in (unit, container, unknown):
        assert not any(word in text for word in NOT_OF_THE_STACK), text
    for text in (container, unknown):
        assert "systemctl" not in text
        assert "journalctl" not in text
    assert "docker" not in unknown


def test_debians_postgresql_service_stands_for_its_clusters() -> None:
    text = commands("postgres", unit="postgresql.service")
    assert "pg_lsclusters" in text
    assert "'postgresql@*'" in text
