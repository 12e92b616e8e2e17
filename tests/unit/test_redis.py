"""Redis: what INFO, CONFIG GET, errors and /proc say, and what the checks make of facts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.checks import checks_for
from opsctl.facts.base import Connection, FactProblem
from opsctl.facts.redis import Queue, RedisFacts, SlowCommand
from opsctl.judge import judge
from opsctl.metrics import exposition, facts_from_series, parse_exposition, samples
from opsctl.model import Finding, Reading, Snapshot, StackSummary, Status, Target
from opsctl.probes.redis_parsing import (
    answer_state,
    config_values,
    info_fields,
    info_values,
    process_state,
    slow_command,
)
from opsctl.probes.redis_window import near_full

DATA = Path(__file__).parent / "data" / "redis"
NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
MIB = 1024 * 1024


def info(name: str) -> dict[str, Any]:
    """Return the fields of a stored INFO text."""
    return info_fields((DATA / f"info_{name}.txt").read_text())


def judged(**facts: Any) -> dict[str, list[Finding]]:
    """Return the findings of every check on these facts, by name."""
    target = Target(kind="redis", service="cache", address="127.0.0.1:6379")
    read = RedisFacts(**({"address": "127.0.0.1:6379"} | facts))
    snapshot = Snapshot(
        schema=1,
        opsctl_version="0",
        stack=StackSummary(name="x", flow="redis", origin="", services={}),
        taken_at=NOW,
        duration_seconds=0,
        deadline_seconds=10,
        readings=(Reading(target=target, taken_at=NOW, duration_seconds=0, facts=read),),
    )
    result: dict[str, list[Finding]] = {}
    for finding in judge(snapshot):
        result.setdefault(finding.id.removeprefix("redis/"), []).append(finding)
    return result


def only(found: dict[str, list[Finding]], name: str) -> Finding:
    (finding,) = found[name]
    return finding


def failing(found: dict[str, list[Finding]]) -> set[str]:
    return {name for name, findings in found.items() if any(item.status.failing for item in findings)}


HEALTHY: dict[str, Any] = {
    **info_values(info("master_7.0.15")),
    **config_values({"min-replicas-to-write": "0", "save": "3600 1", "stop-writes-on-bgsave-error": "yes"}),
    "ping_seconds": 0.001,
    "evicted_per_second": 0.0,
    "listens_beyond_loopback": False,
}


REPLICA = {"role": "slave", "expected_replica": True}


def test_a_fresh_master_is_healthy_and_wholly_seen() -> None:
    found = judged(**HEALTHY)
    assert {item.status for findings in found.values() for item in findings} == {Status.OK}
    assert len(found) == len(checks_for("redis")) == 15


def test_values_of_a_master() -> None:
    values = info_values(info("master_7.0.15"))
    assert values["version"] == "7.0.15"
    assert values["role"] == "master"
    assert values["maxmemory"] == 0
    assert values["maxmemory_policy"] == "noeviction"
    assert values["rdb_last_save_ok"] is True
    assert values["aof_enabled"] is False
    assert values["master_link_up"] is None
    assert values["maxclients"] == 10000
    assert values["server_time"] == pytest.approx(1795236000, abs=10_000_000)


def test_values_of_replicas() -> None:
    linked, cut = info_values(info("replica_7.0.15")), info_values(info("replica_link_down_7.0.15"))
    assert linked["master_link_up"] is True
    assert linked["refuses_writes_as_replica"] is True
    assert linked["master_address"].startswith("127.0.0.1:")
    assert cut["master_link_up"] is False
    assert isinstance(cut["master_link_down_seconds"], int)


def test_a_full_server_refuses_writes() -> None:
    found = judged(**(HEALTHY | info_values(info("full_7.0.15"))))
    assert only(found, "memory-full").status is Status.CRITICAL
    assert "refuses writes" in only(found, "memory-full").summary


@pytest.mark.parametrize(
    ("change", "name", "status"),
    [
        ({"used_memory": 95 * MIB, "maxmemory": 100 * MIB}, "memory-full", Status.WARNING),
        ({"used_memory": 100 * MIB, "maxmemory": 100 * MIB}, "memory-full", Status.CRITICAL),
        ({"used_memory": 3 * MIB - 20_000, "maxmemory": 3 * MIB}, "memory-full", Status.CRITICAL),
        (
            {"used_memory": 99 * MIB, "maxmemory": 100 * MIB, "over_maxmemory_milliseconds": 5},
            "memory-full",
            Status.CRITICAL,
        ),
        (
            {"used_memory": 110 * MIB, "maxmemory": 100 * MIB, "not_counted_for_eviction": 60 * MIB},
            "memory-full",
            Status.OK,
        ),
        (
            {"used_memory": 110, "maxmemory": 100, "maxmemory_policy": "allkeys-lru"},
            "memory-full",
            Status.OK,
        ),
        (
            {"used_memory": 95 * MIB, "maxmemory": 100 * MIB, "refused_writes_per_second": 2.0},
            "memory-full",
            Status.CRITICAL,
        ),
        (
            {
                "used_memory": 95,
                "maxmemory": 100,
                "maxmemory_policy": "volatile-ttl",
                "refused_writes_per_second": 2.0,
            },
            "memory-full",
            Status.CRITICAL,
        ),
        ({"evicted_per_second": 3.0}, "evicting", Status.OK),
        ({"evicted_per_second": 300.0}, "evicting", Status.WARNING),
        ({"evicted_per_second": None}, "evicting", Status.UNKNOWN),
        ({"rdb_last_save_ok": False}, "save-failing", Status.CRITICAL),
        ({"rdb_last_save_ok": False, "saves_by_itself": False}, "save-failing", Status.WARNING),
        ({"rdb_last_save_ok": False, "stop_writes_on_save_error": False}, "save-failing", Status.WARNING),
        ({"rdb_last_save_ok": False, "stop_writes_on_save_error": None}, "save-failing", Status.WARNING),
        ({"aof_enabled": True, "aof_last_write_ok": False}, "append-failing", Status.CRITICAL),
        (
            {"role": "slave", "refuses_writes_as_replica": True, "master_link_up": True},
            "read-only",
            Status.CRITICAL,
        ),
        ({"role": "slave", "refuses_writes_as_replica": False}, "read-only", Status.OK),
        ({"role": "slave", "expected_replica": True}, "read-only", Status.OK),
        ({"good_replicas": 0, "min_replicas_to_write": 1}, "read-only", Status.CRITICAL),
        ({"good_replicas": 1, "min_replicas_to_write": 1}, "read-only", Status.OK),
        ({"good_replicas": 1, "min_replicas_to_write": None}, "read-only", Status.UNKNOWN),
        ({"role": ""}, "read-only", Status.UNKNOWN),
        (
            {**REPLICA, "master_link_up": False, "master_link_down_seconds": 4},
            "replication-broken",
            Status.OK,
        ),
        (
            {**REPLICA, "master_link_up": False, "master_link_down_seconds": 40},
            "replication-broken",
            Status.WARNING,
        ),
        (
            {**REPLICA, "master_link_up": False, "master_link_down_seconds": 400},
            "replication-broken",
            Status.CRITICAL,
        ),
        (
            {**REPLICA, "master_link_up": False, "master_sync_in_progress": True},
            "replication-broken",
            Status.OK,
        ),
        ({"expected_replicas": 2, "connected_replicas": 1}, "replication-broken", Status.WARNING),
        ({"expected_replicas": 2, "connected_replicas": 0}, "replication-broken", Status.CRITICAL),
        ({"connected_clients": 85, "maxclients": 100}, "clients-exhausted", Status.WARNING),
        ({"connected_clients": 100, "maxclients": 100}, "clients-exhausted", Status.CRITICAL),
        ({"maxclients": None}, "clients-exhausted", Status.UNKNOWN),
        (
            {"allocator_fragmentation": 50 * MIB, "allocator_fragmentation_ratio": 9.0},
            "fragmented",
            Status.OK,
        ),
        (
            {"allocator_fragmentation": 500 * MIB, "allocator_fragmentation_ratio": 1.2},
            "fragmented",
            Status.OK,
        ),
        (
            {"allocator_fragmentation": 500 * MIB, "allocator_fragmentation_ratio": 2.0},
            "fragmented",
            Status.WARNING,
        ),
        (
            {
                "allocator_fragmentation_ratio": None,
                "fragmentation_ratio": 4.0,
                "used_memory": MIB,
                "used_memory_rss": 400 * MIB,
            },
            "fragmented",
            Status.WARNING,
        ),
        ({"listens_beyond_loopback": None}, "exposed", Status.UNKNOWN),
        ({"listens_beyond_loopback": True, "needs_password": True}, "exposed", Status.WARNING),
        (
            {"listens_beyond_loopback": True, "needs_password": False, "protected_mode": False},
            "exposed",
            Status.CRITICAL,
        ),
        (
            {"listens_beyond_loopback": True, "needs_password": False, "protected_mode": True},
            "exposed",
            Status.OK,
        ),
        ({"listens_beyond_loopback": True, "may_be_exposed": True}, "exposed", Status.OK),
        ({"queues": [Queue(name="tasks", limit=10, length=9)]}, "queue-growing", Status.OK),
        ({"queues": [Queue(name="tasks", limit=10, length=10)]}, "queue-growing", Status.WARNING),
        ({"queues": [Queue(name="tasks", limit=10, length=100)]}, "queue-growing", Status.CRITICAL),
        ({"queues": [Queue(name="tasks", limit=10)]}, "queue-growing", Status.UNKNOWN),
    ],
)
def test_judging(change: dict[str, Any], name: str, status: Status) -> None:
    found = judged(**(HEALTHY | change))
    assert only(found, name).status is status
    assert failing(found) <= {name}


def test_a_policy_that_finds_nothing_to_evict_refuses_writes() -> None:
    full = {
        "used_memory": 110,
        "maxmemory": 100,
        "maxmemory_policy": "volatile-lru",
        "over_maxmemory_milliseconds": 2000,
    }
    assert only(judged(**(HEALTHY | full)), "memory-full").status is Status.CRITICAL
    busy = full | {"evicted_per_second": 50.0}
    assert only(judged(**(HEALTHY | busy)), "memory-full").status is Status.OK


@pytest.mark.parametrize(
    ("state", "more", "name"),
    [
        ("refused", {}, "down"),
        ("name-unresolved", {}, "down"),
        ("protocol", {}, "down"),
        ("timeout", {"accepted": False}, "down"),
        ("ok", {}, "down"),  # rebuilt from metrics: redis_up is 0 and nothing else is known
        ("timeout", {"accepted": True}, "hung"),
        ("timeout", {"accepted": True, "process_state": "T", "process_id": 7}, "hung"),
        ("timeout", {"accepted": False, "process_state": "T", "process_id": 7}, "hung"),
        ("timeout", {"accepted": True, "process_state": "D", "process_id": 7}, "hung"),
        ("timeout", {"accepted": True, "process_state": "S", "process_waits_in": "ep_poll"}, "hung"),
        ("timeout", {"accepted": True, "process_state": "R", "process_id": 7}, "blocked-by-slow-command"),
        (
            "timeout",
            {"accepted": True, "process_state": "S", "process_waits_in": "hrtimer_nanosleep"},
            "blocked-by-slow-command",
        ),
        ("busy", {}, "blocked-by-slow-command"),
        ("auth-failed", {}, "auth-failed"),
        ("clients-exhausted", {}, "clients-exhausted"),
        ("loading", {"loading": True, "loading_eta_seconds": 12}, "loading"),
    ],
)
def test_exactly_one_check_names_why_there_is_no_answer(state: str, more: dict[str, Any], name: str) -> None:
    found = judged(up=False, connection=Connection(state=state, detail="words"), **more)
    assert failing(found) == {name}
    assert only(found, name).status is Status.CRITICAL
    assert only(found, "memory-full").status is Status.BLOCKED
    assert all(item.status is not Status.UNKNOWN for items in found.values() for item in items)


def test_no_permission_is_unknown() -> None:
    found = judged(up=False, connection=Connection(state="no-permission", detail="Permission denied"))
    assert only(found, "down").status is Status.UNKNOWN
    assert failing(found) == set()


def test_a_slow_command_is_reported_for_a_minute() -> None:
    at = NOW.timestamp()
    old = SlowCommand(command="KEYS", microseconds=9_000_000, ended_at=at - 61)
    short = SlowCommand(command="GET", microseconds=900_000, ended_at=at - 1)
    fresh = SlowCommand(command="KEYS", microseconds=2_500_000, ended_at=at - 59)
    base = HEALTHY | {"server_time": at}
    assert failing(judged(**base, slow_commands=[old, short])) == set()
    finding = only(judged(**base, slow_commands=[old, short, fresh]), "blocked-by-slow-command")
    assert finding.status is Status.WARNING
    assert finding.summary == "KEYS held Redis for 2.5 s, 2 slow commands in the last minute"


@pytest.mark.parametrize(
    ("growth", "said"),
    [
        (None, "from 10 on"),
        (0.0, "neither grows nor shrinks"),
        (2.0, "grows by 2 a second"),
        (-0.4, "shrinks by 0.4 a second"),
    ],
)
def test_a_long_queue_is_said_to_move_as_it_does(growth: float | None, said: str) -> None:
    queue = Queue(name="tasks", limit=10, length=20, growth_per_second=growth)
    finding = only(judged(**(HEALTHY | {"queues": [queue]})), "queue-growing")
    assert finding.status is Status.WARNING
    assert finding.summary.endswith(said)
    assert finding.remediation is not None
    assert ("catch up" in finding.remediation.text) == (growth is not None and growth < 0)


def test_no_command_walks_through_the_keyspace() -> None:
    full = {"used_memory": 100 * MIB, "maxmemory": 100 * MIB, "maxmemory_policy": "noeviction"}
    found = judged(**(HEALTHY | full | {"evicted_per_second": 900.0}))
    for name in ("memory-full", "evicting"):
        remedy = only(found, name).remediation
        assert remedy is not None
        assert "--bigkeys" in remedy.text
        assert not any("--bigkeys" in command for command in remedy.commands)


def test_the_server_s_own_clock_counts() -> None:
    ahead = NOW.timestamp() + 3600
    entry = SlowCommand(command="KEYS", microseconds=2_000_000, ended_at=ahead - 5)
    found = judged(**(HEALTHY | {"server_time": ahead}), slow_commands=[entry])
    assert failing(found) == {"blocked-by-slow-command"}


def test_a_user_without_rights_leaves_checks_unknown() -> None:
    hint = "let the user run SLOWLOG GET"
    problem = FactProblem(part="SLOWLOG", code="permission", message="SLOWLOG: NOPERM", hint=hint)
    finding = only(judged(**HEALTHY, problems=[problem]), "blocked-by-slow-command")
    assert finding.status is Status.UNKNOWN
    assert finding.hint == hint


@pytest.mark.parametrize(
    ("words", "kinds", "state"),
    [
        ("NOAUTH Authentication required.", (), "auth-failed"),
        ("Authentication required.", ("AuthenticationError",), "auth-failed"),
        ("invalid username-password pair or user is disabled.", (), "auth-failed"),
        ("DENIED Redis is running in protected mode because …", (), "auth-failed"),
        ("ERR max number of clients reached", (), "clients-exhausted"),
        ("max number of clients reached", ("ConnectionError",), "clients-exhausted"),
        ("Redis is loading the dataset in memory", ("BusyLoadingError",), "loading"),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL", (), "busy"),
        ("MISCONF Redis is configured to save RDB snapshots", (), "ok"),
        ("Link with MASTER is down", ("MasterDownError",), "ok"),
        ("this user has no permissions", ("NoPermissionError",), "ok"),
        ("Connection closed by server.", ("ConnectionError",), ""),
        ("", (), ""),
    ],
)
def test_what_an_error_means(words: str, kinds: tuple[str, ...], state: str) -> None:
    assert answer_state(words, kinds) == state


def test_slow_log_entries_lose_their_arguments() -> None:
    entry = {"command": b"AUTH hunter2-secret", "duration": 12, "start_time": 5}
    assert slow_command(entry) == SlowCommand(command="AUTH", microseconds=12, ended_at=5.0)
    assert slow_command({"command": "set key value"}).command == "SET"
    assert slow_command({"command": b""}).command == "?"


def test_config() -> None:
    values = config_values({"bind": "127.0.0.1 -::1", "save": "", "maxclients": "10000", "dir": "/data"})
    assert values["listens_beyond_loopback"] is False
    assert values["saves_by_itself"] is False
    assert values["maxclients"] == 10000
    assert config_values({"bind": "* -::*"})["listens_on"] == ["*", "::*"]
    assert config_values({"bind": ""})["listens_beyond_loopback"] is True
    assert config_values({}) == {"data_directory": ""}


@pytest.mark.parametrize(
    ("stat", "state"),
    [
        ("42 (redis-server) T 1 42 42", "T"),
        ("42 (odd) name) S) R 1 42", "R"),
        ("", ""),
        ("42 (redis-server)", ""),
    ],
)
def test_process_state(stat: str, state: str) -> None:
    assert process_state(stat) == state


def test_a_second_look_is_taken_only_where_memory_is_nearly_full() -> None:
    assert near_full({"used_memory": 95, "maxmemory": 100})
    assert not near_full({"used_memory": 50, "maxmemory": 100})
    assert not near_full({"used_memory": 95, "maxmemory": 0})
    assert not near_full({})


def test_refused_writes_are_counted() -> None:
    assert info_values(info("full_7.0.15"))["refused_writes"] == 1
    assert info_values(info("master_7.0.15"))["refused_writes"] == 0
    assert info_values({})["refused_writes"] is None


PLAIN = st.one_of(
    st.none(), st.integers(), st.floats(), st.text(max_size=400), st.dictionaries(st.text(), st.text())
)
INFO_NAMES = sorted(info("replica_7.0.15"))


@given(st.dictionaries(st.sampled_from(INFO_NAMES), PLAIN))
def test_whatever_info_holds_becomes_facts(values: dict[str, Any]) -> None:
    facts = RedisFacts(**info_values(values))
    assert len(facts.version) <= 300
    assert len(facts.master_address) <= 300


@given(st.dictionaries(st.sampled_from(["maxclients", "bind", "save", "dir", "protected-mode"]), st.text()))
def test_whatever_config_holds_becomes_facts(values: dict[str, str]) -> None:
    facts = RedisFacts(**config_values(values))
    assert len(facts.data_directory) <= 300
    assert len(facts.listens_on) <= 20


@given(st.text())
def test_any_error_and_any_stat_line_is_read(text: str) -> None:
    assert answer_state(text) in ("", "ok", "busy", "loading", "auth-failed", "clients-exhausted")
    assert len(process_state(text)) <= 1


@given(st.one_of(st.binary(), st.text()))
def test_any_slow_command_is_bounded(command: bytes | str) -> None:
    assert len(slow_command({"command": command}).command) <= 60


@pytest.mark.parametrize("name", ["master_7.0.15", "replica_7.0.15", "full_7.0.15"])
def test_numbers_survive_the_way_to_metrics_and_back(name: str) -> None:
    facts = RedisFacts(**info_values(info(name)), queues=[Queue(name="tasks", length=3, limit=5)])
    text = exposition(samples(facts, {"target": "cache"}))
    assert 'redis_version="7.0.15"' in text
    back = facts_from_series(RedisFacts, parse_exposition(text), {"target": "cache"})
    assert back.used_memory == facts.used_memory
    assert back.role == facts.role
    assert back.queues == facts.queues
    assert back.loading is False


def test_no_route_to_the_machine_itself_is_a_rule_and_says_nothing_of_redis() -> None:
    closed = Connection(state="unreachable", detail="No route to host")
    assert only(judged(up=False, connection=closed), "down").status is Status.UNKNOWN
    far = judged(up=False, connection=closed, address="10.9.8.7:6379")
    assert only(far, "down").status is Status.CRITICAL
