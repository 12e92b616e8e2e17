"""Templates, the analysis of a whole log, bounded reading, and what the checks make of it."""

from __future__ import annotations

import json
import os
import struct
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.checks import checks_for
from opsctl.checks.logs import is_current
from opsctl.engine import collect
from opsctl.facts.logs import LogsFacts, LogTemplate
from opsctl.judge import judge
from opsctl.logs.analysis import Analysis
from opsctl.logs.classes import Meaning
from opsctl.logs.stores import file_lines, journal_lines, json_file_lines, stream_lines
from opsctl.logs.tail import NotAFile, read_tail
from opsctl.logs.templates import MAX_GROUPS, Templates, mask
from opsctl.model import Finding, Status
from opsctl.probes.logs import MAX_BYTES
from opsctl.redact import Redactor
from opsctl.stack.specs import LogSpec, ServiceSpec, StackSpec
from opsctl.stack.stack import Stack

NOW = 1_795_234_200.0
CANARY = "Zq7CANARYx9K2v"
APPLICATION = Meaning("application")


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def analysed(lines: list[tuple[float, str]], format: str = "plain") -> LogsFacts:
    """Return the facts of lines given as (seconds before now, text)."""
    analysis = Analysis(format, NOW, Redactor().text)
    text = "\n".join(f"{stamp(NOW - ago)} {words}" for ago, words in lines)
    analysis.add(file_lines(text.encode()))
    return LogsFacts(format=format, **analysis.values())


def judged(facts: LogsFacts) -> dict[str, Finding]:
    from opsctl.checks.base import CheckContext, Limits, NotObserved
    from opsctl.model import Target

    result: dict[str, Finding] = {}
    for check in checks_for("logs"):
        target = Target(kind="logs", service="app")
        context = CheckContext(check, target, check.limits or Limits(), datetime.fromtimestamp(NOW, UTC))
        try:
            (finding,) = list(check.function(facts, context))
        except NotObserved as missing:
            finding = context.finding(Status.UNKNOWN, missing.reason)
        result[check.slug] = finding
    return result


def failing(facts: LogsFacts) -> list[str]:
    return [slug for slug, finding in judged(facts).items() if finding.status.failing]


def test_numbers_and_names_do_not_make_a_new_template() -> None:
    templates = Templates()
    for number in range(500):
        templates.add(
            f"order {number} of user u{number} failed after {number} ms", "error", lambda: APPLICATION
        )
    assert [group.text for group in templates.groups] == ["order <n> of user <*> failed after <n> ms"]


def test_error_numbers_and_ports_stay() -> None:
    assert mask("port 5432 failed with 502 (errno 111) by 10.0.0.1 in 17 ms") == (
        "port 5432 failed with 502 (errno 111) by <ip> in <n> ms"
    )


def test_templates_are_bounded() -> None:
    templates = Templates()
    for number in range(1000):
        word = "abcdefghij"[number % 10] * (number // 10 + 1)
        templates.add(f"{word} {word}x failed", "error", lambda: APPLICATION)
    assert len(templates.groups) == MAX_GROUPS


@given(st.lists(st.text(max_size=60), max_size=60))
def test_no_texts_make_templates_raise(texts: list[str]) -> None:
    templates = Templates()
    for text in texts:
        assert templates.add(text, "error", lambda: APPLICATION) in templates.groups


def test_repeated_errors_are_reported_with_their_class() -> None:
    facts = analysed([(ago, "ERROR db: port 5432 failed: Connection refused (psycopg)") for ago in (9, 6, 3)])
    assert facts.errors == {"connection": 3, "database": 0, "application": 0}
    assert failing(facts) == ["logs/connection-errors"]
    assert facts.templates[0].peer == "postgres"


def test_a_lone_error_and_an_old_one_are_not() -> None:
    assert failing(analysed([(3, "ERROR KeyError: 'x'"), (2, "INFO fine")])) == []
    assert failing(analysed([(120 + number, "ERROR KeyError: 'x'") for number in range(50)])) == []


def test_a_storm_that_is_over_falls_silent_in_seconds() -> None:
    storm = [(30 - number / 10, "ERROR Connection refused") for number in range(100)]  # ends 20 s ago
    assert failing(analysed(storm)) == []
    assert judged(analysed(storm))["logs/connection-errors"].summary.startswith(
        "100 connection errors in 10 min"
    )


def test_rare_errors_are_given_time() -> None:
    assert failing(analysed([(50, "ERROR KeyError: 'x'"), (25, "ERROR KeyError: 'x'")])) == [
        "logs/application-errors"
    ]


_SPELLING = "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima"
WORDS = _SPELLING.split()


def different(ago: float, number: int) -> tuple[float, str]:
    """Return a line of an error that is like no other."""
    return ago, f"ERROR {WORDS[number]} {WORDS[-number]} could not be {WORDS[number - 3]}ed"


def test_errors_that_differ_count_together() -> None:
    facts = analysed([different(50 - 4 * number, number) for number in range(12)])
    assert len(facts.templates) == 12
    found = judged(facts)["logs/application-errors"]
    assert found.status is Status.WARNING
    assert found.summary.startswith("12 application errors in the last minute, last 6.0 s ago")


def test_errors_that_differ_are_over_as_others_are() -> None:
    assert failing(analysed([different(58 - number / 2, number) for number in range(12)])) == []
    going_on = [(5 - number / 10, f"INFO job {number} done") for number in range(30)]
    assert failing(analysed([*[different(9 - number / 4, number) for number in range(12)], *going_on])) == []


def test_errors_of_two_classes_and_a_lone_one_after_a_storm_do_not_count_together() -> None:
    assert failing(analysed([(4, "ERROR KeyError: 'x'"), (3, "ERROR redis: Connection refused")])) == []
    storm = [(40 - number / 10, "ERROR KeyError: 'x'") for number in range(50)]
    assert failing(analysed([*storm, different(2, 3)])) == []


def test_a_lone_conflict_of_pollers_does_not_count_with_other_errors() -> None:
    line = "ERROR TelegramConflictError: Conflict: terminated by other getUpdates request"
    assert "logs/telegram-conflict" not in failing(analysed([different(4, 3), (3, line)]))


def test_one_fatal_error_is_enough() -> None:
    assert failing(analysed([(5, "CRITICAL cannot go on: no settings")])) == ["logs/application-errors"]


def test_two_pollers_name_themselves() -> None:
    line = "ERROR TelegramConflictError: Conflict: terminated by other getUpdates request"
    assert failing(analysed([(ago, line) for ago in (9, 6, 3)])) == [
        "logs/application-errors",
        "logs/telegram-conflict",
    ]


def test_an_error_is_new_only_where_the_log_is_old_enough() -> None:
    old = [(2400 - number * 10, "INFO fine") for number in range(200)]
    new = [(ago, "ERROR KeyError: 'brand'") for ago in (9, 6, 3)]
    assert "logs/new-error" in failing(analysed(old + new))
    assert judged(analysed(new))["logs/new-error"].status is Status.UNKNOWN
    before = [(2000, "ERROR KeyError: 'brand'")]
    assert "logs/new-error" not in failing(analysed(sorted(old + before, reverse=True) + new))


def test_a_log_of_another_format_is_not_called_clean() -> None:
    analysis = Analysis("laravel", NOW, Redactor().text)
    analysis.add(file_lines(b"10.0.0.1 GET / 200\n" * 30), NOW)
    found = judged(LogsFacts(format="laravel", **analysis.values()))
    assert found["logs/application-errors"].status is Status.UNKNOWN
    assert found["logs/unreadable"].status is Status.WARNING


@pytest.mark.parametrize(
    "text",
    [
        f"ERROR login with {CANARY} failed",
        f"ERROR dsn postgresql://app:{CANARY}@db/app: Connection refused",
        "ERROR " + "x" * 190 + f" password={CANARY}",
        f'ERROR {{"password": "{CANARY}"}} refused',
    ],
)
def test_secrets_in_log_lines_do_not_survive(text: str) -> None:
    redactor = Redactor()
    redactor.add(CANARY)
    analysis = Analysis("plain", NOW, redactor.text)
    analysis.add(file_lines("\n".join(f"{stamp(NOW - ago)} {text}" for ago in (3, 2, 1)).encode()))
    shown = repr(analysis.values())
    assert "CANARY" not in shown
    assert "Zq7CAN" not in shown


@given(st.lists(st.tuples(st.floats(0, 5000), st.text(max_size=80)), max_size=40))
def test_any_log_gives_facts_whose_sums_agree(lines: list[tuple[float, str]]) -> None:
    facts = analysed(lines)
    assert facts.errors is not None
    shown = sum(item.count for item in facts.templates)
    assert shown <= sum(facts.errors.values()) <= (facts.entries or 0)
    assert all(len(item.text) <= 200 and len(item.example) <= 200 for item in facts.templates)
    assert len({item.id for item in facts.templates}) == len(facts.templates)
    judged(facts)


@given(st.floats(0, 100), st.integers(0, 5), st.floats(0, 100), st.booleans())
def test_nothing_older_than_a_minute_is_current(age: float, recent: int, gap: float, fatal: bool) -> None:
    item = LogTemplate(
        id="x",
        category="application",
        last_seen=NOW - age,
        recent=recent,
        longest_gap_seconds=gap,
        fatal=fatal,
    )
    if is_current(item, NOW, 2):
        assert age <= 60.001
        assert fatal or recent >= 2


def stack_of(path: Path, **spec: Any) -> Stack:
    services = {"app": ServiceSpec(logs=[LogSpec(path=str(path), **spec)])}
    return Stack(spec=StackSpec(name="t", services=services), origin="test", directory=path.parent)


def read(path: Path, **spec: Any) -> Any:
    return collect(stack_of(path, **spec), wanted=lambda target: target.kind == "logs").readings[0]


def line(at: float, text: str = "INFO all is well") -> str:
    return f"{stamp(at)} {text}\n"


def test_a_huge_file_costs_no_more_bytes_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "big.log"
    now = time.time()
    tail = "".join(line(now - 3 + number / 100_000, f"INFO request {number}") for number in range(100_000))
    with path.open("wb") as file:
        file.seek(1 << 30)  # a gigabyte of nothing, which takes no place on the disk
        file.write(b"\n" + tail.encode() + line(now, "ERROR boom").encode() * 2)
    reading = read(path)
    assert reading.facts.size_bytes > 1 << 30
    assert reading.facts.bytes_read == MAX_BYTES
    assert reading.facts.truncated
    assert reading.facts.errors["application"] == 2


def test_a_quiet_file_is_read_no_further_than_the_hour(tmp_path: Path) -> None:
    path = tmp_path / "quiet.log"
    now = time.time()
    path.write_text("".join(line(now - 100_000 + number) for number in range(100_000)))
    reading = read(path)
    assert reading.facts.bytes_read <= 512 * 1024
    assert not reading.facts.truncated
    assert reading.facts.covered_seconds > 3600


def test_the_file_before_rotation_is_read_as_well(tmp_path: Path) -> None:
    path, now = tmp_path / "app.log", time.time()
    (tmp_path / "app.log.1").write_text(
        "".join(line(now - 900 + n, "ERROR KeyError: 'x'") for n in range(890))
    )
    path.write_text(line(now - 5))
    facts = read(path).facts
    assert facts.errors["application"] > 500
    assert facts.covered_seconds > 800


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000])
def test_reading_backwards_gives_whole_lines(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x"
    path.write_bytes((b"0123456789abcdef\n" * (size // 17 + 1))[:size])
    tail = read_tail(path, 100_000, lambda line, read: False)
    assert tail.read == min(size, 100_000)
    assert tail.complete is (size <= 100_000)
    whole = tail.data.split(b"\n")
    assert all(piece == b"0123456789abcdef" for piece in whole[:-1])


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotAFile):
        read_tail(tmp_path / "pipe", 100, lambda line, read: True)
    assert read(tmp_path / "pipe").problem.code == "unsupported"


def test_missing_logs_and_laravel_before_its_first_entry(tmp_path: Path) -> None:
    stack = stack_of(tmp_path / "absent.log")
    found = {item.id: item for item in judge(collect(stack, wanted=lambda target: target.kind == "logs"))}
    assert found["logs/unreadable"].status is Status.WARNING
    assert found["logs/application-errors"].status is Status.BLOCKED
    assert read(tmp_path / "laravel.log", format="laravel").facts.up
    assert not read(tmp_path / "nowhere" / "laravel.log", format="laravel").facts.up


def test_wildcards_name_the_newest_file(tmp_path: Path) -> None:
    now = time.time()
    for day, age in (("20", 86_400), ("21", 0)):
        path = tmp_path / f"laravel-2026-11-{day}.log"
        path.write_text("x\n")
        os.utime(path, (now - age, now - age))
    assert read(tmp_path / "laravel-*.log").facts.source.endswith("21.log")


def test_the_journal_of_systemd(tmp_path: Path) -> None:
    rows = [
        {"MESSAGE": "third", "PRIORITY": "3", "__REALTIME_TIMESTAMP": "1795234157000000"},
        {"MESSAGE": [104, 105, 255], "PRIORITY": "6", "__REALTIME_TIMESTAMP": "1795234156000000"},
        {"MESSAGE": "x.service: Failed", "SYSLOG_IDENTIFIER": "systemd", "PRIORITY": "3"},
        {"MESSAGE": "first\nsecond", "PRIORITY": "6", "__REALTIME_TIMESTAMP": "1795234155500000"},
    ]
    found = journal_lines("\n".join(map(json.dumps, rows)) + '\n{"MESSAGE": "cut')
    assert [(item.text, item.level) for item in found] == [
        ("first", ""),
        ("second", ""),
        ("hi\ufffd", ""),
        ("third", "error"),
    ]
    assert found[0].time == 1795234155.5


def test_the_docker_engines_stream_with_and_without_a_terminal() -> None:
    def frame(text: str, stream: int = 1) -> bytes:
        return struct.pack(">BxxxI", stream, len(text)) + text.encode()

    one = "2026-11-21T04:09:14.5Z first\n"
    two = "2026-11-21T04:09:15Z \xe9 second\n"
    framed = list(stream_lines(frame(one) + frame(two, 2) + b"\x01\x00", terminal=False))
    assert [item.text for item in framed] == ["first", "\xe9 second"]
    assert framed == list(stream_lines((one + two).encode(), terminal=True))


def test_dockers_json_file_puts_pieces_together() -> None:
    rows = [
        {"log": "long ", "stream": "stdout", "time": "2026-11-21T04:09:14.000000001Z"},
        {"log": "other\n", "stream": "stderr", "time": "2026-11-21T04:09:14.1Z"},
        {"log": "line\n", "stream": "stdout", "time": "2026-11-21T04:09:14.2Z"},
    ]
    data = "\n".join(map(json.dumps, rows)).encode() + b"\nnot json\n[1]\n{}"
    assert [item.text for item in json_file_lines(data)] == ["other", "long line"]


@given(st.binary(max_size=500), st.booleans())
def test_no_bytes_make_the_stores_raise(data: bytes, terminal: bool) -> None:
    list(stream_lines(data, terminal))
    list(json_file_lines(data))
    journal_lines(data.decode("utf-8", "replace"))
