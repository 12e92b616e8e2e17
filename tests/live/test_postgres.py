"""PostgreSQL, reaching it and its sessions: each fault of a real server is the first root cause."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from opsctl.model import Status
from tests.live.postgres_faults import QUICK, asking, examine, expect, expect_healthy, working
from tests.live.web import failing, first, found, look
from tests.servers.base import free_port, wait_until
from tests.servers.postgres import PostgresServer, available

pytestmark = [pytest.mark.live, pytest.mark.skipif(not available(), reason="no PostgreSQL to start here")]


@contextlib.contextmanager
def running(**options: Any) -> Iterator[PostgresServer]:
    with PostgresServer(**options) as server:
        yield server


def test_a_healthy_server_yields_no_finding() -> None:
    with running(password="correct horse") as server:
        server.sql("create table users (id serial primary key)", server.database)
        for _ in range(10):
            diagnosis = examine(server, tables=["users"])
            assert failing(diagnosis) == []
            assert diagnosis.status is Status.OK
            assert diagnosis.coverage.unknown == 0
        assert "correct horse" not in str(diagnosis)


def test_a_lightly_loaded_server_yields_no_finding() -> None:
    with running() as server:
        server.sql(
            "create table visits (id serial primary key, at timestamptz default now())", server.database
        )
        server.sql(f"grant all on all tables in schema public to {server.role}", server.database)
        server.sql(f"grant all on all sequences in schema public to {server.role}", server.database)
        with working(server, lambda client: client.execute("insert into visits default values"), 2):
            for _ in range(5):
                assert failing(examine(server)) == []


def test_looking_leaves_nothing_behind() -> None:
    with running() as server:
        before = server.sql("select sum(xact_rollback) from pg_stat_database")
        for _ in range(3):
            examine(server)
        server.wait_sql(
            "select count(*) = 0 from pg_stat_activity where application_name = 'opsctl'", "no session left"
        )
        assert server.sql("select sum(xact_rollback) from pg_stat_database") == before


def test_stopped() -> None:
    with running() as server:
        server.stop()
        diagnosis = examine(server)
        assert first(diagnosis) == "postgres/down:db"
        assert found(diagnosis, "postgres/blocked-queries").status is Status.BLOCKED
        for slug in ("hung", "auth-failed", "database-missing", "recovering", "connections"):
            assert found(diagnosis, f"postgres/{slug}").status is Status.OK
        server.start()
        expect_healthy(lambda: examine(server))


def test_another_server_on_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            connection, _ = other.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        dsn = f"postgresql://app@127.0.0.1:{other.getsockname()[1]}/app"
        diagnosis = look({"db": {"postgres": dsn}}, "postgres")
        thread.join(10)
    assert first(diagnosis) == "postgres/down:db"


def test_a_name_that_does_not_resolve() -> None:
    diagnosis = look({"db": {"postgres": "postgresql://app@db.invalid:5432/app"}}, "postgres")
    assert first(diagnosis) == "postgres/down:db"
    assert "db.invalid" in found(diagnosis, "postgres/down").summary


def test_a_socket_that_is_not_there() -> None:
    dsn = f"postgresql:///app?host=/nonexistent&port={free_port()}&user=app"
    assert first(look({"db": {"postgres": dsn}}, "postgres")) == "postgres/down:db"


def test_frozen() -> None:
    with running() as server:
        server.freeze()
        try:
            diagnosis = examine(server)
        finally:
            server.thaw()
        assert first(diagnosis) == "postgres/hung:db"
        expect_healthy(lambda: examine(server))


def test_frozen_after_the_login() -> None:
    with running() as server, socket.create_server(("127.0.0.1", 0)) as front:

        def relay_the_login_only() -> None:
            outer, _ = front.accept()
            with outer, socket.create_connection(("127.0.0.1", server.port)) as inner:
                inner.sendall(outer.recv(65536))
                answer = b""
                while not answer.endswith(b"Z\x00\x00\x00\x05I"):
                    part = inner.recv(65536)
                    outer.sendall(part)
                    answer += part
                    if part == b"N":  # no TLS here; the login itself follows
                        inner.sendall(outer.recv(65536))
                outer.recv(65536)
                outer.settimeout(20)
                with contextlib.suppress(OSError):
                    outer.recv(65536)  # until the client gives up

        thread = threading.Thread(target=relay_the_login_only, daemon=True)
        thread.start()
        port = front.getsockname()[1]
        diagnosis = look({"db": {"postgres": server.dsn.replace(str(server.port), str(port))}}, "postgres")
        thread.join(30)
        assert first(diagnosis) == "postgres/hung:db"
        assert diagnosis.duration_seconds < 6, "bounded by the probe's own limit, not by the server"


def test_wrong_password() -> None:
    with running(password="correct horse") as server:
        server.sql(f"alter role {server.role} password 'another one'")
        diagnosis = examine(server)
        assert first(diagnosis) == "postgres/auth-failed:db"
        assert "correct horse" not in str(diagnosis)
        server.sql(f"alter role {server.role} password 'correct horse'")
        expect_healthy(lambda: examine(server))


def test_missing_role() -> None:
    with running() as server:
        spec = {"dsn": server.dsn.replace("//app@", "//nobody_here@")}
        assert first(look({"db": {"postgres": spec}}, "postgres")) == "postgres/auth-failed:db"


def test_missing_database() -> None:
    with running() as server:
        server.sql(f"drop database {server.database}")
        assert first(examine(server)) == "postgres/database-missing:db"
        server.sql(f"create database {server.database} owner {server.role}")
        expect_healthy(lambda: examine(server))


def test_recovering() -> None:
    with running() as server:
        server.crash()
        (server.data / "recovery.signal").touch()
        server.wait_ready = False
        server.configure(restore_command="sleep 600")
        server.start()
        expect("postgres/recovering", lambda: examine(server))
        server.crash()
        (server.data / "recovery.signal").unlink()
        server.wait_ready = True
        server.configure(restore_command="")
        server.start()
        expect_healthy(lambda: examine(server))


def take_slots(server: PostgresServer, user: str = "", most: int = 100) -> list[psycopg.Connection[Any]]:
    """Open connections until the server refuses one."""
    held: list[psycopg.Connection[Any]] = []
    with contextlib.suppress(psycopg.OperationalError):
        for _ in range(most):
            held.append(server.connect(user=user, application_name="leaky-backend", autocommit=True))
    return held


def test_every_slot_of_the_application_is_taken() -> None:
    with running(settings={"max_connections": "20"}) as server:
        held = take_slots(server)
        diagnosis = examine(server)
        assert first(diagnosis) == "postgres/connections:db"
        cause = found(diagnosis, "postgres/connections")
        assert any("leaky-backend" in row.text for row in cause.evidence), "read over the reserved slots"
        assert found(diagnosis, "postgres/down").status is Status.OK
        assert found(diagnosis, "postgres/blocked-queries").status is Status.OK
        for connection in held:
            connection.close()
        expect_healthy(lambda: examine(server))


def test_every_slot_is_taken_even_the_reserved_ones() -> None:
    with running(settings={"max_connections": "20"}) as server:
        held = take_slots(server) + take_slots(server, user="postgres")
        diagnosis = examine(server)
        assert first(diagnosis) == "postgres/connections:db"
        assert "too many clients" in found(diagnosis, "postgres/connections").summary
        assert found(diagnosis, "postgres/down").status is Status.OK
        assert found(diagnosis, "postgres/blocked-queries").status is Status.BLOCKED
        for connection in held:
            connection.close()
        expect_healthy(lambda: examine(server))


def test_the_servers_own_account_sees_who_holds_the_slots() -> None:
    with running(settings={"max_connections": "20"}) as server:
        if server.user != "postgres":
            pytest.skip("needs the account postgres")
        held = take_slots(server)
        rules = (server.data / "pg_hba.conf").read_text()
        (server.data / "pg_hba.conf").write_text(
            rules.replace("local all all trust", "local all postgres peer")
        )
        server.reload()
        diagnosis = expect("postgres/connections", lambda: examine(server))
        wait_until(
            lambda: bool(found(examine(server), "postgres/blocked-queries").status is Status.BLOCKED), "peer"
        )
        cause = found(examine(server), "postgres/connections")
        assert any("leaky-backend" in row.text for row in cause.evidence)
        assert "of 20 slots are taken" in cause.summary
        assert first(diagnosis) == "postgres/connections:db"
        (server.data / "pg_hba.conf").write_text(rules)
        server.reload()
        for connection in held:
            connection.close()
        expect_healthy(lambda: examine(server))


def test_the_role_has_a_limit_of_its_own() -> None:
    with running() as server:
        server.sql(f"alter role {server.role} connection limit 2")
        held = take_slots(server)
        assert first(examine(server)) == "postgres/connections:db"
        for connection in held:
            connection.close()
        expect_healthy(lambda: examine(server))


def test_nearly_every_slot_is_taken() -> None:
    with running(settings={"max_connections": "23"}) as server:
        held = take_slots(server, most=17)
        diagnosis = examine(server)
        assert first(diagnosis) == "postgres/connections:db"
        assert found(diagnosis, "postgres/connections").status is Status.WARNING
        for connection in held:
            connection.close()
        expect_healthy(lambda: examine(server))


def test_lock_chain_names_the_session_at_its_head() -> None:
    with running() as server:
        server.sql("create table stock (id int primary key, n int)", server.database)
        server.sql("insert into stock values (1, 1), (2, 1)", server.database)
        server.sql(f"grant all on stock to {server.role}", server.database)
        head = server.connect(application_name="checkout")
        middle = server.connect(application_name="reserver")
        head.execute("update stock set n = 2 where id = 1")
        middle.execute("update stock set n = 2 where id = 2")
        middle_waits = threading.Thread(
            target=lambda: middle.execute("update stock set n = 3 where id = 1 and 'secret words' <> ''"),
            daemon=True,
        )
        middle_waits.start()
        with asking(server, "update stock set n = 4 where id = 2", application_name="last"):
            diagnosis = expect("postgres/blocked-queries", lambda: examine(server, QUICK))
            cause = found(diagnosis, "postgres/blocked-queries")
            assert f"pid {head.info.backend_pid} (checkout" in cause.summary
            assert "2 queries wait" in cause.summary
            assert cause.remediation is not None
            assert f"pg_terminate_backend({head.info.backend_pid})" in cause.remediation.text
            assert not any("terminate" in command for command in cause.remediation.commands)
            assert "my secret" not in str(diagnosis)
            head.rollback()
            middle_waits.join(20)
            middle.rollback()
        head.close()
        middle.close()
        expect_healthy(lambda: examine(server))


def test_tables_under_an_exclusive_lock_are_not_touched() -> None:
    with running() as server:
        server.sql("create table users (id serial primary key)", server.database)
        server.sql("select nextval('users_id_seq')", server.database)
        with contextlib.closing(server.administrator(server.database)) as locker:
            locker.execute("begin")
            locker.execute("lock table users in access exclusive mode")
            locker.execute("alter sequence users_id_seq maxvalue 1000000")
            with asking(server, "table users", user="postgres"):
                diagnosis = expect(
                    "postgres/blocked-queries", lambda: examine(server, QUICK, tables=["users"])
                )
                assert found(diagnosis, "postgres/table-missing").status is Status.OK
                assert found(diagnosis, "postgres/sequence-exhaustion").status is Status.OK
                assert found(diagnosis, "postgres/autovacuum-behind").status is Status.OK
            locker.execute("rollback")
        expect_healthy(lambda: examine(server, tables=["users"]))


def test_idle_in_transaction() -> None:
    with running() as server, contextlib.closing(server.connect(application_name="forgetful")) as client:
        client.execute("select 1")
        diagnosis = expect("postgres/idle-in-transaction", lambda: examine(server, QUICK))
        assert "forgetful" in found(diagnosis, "postgres/idle-in-transaction").summary
        client.rollback()
        expect_healthy(lambda: examine(server, QUICK))


def test_long_query() -> None:
    limits = {**QUICK, "postgres/statements-slow": {"warning": None}}
    with running() as server:
        with asking(server, "select pg_sleep(600)", application_name="report"):
            diagnosis = expect("postgres/long-query", lambda: examine(server, limits))
            assert "report" in found(diagnosis, "postgres/long-query").summary
        expect_healthy(lambda: examine(server, limits))


def test_a_dump_is_not_a_long_query() -> None:
    limits = {**QUICK, "postgres/statements-slow": {"warning": 0.3}}
    with running() as server, asking(server, "select pg_sleep(600)", application_name="pg_dump") as pid:
        server.wait_sql(
            f"select now() - query_start > interval '0.5 s' from pg_stat_activity where pid = {pid}",
            "an old query",
        )
        assert failing(examine(server, limits)) == []


def test_slow_statements() -> None:
    with running(settings={"shared_preload_libraries": "pg_stat_statements"}) as server:
        server.sql("create extension pg_stat_statements", server.database)
        with working(server, lambda client: client.execute("select pg_sleep(1.1)"), 2):
            diagnosis = expect("postgres/statements-slow", lambda: examine(server))
            evidence = found(diagnosis, "postgres/statements-slow").evidence
            assert any("pg_sleep" in row.text for row in evidence)
        expect_healthy(lambda: examine(server))


def test_deadlocks() -> None:
    with running(settings={"deadlock_timeout": "50ms"}) as server:
        server.sql("create table pairs (id int primary key, n int)", server.database)
        server.sql("insert into pairs values (1, 0), (2, 0)", server.database)
        server.sql(f"grant all on pairs to {server.role}", server.database)
        turn = iter(range(10**9))

        def collide(client: psycopg.Connection[Any]) -> None:
            one, two = (1, 2) if next(turn) % 2 else (2, 1)
            with contextlib.suppress(psycopg.errors.DeadlockDetected), client.transaction():
                client.execute("update pairs set n = n + 1 where id = %s", (one,))
                client.execute("select pg_sleep(0.02)")
                client.execute("update pairs set n = n + 1 where id = %s", (two,))

        with working(server, collide, 4):
            expect("postgres/deadlocks", lambda: examine(server))
        expect_healthy(lambda: examine(server))


def test_temporary_files() -> None:
    numbers = "select * from generate_series(1, 400000) as n order by md5(n::text)"
    sort = f"select count(*) from ({numbers}) as sorted"
    with running(settings={"work_mem": "64kB"}) as server:
        with working(server, lambda client: client.execute(sort), 2):
            expect("postgres/temp-files", lambda: examine(server))
        expect_healthy(lambda: examine(server))


def test_reading_from_outside_the_cache() -> None:
    with running(settings={"shared_buffers": "1MB"}) as server:
        server.sql(
            "create table pages as select n, repeat('x', 500) from generate_series(1, 60000) as n",
            server.database,
        )
        server.sql(f"grant select on pages to {server.role}", server.database)
        with working(server, lambda client: client.execute("select count(*) from pages"), 2):
            expect("postgres/cache-miss", lambda: examine(server))
        expect_healthy(lambda: examine(server))
