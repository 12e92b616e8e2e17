"""PostgreSQL, replicas, log, schema: each fault of a real server is the first root cause."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from opsctl.model import Diagnosis, Status
from opsctl.resources import shipped
from tests.live.postgres_faults import examine, expect, expect_healthy, working
from tests.live.web import found, look
from tests.servers.postgres import PostgresServer, _run, available, binary

pytestmark = [pytest.mark.live, pytest.mark.skipif(not available(), reason="no PostgreSQL to start here")]


@contextlib.contextmanager
def running(**options: Any) -> Iterator[PostgresServer]:
    with PostgresServer(**options) as server:
        yield server


def write(server: PostgresServer, megabytes: int) -> None:
    """Write that much to the write-ahead log."""
    server.sql(
        f"select count(pg_logical_emit_message(false, 'test', repeat('x', 1000000))) from "
        f"generate_series(1, {megabytes})"
    )


def test_read_only_by_setting() -> None:
    with running() as server:
        server.sql(f"alter database {server.database} set default_transaction_read_only = on")
        diagnosis = expect("postgres/read-only", lambda: examine(server))
        assert "set for the database 'app'" in found(diagnosis, "postgres/read-only").summary
        server.sql(f"alter database {server.database} reset default_transaction_read_only")
        expect_healthy(lambda: examine(server))


def test_the_application_talks_to_the_replica() -> None:
    with running() as primary, contextlib.closing(Removing(primary.replica())) as held:
        held.server.start()
        expect("postgres/read-only", lambda: examine(held.server))
        expect_healthy(lambda: examine(held.server, replica=True))


class Removing:
    """Removes a server that was started outside a `with`."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server

    def close(self) -> None:
        self.server.remove()


def pair(
    primary: PostgresServer, replica: PostgresServer, thresholds: dict[str, Any] | None = None
) -> Diagnosis:
    services = {
        "db": primary.stack_spec(replicas=1),
        "replica": {**replica.stack_spec(replica=True), "depends_on": ["db"]},
    }
    return look(services, "postgres", thresholds)


def test_replica_missing() -> None:
    with running() as primary, contextlib.closing(Removing(primary.replica())) as held:
        held.server.start()
        expect_healthy(lambda: examine(primary, replicas=1))
        held.server.stop()
        expect("postgres/replica-missing", lambda: examine(primary, replicas=1))
        expect("postgres/down:replica", lambda: pair(primary, held.server))
        held.server.start()
        expect_healthy(lambda: pair(primary, held.server))


def test_replica_without_its_primary() -> None:
    with running() as primary, contextlib.closing(Removing(primary.replica())) as held:
        held.server.start()
        expect_healthy(lambda: pair(primary, held.server))
        primary.stop()
        expect("postgres/down:db", lambda: pair(primary, held.server))
        diagnosis = expect("postgres/replication-lag", lambda: examine(held.server, replica=True))
        assert "receives nothing" in found(diagnosis, "postgres/replication-lag").summary
        primary.start()
        expect_healthy(lambda: pair(primary, held.server))


def test_paused_replay() -> None:
    limits = {"postgres/replication-lag": {"warning": 0.5, "critical": 3600}}
    with running() as primary, contextlib.closing(Removing(primary.replica())) as held:
        held.server.start()
        primary.sql("create table notes (n int)", primary.database)
        held.server.wait_sql("select to_regclass('notes') is not null", "table", primary.database)
        expect_healthy(lambda: pair(primary, held.server, limits))
        held.server.sql("select pg_wal_replay_pause()")
        primary.sql("insert into notes values (1)", primary.database)
        diagnosis = expect("postgres/replication-lag:replica", lambda: pair(primary, held.server, limits))
        summaries = [item.summary for item in diagnosis.findings if item.id == "postgres/replication-lag"]
        assert any("replay is paused" in summary for summary in summaries)
        held.server.sql("select pg_wal_replay_resume()")
        expect_healthy(lambda: pair(primary, held.server, limits))


def test_slot_that_nobody_reads() -> None:
    limits = {"postgres/slot-retaining-wal": {"warning": 8_000_000, "critical": 1e12}}
    with running() as server:
        server.sql("select pg_create_physical_replication_slot('old_replica', true)")
        write(server, 20)
        diagnosis = expect("postgres/slot-retaining-wal", lambda: examine(server, limits))
        assert "old_replica" in found(diagnosis, "postgres/slot-retaining-wal").summary
        server.sql("select pg_drop_replication_slot('old_replica')")
        expect_healthy(lambda: examine(server, limits))


def test_archiving_fails() -> None:
    with running(settings={"archive_mode": "on", "archive_command": "false"}) as server:
        server.sql("select pg_switch_wal()")
        diagnosis = expect("postgres/wal-archiving-failing", lambda: examine(server))
        assert found(diagnosis, "postgres/wal-archiving-failing").status is Status.WARNING
        server.configure(archive_command="true")
        server.reload()
        server.sql("create table more (n int)")
        server.sql("select pg_switch_wal()")
        expect_healthy(lambda: examine(server), seconds=90)


def test_archiving_without_a_command() -> None:
    with running(settings={"archive_mode": "on", "archive_command": ""}) as server:
        expect("postgres/wal-archiving-failing", lambda: examine(server))
        server.configure(archive_command="true")
        server.reload()
        expect_healthy(lambda: examine(server))


def test_transaction_numbers_run_out() -> None:
    late = {"autovacuum_freeze_max_age": "2000000000"}  # otherwise the emergency vacuum comes first
    with running(settings=late) as server:
        server.stop()
        transactions = 1200 * 2**20  # a file of pg_xact holds 2^20 of them
        _run([binary("pg_resetwal"), "-x", str(transactions), "-D", str(server.data)], server.user)
        page = server.data / "pg_xact" / f"{transactions >> 20:04X}"
        page.write_bytes(bytes(256 * 1024))
        page.chmod(0o600)
        if server.user:
            subprocess.run(["chown", server.user, str(page)], check=True)
        server.start()
        diagnosis = expect("postgres/wraparound", lambda: examine(server))
        assert "million transactions old" in found(diagnosis, "postgres/wraparound").summary
        server.sql("update pg_database set datallowconn = true where datname = 'template0'")
        for database in ("postgres", "template0", "template1", server.database):
            server.sql("vacuum freeze", database)
        expect_healthy(lambda: examine(server))


def test_invalid_index() -> None:
    with running() as server:
        server.sql("create table users as select 1 as email from generate_series(1, 10)", server.database)
        with pytest.raises(psycopg.errors.UniqueViolation):
            server.sql("create unique index concurrently users_email on users (email)", server.database)
        diagnosis = expect("postgres/invalid-index", lambda: examine(server))
        assert "users_email" in found(diagnosis, "postgres/invalid-index").summary
        server.sql("drop index users_email", server.database)
        expect_healthy(lambda: examine(server))


def test_an_index_being_built_is_no_finding() -> None:
    with running() as server:
        server.sql("create table users (email text)", server.database)
        with contextlib.closing(server.administrator(server.database)) as reader:
            reader.execute("begin")
            reader.execute("insert into users values ('x')")
            with contextlib.closing(server.administrator(server.database)) as builder:
                builder.pgconn.send_query(b"create index concurrently users_email on users (email)")
                server.wait_sql(
                    "select count(*) > 0 from pg_index where not indisvalid", "index", server.database
                )
                diagnosis = examine(server)
                assert found(diagnosis, "postgres/invalid-index").status is Status.OK
                reader.execute("rollback")


def test_sequence_near_the_end_of_its_column() -> None:
    with running() as server:
        server.sql("create sequence wide as bigint", server.database)
        server.sql("create table orders (id int default nextval('wide'))", server.database)
        server.sql("alter sequence wide owned by orders.id", server.database)
        server.sql("alter table orders owner to app", server.database)
        server.sql("select setval('wide', 2100000000)", server.database)
        diagnosis = expect("postgres/sequence-exhaustion", lambda: examine(server))
        assert "orders.id" in found(diagnosis, "postgres/sequence-exhaustion").summary
        server.sql("alter table orders alter id type bigint", server.database)
        expect_healthy(lambda: examine(server))


def test_table_missing() -> None:
    with running() as server:
        server.sql("create table users (n int)", server.database)
        server.sql("create schema old", server.database)
        expect_healthy(lambda: examine(server, tables=["users"]))
        server.sql("alter table users set schema old", server.database)
        diagnosis = expect("postgres/table-missing", lambda: examine(server, tables=["users", "old.users"]))
        assert any("schema old" in row.text for row in found(diagnosis, "postgres/table-missing").evidence)
        server.sql("alter table old.users set schema public", server.database)
        expect_healthy(lambda: examine(server, tables=["users", "public.users"]))


def test_alembic_migrations_pending(tmp_path: Path) -> None:
    versions = tmp_path / "versions"
    versions.mkdir()
    (versions / "1_users.py").write_text("revision = 'aaa1'\ndown_revision = None\n")
    (versions / "2_orders.py").write_text("revision: str = 'bbb2'\ndown_revision: str | None = 'aaa1'\n")
    with running() as server:

        def check() -> Diagnosis:
            return examine(server, migrations="alembic", migrations_path=str(tmp_path))

        server.sql("create table alembic_version (version_num text)", server.database)
        server.sql(f"grant select on alembic_version to {server.role}", server.database)
        server.sql("insert into alembic_version values ('aaa1')", server.database)
        diagnosis = expect("postgres/migrations-pending", check)
        assert "1 migration of 2 pending: bbb2" in found(diagnosis, "postgres/migrations-pending").summary
        server.sql("update alembic_version set version_num = 'bbb2'", server.database)
        expect_healthy(check)
        server.sql("update alembic_version set version_num = 'ccc3'", server.database)
        expect("postgres/migrations-pending", check)


def test_laravel_migrations_pending(tmp_path: Path) -> None:
    for name in ("2024_01_01_000000_create_users.php", "2024_02_01_000000_create_orders.php"):
        (tmp_path / name).write_text("<?php\n")
    with running() as server:

        def check() -> Diagnosis:
            return examine(server, migrations="laravel", migrations_path=str(tmp_path))

        expect("postgres/migrations-pending", check)
        server.sql("create table migrations (id serial, migration text, batch int)", server.database)
        server.sql(f"grant select on migrations to {server.role}", server.database)
        for name in ("2024_01_01_000000_create_users", "2024_02_01_000000_create_orders"):
            server.sql(f"insert into migrations (migration, batch) values ('{name}', 1)", server.database)
        expect_healthy(check)


def test_autovacuum_does_not_get_there() -> None:
    with running() as server:
        server.sql("create table events (n int) with (autovacuum_enabled = false)", server.database)
        server.sql("insert into events select generate_series(1, 20000)", server.database)
        for _ in range(2):
            server.sql("update events set n = n + 1", server.database)
        diagnosis = expect("postgres/autovacuum-behind", lambda: examine(server))
        assert "switched off for it" in found(diagnosis, "postgres/autovacuum-behind").summary
        server.sql("vacuum events", server.database)
        expect_healthy(lambda: examine(server))


def test_autovacuum_is_off() -> None:
    with running(settings={"autovacuum": "off"}) as server:
        expect("postgres/autovacuum-behind", lambda: examine(server))
        server.configure(autovacuum="on")
        server.reload()
        expect_healthy(lambda: examine(server))


def test_forced_checkpoints() -> None:
    emit = "select pg_logical_emit_message(false, 'test', repeat('x', 400000))"
    with running(settings={"max_wal_size": "32MB", "min_wal_size": "32MB"}) as server:
        with working(server, lambda client: client.execute(emit), 2):
            expect("postgres/checkpoints-forced", lambda: examine(server))
        expect_healthy(lambda: examine(server), seconds=120)


def test_damaged_page() -> None:
    with running(checksums=True) as server:
        server.sql("create table ledger as select generate_series(1, 1000) as n", server.database)
        path = server.data / server.sql("select pg_relation_filepath('ledger')", server.database)[0][0]
        server.stop()
        with path.open("r+b") as file:
            file.seek(5000)
            file.write(b"damage")
        server.start()
        with pytest.raises(psycopg.Error):
            server.sql("select count(*) from ledger", server.database)
        diagnosis = expect("postgres/checksum-failures", lambda: examine(server))
        assert found(diagnosis, "postgres/checksum-failures").status is Status.CRITICAL


def test_pools_larger_than_the_server() -> None:
    with running() as server:
        services: dict[str, Any] = {
            "db": server.stack_spec(),
            "backend": {"replicas": 5, "pool": {"size": 50, "overflow": 100}, "depends_on": ["db"]},
        }
        diagnosis = expect("postgres/pool-budget", lambda: look(services, "postgres"))
        assert "750 connections" in found(diagnosis, "postgres/pool-budget").summary
        services["backend"]["pool"] = {"size": 5, "overflow": 2}
        expect_healthy(lambda: look(services, "postgres"))


def test_the_sql_of_every_runbook_runs() -> None:
    with running(settings={"shared_preload_libraries": "pg_stat_statements"}) as server:
        server.sql("create extension pg_stat_statements", server.database)
        server.sql("create table alembic_version (version_num text)", server.database)
        count = 0
        for path in sorted(shipped("runbooks").glob("postgres/*.md")):
            _, fence, rest = path.read_text().partition("```sql\n")
            if fence:
                server.sql(rest.partition("```")[0].strip().rstrip(";"), server.database)
                count += 1
        assert count > 20


def test_exposed() -> None:
    with running(settings={"listen_addresses": "0.0.0.0"}) as server:
        expect("postgres/exposed", lambda: examine(server))
        expect_healthy(lambda: examine(server, exposed=True))
