"""Lines to entries: what belongs together, when it was, what it is about."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.logs import times
from opsctl.logs.classes import Meaning, meaning, meaning_of_warning
from opsctl.logs.entries import Entry, Line, assemble, may_fail
from opsctl.logs.formats import READERS
from opsctl.logs.stores import file_lines

DATA = Path(__file__).parent / "data" / "logs"


def entries(name: str, format: str) -> list[Entry]:
    return assemble(file_lines((DATA / name).read_bytes()), format).entries


def errors(name: str, format: str) -> list[Entry]:
    return [entry for entry in entries(name, format) if entry.is_error]


def about(entry: Entry, format: str = "plain") -> str:
    return meaning(f"{entry.exception or entry.message} {entry.detail}", format).category


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_a_traceback_belongs_to_its_first_line_and_the_last_exception_counts() -> None:
    access, failed = errors("uvicorn.log", "uvicorn")
    assert "500 Internal" in access.message
    assert failed.message == "Exception in ASGI application"
    assert failed.exception.startswith("sqlalchemy.exc.OperationalError")
    assert about(failed) == "connection"
    assert failed.lines >= 12


def test_laravel_stack_traces_belong_to_their_entry() -> None:
    first, second = errors("laravel.log", "laravel")
    assert first.message.startswith("SQLSTATE[08006]")
    assert first.lines == 8
    assert first.time == at("2026-11-21 04:09:14")
    assert first.naive
    assert (about(first), about(second)) == ("connection", "application")
    assert "userId" not in second.message


def test_postgres_details_join_and_statements_are_not_kept() -> None:
    found = entries("postgres.log", "postgres")
    assert len(found) == 8
    assert "CANARY" not in repr(found)
    assert found[2].detail.startswith("Connection matched")
    kinds = {entry.message[:20]: about(entry, "postgres") for entry in found if entry.is_error}
    assert kinds == {
        'relation "orders" do': "database",
        "password authenticat": "database",
        "duplicate key value ": "client",
        "terminating connecti": "client",
        "deadlock detected": "database",
        "server process (PID ": "database",
        "PANIC: could not wri": "application",
    }
    assert not any(entry.naive for entry in found)


def test_nginx_error_log_separates_upstreams_from_clients() -> None:
    found = entries("nginx-error.log", "nginx-error")
    kinds = [about(entry) for entry in found if entry.is_error]
    assert kinds == ["connection", "connection", "client", "client", "client", "application"]


def test_nginx_access_log_counts_only_5xx() -> None:
    found = errors("nginx.log", "nginx")
    assert [about(entry) for entry in found] == ["connection", "application"]
    assert [entry.time for entry in found] == [at("2026-11-21 04:09:15"), at("2026-11-21 04:09:16")]


def test_json_lines_of_several_loggers() -> None:
    result = assemble(file_lines((DATA / "json.log").read_bytes()), "json")
    found = [entry for entry in result.entries if entry.is_error]
    assert [about(entry) for entry in found] == ["connection", "connection", "application", "application"]
    assert found[0].time == 1795234155.5
    assert found[1].exception.startswith("redis.exceptions.ConnectionError")
    assert found[2].message == "request /orders 503"
    assert result.unparsed == 1
    assert result.entries[-1].time == at("2026-11-21 04:09:19")


def test_two_pollers_are_marked() -> None:
    found = errors("aiogram.log", "plain")
    assert [meaning(entry.message).marker for entry in found] == ["telegram-conflict"] * 2 + [""]
    assert meaning(found[2].message) == Meaning("connection", "telegram")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "psycopg.OperationalError: connection failed: port 5432 failed: Connection refused",
            "connection/postgres/",
        ),
        (
            "psycopg.OperationalError: FATAL:  sorry, too many clients already",
            "database/postgres/too-many-connections",
        ),
        ('psycopg.errors.UndefinedTable: relation "users" does not exist', "database/postgres/"),
        (
            "psycopg.errors.UniqueViolation: duplicate key value violates unique constraint",
            "application/postgres/",
        ),
        (
            "psycopg.errors.AdminShutdown: terminating connection due to administrator command",
            "connection/postgres/",
        ),
        (
            "psycopg_pool.PoolTimeout: couldn't get a connection after 30.00 sec",
            "database/postgres/pool-exhausted",
        ),
        (
            "asyncpg.exceptions.InvalidPasswordError: password authentication failed for user",
            "database/postgres/auth-failed",
        ),
        (
            "asyncpg.exceptions.CannotConnectNowError: the database system is starting up",
            "database/postgres/",
        ),
        (
            "sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached",
            "database/postgres/pool-exhausted",
        ),
        ("redis.exceptions.ConnectionError: Error 111 connecting to 127.0.0.1:6379.", "connection/redis/"),
        ("redis.exceptions.TimeoutError: Timeout reading from socket", "connection/redis/"),
        (
            "redis.exceptions.ResponseError: MISCONF Redis is configured to save RDB snapshots",
            "database/redis/",
        ),
        ("redis.exceptions.ReadOnlyError: You can't write against a read only replica.", "database/redis/"),
        (
            "redis.exceptions.AuthenticationError: invalid username-password pair",
            "database/redis/auth-failed",
        ),
        ("httpx.ConnectError: All connection attempts failed", "connection//"),
        ("httpx.ReadTimeout", "connection//"),
        ("requests.exceptions.ConnectionError: HTTPConnectionPool(host='x', port=80)", "connection//"),
        (
            "aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host backend:8000",
            "connection//",
        ),
        ("socket.gaierror: [Errno -3] Temporary failure in name resolution", "connection/dns/"),
        (
            'SQLSTATE[08006] [7] connection to server at "127.0.0.1" failed: Connection refused',
            "connection/postgres/",
        ),
        ('SQLSTATE[42P01]: Undefined table: 7 ERROR:  relation "x" does not exist', "database/postgres/"),
        ("SQLSTATE[23505]: Unique violation: 7 ERROR", "application/postgres/"),
        ("no live upstreams while connecting to upstream", "connection/upstream/"),
        ("ModuleNotFoundError: No module named 'app'", "application//"),
        ("OSError: [Errno 28] No space left on device", "application//disk-full"),
        ("[Errno 98] Address already in use", "application//address-in-use"),
        ("worker 3 exited on signal 11", "application//crash"),
        ("starlette.requests.ClientDisconnect", "client//"),
        ("fastapi.exceptions.HTTPException: 404: not here", "client//"),
    ],
)
def test_what_an_error_is_about(text: str, expected: str) -> None:
    assert "/".join(meaning(text)) == expected


def test_a_warning_counts_only_where_it_names_the_peer() -> None:
    assert meaning_of_warning("redis: Connection refused, retrying").category == "connection"
    assert meaning_of_warning("Sleep for 1.0 seconds and try again").category == "client"
    assert meaning_of_warning("connection pool is at 80 %").category == "client"


@pytest.fixture
def moscow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Moscow")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("moscow")
def test_a_time_without_a_zone_is_read_as_the_one_that_fits_the_file() -> None:
    written = at("2026-11-21 04:09:14")
    moment = times.leading("2026/11/21 07:09:13 [error] x")
    assert moment is not None
    assert moment.naive
    assert times.zone_offset(moment.seconds, written) == 3 * 3600
    utc = times.leading("[2026-11-21 04:09:13] production.ERROR: x")
    assert utc is not None
    assert times.zone_offset(utc.seconds, written) == 0
    named = times.leading("2026-11-21 07:09:14.000 MSK [17] LOG:  x")
    assert named is not None
    assert (named.seconds, named.naive) == (written, False)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2026-11-21T04:09:14Z x", at("2026-11-21 04:09:14")),
        ("2026-11-21 04:09:14,250 INFO x", at("2026-11-21 04:09:14") + 0.25),
        ("[2026-11-21 04:09:14 +0300] [7] [ERROR] x", at("2026-11-21 01:09:14")),
        ("1:M 21 Nov 2026 04:09:14.500 # Warning", at("2026-11-21 04:09:14") + 0.5),
        ("[21-Nov-2026 04:09:14 UTC] PHP Fatal error", at("2026-11-21 04:09:14")),
        ("no time here", None),
        ("2026-13-45 99:99:99 x", None),
    ],
)
def test_times_at_the_beginning_of_a_line(line: str, expected: float | None) -> None:
    moment = times.leading(line)
    assert (moment.seconds if moment else None) == expected


def test_quiet_lines_are_counted_and_the_last_one_is_read() -> None:
    lines = [Line(f"2026-11-21 04:09:{number % 60:02d} INFO all is well {number}") for number in range(1000)]
    lines.insert(500, Line("2026-11-21 04:09:30 ERROR broken"))
    result = assemble(lines, "plain")
    assert result.parsed == 1001
    assert sum(1 + entry.quiet_before for entry in result.entries) == 1001
    assert [entry.message for entry in result.entries if entry.is_error] == ["broken"]
    assert result.entries[-1].message.endswith("all is well 999")
    assert len(result.entries) < 100


def test_what_may_fail_is_wrong_only_on_the_safe_side() -> None:
    assert may_fail('{"level":50,"msg":"x"}')
    assert may_fail('{"level":"info","status":503}')
    assert may_fail('x "GET / HTTP/1.1" 502 1')
    assert not may_fail('{"level":30,"msg":"all well","status":200}')


def test_bytes_that_are_not_text_survive() -> None:
    data = b"2026-11-21 04:09:14 ERROR \xff\xfe broken \x00 thing\n\xc3\x28\n"
    result = assemble(file_lines(data), "plain")
    assert result.entries[0].level == "error"
    assert "broken" in result.entries[0].message


@given(st.lists(st.text(max_size=200), max_size=30), st.sampled_from(sorted(READERS)))
def test_no_lines_make_a_reader_raise(lines: list[str], format: str) -> None:
    result = assemble([Line(line) for line in lines], format)
    assert result.parsed + result.unparsed <= len(lines)
    for entry in result.entries:
        assert meaning(entry.key, format).category in ("connection", "database", "application", "client")


@given(st.binary(max_size=2000), st.sampled_from(sorted(READERS)))
def test_no_bytes_make_a_reader_raise(data: bytes, format: str) -> None:
    assemble(file_lines(data), format)


@given(
    st.from_regex(
        r"\A\[?[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]{1,9})?"
        r" ?([+-][0-9]{2}:?[0-9]{2}|Z|UTC|MSK)?\]? .{0,20}\Z"
    ),
    st.sampled_from(sorted(READERS)),
)
def test_no_time_makes_a_reader_raise(line: str, format: str) -> None:
    READERS[format](line)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", ["a", "Error", "A.", "connection ", "1.1.1.1", "a@b.", "Traceback ", '"'])
def test_hostile_lines_take_linear_time(piece: str) -> None:
    line = "2026-11-21 04:09:14 ERROR " + piece * 50_000
    for name in READERS:
        for entry in assemble([Line(line), Line(piece * 50_000)], name).entries:
            meaning(entry.key, name)


def test_the_zone_tests_left_nothing_behind() -> None:
    assert os.environ.get("TZ", "") != "Europe/Moscow"
