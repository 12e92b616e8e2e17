"""Judging: unknown and blocked are said, never folded into ok."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from opsctl import checks as catalogue
from opsctl.checks.base import Check, CheckContext, Limits, NotObserved
from opsctl.diagnose import coverage, overall
from opsctl.facts.base import Connection
from opsctl.facts.http import HttpFacts
from opsctl.facts.redis import RedisFacts
from opsctl.judge import judge, limits_in_force
from opsctl.model import Finding, Problem, Reading, ServiceSummary, Snapshot, StackSummary, Status, Target
from tests.unit.findings import finding

AT = datetime(2026, 11, 1, tzinfo=UTC)


def snapshot(*readings: Reading, thresholds: dict[str, dict[str, float | None]] | None = None) -> Snapshot:
    services = {
        "cache": ServiceSummary(),
        "backend": ServiceSummary(depends_on=("cache",)),
        "other": ServiceSummary(),
    }
    stack = StackSummary(
        name="t", flow="systemd", origin="test", services=services, thresholds=thresholds or {}
    )
    return Snapshot(
        schema=1,
        opsctl_version="0",
        stack=stack,
        taken_at=AT,
        duration_seconds=0.1,
        deadline_seconds=10,
        readings=readings,
    )


def reading(
    service: str, facts: RedisFacts | None = None, problem: Problem | None = None, kind: str = "redis"
) -> Reading:
    return Reading(
        target=Target(kind=kind, service=service),
        taken_at=AT,
        duration_seconds=0.1,
        facts=facts,
        problem=problem,
    )


REFUSED = RedisFacts(up=False, connection=Connection(state="refused", detail="Connection refused"))
TIMED_OUT = Problem(code="timeout", message="timed out after 3.0 s")


def test_a_target_that_is_down_blocks_its_other_checks_and_names_the_parent() -> None:
    findings = {item.id: item for item in judge(snapshot(reading("cache", REFUSED)))}
    assert findings["redis/down"].status is Status.CRITICAL
    assert findings["redis/memory-full"].status is Status.BLOCKED
    assert findings["redis/memory-full"].parent == "redis/down:cache"


def test_an_unread_target_is_unknown_with_the_reason() -> None:
    findings = judge(snapshot(reading("cache", problem=TIMED_OUT)))
    assert {item.status for item in findings} == {Status.UNKNOWN}
    assert {item.summary for item in findings} == {"timed out after 3.0 s"}


def test_an_unread_target_below_a_dead_parent_is_blocked() -> None:
    findings = judge(snapshot(reading("cache", REFUSED), reading("backend", problem=TIMED_OUT, kind="http")))
    below = [item for item in findings if item.target == "backend"]
    assert below
    assert {item.status for item in below} == {Status.BLOCKED}
    assert {item.parent for item in below} == {"redis/down:cache"}


def test_a_dead_neighbour_blocks_nobody() -> None:
    findings = judge(snapshot(reading("cache", REFUSED), reading("other", problem=TIMED_OUT, kind="http")))
    assert {item.status for item in findings if item.target == "other"} == {Status.UNKNOWN}


@pytest.mark.parametrize(
    ("error", "words"),
    [(NotObserved("no INFO", "allow it"), "no INFO"), (ZeroDivisionError("x"), "the check crashed")],
)
def test_a_check_that_cannot_look_or_crashes_is_unknown(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def broken(_facts: RedisFacts, _context: CheckContext) -> list[object]:
        raise error

    lame = Check("redis/lame", broken, None, "", "", "cause", False)  # type: ignore[arg-type]
    monkeypatch.setattr("opsctl.judge.checks_for", lambda kind: (lame,))
    up = RedisFacts(connection=Connection(state="ok"))
    (found,) = judge(snapshot(reading("cache", up)))
    assert found.status is Status.UNKNOWN
    assert words in found.summary


def test_what_was_found_before_a_check_could_look_no_further_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    def halfway(_facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
        yield context.critical("the first is bad", subject="first")
        raise NotObserved("the second could not be read")

    lame = Check("redis/lame", halfway, None, "", "", "cause", False)
    monkeypatch.setattr("opsctl.judge.checks_for", lambda kind: (lame,))
    found = judge(snapshot(reading("cache", RedisFacts(connection=Connection(state="ok")))))
    assert [(item.status, item.subject) for item in found] == [
        (Status.CRITICAL, "first"),
        (Status.UNKNOWN, ""),
    ]


def test_a_missing_right_stays_unknown_whatever_is_down() -> None:
    problem = Problem(code="permission", message="no access to the socket", hint="run as root")
    findings = judge(snapshot(reading("cache", REFUSED), reading("backend", problem=problem, kind="http")))
    below = [item for item in findings if item.target == "backend"]
    assert {(item.status, item.hint) for item in below} == {(Status.UNKNOWN, "run as root")}


def test_a_server_that_we_may_not_talk_to_is_unknown_in_every_check() -> None:
    facts = RedisFacts(up=False, connection=Connection(state="no-permission", detail="Permission denied"))
    findings = judge(snapshot(reading("cache", facts)))
    assert {item.status for item in findings} == {Status.UNKNOWN}
    assert overall(findings) is Status.UNKNOWN


def test_a_symptom_is_nobodys_parent() -> None:
    refused = HttpFacts(up=False, connection=Connection(state="refused"), url="http://127.0.0.1:1/")
    other = Problem(code="timeout", message="timed out")
    findings = judge(
        snapshot(
            reading("backend", refused, kind="http"),  # type: ignore[arg-type]
            reading("backend", problem=other, kind="logs"),
        )
    )
    assert {item.status for item in findings if item.kind == "logs"} == {Status.UNKNOWN}


def test_the_stack_files_thresholds_win_and_null_switches_a_level_off() -> None:
    check = catalogue.find_check("redis/clients-exhausted")
    summary = snapshot(thresholds={"redis/clients-exhausted": {"warning": 0.5, "critical": None}}).stack
    limits = limits_in_force(check, summary)
    assert (limits.warning, limits.critical) == (0.5, None)


@pytest.mark.parametrize(
    ("limits", "value", "status"),
    [
        (Limits(0.8, 0.9), 0.79, Status.OK),
        (Limits(0.8, 0.9), 0.8, Status.WARNING),
        (Limits(0.8, 0.9), 0.9, Status.CRITICAL),
        (Limits(None, 0.9), 0.8, Status.OK),
        (Limits(5, 2, below=True), 5, Status.WARNING),
        (Limits(5, 2, below=True), 6, Status.OK),
        (Limits(5, 2, below=True), 2, Status.CRITICAL),
    ],
)
def test_limits(limits: Limits, value: float, status: Status) -> None:
    assert limits.status(value) is status


def test_a_wholly_unseen_target_keeps_the_whole_from_being_ok() -> None:
    seen, unseen = finding("redis/down", "cache", "ok"), finding("postgres/down", "db", "unknown")
    assert overall([seen]) is Status.OK
    assert overall([seen, unseen]) is Status.UNKNOWN
    assert overall([seen, finding("redis/loading", "cache", "unknown")]) is Status.OK
    assert overall([]) is Status.UNKNOWN
    assert overall([unseen, finding("redis/down", "cache", "warning")]) is Status.WARNING


def test_coverage_counts_each_check_of_each_target_once() -> None:
    seen = coverage(
        [
            finding("redis/queue-growing", "cache", "ok", subject="a"),
            finding("redis/queue-growing", "cache", "critical", subject="b"),
            finding("redis/down", "cache", "blocked"),
            finding("redis/down", "other", "unknown"),
        ]
    )
    assert (seen.checks, seen.ran, seen.blocked, seen.unknown) == (3, 1, 1, 1)
