"""PostgreSQL for metrics: settings, sessions and locks by all labels, questions by version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsctl.facts.postgres_details import MoreSettings
from opsctl.facts.postgres_relations import Database
from opsctl.facts.postgres_sessions import LockCount
from opsctl.metrics import samples
from opsctl.probes import postgres_details as details
from opsctl.probes import postgres_queries as queries

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
"""The machine may be busy."""

DATA = Path(__file__).parent / "data" / "postgres"
VERSIONS = [120000, 130000, 140000, 150000, 160000, 170000, 180000]


def settings_rows() -> dict[str, list[str | None]]:
    rows: dict[str, list[str | None]] = json.loads((DATA / "settings_15.json").read_text())
    return rows


def session(**more: Any) -> dict[str, Any]:
    return {
        "datname": "shop",
        "state": "active",
        "usename": "app",
        "application": "web",
        "backend_type": "client backend",
        "transaction_seconds": 2.5,
        **more,
    }


# -- settings -----------------------------------------------------------------------------------


def test_settings_of_a_fresh_server() -> None:
    assert details.more_settings(settings_rows(), "db:5432") == MoreSettings(
        server="db:5432",
        autovacuum_analyze_scale_factor=0.1,
        autovacuum_analyze_threshold=50,
        autovacuum_naptime=60.0,
        autovacuum_vacuum_cost_delay=0.002,
        autovacuum_vacuum_cost_limit=-1,
        autovacuum_work_mem=-1,
        block_size=8192,
        default_statistics_target=100,
        effective_io_concurrency=1,
        log_duration=False,
        log_lock_waits=False,
        log_min_duration_statement=-1.0,
        logging_collector=False,
        max_parallel_workers=8,
        max_parallel_workers_per_gather=2,
        transaction_read_only=False,
        wal_buffers=524288,
    )


def test_a_replica_and_a_server_that_was_closed_cannot_be_written_to() -> None:
    rows = settings_rows()
    assert details.more_settings(rows, in_recovery=True).transaction_read_only is True
    rows["default_transaction_read_only"] = ["on", None, "on", "configuration file"]
    assert details.more_settings(rows).transaction_read_only is True


def test_what_the_server_does_not_know_is_absent() -> None:
    assert details.more_settings({"block_size": ["8192", None, None, "default"]}) == MoreSettings(
        block_size=8192
    )
    assert details.more_settings(None) == MoreSettings()


@CALM
@given(
    st.dictionaries(
        st.sampled_from([*details.MORE_SETTINGS, "default_transaction_read_only"]),
        st.lists(st.none() | st.text(max_size=30) | st.from_regex(r"-?\d+(\.\d+)?"), min_size=4, max_size=4),
    )
)
def test_no_setting_breaks_anything(rows: dict[str, list[str | None]]) -> None:
    list(samples(details.more_settings(rows, "x")))


# -- sessions and locks -------------------------------------------------------------------------


def test_sessions_of_a_real_server() -> None:
    rows = json.loads((DATA / "activity_15.json").read_text())
    found = {
        (item.datname, item.state, item.usename, item.backend_type, item.wait_event): item.count
        for item in details.detailed_activity(rows, ["app", "postgres"], "db:5432")
    }
    assert found[("app", "idle", "app", "client backend", "ClientRead")] == 1
    assert found[("app", "active", "", "", "")] == 0
    assert found[("postgres", "idle in transaction (aborted)", "", "", "")] == 0
    assert len(found) == 2 * len(details.STATES)


def test_sessions_are_told_apart_by_every_label() -> None:
    rows = [session(), session(transaction_seconds=9.0), session(application="jobs"), session(datname=None)]
    found = details.detailed_activity(rows, ["shop"], "db")
    counted = {(item.application, item.count, item.max_tx_seconds) for item in found if item.count}
    assert counted == {("web", 2, 9.0), ("jobs", 1, 2.5)}
    assert all(item.server == "db" for item in found)


def test_very_many_kinds_of_sessions_are_counted_by_state_alone() -> None:
    rows = [session(application=f"worker-{number}") for number in range(1000)]
    found = details.detailed_activity(rows, ["shop"], "db")
    assert len(found) == len(details.STATES)
    (active,) = [item for item in found if item.count]
    assert (active.state, active.count, active.application) == ("active", 1000, "")


def test_open_transactions() -> None:
    rows = [
        session(transaction_seconds=3.0),
        session(state="idle in transaction", transaction_seconds=70.0),
        session(state="idle", transaction_seconds=99.0),
        session(transaction_seconds=None),
        session(query="autovacuum: VACUUM shop.items", transaction_seconds=500.0),
    ]
    assert details.long_transactions(rows) == (2, 70.0)
    assert details.long_transactions([]) == (0, 0.0)


def test_each_mode_of_lock_has_a_series() -> None:
    counted = [
        LockCount(datname="shop", mode="accessexclusivelock", count=2),
        LockCount(datname="", mode="exclusivelock", count=1),
    ]
    found = {
        (lock.datname, lock.mode): lock.count for lock in details.filled_locks(counted, ["shop", "blog"])
    }
    assert found[("shop", "accessexclusivelock")] == 2
    assert found[("", "exclusivelock")] == 1
    assert found[("blog", "sireadlock")] == 0
    assert len(found) == 2 * len(details.LOCK_MODES) + 1


TEXT = st.none() | st.text(max_size=20) | st.sampled_from([*details.STATES, "shop"])


@CALM
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                **dict.fromkeys(("datname", "state", "usename", "application", "query"), TEXT),
                "transaction_seconds": st.none() | st.floats(-10, 1e9),
            },
        ),
        max_size=20,
    ),
    st.lists(st.text(max_size=10) | st.just("shop"), max_size=4, unique=True),
)
def test_no_session_is_lost_or_counted_twice(rows: list[dict[str, Any]], databases: list[str]) -> None:
    found = details.detailed_activity(rows, databases, "x")
    known = [
        row
        for row in rows
        if str(row.get("datname") or "") in databases and row.get("state") in details.STATES
    ]
    assert sum(item.count for item in found) == len(known)
    assert len(found) >= len(databases) * len(details.STATES)
    count, oldest = details.long_transactions(rows)
    assert count <= len(rows)
    assert oldest >= 0.0


# -- questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_questions_name_only_what_the_version_knows(version: int) -> None:
    later = version >= 170000
    assert ("pg_stat_checkpointer" in details.checkpointer(version)) == later
    assert ("pg_stat_io" in details.backend_writes(version)) == later
    assert ("buffers_backend" in queries.background(version)) != later
    assert ("write_bytes" in details.backend_writes(version)) == (version >= 180000)
    assert "{" not in queries.settings(details.MORE_SETTINGS) + queries.ALL_TABLES + queries.TABLES


def test_a_diagnosis_asks_for_no_more_settings_than_it_judges() -> None:
    assert "'wal_buffers'" not in queries.settings()
    assert "'wal_buffers'" in queries.settings(details.MORE_SETTINGS)
    for name in details.MORE_SETTINGS:
        assert f"'{name}'" in queries.settings(details.MORE_SETTINGS)


def test_a_label_of_some_metrics_of_a_record() -> None:
    found = {
        item.metric.name: dict(item.labels)
        for item in samples(Database(datname="shop", datid="16384", size=1, backends=2))
    }
    assert found == {
        "pg_database_size_bytes": {"datname": "shop"},
        "pg_stat_database_numbackends": {"datname": "shop", "datid": "16384"},
    }
    bare = list(samples(Database(datname="shop", backends=2)))
    assert [item.labels for item in bare] == [(("datname", "shop"),)]
