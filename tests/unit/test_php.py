"""php: FastCGI records, status page, logs and keys read as values."""

from __future__ import annotations

import base64
import json
from calendar import timegm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.probes import php_fastcgi, php_logs

NOW = float(timegm((2026, 11, 21, 4, 11, 30, 0, 0, 0)))

LARAVEL = """[2026-11-21 03:00:00] production.ERROR: long ago {"exception":"[object]"}
[2026-11-21 04:10:50] production.INFO: nothing
[2026-11-21 04:11:00] production.ERROR: SQLSTATE[08006] could not connect {"exception":"[object]
#0 /srv/vendor/laravel/framework/src/Illuminate/Database/Connection.php(829)
"}
[2026-11-21T04:11:20.123456+00:00] local.CRITICAL: worse
"""
FPM = """[21-Nov-2026 03:00:00] NOTICE: ready to handle connections
[21-Nov-2026 04:11:10] WARNING: [pool admin] server reached pm.max_children setting (2), consider raising it
[21-Nov-2026 04:11:11] WARNING: [pool admin] child 99 exited on signal 11 (SIGSEGV) after 3 seconds from start
[21-Nov-2026 04:11:12] NOTICE: [pool admin] child 99 exited with code 0 after 3 seconds from start
"""


@pytest.mark.parametrize("hours", [0, 3, -8])
def test_laravel_errors_of_the_last_two_minutes(hours: int) -> None:
    now = NOW - hours * 3600
    found = php_logs.laravel_errors(LARAVEL, "laravel.log", now - 10, now)
    assert (found.count, found.example, found.last_at) == (2, "worse", now - 10)


def test_the_log_of_fpm() -> None:
    found, full_at = php_logs.fpm_errors(FPM, "fpm.log", NOW - 18, NOW)
    assert found.count == 1
    assert "SIGSEGV" in found.example
    assert full_at == NOW - 20
    assert php_logs.fpm_errors("", "fpm.log", 0, NOW)[1] is None


def test_the_status_page() -> None:
    page = {
        "pool": "www",
        "process manager": "static",
        "listen queue": 3,
        "idle processes": 0,
        "active processes": 2,
    }
    values = php_logs.status_values(json.dumps(page).encode())
    assert (values["listen_queue"], values["active_processes"], values["manager"]) == (3, 2, "static")
    assert "slow_requests" not in values
    assert php_logs.status_values(b"File not found.") == {}
    assert php_logs.status_values(b'{"status": "ok"}') == {}


@pytest.mark.parametrize(
    ("key", "right"),
    [
        ("base64:" + base64.b64encode(b"x" * 32).decode(), True),
        ("base64:" + base64.b64encode(b"x" * 16).decode(), True),
        ("x" * 32, True),
        ("base64:" + base64.b64encode(b"x" * 31).decode(), False),
        ("base64:!!!", False),
        ("SomeRandomString", True),
        ("short", False),
    ],
)
def test_keys(key: str, right: bool) -> None:
    assert php_logs.key_verdict(key) is right


def test_records_and_pairs() -> None:
    assert php_fastcgi.record(1, b"abc") == b"\x01\x01\x00\x01\x00\x03\x00\x00abc"
    assert php_fastcgi.pairs({"a": "b"}) == b"\x01\x01ab"
    long = "x" * 200
    assert php_fastcgi.pairs({"a": long}) == b"\x01\x80\x00\x00\xc8a" + long.encode()


def test_output_with_and_without_a_status() -> None:
    answer = php_fastcgi.parse_output(b"Status: 404 Not Found\r\nX: y\r\n\r\nbody\r\n\r\nmore", b"e")
    assert (answer.status, answer.body, answer.errors) == (404, b"body\r\n\r\nmore", b"e")
    assert php_fastcgi.parse_output(b"Content-Type: text/plain\n\nhi", b"").status == 200


@given(st.binary(max_size=300), st.text(max_size=300))
def test_parsers_never_raise(data: bytes, text: str) -> None:
    php_fastcgi.parse_output(data, data)
    php_logs.status_values(data)
    php_logs.key_verdict(text)
    assert len(php_logs.laravel_errors(text, "l", NOW, NOW).example) <= 300
    php_logs.fpm_errors(text, "l", NOW, NOW)


@given(st.integers(0, 99), st.integers(0, 9999), st.text(max_size=50))
def test_log_lines_of_any_date_are_read(number: int, year: int, words: str) -> None:
    line = f"[{year:04}-{number:02}-{number:02} {number:02}:00:00] production.ERROR: {words}"
    php_logs.laravel_errors(line, "l", NOW, NOW)
    php_logs.fpm_errors(f"[{number:02}-Nov-{year:04} {number:02}:00:00] WARNING: {words}", "l", NOW, NOW)
