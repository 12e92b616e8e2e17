"""Errors counted as lines come: however they are cut, over restarts, bounded, without secrets."""

from __future__ import annotations

import itertools
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.logs.counting import FIRST_SHOWN, MOST_SHOWN, OFTEN, OTHER, ErrorCounter, ErrorState
from opsctl.logs.entries import Line
from opsctl.redact import Redactor

PLAIN = b"""2026-11-21 04:00:00 INFO started
2026-11-21 04:00:01 ERROR cannot connect to redis at 127.0.0.1:6379: Connection refused
2026-11-21 04:00:02 INFO GET /orders 200
2026-11-21 04:00:03 ERROR request 17 failed
Traceback (most recent call last):
  File "app.py", line 3, in price
    return prices[key]
KeyError: 'apples'
2026-11-21 04:00:04 INFO GET /orders 200
2026-11-21 04:00:05 WARNING slow answer
2026-11-21 04:00:06 ERROR psycopg.errors.UndefinedTable: relation "orders" does not exist
LINE 1: select * from orders
\xff\xfe\x00 not text at all
2026-11-21 04:00:07 INFO GET /orders 200
"""
LARAVEL = b"""[2026-11-21 04:00:00] production.ERROR: SQLSTATE[HY000] [2002] Connection refused {"e":"x
[stacktrace]
#0 /srv/app/vendor/laravel/framework/src/Connector.php(70): PDO->__construct()
#1 {main}
"}
[2026-11-21 04:00:09] production.INFO: fine
[2026-11-21 04:00:10] production.CRITICAL: disk full
"""
POSTGRES = b"""2026-11-21 04:00:00.000 UTC [7] LOG:  database system is ready to accept connections
2026-11-21 04:00:01.000 UTC [8] ERROR:  relation "orders" does not exist at character 15
2026-11-21 04:00:01.000 UTC [8] STATEMENT:  select * from orders
\twhere error = 1
2026-11-21 04:00:02.000 UTC [9] FATAL:  sorry, too many clients already
"""
ACCESS = b"""10.0.0.1 - - [21/Nov/2026:04:00:00 +0000] "GET /orders/17 HTTP/1.1" 502 157 "-" "curl"
10.0.0.1 - - [21/Nov/2026:04:00:01 +0000] "GET /orders/18 HTTP/1.1" 502 157 "-" "curl"
10.0.0.1 - - [21/Nov/2026:04:00:02 +0000] "GET /error HTTP/1.1" 200 5 "-" "warn 5"
2026/11/21 04:00:03 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream
10.0.0.1 - - [21/Nov/2026:04:00:04 +0000] "POST /pay HTTP/1.1" 500 0 "-" "curl"
"""
LOGS = {"plain": PLAIN, "laravel": LARAVEL, "postgres": POSTGRES, "nginx": ACCESS}
EXPECTED = {
    "plain": {"connection": 1, "database": 1, "application": 1},
    "laravel": {"connection": 1, "database": 0, "application": 1},
    "postgres": {"connection": 0, "database": 2, "application": 0},
    "nginx": {"connection": 3, "database": 0, "application": 1},
}


def counted(format: str, *pieces: bytes, restart: bool = False) -> ErrorCounter:
    counter = ErrorCounter(format, Redactor().text)
    for piece in pieces:
        if piece:
            counter.feed(piece)
        if restart:
            kept = msgspec.json.decode(msgspec.json.encode(counter.state()), type=ErrorState)
            counter = ErrorCounter(format, Redactor().text, kept)
    counter.idle()
    return counter


def kinds(counter: ErrorCounter) -> Counter[tuple[str, str]]:
    return Counter({(item.id, item.category): item.count for item in counter.templates()})


@pytest.mark.parametrize("format", LOGS)
def test_errors_by_class(format: str) -> None:
    counter = counted(format, LOGS[format])
    assert counter.errors == EXPECTED[format]
    assert sum(kinds(counter).values()) == sum(counter.errors.values())
    assert counter.lines == LOGS[format].count(b"\n")


@settings(max_examples=60, deadline=None)
@given(format=st.sampled_from(sorted(LOGS)), cuts=st.lists(st.integers(0, 12), max_size=6))
def test_any_split_into_chunks_gives_the_same_counts(format: str, cuts: list[int]) -> None:
    lines = LOGS[format].splitlines(keepends=True)
    places = [0, *sorted(cuts), len(lines)]
    pieces = [b"".join(lines[start:end]) for start, end in itertools.pairwise(places)]
    whole = counted(format, LOGS[format])
    parts = counted(format, *pieces)
    assert (parts.errors, kinds(parts), parts.lines) == (whole.errors, kinds(whole), whole.lines)
    again = counted(format, *pieces, restart=True)
    assert (sum(again.errors.values()), again.lines) == (sum(whole.errors.values()), whole.lines)


@given(st.lists(st.binary(max_size=80), max_size=12), st.sampled_from(sorted(LOGS)))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_counted_and_never_raised_about(lines: list[bytes], format: str) -> None:
    data = b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)
    counter = ErrorCounter(format, Redactor().text)
    if data:
        counter.feed(data)
    counter.state()
    assert counter.lines == len(lines)
    assert sum(kinds(counter).values()) == sum(counter.errors.values())


WORDS = ["alpha", "bravo", "carol", "delta", "early", "fixed", "grape", "hotel", "index", "joker"]


def word(kind: int) -> str:
    return "".join(WORDS[int(digit)] for digit in f"{kind:04}")


def error(kind: int) -> bytes:
    """Return a line whose words differ from those of any other kind."""
    return f"2026-11-21 04:00:00 ERROR {word(kind)} broke\n".encode()


def test_the_kinds_that_are_shown_are_bounded_stay_and_never_go_down() -> None:
    counter = ErrorCounter("plain", str)
    before: Counter[tuple[str, str]] = Counter()
    for kind in range(1000):
        counter.feed(error(kind))
        if kind % 50 == 0:
            counter.idle()
            now = kinds(counter)
            assert all(now[key] >= count for key, count in before.items())
            before = now
    counter.idle()
    assert sum(1 for key in kinds(counter) if key[0] != OTHER) == FIRST_SHOWN
    for _ in range(2 * OFTEN):
        counter.feed(error(100))
    counter.idle()
    shown = [item for item in counter.templates() if item.text.startswith(word(100))]
    assert [item.count for item in shown] == [OFTEN + 2]  # what came before it had a name stays with `other`
    for kind in range(100, 190):
        counter.feed(error(kind) * OFTEN)
    assert len([key for key in kinds(counter) if key[0] != OTHER]) <= MOST_SHOWN
    assert sum(kinds(counter).values()) == sum(counter.errors.values())


def test_secrets_are_in_no_template_and_in_no_state() -> None:
    redactor = Redactor()
    redactor.add("Canary-9f41c6-parrot")
    counter = ErrorCounter("plain", redactor.text)
    counter.feed(b"2026-11-21 04:00:00 ERROR login of bob with Canary-9f41c6-parrot failed\n" * 2)
    counter.feed(b"2026-11-21 04:00:00 ERROR postgres://bob:hunter2secret@db/x: Connection refused\n")
    counter.idle()
    text = repr(counter.templates()) + msgspec.json.encode(counter.state()).decode()
    assert "Canary" not in text
    assert "hunter2secret" not in text
    assert "login of bob" in text


def test_lines_of_a_store_bring_their_levels() -> None:
    counter = ErrorCounter("plain", str)
    counter.feed_lines([Line("could not reach redis", None, "error"), Line("fine", None, "")])
    counter.idle()
    assert sum(counter.errors.values()) == 1


def test_many_errors_of_one_route_are_one_kind() -> None:
    line = '10.0.0.1 - - [21/Nov/2026:04:00:00 +0000] "GET /orders/%d?a=%d HTTP/1.1" 502 %d "-" "c"\n'
    counter = ErrorCounter("nginx", str)
    counter.feed("".join(line % (number, number, number) for number in range(3000)).encode())
    assert [(item.text, item.count) for item in counter.templates() if item.count] == [
        ('"GET /orders/" 502', 3000)
    ]
