"""Which errors are of now: logs without times, recovery, and what cannot be told."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.causes import rank
from opsctl.checks.logs import has_recovered, may_be_current
from opsctl.diagnose import role_of
from opsctl.facts.logs import LogsFacts, LogTemplate
from opsctl.logs.analysis import Analysis
from opsctl.logs.dating import date
from opsctl.logs.entries import Entry, Line
from opsctl.logs.signs import Signs, json_route, route_of
from opsctl.logs.stores import file_lines
from opsctl.logs.tail import read_further, read_tail
from opsctl.model import UNDATED, Finding, Status
from opsctl.redact import Redactor
from tests.unit.findings import explanations, finding, services
from tests.unit.test_logs_templates import NOW, analysed, failing, judged, read

ERROR = "ERROR:    Exception in ASGI application"
TRACE = ["Traceback (most recent call last):", '  File "/app/main.py", line 12, in f', "KeyError: 'price'"]
BAD = 'INFO:     127.0.0.1:4 - "GET /orders HTTP/1.1" 500 Internal Server Error'
GOOD = 'INFO:     127.0.0.1:4 - "GET /orders HTTP/1.1" 200 OK'
TRACEBACK = [
    "Traceback (most recent call last):",
    '  File "/srv/app.py", line 11, in menu',
    'psycopg.errors.UndefinedColumn: column "price" does not exist',
]
OTHER = 'INFO:     127.0.0.1:4 - "GET /health HTTP/1.1" 200 OK'
FAILURE = [BAD, ERROR, *TRACE]


def untimed(lines: Iterable[str | Line], written_ago: float = 1.0) -> LogsFacts:
    """Return the facts of a file whose lines have no times."""
    analysis = Analysis("uvicorn", NOW, Redactor().text)
    found = [Line(item) if isinstance(item, str) else item for item in lines]
    analysis.add(found, NOW - written_ago)
    return LogsFacts(format="uvicorn", **analysis.values())


def application(facts: LogsFacts) -> Finding:
    return judged(facts)["logs/application-errors"]


def test_errors_without_a_time_prove_nothing() -> None:
    found = application(untimed([*FAILURE * 5]))
    assert (found.status, found.code) == (Status.UNKNOWN, UNDATED)
    assert "KeyError" in found.summary


def test_errors_without_a_time_that_differ_count_together() -> None:
    lines = [f"ERROR:    {word} broke {word[::-1]} in {word}s" for word in ("alpha", "bravo", "delta")]
    assert application(untimed(lines)).code == UNDATED
    assert application(untimed([*lines, *[OTHER] * 60])).status is Status.OK


def test_errors_without_a_time_before_many_ordinary_lines_are_over() -> None:
    assert application(untimed([*FAILURE * 5, *[OTHER] * 60])).status is Status.OK


def test_errors_without_a_time_in_a_file_that_is_not_written_to_are_over() -> None:
    facts = untimed(FAILURE * 5, written_ago=300)
    assert application(facts).status is Status.OK
    assert not any(item.undated for item in facts.templates)


def test_a_good_answer_shows_that_errors_without_a_time_are_over() -> None:
    assert application(untimed([*FAILURE * 5, GOOD])).status is Status.OK
    assert application(untimed([*FAILURE * 5, OTHER])).status is Status.UNKNOWN
    assert application(untimed([*[*FAILURE, GOOD, GOOD] * 5, GOOD])).status is Status.UNKNOWN


def test_only_the_class_that_has_such_errors_is_unknown() -> None:
    found = judged(untimed(FAILURE * 5))
    unknown = [slug for slug, finding in found.items() if finding.status is Status.UNKNOWN]
    assert unknown == ["logs/application-errors"]


def test_what_cannot_be_dated_stands_beside_a_symptom_and_takes_nothing_from_its_proof() -> None:
    rules = {"logs/application-errors": {"service": ["http/status"]}, "http/status": {}}
    undated = application(untimed(FAILURE * 5))
    symptom = finding("http/status", "app")
    stack = explanations(services(app=[]), rules)
    causes = rank([symptom, undated], stack, role_of, lambda item: False)
    assert [item.finding.id for item in causes.proven] == ["http/status"]
    assert causes.unproven == []
    (candidate,) = causes.candidates
    assert candidate.id == "logs/application-errors"
    assert "perhaps old" in candidate.because
    alone = rank([undated], stack, role_of, lambda item: False)
    assert (alone.proven, alone.unproven, alone.candidates) == ([], [], [])


def test_lines_seen_to_come_are_of_now() -> None:
    fresh = [Line(text, NOW) for text in FAILURE * 3]
    assert failing(untimed([*FAILURE * 5, *fresh])) == ["logs/application-errors"]


def test_old_times_do_not_date_what_stands_far_below() -> None:
    banner = Line("2026-11-20 04:09:14 INFO started")
    assert application(untimed([banner, *FAILURE * 5])).status is Status.UNKNOWN
    assert application(untimed([banner, *FAILURE * 5], written_ago=500)).status is Status.OK


def test_neighbours_with_a_time_date_what_stands_between() -> None:
    lines = [Line("a", NOW - 9), Line("b"), Line("c", NOW - 5), Line("d")]
    entries = [Entry(line.time, False, "error", line.text) for line in lines]
    date(entries, NOW, NOW - 2)
    assert [entry.time for entry in entries] == [NOW - 9, NOW - 9, NOW - 5, NOW - 2]
    assert not any(entry.undated for entry in entries)


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 5000)), max_size=30),
    st.one_of(st.none(), st.floats(0, 5000)),
)
def test_what_is_dated_lies_between_its_neighbours(agos: list[float | None], written: float | None) -> None:
    times = sorted((NOW - ago for ago in agos if ago is not None), reverse=True)
    entries = [Entry(None if ago is None else times.pop(), False, "error", "x") for ago in agos]
    known = [entry.time for entry in entries]
    end = None if written is None else NOW - written
    if end is not None and any(at is not None and at > end for at in known):
        end = NOW
    date(entries, NOW, end)
    dated = [entry.time for entry in entries if entry.time is not None]
    assert dated == sorted(dated)
    for before, entry in zip(known, entries, strict=True):
        assert before is None or entry.time == before
        assert not (entry.undated and entry.time is not None)


def test_a_good_answer_to_the_same_request_ends_an_error_at_once() -> None:
    storm = [(9.0 - number, BAD) for number in range(7)]
    assert failing(analysed(storm)) == ["logs/application-errors"]
    assert failing(analysed([*storm, (1.5, OTHER)])) == ["logs/application-errors"]
    assert failing(analysed([*storm, (1.5, GOOD)])) == []


def test_good_answers_among_bad_ones_do_not_end_an_error() -> None:
    mixed = [(20.0 - number, BAD if number % 3 == 0 else GOOD) for number in range(20)]
    assert failing(analysed(mixed)) == ["logs/application-errors"]


def test_an_exception_is_over_with_the_request_that_it_stood_beside() -> None:
    lines = [
        (9 - number - part / 1000, text)
        for number in range(7)
        for part, text in enumerate([BAD, f"{ERROR}: boom"])
    ]
    assert failing(analysed(lines)) == ["logs/application-errors"]
    assert failing(analysed([*lines, (1, GOOD)])) == []


def test_another_request_that_still_fails_keeps_the_error() -> None:
    other = BAD.replace("/orders", "/carts")
    storm = [(9 - number, text) for number in range(7) for text in (BAD, other)]
    assert failing(analysed([*storm, (1, GOOD), (0.8, GOOD)])) == ["logs/application-errors"]


def test_words_of_recovery_end_connection_errors() -> None:
    tries = [
        (50 - 8 * number, "ERROR aiogram: TelegramNetworkError: Connection refused") for number in range(6)
    ]
    assert failing(analysed([*tries, (5, "INFO waiting")])) == ["logs/connection-errors"]
    back = (4, "INFO aiogram: Connection established (tryings = 6, bot id = 1)")
    assert failing(analysed([*tries, back])) == []


def test_a_start_ends_what_the_process_before_said_unless_each_start_ends_so() -> None:
    fatal = "CRITICAL cannot go on: no settings"
    started = "INFO Application startup complete."
    assert failing(analysed([(9, fatal), (8, fatal), (5, started), (4, started)])) == []
    loop = [(30 - 3 * number, text) for number in range(6) for text in (started, fatal)]
    assert failing(analysed([*loop, (2, started)])) == ["logs/application-errors"]


def test_a_log_that_goes_on_forgets_sooner() -> None:
    storm = [(10 - number / 10, "ERROR KeyError: 'price'") for number in range(50)]
    assert failing(analysed(storm)) == ["logs/application-errors"]
    going_on = [(4 - number / 10, f"INFO job {number} done") for number in range(30)]
    assert failing(analysed([*storm, *going_on])) == []


def test_a_replica_that_still_fails_is_not_excused_by_one_that_does_not() -> None:
    analysis = Analysis("plain", NOW, Redactor().text)
    analysis.add([Line(BAD, NOW - 9 + number) for number in range(8)])
    analysis.add([Line(BAD, NOW - 9 + number) for number in range(8)] + [Line(GOOD, NOW - 0.5)] * 3)
    assert failing(LogsFacts(**analysis.values())) == ["logs/application-errors"]


@pytest.mark.parametrize(
    ("message", "route"),
    [
        (BAD, '"GET /orders'),
        ('1.1.1.1 - "POST /product/17/buy?x=1 HTTP/1.1" 502 157 "-" "x"', '"POST /product/'),
        ('"GET /api/v1/menu HTTP/1.1" 500 21', '"GET /api/v1/menu'),
        ('"GET /api/v2.1/menu/17 HTTP/1.1" 500 21', '"GET /api/v2.1/menu/'),
        ('"GET /video1/17 HTTP/1.1" 500 21', '"GET /'),
        ('"GET / HTTP/2.0" 500 1', '"GET /'),
        ("nothing", ""),
    ],
)
def test_routes(message: str, route: str) -> None:
    assert route_of(message) == route


def test_only_answers_to_the_same_request_count() -> None:
    signs = Signs()
    signs.failed('"GET /orders')
    signs.failed(json_route("/carts/17?x=1"))
    for text in (
        '"GET /orders?page=2 HTTP/1.1" 200 5',
        '"GET /orders HTTP/1.1" 404 5',
        '"GET /orders HTTP/1.1" 499 0',
        '"GET /orders HTTP/1.1" 502 0',
        '"GET /ordersx HTTP/1.1" 200 0',
        '{"path":"/carts/18","status":201}',
        '{"path":"/carts/18"}',
        '"GET /orders',
    ):
        signs.see(text)
    assert signs.passed == {'"GET /orders': 2, '"/carts/': 1}


def test_a_page_of_the_same_api_that_works_excuses_none_that_fails() -> None:
    menu = 'INFO:     127.0.0.1:4 - "GET /api/v1/menu HTTP/1.1" 500 Internal Server Error'
    error = ["ERROR:    Exception in ASGI application", *TRACEBACK]
    users = 'INFO:     127.0.0.1:4 - "GET /api/v1/users HTTP/1.1" 401 Unauthorized'
    lines = [Line(text, NOW - 1) for text in [menu, *error, menu, *error, users, users, users]]
    analysis = Analysis("uvicorn", NOW, Redactor().text)
    analysis.add(lines)
    assert failing(LogsFacts(**analysis.values())) == ["logs/database-errors", "logs/application-errors"]


def test_what_nginx_could_not_pass_on_is_over_when_the_same_page_answers() -> None:
    """A container's log has the errors of nginx and its answers; the errors name their requests."""
    error = (
        "2023/11/14 22:13:01 [error] 73#73: *3 connect() failed (111: Connection refused) while connecting "
        'to upstream, client: 172.30.0.1, server: , request: "GET /api/v1/orders HTTP/1.1", upstream: '
        '"http://172.30.0.9:8000/api/v1/orders", host: "shop.example"'
    )
    good = '172.30.0.1 - - [14/Nov/2023:22:13:19 +0000] "GET /api/v1/orders HTTP/1.1" 200 5 "-" "x"'
    other = good.replace("orders", "products")

    def found(*lines: tuple[float, str]) -> list[str]:
        analysis = Analysis("nginx", NOW, Redactor().text)
        analysis.add([Line(text, NOW - ago) for ago, text in lines])
        return failing(LogsFacts(**analysis.values()))

    deployment = [(23, error), (18, error), (14, error)]
    assert found(*deployment, (3, other), (2, other)) == ["logs/connection-errors"]
    assert found(*deployment, (3, good), (2, good)) == []
    one_of_several_is_away = [(23, error), (22, good), (20, good), (14, error), (12, good), (11, good)]
    assert found(*one_of_several_is_away) == ["logs/connection-errors"]


@given(st.lists(st.text(max_size=100), max_size=20), st.text(max_size=50))
def test_no_text_makes_signs_raise(texts: list[str], message: str) -> None:
    signs = Signs()
    for route in (route_of(f'"GET /{message} HTTP/1.1" 500 1'), json_route(f"/{message}"), '"GET /'):
        signs.failed(route)
    for text in texts:
        signs.see(text)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 50), st.integers(0, 9))
def test_more_good_signs_never_make_an_error_current(
    good: int, between: int, count: int, undated: int
) -> None:
    items = [
        LogTemplate(id="x", category="application", count=count, undated=undated, good_since=since,
                    good_between=between)
        for since in (good, good + 1)
    ]  # fmt: skip
    assert has_recovered(items[1]) >= has_recovered(items[0])
    assert may_be_current(items[0], 2) >= may_be_current(items[1], 2)


@given(st.binary(max_size=400), st.integers(0, 400))
def test_lines_do_not_depend_on_where_a_second_look_began(data: bytes, cut: int) -> None:
    whole = [line.text for line in file_lines(data)]
    known = min(cut, len(data))
    lines = list(file_lines(data, known, NOW))
    assert [line.text for line in lines] == whole
    old = [line.time is None for line in lines]
    assert old == sorted(old, reverse=True)
    assert sum(old) <= len(list(file_lines(data[:known])))


def test_a_tail_grows_by_what_was_written_since(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("one\ntw")
    tail = read_tail(path, 1000, lambda line, read: False)
    with path.open("a") as file:
        file.write("o\nthree\n")
    longer = read_further(path, tail, 1000)
    assert (longer.data, longer.known) == (b"one\ntwo\nthree\n", 6)
    path.rename(tmp_path / "x.log.1")
    path.write_text("other file that is longer than the one before\n")
    assert read_further(path, tail, 1000) is tail


def test_a_file_without_times_is_watched_for_what_comes(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("".join(f"{line}\n" for line in FAILURE * 3))
    stop = threading.Event()

    def write() -> None:
        for _ in itertools.takewhile(lambda _: not stop.wait(0.05), itertools.count()):
            with path.open("a") as file:
                file.writelines(f"{line}\n" for line in FAILURE)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        ends = time.monotonic() + 60
        while (found := application(read(path, format="uvicorn").facts)).status is not Status.WARNING:
            assert time.monotonic() < ends, found.summary
    finally:
        stop.set()
        thread.join(30)
    with path.open("a") as file:
        file.writelines(f"{GOOD}\n" for _ in range(3))
    assert application(read(path, format="uvicorn").facts).status is Status.OK


def log_of_postgres(*lines: tuple[float, str]) -> list[str]:
    """Return what is failing by a server's own log, given as (seconds ago, line)."""
    analysis = Analysis("postgres", NOW, Redactor().text)
    text = "\n".join(
        f"{datetime.fromtimestamp(NOW - ago, UTC):%Y-%m-%d %H:%M:%S.%f} UTC {line}" for ago, line in lines
    )
    analysis.add(file_lines(text.encode()))
    return failing(LogsFacts(format="postgres", **analysis.values()))


def test_sessions_that_came_while_a_server_started_say_so_after_it_is_ready() -> None:
    killed = (40.0, "[5] app@app FATAL:  terminating connection due to administrator command")
    stop = (39.0, "[7] LOG:  database system is shut down")
    start = (34.0, "[8] LOG:  database system was shut down at 2026-11-21 04:00:00 UTC")
    starting = "[9] app@app FATAL:  the database system is starting up"
    slow = [killed, stop, start, (33.0, starting), (24.0, starting)]
    ready = "[8] LOG:  database system is ready to accept connections"
    assert log_of_postgres(*slow, (14.0, starting)) == ["logs/database-errors"]
    assert log_of_postgres(*slow, (14.0, starting), (13.99, ready)) == []
    assert log_of_postgres(*slow, (14.01, ready), (14.0, starting), (13.99, starting)) == []
    earlier = [(50.0, killed[1]), (45.0, ready)]
    assert log_of_postgres(*earlier, *slow, (14.0, starting)) == ["logs/database-errors"], "not ready since"
