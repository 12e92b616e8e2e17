"""Each PostgreSQL that opsctl understands, for real: no question fails, and the standard names are there."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsctl.metrics import parse_exposition
from opsctl.probes.postgres import probe
from opsctl.probes.postgres_kept import Kept
from opsctl.stack.specs import PostgresSpec
from tests.live.test_exporter import exporting
from tests.servers.postgres import PostgresServer, available
from tests.servers.postgres_versions import PACKAGES, Unavailable, programs
from tests.unit.contexts import context_for

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not available(), reason="no account to start servers under"),
]

WAITS = 120
ALWAYS = {
    "pg_up",
    "pg_static",
    "pg_postmaster_start_time_seconds",
    "pg_settings_max_connections",
    "pg_settings_autovacuum_naptime_seconds",
    "pg_database_size_bytes",
    "pg_stat_activity_count",
    "pg_locks_count",
    "pg_stat_database_xact_commit",
    "pg_stat_database_deadlocks",
    "pg_stat_bgwriter_buffers_alloc_total",
    "pg_stat_bgwriter_buffers_backend_total",
    "pg_stat_bgwriter_checkpoints_timed_total",
    "pg_stat_archiver_failed_count",
    "pg_replication_slot_slot_is_active",
    "pg_long_running_transactions",
    "pg_stat_user_tables_n_live_tup",
    "pg_stat_user_tables_idx_scan",
    "pg_stat_statements_seconds_total",
    "opsctl_postgres_sequence_last_value",
}
SINCE_17 = {"pg_stat_checkpointer_num_timed_total", "pg_stat_checkpointer_buffers_written_total"}
SETTINGS = {"shared_preload_libraries": "pg_stat_statements", "wal_level": "logical"}


@pytest.fixture(scope="module", params=sorted(PACKAGES))
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, PostgresServer]]:
    """A server of one version with a table, a sequence, a slot and pg_stat_statements."""
    version: int = request.param
    try:
        with programs(version) as folder:
            postgres = PostgresServer(f"postgres{version}", SETTINGS, programs=folder)
            try:
                postgres.start(60)
                postgres.sql("create extension pg_stat_statements", postgres.database)
                postgres.sql("create table orders (id serial primary key, text text)", postgres.database)
                postgres.sql("insert into orders (text) values ('one')", postgres.database)
                postgres.sql(
                    f"grant usage on all sequences in schema public to {postgres.role}", postgres.database
                )
                postgres.sql("select pg_create_physical_replication_slot('spare')")
                postgres.sql("create database other")
                postgres.sql("create table things (id int primary key)", "other")
                postgres.sql(f"grant pg_monitor to {postgres.role}")
                yield version, postgres
            finally:
                postgres.remove()
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_the_server_is_of_the_version_asked_for(server: tuple[int, PostgresServer]) -> None:
    version, postgres = server
    assert postgres.sql("show server_version_num")[0][0][:2] == str(version)


@pytest.mark.parametrize("options", [{}, {"detail": "metrics", "kept": {}}], ids=["diagnose", "metrics"])
def test_no_question_fails(server: tuple[int, PostgresServer], options: dict[str, Any]) -> None:
    _, postgres = server
    for _ in range(3):  # the second look asks ahead what the first one asked
        context = context_for("postgres", PostgresSpec(dsn=postgres.dsn), Path("/"), 60.0)
        facts = probe(dataclasses.replace(context, options=options))
        assert facts.up
        assert [problem.message for problem in facts.problems] == []
        assert facts.statements_seen
        assert {table.name for table in facts.tables} >= {"orders"}
    for kept in options.get("kept", {}).values():
        if isinstance(kept, Kept):
            kept.connection.close()


def test_the_page_has_the_standard_names(server: tuple[int, PostgresServer], tmp_path: Path) -> None:
    version, postgres = server
    with exporting(tmp_path, {"db": postgres.stack_spec()}) as exporter:
        exporter.wait_up("postgres", 1)
        for _ in range(2):
            status, text = exporter.get("/metrics/postgres")
            assert status == 200
        series = parse_exposition(text)
        names = set(series)
        assert names >= ALWAYS, sorted(ALWAYS - names)
        assert names >= SINCE_17 or version < 17
        assert not names & SINCE_17 or version >= 17
        tables = {
            (labels["datname"], labels["relname"]) for labels, _ in series["pg_stat_user_tables_n_live_tup"]
        }
        assert tables >= {("app", "orders"), ("other", "things")}


def test_health_looks_at_all_of_it(server: tuple[int, PostgresServer], tmp_path: Path) -> None:
    _, postgres = server
    stack = tmp_path / "opsctl.yml"
    stack.write_text(yaml.safe_dump({"name": "versions", "services": {"db": postgres.stack_spec()}}))
    done = subprocess.run(
        [sys.executable, "-m", "opsctl", "health", "--stack", str(stack), "--output", "json"],
        capture_output=True, text=True, timeout=WAITS, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    health = json.loads(done.stdout)
    failing = {item["id"] for item in health["findings"] if item["status"] != "ok"}
    ours = {slug for slug in failing if slug.startswith("postgres/")}
    assert ours <= {"postgres/version-unsupported"}  # true of some of them, sooner or later of all
    (service,) = [item for item in health["services"] if item["name"] == "db"]
    assert service["coverage"]["unknown"] == 0, service
    assert service["coverage"]["ran"] == service["coverage"]["checks"]
