"""Redis for metrics: INFO with its command statistics, databases, and the server's own names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsctl.facts.redis import RedisFacts
from opsctl.facts.redis_details import CommandCount, Keyspace
from opsctl.metrics import samples
from opsctl.probes.redis_details import command_counts, detail_values, keyspaces
from opsctl.probes.redis_parsing import info_fields

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
"""The machine may be busy."""

DATA = Path(__file__).parent / "data" / "redis"


def info(name: str = "all_7.0.15") -> dict[str, Any]:
    """Return the fields of a stored INFO text."""
    return info_fields((DATA / f"info_{name}.txt").read_text())


def test_commands_of_a_real_server() -> None:
    found = {item.cmd: item for item in command_counts(info())}
    assert found["set"].calls == 2
    assert found["config|get"].calls == 1
    assert (found["lpush"].calls, found["lpush"].failed, found["lpush"].rejected) == (1, 1, 0)
    assert 0 < (found["blpop"].seconds or 0) < 1


def test_a_server_that_counts_less() -> None:
    old = {"cmdstat_get": {"calls": 3, "usec": 1500, "usec_per_call": 500.0}, "cmdstat_bad": 1, "other": {}}
    assert command_counts(old) == [CommandCount(cmd="get", calls=3, seconds=0.0015)]


def test_databases_of_a_real_server() -> None:
    found = {item.db: item for item in keyspaces(info(), "16")}
    assert len(found) == 16
    assert (found["db0"].keys, found["db0"].expiring) == (2, 1)
    assert (found["db9"].keys, found["db9"].expiring) == (1, 0)
    assert found["db1"] == Keyspace(db="db1", keys=0, expiring=0)
    assert {item.db for item in keyspaces(info())} == {"db0", "db9"}
    assert len(keyspaces({}, "100000")) == 16


def test_the_rest_of_info() -> None:
    values = detail_values(info(), info(), {"maxclients": "10000", "databases": "16"}, 3)
    details = values.pop("details")
    assert details.config_maxclients == 10000
    assert details.connections_received == info()["total_connections_received"]
    assert details.input_bytes == info()["total_net_input_bytes"]
    assert details.aof_current_size == info()["aof_current_size"]
    assert details.slow_log_length == 3
    assert details.replication_offset == 0
    assert details.started_at == info()["server_time_usec"] // 1_000_000 - info()["uptime_in_seconds"]
    assert values["mode"] == "standalone"
    assert values["tcp_port"] == str(info()["tcp_port"])
    (found,) = [item for item in samples(RedisFacts(**values)) if item.metric.name == "redis_instance_info"]
    names = {"os", "process_id", "redis_build_id", "redis_mode", "run_id", "tcp_port", "master_replid"}
    assert {name for name, _ in found.labels} == names


def test_nothing_read_is_nothing_said() -> None:
    values = detail_values({}, {}, {})
    assert not list(samples(values.pop("details")))
    assert values == {}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.dictionaries(
        st.sampled_from(["calls", "usec", "keys", "expires", "avg_ttl", "rejected_calls"]), inner, max_size=4
    ),
    max_leaves=3,
)
WORDS = ["db0", "db7", "db", "dbx", "db99999999999999", "cmdstat_get", "cmdstat_", "os", "tcp_port"]
NUMBERS = ["total_net_input_bytes", "used_cpu_sys", "latest_fork_usec", "server_time_usec"]
NAMES = st.sampled_from([*WORDS, *NUMBERS, "uptime_in_seconds"])


@CALM
@given(
    st.dictionaries(NAMES, ANYTHING, max_size=8),
    st.dictionaries(st.sampled_from(["maxclients", "databases"]), st.text(max_size=12)),
)
def test_no_answer_breaks_anything(given_info: dict[str, Any], config: dict[str, str]) -> None:
    list(samples(RedisFacts(**detail_values(given_info, given_info, config))))
