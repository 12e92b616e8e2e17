"""php: FastCGI records, status page, logs and keys read as values."""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from calendar import timegm
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.checks import find_check
from opsctl.checks.base import CheckContext, Limits, NotObserved
from opsctl.facts.base import Connection
from opsctl.facts.php import PhpFacts
from opsctl.model import Finding, Status, Target
from opsctl.probes import php, php_fastcgi, php_logs
from opsctl.stack.specs import PhpSpec
from tests.unit.contexts import context_for

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


def run(slug: str, facts: PhpFacts) -> list[Finding]:
    check = find_check(slug)
    assert check is not None
    at = datetime.fromtimestamp(NOW, UTC)
    limits = check.limits or Limits()
    return list(check.function(facts, CheckContext(check, Target(kind="php", service="x"), limits, at)))


@pytest.mark.parametrize(("age", "exhausted"), [(20.0, True), (6 * 86400.0, False), (None, False)])
def test_a_pool_over_tcp_is_exhausted_only_where_its_log_says_so_now(
    age: float | None, exhausted: bool
) -> None:
    facts = PhpFacts(
        up=False,
        connection=Connection(state="ok"),
        address="127.0.0.1:9000",
        answered=False,
        waited_seconds=1.5,
        max_children_logged_at=None if age is None else NOW - age,
    )
    failing = {
        slug
        for slug in ("php/workers-exhausted", "php/fpm-down")
        if any(item.status.failing for item in run(slug, facts))
    }
    assert failing == {"php/workers-exhausted" if exhausted else "php/fpm-down"}


def look(folder: Path, log: str = "") -> PhpFacts:
    spec = PhpSpec(fpm=str(folder / "none.sock"), root="app", log=log)
    return php.probe(context_for("php", spec, folder))


def line(seconds_ago: float, words: str) -> str:
    stamp = datetime.fromtimestamp(time.time() - seconds_ago, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"[{stamp}] production.ERROR: {words}\n"


def test_the_daily_log_of_laravel_is_read(tmp_path: Path) -> None:
    logs = tmp_path / "app" / "storage" / "logs"
    logs.mkdir(parents=True)
    now = time.time()
    for name, age, words in (
        ("laravel.log", 90 * 86400, "long ago"),
        ("laravel-2026-11-20.log", 86400, "yesterday"),
        ("laravel-2026-11-21.log", 5, "today"),
    ):
        (logs / name).write_text(line(age, words))
        os.utime(logs / name, (now - age, now - age))
    (errors,) = look(tmp_path).errors
    assert (Path(errors.log).name, errors.count, errors.example) == ("laravel-2026-11-21.log", 1, "today")
    (logs / "laravel-worker.log").write_text("Processing\n")
    names = [Path(item.log).name for item in look(tmp_path).errors]
    assert names == ["laravel-worker.log", "laravel-2026-11-21.log"]


def test_a_laravel_that_has_logged_nothing_yet_is_well_and_a_missing_folder_is_not_observed(
    tmp_path: Path,
) -> None:
    logs = tmp_path / "app" / "storage" / "logs"
    logs.mkdir(parents=True)
    assert [item.status for item in run("php/errors", look(tmp_path))] == [Status.OK]
    logs.rmdir()
    with pytest.raises(NotObserved, match="cannot read"):
        run("php/errors", look(tmp_path))


def test_pipes_in_place_of_files_hold_nobody_up(tmp_path: Path) -> None:
    logs = tmp_path / "app" / "storage" / "logs"
    logs.mkdir(parents=True)
    os.mkfifo(logs / "laravel.log")
    os.mkfifo(tmp_path / "app" / ".env")
    facts = look(tmp_path)
    for part in ("laravel.log", "environment"):
        problem = facts.problem(part)
        assert problem is not None
        assert "file" in problem.message


def test_every_address_of_the_pools_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        family = int(socket.AF_INET)
        found = [(family, ("127.0.0.9", port)), (family, ("127.0.0.1", port))]
        monkeypatch.setattr(php, "lookup", lambda *_: found)
        php._open(f"localhost:{port}", 1.0).close()
