"""PostgreSQL for metrics: every database with its tables, known sets from 0, and nothing left behind."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import pytest

from opsctl.facts.postgres import PostgresFacts
from opsctl.metrics import exposition, facts_from_series, parse_exposition, samples
from opsctl.probes.postgres import probe
from opsctl.probes.postgres_details import LOCK_MODES, MORE_SETTINGS, STATES
from opsctl.stack.specs import PostgresSpec
from tests.live.series import value
from tests.servers.postgres import PostgresServer, available
from tests.unit.contexts import context_for

pytestmark = [pytest.mark.live, pytest.mark.skipif(not available(), reason="no PostgreSQL to start here")]


def read(server: PostgresServer, detail: str = "metrics", seconds: float = 60.0) -> PostgresFacts:
    context = context_for("postgres", PostgresSpec(dsn=server.dsn), Path("/"), seconds)
    target = msgspec.structs.replace(context.target, address=f"127.0.0.1:{server.port}")
    return probe(dataclasses.replace(context, target=target, options={"detail": detail}))


def series(facts: PostgresFacts) -> dict[str, Any]:
    return parse_exposition(exposition(samples(facts)))


def test_every_database_and_its_tables() -> None:
    with PostgresServer() as server:
        server.sql("create table users (id int)", server.database)
        server.sql("create database billing")
        server.sql("create table invoices (id int)", "billing")
        server.sql("create database closed")
        server.sql("revoke connect on database closed from public")
        facts = read(server)
        assert facts.problems == []
        names = {"app", "billing", "closed", "postgres", "template0", "template1"}
        assert {database.datname for database in facts.databases} == names
        tables = {(table.datname, table.name) for table in facts.tables}
        assert {("app", "users"), ("billing", "invoices")} <= tables
        assert facts.details is not None
        assert (facts.details.other_databases, facts.details.other_databases_read) == (2, 2)
        found = series(facts)
        assert value(found, "pg_database_size_bytes", datname="billing") > 0
        for name in names:
            (labels,) = [own for own, _ in found["pg_stat_database_numbackends"] if own["datname"] == name]
            assert labels["datid"].isdecimal()
        server.wait_sql(
            "select count(*) = 0 from pg_stat_activity where application_name = 'opsctl'",
            "no session left",
            seconds=60,
        )


def test_what_a_diagnosis_does_not_pay_for() -> None:
    with PostgresServer() as server:
        server.sql("create database billing")
        facts = read(server, detail="")
        assert facts.details is None
        assert {table.datname for table in facts.tables} <= {"app"}
        found = series(facts)
        assert not any("server" in labels for rows in found.values() for labels, _ in rows)
        assert "pg_settings_work_mem_bytes" in found
        assert "pg_settings_wal_buffers_bytes" not in found


def test_settings_and_known_sets() -> None:
    settings = {"log_min_duration_statement": "250ms", "wal_buffers": "1MB", "autovacuum_naptime": "2min"}
    with PostgresServer(settings=settings) as server, server.connect() as client:
        client.execute("select 1")  # a transaction at rest, open
        facts = read(server)
        found = series(facts)
        address = f"127.0.0.1:{server.port}"
        expected = {
            "log_min_duration_statement_seconds": 0.25,
            "wal_buffers_bytes": 1024**2,
            "autovacuum_naptime_seconds": 120,
            "autovacuum_work_mem_bytes": -1,
            "autovacuum_vacuum_cost_delay_seconds": 0.002,
            "autovacuum_vacuum_cost_limit": -1,
            "block_size": 8192,
            "transaction_read_only": 0,
            "logging_collector": 0,
            "max_connections": 40,
        }
        for name, number in expected.items():
            assert value(found, f"pg_settings_{name}", server=address) == number, name
        assert facts.details is not None
        assert facts.details.settings is not None
        known = set(MORE_SETTINGS)
        assert known == {name for name in known if getattr(facts.details.settings, name) is not None}
        assert facts.details.long_transactions == 1
        count = value(
            found,
            "pg_stat_activity_count",
            datname="app",
            state="idle in transaction",
            server=address,
            usename="app",
            backend_type="client backend",
            wait_event="ClientRead",
        )
        assert count == 1
        states = {(own["datname"], own["state"]) for own, _ in found["pg_stat_activity_count"]}
        modes = {(own["datname"], own["mode"]) for own, _ in found["pg_locks_count"]}
        for database in facts.databases:
            assert {(database.datname, state) for state in STATES} <= states
            assert {(database.datname, mode) for mode in LOCK_MODES} <= modes
        (labels,) = [own for own, _ in found["pg_static"]]
        assert labels["server"] == address
        assert labels["version"].startswith("PostgreSQL ")
        assert labels["short_version"] in labels["version"]
        assert value(found, "pg_stat_archiver_failed_count", server=address) == 0
        assert value(found, "pg_replication_lag_seconds") == 0
        back = facts_from_series(PostgresFacts, found)
        assert back.settings == facts.settings
        assert back.details == facts.details
        assert sorted(back.databases, key=lambda item: item.datname) == sorted(
            facts.databases, key=lambda item: item.datname
        )


def test_a_table_that_somebody_locks_is_no_obstacle() -> None:
    with PostgresServer() as server:
        server.sql("create database billing")
        server.sql("create table invoices (id int)", "billing")
        with server.administrator("billing") as holder:
            holder.execute("begin")
            holder.execute("lock table invoices in access exclusive mode")
            facts = read(server)
            assert facts.up
            assert facts.problems == []
            assert ("billing", "invoices") in {(table.datname, table.name) for table in facts.tables}


def test_a_database_that_lets_nobody_in_is_named_and_nothing_else_suffers() -> None:
    with PostgresServer() as server:
        server.sql("create database billing connection limit 0")
        facts = read(server)
        assert facts.up
        assert [problem.part for problem in facts.problems] == ["tables of other databases"]
        assert "1 of 2 databases" in facts.problems[0].message


def test_little_time_ends_in_time_with_what_there_is() -> None:
    with PostgresServer() as server:
        for number in range(20):
            server.sql(f"create database shop{number}")
        facts = read(server, seconds=1.0)
        details = facts.details
        assert details is None or (details.other_databases_read or 0) <= 21
