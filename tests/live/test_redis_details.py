"""Redis for metrics: commands, databases from 0, and the server's own names."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsctl.facts.redis import RedisFacts
from opsctl.metrics import exposition, facts_from_series, parse_exposition, samples
from opsctl.probes.redis import probe
from opsctl.stack.specs import RedisSpec
from tests.live.series import value
from tests.servers.redis import RedisServer
from tests.unit.contexts import context_for

pytestmark = pytest.mark.live


@contextlib.contextmanager
def running(**options: Any) -> Iterator[RedisServer]:
    server = RedisServer(**options)
    with server:
        yield server


def read(server: RedisServer, detail: str = "metrics") -> RedisFacts:
    spec = RedisSpec(url=server.url, queues={"jobs": 100})
    context = context_for("redis", spec, Path("/"), 60.0)
    return probe(dataclasses.replace(context, options={"detail": detail}))


def series(facts: RedisFacts) -> dict[str, Any]:
    return parse_exposition(exposition(samples(facts)))


def test_what_standard_dashboards_chart() -> None:
    with running(databases=4, appendonly="yes") as server:
        with server.client() as client:
            for number in range(5):
                client.set(f"key{number}", "x", ex=1000 if number < 2 else None)
            client.rpush("jobs", "one")
        with server.client(db=3) as client:
            client.set("other", "x")
        facts = read(server)
        assert facts.problems == []
        found = series(facts)
        assert value(found, "redis_commands_total", cmd="set") == 6
        assert value(found, "redis_commands_duration_seconds_total", cmd="set") > 0
        assert value(found, "redis_commands_failed_calls_total", cmd="set") == 0
        assert value(found, "redis_db_keys", db="db0") == 6
        assert value(found, "redis_db_keys_expiring", db="db0") == 2
        assert value(found, "redis_db_keys", db="db3") == 1
        assert value(found, "redis_db_keys", db="db1") == 0
        assert len(found["redis_db_keys"]) == 4
        assert value(found, "redis_config_maxclients") == facts.maxclients
        assert value(found, "redis_aof_current_size_bytes") > 0
        for name in (
            "redis_connections_received_total",
            "redis_net_input_bytes_total",
            "redis_net_output_bytes_total",
            "redis_start_time_seconds",
        ):
            assert value(found, name) > 0
        assert value(found, "redis_expired_keys_total") == 0
        assert value(found, "redis_master_repl_offset") == 0
        ((labels, _),) = found["redis_instance_info"]
        assert labels["tcp_port"] == str(server.port)
        assert labels["redis_mode"] == "standalone"
        assert set(labels) >= {"os", "process_id", "redis_build_id", "run_id", "master_replid"}
        back = facts_from_series(RedisFacts, found)
        assert back.details == facts.details
        assert back.run_id == facts.run_id


def test_a_diagnosis_does_not_ask_for_it() -> None:
    with running() as server:
        facts = read(server, detail="")
        assert facts.details is None
        ((labels, _),) = series(facts)["redis_instance_info"]
        assert set(labels) == {"redis_version", "role", "maxmemory_policy"}
        with server.client() as client:
            commands = client.info("commandstats")
        assert "cmdstat_info" in commands
        assert read(server).details is not None


def test_a_user_that_may_not_ask_loses_only_that_part() -> None:
    with running() as server:
        with server.client() as client:
            client.execute_command(
                "ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all", "-config"
            )
        facts = read(server)
        assert facts.up
        assert [problem.part for problem in facts.problems] == ["CONFIG GET"]
        assert facts.details is not None
        assert facts.details.commands
        assert facts.details.config_maxclients is None
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "default", "+@all", "-info")
        facts = read(server)
        assert "INFO" in {problem.part for problem in facts.problems}
        assert facts.details is not None
        assert facts.details.commands == []
