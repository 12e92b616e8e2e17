"""Named queries: a number beyond its limit is found, a query that cannot run is unknown, never ok."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from opsctl.model import Diagnosis, Status
from tests.live.postgres_faults import expect, expect_healthy
from tests.live.web import first, found, look
from tests.servers.postgres import PostgresServer, available

pytestmark = [pytest.mark.live, pytest.mark.skipif(not available(), reason="no PostgreSQL to start here")]

WAITING = "select count(*) from notifications where status = 'waiting'"


def examine(server: PostgresServer, *queries: dict[str, Any]) -> Diagnosis:
    return look({"db": {**server.stack_spec(), "data": list(queries)}}, "postgres")


def prepare(server: PostgresServer) -> None:
    server.sql("create table notifications (status text)", server.database)
    server.sql(f"grant all on notifications to {server.role}", server.database)


def test_a_queue_that_grows() -> None:
    query = {"name": "waiting", "query": WAITING, "warning": 5, "critical": 50, "unit": "notifications"}
    with PostgresServer() as server:
        prepare(server)
        expect_healthy(lambda: examine(server, query))
        server.sql("insert into notifications select 'waiting' from generate_series(1, 60)", server.database)
        diagnosis = expect("data/threshold", lambda: examine(server, query))
        assert "waiting is 60 notifications" in found(diagnosis, "data/threshold").summary
        server.sql("update notifications set status = 'sent'", server.database)
        expect_healthy(lambda: examine(server, query))


def test_too_little_can_be_the_fault() -> None:
    query = {"name": "orders", "query": WAITING, "warning": 0, "below": True}
    with PostgresServer() as server:
        prepare(server)
        expect("data/threshold", lambda: examine(server, query))


def test_blocked_while_the_database_is_down() -> None:
    with PostgresServer() as server:
        server.stop()
        diagnosis = examine(server, {"name": "waiting", "query": WAITING, "warning": 5})
        assert first(diagnosis) == "postgres/down:db"
        assert found(diagnosis, "data/threshold").status is Status.BLOCKED


@pytest.mark.parametrize(
    "query",
    [
        "select no_such_column from notifications",
        "select 1, 2",
        "select 'many'",
        "select 1 from generate_series(1, 3)",
        "select null::int",
        "select pg_sleep(30)",
        "insert into notifications values ('x') returning 1",
        "select 1; commit; drop table notifications",
        "commit",
    ],
)
def test_what_cannot_be_answered_is_unknown_and_changes_nothing(query: str) -> None:
    with PostgresServer() as server:
        prepare(server)
        server.sql("insert into notifications values ('waiting')", server.database)
        good = {"name": "waiting", "query": WAITING, "warning": 5}
        diagnosis = examine(server, {"name": "broken", "query": query, "warning": 5}, good)
        status = {item.target_id: item.status for item in diagnosis.findings if item.id == "data/threshold"}
        assert status == {"db/data/broken": Status.UNKNOWN, "db/data/waiting": Status.OK}
        assert server.sql("select count(*) from notifications", server.database) == [(1,)]


def test_a_locked_table_is_not_waited_for() -> None:
    with PostgresServer() as server, contextlib.closing(server.administrator(server.database)) as locker:
        prepare(server)
        locker.execute("begin")
        locker.execute("lock table notifications in access exclusive mode")
        diagnosis = examine(server, {"name": "waiting", "query": WAITING, "warning": 5})
        assert found(diagnosis, "data/threshold").status is Status.UNKNOWN
        locker.execute("rollback")


def test_all_queries_of_a_service_share_one_connection() -> None:
    queries = [{"name": f"number_{n}", "query": "select pg_backend_pid()", "warning": 1e12} for n in range(5)]
    with PostgresServer() as server:
        diagnosis = examine(server, *queries)
        values = {item.evidence[0].value for item in diagnosis.findings if item.id == "data/threshold"}
        assert len(values) == 1
