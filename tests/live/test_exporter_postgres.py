"""`/metrics/postgres` and `/metrics/data` on a real PostgreSQL: connections are kept, never one too many."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from opsctl.metrics import Series, parse_exposition
from tests.live.series import value
from tests.live.test_exporter import SECRET, WAITS, Exporter, exporting
from tests.servers import pgbouncer
from tests.servers.base import wait_until
from tests.servers.postgres import PostgresServer, available

pytestmark = [pytest.mark.live, pytest.mark.skipif(not available(), reason="no PostgreSQL to start here")]

OURS = "from pg_stat_activity where application_name = 'opsctl'"
DATA = [
    {"name": "orders", "query": "select count(*) from orders"},
    {"name": "one", "query": "select 1"},
    {"name": "two", "query": "select 2"},
]


@contextlib.contextmanager
def scraped(
    folder: Path, settings: dict[str, str] | None = None
) -> Iterator[tuple[Exporter, PostgresServer]]:
    """Give a server with a few databases and an exporter that looks at it."""
    postgres = PostgresServer(settings=settings, password=SECRET)
    try:
        postgres.start()
        postgres.sql("create table orders (id serial primary key)", postgres.database)
        postgres.sql(f"grant select on orders to {postgres.role}", postgres.database)
        postgres.sql(f"grant pg_monitor to {postgres.role}")
        for number in range(3):
            postgres.sql(f"create database other{number}")
            postgres.sql("create table things (id int)", f"other{number}")
        with exporting(folder, {"db": {**postgres.stack_spec(), "data": DATA}}) as exporter:
            exporter.wait_up("postgres", 1)
            yield exporter, postgres
    finally:
        postgres.remove()


def sessions(postgres: PostgresServer) -> list[int]:
    return [row[0] for row in postgres.sql(f"select pid {OURS} order by pid")]


def settled(postgres: PostgresServer, count: int) -> None:
    wait_until(lambda: len(sessions(postgres)) == count, f"{count} sessions of ours", WAITS)


def page(exporter: Exporter, path: str = "/metrics/postgres") -> Series:
    status, text = exporter.get(path)
    assert status == 200
    return parse_exposition(text)


def test_one_connection_is_used_again_and_again(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, postgres):
        settled(postgres, 1)
        (first,) = sessions(postgres)
        for _ in range(20):
            assert value(page(exporter), "pg_up") == 1
        settled(postgres, 1)
        assert sessions(postgres) == [first]
        kept = postgres.sql(f"select state, wait_event, xact_start {OURS}")
        assert kept == [("idle", "ClientRead", None)]
        assert value(page(exporter), "opsctl_postgres_other_databases_read") == 4


def test_the_queries_of_a_service_share_one_connection_of_their_own(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, postgres):
        settled(postgres, 1)
        for _ in range(8):
            series = page(exporter, "/metrics/data")
            assert value(series, "opsctl_data_value", name="two") == 2
        settled(postgres, 2)
        pids = sessions(postgres)
        for _ in range(8):
            page(exporter, "/metrics/data")
        assert sessions(postgres) == pids


def test_what_the_server_ends_is_replaced_within_the_scrape(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, postgres):
        before = sessions(postgres)
        for _ in range(5):
            postgres.sql(f"select pg_terminate_backend(pid) {OURS}")
            series = page(exporter)
            assert value(series, "pg_up") == 1
            assert value(series, "pg_stat_database_numbackends", datname="app") >= 1
        settled(postgres, 1)
        assert sessions(postgres) != before


def test_a_restart_is_seen_and_survived(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, postgres):
        started = value(page(exporter), "pg_postmaster_start_time_seconds")
        postgres.stop()
        assert value(page(exporter), "pg_up") == 0
        postgres.start()
        series = page(exporter)
        assert value(series, "pg_up") == 1
        assert value(series, "pg_postmaster_start_time_seconds") > started
        settled(postgres, 1)


def test_locked_tables_hold_nobody_up(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, postgres):
        page(exporter, "/metrics/data")
        with (
            contextlib.closing(postgres.administrator(postgres.database)) as holder,
            contextlib.closing(postgres.administrator("other1")) as elsewhere,
        ):
            holder.execute("begin; lock table orders in access exclusive mode")
            holder.execute("alter sequence orders_id_seq increment 2")
            elsewhere.execute("begin; lock table things in access exclusive mode")
            for _ in range(5):
                series = page(exporter)
                assert value(series, "pg_up") == 1
                assert value(series, "pg_locks_count", datname="app", mode="accessexclusivelock") >= 1
                assert value(series, "pg_stat_user_tables_n_live_tup", datname="app", relname="orders") >= 0
                data = page(exporter, "/metrics/data")
                assert value(data, "opsctl_data_value", name="one") == 1
                assert not [labels for labels, _ in data["opsctl_data_value"] if labels["name"] == "orders"]
            settled(postgres, 2)
        wait_until(
            lambda: any(
                labels["name"] == "orders"
                for labels, _ in page(exporter, "/metrics/data")["opsctl_data_value"]
            ),
            "the query answers again",
            WAITS,
        )


def test_a_frozen_server_is_down_and_gets_no_heap_of_connections(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, postgres):
        postgres.freeze()
        try:
            for _ in range(6):
                assert exporter.up("postgres", waits=1.5) == 0
        finally:
            postgres.thaw()
        exporter.wait_up("postgres", 1)
        settled(postgres, 1)


def test_a_frozen_session_is_replaced_and_its_backend_ends_when_it_can(tmp_path: Path) -> None:
    import os
    import signal

    with scraped(tmp_path) as (exporter, postgres):
        settled(postgres, 1)
        (backend,) = sessions(postgres)
        os.kill(backend, signal.SIGSTOP)
        try:
            assert value(page(exporter), "pg_up") == 1
            assert sorted({*sessions(postgres)} - {backend})
        finally:
            os.kill(backend, signal.SIGCONT)
        settled(postgres, 1)
        assert sessions(postgres) != [backend]


def test_all_slots_taken_is_no_news_to_a_connection_that_is_there(tmp_path: Path) -> None:
    with scraped(tmp_path, {"max_connections": "10", "superuser_reserved_connections": "2"}) as (
        exporter,
        postgres,
    ):
        settled(postgres, 1)
        with contextlib.ExitStack() as stack:
            for _ in range(7):
                stack.enter_context(contextlib.closing(postgres.connect()))
            for _ in range(3):
                series = page(exporter)
                assert value(series, "pg_up") == 1
                assert value(series, "opsctl_postgres_connections_used") == 7
        settled(postgres, 1)


def test_a_changed_password_is_down_within_a_minute(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, postgres):
        postgres.sql(f"alter role {postgres.role} password 'another-one-7c2'")
        exporter.wait_up("postgres", 0)
        settled(postgres, 0)
        postgres.sql(f"alter role {postgres.role} password '{SECRET}'")
        exporter.wait_up("postgres", 1)


def test_a_reload_shows_in_the_next_scrape(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, postgres):
        name = "pg_settings_work_mem_bytes"
        page(exporter)
        postgres.configure(work_mem="7MB")
        postgres.reload()
        postgres.wait_sql("select setting = '7168' from pg_settings where name = 'work_mem'", "reloaded")
        wait_until(lambda: value(page(exporter), name) == 7 * 1024**2, "the new setting", WAITS)


def test_dropping_a_database_meets_no_session_of_ours(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, postgres):
        page(exporter)
        settled(postgres, 1)
        postgres.sql("drop database other2")
        names = {labels["datname"] for labels, _ in page(exporter)["pg_stat_user_tables_n_live_tup"]}
        assert "other1" in names
        assert "other2" not in names


def test_nothing_is_left_when_the_exporter_ends(tmp_path: Path) -> None:
    postgres = PostgresServer()
    try:
        postgres.start()
        spec: dict[str, Any] = {"db": {**postgres.stack_spec(), "data": DATA[1:]}}
        with exporting(tmp_path, spec) as exporter:
            exporter.wait_up("postgres", 1)
            page(exporter, "/metrics/data")
            settled(postgres, 2)
        settled(postgres, 0)
    finally:
        postgres.remove()


@pytest.mark.skipif(not pgbouncer.available(), reason="no pgbouncer here")
def test_nothing_is_kept_or_set_through_a_pooler(tmp_path: Path) -> None:
    postgres = PostgresServer()
    pooler = pgbouncer.PgBouncer(postgres)
    try:
        postgres.start()
        pooler.start()
        login = f"postgresql://{postgres.role}@127.0.0.1:{pooler.port}/{postgres.database}"
        with exporting(tmp_path, {"db": {"postgres": login, "data": DATA[1:]}}) as exporter:
            exporter.wait_up("postgres", 1)
            for _ in range(8):
                assert value(page(exporter), "pg_up") == 1
                assert value(page(exporter, "/metrics/data"), "opsctl_data_value", name="two") == 2

            # a session that others use as well carries no setting of ours
            with contextlib.closing(psycopg.connect(login)) as other:
                assert other.execute("show jit", prepare=False).fetchone() == ("on",)
                assert other.execute("select count(*) from pg_prepared_statements").fetchone() == (0,)
    finally:
        pooler.remove()
        postgres.remove()
