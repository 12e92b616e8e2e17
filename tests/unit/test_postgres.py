"""postgres: reading refusals, rows and migrations, and what the checks make of facts."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.checks import find_check
from opsctl.checks.base import CheckContext, Limits
from opsctl.checks.postgres_schema import END_OF_LIFE
from opsctl.facts.base import Connection
from opsctl.facts.postgres import PostgresFacts
from opsctl.facts.postgres_relations import Database, Migrations, Table
from opsctl.facts.postgres_replication import Replica, Slot
from opsctl.facts.postgres_sessions import Session, Statement
from opsctl.facts.postgres_settings import Settings, Window
from opsctl.judge import judge
from opsctl.model import Finding, Reading, ServiceSummary, Snapshot, StackSummary, Status, Target
from opsctl.probes import postgres_migrations as migrations
from opsctl.probes import postgres_parsing as parsing
from opsctl.probes import postgres_queries as queries
from opsctl.probes.postgres_connection import failure, plain
from opsctl.probes.postgres_sockets import rows_of, socket_folders
from opsctl.stack.specs import PoolSpec, ServiceSpec

DATA = Path(__file__).parent / "data" / "postgres"
AT = datetime(2026, 11, 21, 4, 10, tzinfo=UTC)
TARGET = Target(kind="postgres", service="db", address="127.0.0.1:5432")
REFUSALS = [line.split("\t", 1) for line in (DATA / "refusals.txt").read_text("utf-8").splitlines()]


def run(slug: str, facts: PostgresFacts, limits: Limits | None = None) -> list[Finding]:
    check = find_check(slug)
    context = CheckContext(check, TARGET, limits or check.limits or Limits(), AT)
    return list(check.function(facts, context))


def status(slug: str, facts: PostgresFacts, limits: Limits | None = None) -> Status:
    (finding,) = run(slug, facts, limits)
    return finding.status


def facts(**values: Any) -> PostgresFacts:
    given: dict[str, Any] = {
        "address": "127.0.0.1:5432",
        "database": "shop",
        "user": "app",
        "version_number": 150004,
        "in_recovery": False,
    }
    return PostgresFacts(**(given | values))


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "message"), REFUSALS)
def test_the_servers_words_are_understood(state: str, message: str) -> None:
    connection = failure(OSError(message), "127.0.0.1:5432")
    assert connection.state == state
    assert "FATAL" not in connection.detail


@given(st.text(max_size=2000))
def test_any_message_is_a_bounded_detail(message: str) -> None:
    connection = failure(OSError(message), "x")
    assert connection.state
    assert len(connection.detail) <= 300
    assert "\n" not in plain(message)


@pytest.mark.parametrize(
    "state", ["refused", "timeout", "auth-failed", "database-missing", "loading", "clients-exhausted"]
)
def test_a_refusal_is_named_by_exactly_one_check(state: str) -> None:
    slugs = {
        "refused": "down",
        "timeout": "hung",
        "auth-failed": "auth-failed",
        "database-missing": "database-missing",
        "loading": "recovering",
        "clients-exhausted": "connections",
    }
    unread = facts(
        up=False, connection=Connection(state=state, detail="words"), version_number=None, in_recovery=None
    )
    reading = Reading(target=TARGET, taken_at=AT, duration_seconds=0, facts=unread)
    stack = StackSummary(name="s", flow="postgres", origin="x", services={"db": ServiceSummary()})
    snapshot = Snapshot(
        schema=1,
        opsctl_version="0",
        stack=stack,
        taken_at=AT,
        duration_seconds=0,
        deadline_seconds=1,
        readings=(reading,),
    )
    findings = judge(snapshot)
    assert [item.id for item in findings if item.status.failing] == [f"postgres/{slugs[state]}"]
    others = [item.status for item in findings if not item.status.failing]
    assert others.count(Status.OK) == 5
    assert others.count(Status.BLOCKED) == len(findings) - 6


# -- statements ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "select * from users where name = 'Ann''s' and id = 17",
            "select * from users where name = ? and id = 17",
        ),
        ("update t set p = E'a\\'b' where x", "update t set p = ? where x"),
        ("select $$body$$, $tag$a $$ b$tag$ from t", "select ?, ? from t"),
        ("select 'cut off in the mid", "select ?"),
        ("select /* trace=abc */ 1 -- user=ann\n from t", "select 1 from t"),
        ('select "my ""odd"" column" from t', 'select "my ""odd"" column" from t'),
        ("select $1, phone from t where phone = 79991234567", "select $1, phone from t where phone = ?"),
        ("select 1\n\n  from\tt", "select 1 from t"),
        (None, ""),
    ],
)
def test_statements_lose_their_literals(query: str | None, expected: str) -> None:
    assert parsing.without_literals(query) == expected


@given(st.text(max_size=600))
def test_any_statement_is_bounded_and_on_one_line(query: str) -> None:
    text = parsing.without_literals(query)
    assert len(text) <= parsing.QUERY_LENGTH
    assert "\n" not in text


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=8, max_size=30))
def test_a_quoted_secret_never_stays(secret: str) -> None:
    secret = f"zq{secret}"
    for quoted in (f"'{secret}'", f"E'\\'{secret}'", f"$${secret}$$", f"'{secret}"):
        assert secret not in parsing.without_literals(f"select * from t where p = {quoted}")


# -- rows ---------------------------------------------------------------------------------------


def client(pid: int, state: str = "idle", **more: Any) -> dict[str, Any]:
    row = {
        "pid": pid,
        "datname": "shop",
        "usename": "app",
        "application": "backend",
        "backend_type": "client backend",
    }
    return {**row, "client": "10.0.0.5", "state": state, **more}


def test_sessions_of_a_chain_come_head_first() -> None:
    rows = [
        client(1, "idle in transaction", transaction_seconds=90.0, state_seconds=80.0),
        client(2, "active", wait_event_type="Lock", wait_event="transactionid", query_seconds=30.0),
        client(3, "active", wait_event_type="Lock", wait_event="transactionid", query_seconds=20.0),
        client(4, "idle"),
        client(5, "active", query_seconds=0.01, transaction_seconds=0.01),
    ]
    waiting = [
        {
            "pid": 2,
            "locktype": "transactionid",
            "mode": "ShareLock",
            "waiting_seconds": 29.0,
            "blocked_by": [1],
        },
        {"pid": 3, "locktype": "relation", "mode": "AccessShareLock", "relation": "users", "blocked_by": [2]},
    ]
    sessions = parsing.sessions(rows, waiting)
    assert [session.pid for session in sessions] == [1, 2, 3]
    assert sessions[2].waiting_seconds == 20.0, "before PostgreSQL 14 the statement's own age"
    assert sessions[2].waits_for == "AccessShareLock on users"
    (finding,) = run("postgres/blocked-queries", facts(sessions=sessions, waiting_sessions=2))
    assert finding.status is Status.CRITICAL
    assert "pid 1 (backend, app@10.0.0.5) blocks: idle in transaction for 80 s" in finding.summary


def test_a_prepared_transaction_can_be_the_head() -> None:
    waiting = [{"pid": 2, "locktype": "tuple", "mode": "x", "waiting_seconds": 60.0, "blocked_by": [0]}]
    sessions = parsing.sessions([client(2, "active")], waiting)
    (finding,) = run("postgres/blocked-queries", facts(sessions=sessions))
    assert "a prepared transaction blocks" in finding.summary
    assert finding.remediation is not None
    assert "pg_prepared_xacts" in finding.remediation.text


def test_a_circle_of_waiting_sessions_ends() -> None:
    sessions = [Session(pid=pid, blocked_by=[3 - pid], waiting_seconds=1.0) for pid in (1, 2)]
    assert status("postgres/blocked-queries", facts(sessions=sessions)) is Status.OK


def test_connections_are_counted_by_who_holds_them() -> None:
    rows = [client(n) for n in range(7)] + [
        client(9, application="bot"),
        {"pid": 10, "backend_type": "walwriter"},
    ]
    first, second = parsing.holders(rows)
    assert (first.application, first.count, first.idle) == ("backend", 7, 7)
    assert second.application == "bot"
    (activity,) = parsing.activity_counts(rows)
    assert (activity.datname, activity.state, activity.count) == ("shop", "idle", 8)


def test_sessions_whose_type_is_hidden_are_clients_if_they_have_a_database() -> None:
    hidden = {"pid": 1, "backend_type": None, "usename": "other", "datname": "shop"}
    assert parsing.is_client(hidden)
    assert not parsing.is_client({**hidden, "datname": None})


@given(
    st.lists(
        st.fixed_dictionaries(
            {"pid": st.integers(0, 50)},
            optional={
                "state": st.sampled_from(["active", "idle", "idle in transaction", None]),
                "query": st.text(max_size=50),
                "usename": st.text(max_size=5),
                "backend_type": st.sampled_from(["client backend", "autovacuum worker", None]),
                "query_seconds": st.none() | st.floats(0, 1e6),
                "transaction_seconds": st.none() | st.floats(0, 1e6),
            },
        ),
        max_size=80,
    ),
    st.lists(
        st.fixed_dictionaries(
            {"pid": st.integers(0, 50), "blocked_by": st.lists(st.integers(0, 50), max_size=4)}
        ),
        max_size=20,
    ),
)
def test_any_rows_make_a_bounded_list_that_can_be_judged(rows: list[Any], waiting: list[Any]) -> None:
    sessions = parsing.sessions(rows, waiting)
    assert len(sessions) <= parsing.MAX_SESSIONS
    for slug in ("blocked-queries", "idle-in-transaction", "long-query"):
        assert len(run(f"postgres/{slug}", facts(sessions=sessions, connections_used=1))) == 1


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [("16384", "8kB", 134217728), ("300", "s", 300), ("30", "min", 1800), ("1000", "ms", 1), ("4", "", 4),
     ("4", None, 4), ("on", None, None), ("", "MB", None), ("1", "furlongs", None), (None, None, None)],
)  # fmt: skip
def test_settings_come_in_base_units(value: str | None, unit: str | None, expected: float | None) -> None:
    assert parsing.setting_number(value, unit) == expected


def test_settings_are_those_that_a_session_starts_with() -> None:
    rows: dict[str, list[str | None]] = {
        "max_connections": ["100", None, "100", "configuration file"],
        "default_transaction_read_only": ["off", None, "on", "database"],
        "work_mem": ["4096", "kB", "4096", "default"],
    }
    settings = parsing.settings_values(rows)
    assert (settings.max_connections, settings.work_mem) == (100, 4194304)
    assert settings.default_transaction_read_only is True


@pytest.mark.parametrize(
    ("most", "superuser", "reserved", "room"),
    [("100", "3", None, 97), ("100", "3", "10", 87), ("3", "3", None, 1), (None, "3", None, None)],
)
def test_the_limit_of_all_pools_is_what_ordinary_roles_may_have(
    most: str | None, superuser: str, reserved: str | None, room: int | None
) -> None:
    named = {"max_connections": most, "superuser_reserved_connections": superuser}
    rows = {
        name: [value, None, value, "default"]
        for name, value in {**named, "reserved_connections": reserved}.items()
        if value is not None
    }
    settings = parsing.settings_values(rows)
    assert (settings.room, settings.pool_limit) == (room, room)


def test_wanted_tables_know_schemas() -> None:
    rows = [
        {"schema": "public", "name": "users", "visible": True},
        {"schema": "old", "name": "orders", "visible": False},
    ]
    users, orders, old, gone = parsing.wanted_tables(["users", "orders", "old.orders", "items"], rows)
    assert (users.exists, orders.exists, old.exists, gone.exists) == (True, False, True, False)
    assert orders.found_in == ["old"]


def test_a_second_sample_is_taken_only_with_a_reason() -> None:
    quiet = {
        "databases": [Database(datname="shop", deadlocks=9, temp_files=9, blocks_read=10**6, blocks_hit=1)]
    }
    idle = [client(1), client(2, "idle in transaction", transaction_seconds=600.0)]
    assert parsing.reasons_for_second_sample(quiet, idle) == set()
    busy = [client(1, "active", query_seconds=2.0)]
    assert parsing.reasons_for_second_sample({**quiet, "statements_seen": True}, busy) == {
        "temp-files",
        "cache-miss",
        "statements",
    }
    assert "deadlocks" in parsing.reasons_for_second_sample({**quiet, "waiting_sessions": 2}, idle)
    sorting = parsing.reasons_for_second_sample(quiet, [client(1, "active", query_seconds=0.02)])
    assert "temp-files" in sorting, "a report whose sorts take half a second each has just begun the next"
    short = parsing.reasons_for_second_sample(quiet, [client(1, "active", query_seconds=0.002)])
    assert "temp-files" not in short, "nobody waits because of the short queries of a busy server"


def test_databases_are_compared_with_themselves_only() -> None:
    before = [
        Database(datname="shop", deadlocks=5, blocks_read=100, blocks_hit=7),
        Database(datname="reset", deadlocks=9, blocks_read=1000),
        Database(datname="gone", deadlocks=1),
    ]
    after: list[dict[str, Any]] = [
        {"datname": "shop", "deadlocks": 6, "blocks_read": 130, "blocks_hit": 7, "temp_bytes": 10},
        {"datname": "reset", "deadlocks": 0, "blocks_read": 3},
        {"datname": "beyond the first sample", "deadlocks": 10**6, "blocks_read": 10**9},
        {"datname": None, "blocks_read": 10**9},
    ]
    changes = parsing.database_changes(before, after)
    assert changes == {"deadlocks": 1, "temp_bytes": None, "blocks_read": 30, "blocks_hit": 0}
    assert set(parsing.database_changes([], after).values()) == {None}


def test_both_samples_of_the_databases_come_from_one_question() -> None:
    assert "pg_stat_database" not in queries.window(150000)


def test_statements_are_compared_between_two_samples() -> None:
    def row(calls: int, seconds: float, queryid: str = "1") -> dict[str, Any]:
        return {
            "datname": "shop", "user": "app", "queryid": queryid, "query": "select 1",
            "calls": calls, "seconds": seconds, "rows": 0,
        }  # fmt: skip

    (statement,) = parsing.merged_statements([row(100, 1.0)], [row(102, 4.0)])
    assert (statement.window_calls, statement.window_mean_seconds) == (2, 1.5)
    (new,) = parsing.merged_statements([], [row(3, 3.0)])
    assert new.window_mean_seconds == 1.0
    (reset,) = parsing.merged_statements([row(100, 9.0)], [row(1, 0.1)])
    assert (reset.window_calls, reset.window_mean_seconds) == (0, None)
    (single,) = parsing.merged_statements([row(100, 9.0)], [])
    assert single.window_calls is None


def test_pools_are_added_up_for_the_service_that_they_use() -> None:
    services = {
        "db": ServiceSpec(),
        "backend": ServiceSpec(replicas=5, pool=PoolSpec(size=50, overflow=100), depends_on=["db"]),
        "jobs": ServiceSpec(pool=PoolSpec(size=3, service="db")),
        "other": ServiceSpec(pool=PoolSpec(size=99, service="elsewhere"), depends_on=["db"]),
        "page": ServiceSpec(depends_on=["db"]),
    }
    assert {share.service: share.connections for share in parsing.pool_shares(services, "db")} == {
        "backend": 750,
        "jobs": 3,
    }


# -- versions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [120000, 130000, 140000, 150000, 160000, 170000, 180000])
def test_questions_name_only_what_the_version_knows(version: int) -> None:
    assert ("waitstart" in queries.locks(version)) == (version >= 140000)
    assert ("wal_status" in queries.replication(version)) == (version >= 130000)
    for text in (queries.background(version), queries.window(version)):
        assert ("pg_stat_checkpointer" in text) == (version >= 170000)
    assert ("total_exec_time" in queries.statements(version, "public")) == (version >= 130000)
    assert "{" not in queries.replication(version) + queries.window(version)


def test_a_schema_name_is_quoted() -> None:
    assert '"odd""name".pg_stat_statements' in queries.statements(150000, 'odd"name')


# -- sockets ------------------------------------------------------------------------------------


def test_sockets_are_found_by_port() -> None:
    text = (DATA / "proc_net_unix.txt").read_text()
    assert socket_folders(text, "5432") == ["/var/run/postgresql"]
    assert socket_folders(text, "5433") == ["/tmp/with a space"]
    assert socket_folders(text, "543") == []


@given(st.text(max_size=500))
def test_any_text_is_read_for_sockets_and_rows(text: str) -> None:
    assert isinstance(socket_folders(text, "5432"), list)
    assert isinstance(rows_of(text), list)


# -- migrations ---------------------------------------------------------------------------------


ALEMBIC = {
    "1.py": 'revision = "a1"\ndown_revision = None\n',
    "2.py": "revision: str = 'b2'\ndown_revision: Union[str, None] = 'a1'  # after 'x'\n",
    "3.py": "revision = 'c3'\ndown_revision = 'a1'\n",
    "4.py": "revision = 'd4'\ndown_revision = ('b2', 'c3')\n",
    "env.py": "from alembic import context\n",
}


@pytest.mark.parametrize(
    ("applied", "pending", "unknown"),
    [(["d4"], [], []), (["b2"], ["c3", "d4"], []), (["b2", "c3"], ["d4"], []),
     ([], ["a1", "b2", "c3", "d4"], []), (["zz"], ["a1", "b2", "c3", "d4"], ["zz"])],
)  # fmt: skip
def test_alembic_revisions_are_followed(applied: list[str], pending: list[str], unknown: list[str]) -> None:
    state = migrations.migrations("alembic", ALEMBIC, applied)
    assert (state.pending, state.unknown, state.known_count) == (pending, unknown, 4)


def test_laravel_migrations_are_compared_by_name() -> None:
    state = migrations.migrations("laravel", {"2024_a.php": "", "2024_b.php": ""}, ["2024_a", "2023_z"])
    assert (state.pending, state.unknown, state.pending_count) == (["2024_b"], ["2023_z"], 1)


@given(st.text(max_size=300))
def test_any_file_may_stand_in_the_migrations_folder(text: str) -> None:
    migrations.alembic_revision(text)
    migrations.alembic_revision(f"revision = 'a'\ndown_revision = {text}")


def test_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        migrations.read_files("alembic", tmp_path / "gone")


# -- checks -------------------------------------------------------------------------------------


def test_too_old_versions_are_a_risk() -> None:
    assert status("postgres/version-unsupported", facts(version_number=120010)) is Status.WARNING
    assert status("postgres/version-unsupported", facts(version_number=140010)) is Status.WARNING
    assert status("postgres/version-unsupported", facts(version_number=90600)) is Status.WARNING
    assert status("postgres/version-unsupported", facts(version_number=150010)) is Status.OK
    assert status("postgres/version-unsupported", facts(version_number=190000)) is Status.OK
    assert sorted(END_OF_LIFE.values()) == list(END_OF_LIFE.values())


@pytest.mark.parametrize(
    ("age", "expected"), [(2 * 10**8, Status.OK), (12 * 10**8, Status.WARNING), (20 * 10**8, Status.CRITICAL)]
)
def test_wraparound(age: int, expected: Status) -> None:
    for database in (
        Database(datname="shop", xid_age=age),
        Database(datname="shop", xid_age=1, multixact_age=age),
    ):
        (finding,) = run("postgres/wraparound", facts(databases=[database]))
        assert finding.status is expected


def test_without_the_extension_what_runs_now_is_what_can_be_said() -> None:
    assert status("postgres/statements-slow", facts(connections_used=5)) is Status.OK
    assert status("postgres/statements-slow", facts(connections_used=None)) is Status.UNKNOWN
    slow = Session(pid=1, state="active", query="select 1", query_seconds=3.0)
    assert status("postgres/statements-slow", facts(connections_used=5, sessions=[slow])) is Status.WARNING


def test_an_old_checksum_failure_is_not_current() -> None:
    def failed(seconds_ago: float) -> PostgresFacts:
        database = Database(
            datname="shop", checksum_failures=2, checksum_last_failure=AT.timestamp() - seconds_ago
        )
        return facts(databases=[database])

    assert status("postgres/checksum-failures", failed(60)) is Status.CRITICAL
    assert status("postgres/checksum-failures", failed(3 * 86400)) is Status.OK


@pytest.mark.parametrize("field", ["deadlocks", "temp_bytes"])
def test_lifetime_totals_are_never_judged(field: str) -> None:
    slug = {"deadlocks": "postgres/deadlocks", "temp_bytes": "postgres/temp-files"}[field]
    total: dict[str, Any] = {field: 10**12}
    known = [Database(datname="shop", **total)]
    assert status(slug, facts(databases=known)) is Status.OK
    window = Window(seconds=1.2, **{field: 10**9})
    assert status(slug, facts(databases=known, window=window)) is Status.WARNING


def test_few_misses_are_no_finding_whatever_their_share() -> None:
    assert (
        status("postgres/cache-miss", facts(window=Window(seconds=1.0, blocks_read=90, blocks_hit=10)))
        is Status.OK
    )
    much = Window(seconds=1.0, blocks_read=9000, blocks_hit=1000)
    assert status("postgres/cache-miss", facts(window=much)) is Status.WARNING


def test_archiving_is_judged_by_its_last_attempt() -> None:
    base = {"archiving": True, "archiving_configured": True, "archive_failed_count": 10**6}
    slug = "postgres/wal-archiving-failing"
    assert status(slug, facts(**base)) is Status.OK
    assert status(slug, facts(**base, last_archive_age=5.0, last_archive_failure_age=600.0)) is Status.OK
    assert status(slug, facts(**base, last_archive_age=600.0, last_archive_failure_age=5.0)) is Status.WARNING
    assert (
        status(slug, facts(**base, last_archive_age=7200.0, last_archive_failure_age=5.0)) is Status.CRITICAL
    )
    assert status(slug, facts(**base, last_archive_failure_age=5.0)) is Status.WARNING


def test_a_table_that_is_being_vacuumed_is_not_behind() -> None:
    table = Table(datname="shop", schema="public", name="events", dead=10**6, vacuum_trigger=1000.0)
    assert status("postgres/autovacuum-behind", facts(tables=[table])) is Status.CRITICAL
    running = Table(
        datname="shop", schema="public", name="events", dead=10**6, vacuum_trigger=1000.0, vacuuming=True
    )
    assert status("postgres/autovacuum-behind", facts(tables=[running])) is Status.OK


def test_what_metrics_show_of_other_databases_is_not_judged_as_this_service_s() -> None:
    def found(datname: str) -> tuple[Status, Status]:
        table = Table(datname=datname, schema="public", name="events", dead=10**6, vacuum_trigger=1000.0)
        slow = Statement(
            datname=datname, user="app", queryid="1", window_calls=9, window_mean_seconds=5.0, seconds=45.0
        )
        seen = facts(tables=[table], statements=[slow], statements_seen=True, window=Window(seconds=1.0))
        return status("postgres/autovacuum-behind", seen), status("postgres/statements-slow", seen)

    assert found("shop") == (Status.CRITICAL, Status.WARNING)
    assert found("billing") == (Status.OK, Status.OK)


def test_replicas_seen_from_the_primary() -> None:
    idle = Replica(application="r1", client="", state="streaming", lag_bytes=0, replay_lag_seconds=500.0)
    assert status("postgres/replication-lag", facts(replicas=[idle])) is Status.OK, "nothing waits there"
    behind = Replica(application="r1", client="", state="streaming", lag_bytes=300 * 1024**2)
    assert status("postgres/replication-lag", facts(replicas=[behind])) is Status.WARNING
    hidden = Replica(application="r1", client="")
    assert status("postgres/replication-lag", facts(replicas=[hidden])) is Status.UNKNOWN
    assert status("postgres/replica-missing", facts(replicas=[hidden], expected_replicas=2)) is Status.WARNING
    assert status("postgres/replica-missing", facts(replicas=[], expected_replicas=2)) is Status.CRITICAL


def test_a_lost_slot_is_named() -> None:
    (finding,) = run("postgres/slot-retaining-wal", facts(slots=[Slot(name="old", wal_status="lost")]))
    assert finding.status is Status.WARNING
    assert "old is lost" in finding.summary


def test_in_a_container_listening_everywhere_is_normal() -> None:
    everywhere = facts(listen_addresses=["*"], listens_beyond_loopback=True)
    assert status("postgres/exposed", everywhere) is Status.WARNING
    inside = facts(listen_addresses=["*"], listens_beyond_loopback=True, in_container=True)
    assert status("postgres/exposed", inside) is Status.OK


def test_code_older_than_the_database_is_said() -> None:
    state = Migrations(tool="alembic", unknown=["zz"], pending_count=0, known_count=4)
    (finding,) = run("postgres/migrations-pending", facts(migrations=[state]))
    assert finding.status is Status.WARNING
    assert "does not know: zz" in finding.summary


def test_connections_over_the_reserved_path_name_the_holder() -> None:
    rows = [client(n) for n in range(17)]
    full = facts(
        connection=Connection(state="clients-exhausted", detail="sorry, too many clients already"),
        reserved_path="/run/postgresql",
        connections_used=17,
        holders=parsing.holders(rows),
        settings=Settings(max_connections=20, superuser_reserved_connections=3),
    )
    (finding,) = run("postgres/connections", full)
    assert finding.status is Status.CRITICAL
    assert any("17 from backend" in row.text for row in finding.evidence)


def test_commands_are_safe_to_paste() -> None:
    nasty = facts(
        user="app; rm -rf /", database="sh'op", listen_addresses=["*"], listens_beyond_loopback=True,
        sessions=[Session(pid=7, state="idle in transaction", state_seconds=999.0)], connections_used=1,
    )  # fmt: skip
    (finding,) = run("postgres/idle-in-transaction", nasty)
    assert finding.remediation is not None
    for command in finding.remediation.commands:
        words = shlex.split(command)
        assert words[0] == "psql"
        assert len(words) == 4
        assert "terminate" not in command
