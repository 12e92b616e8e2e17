"""A log that only says what was answered tells no reason; one with the exception does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from opsctl.checks import find_check
from opsctl.checks.base import CheckContext, Limits
from opsctl.explanations import Explanations
from opsctl.facts.logs import LogsFacts, LogTemplate
from opsctl.logs.classes import CLIENT, meaning
from opsctl.model import Finding, ServiceSummary, Status, Target
from opsctl.probes.http_body import metric_names
from opsctl.runbooks import all_runbooks
from tests.unit.findings import finding

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
ANSWER = '127.0.0.1:4711 - "GET /users HTTP/1.1" 500 Internal Server Error'
BUG = "Exception in ASGI application | KeyError: 'basket'"


def judged(*examples: str, category: str = "application") -> Finding:
    now = NOW.timestamp()
    templates = [
        LogTemplate(
            id=str(number),
            category=category,
            example=example,
            count=4,
            recent=4,
            first_seen=now - 8,
            last_seen=now - 1,
            longest_gap_seconds=2.0,
        )
        for number, example in enumerate(examples)
    ]
    check = find_check(f"logs/{category}-errors")
    facts = LogsFacts(templates=templates, taken_at=now, covered_seconds=600.0, errors={category: 4})
    limits = check.limits or Limits()
    context = CheckContext(check, Target(kind="logs", service="backend"), limits, NOW)
    (found,) = check.function(facts, context)
    return found


@pytest.mark.parametrize(("examples", "code"), [([ANSWER], "answer"), ([ANSWER, BUG], ""), ([BUG], "")])
def test_lines_of_answers_are_told_from_reasons(examples: list[str], code: str) -> None:
    found = judged(*examples)
    assert found.status is Status.WARNING
    assert found.code == code


REFUSED = "connection to 10.0.0.5:5672 refused"
LOOKUP = 'could not translate host name "db" to address: Name or service not known'


@pytest.mark.parametrize(
    ("examples", "code"),
    [
        ([REFUSED], ""),
        ([LOOKUP], "name-unresolved"),
        (["getaddrinfo ENOTFOUND queue.internal"], "name-unresolved"),
        (["dial tcp: lookup db on 127.0.0.11:53: no such host"], "name-unresolved"),
        (["php_network_getaddresses: getaddrinfo failed: Temporary failure"], "name-unresolved"),
        ([LOOKUP, REFUSED], ""),
        ([LOOKUP, ANSWER], "name-unresolved"),
    ],
)
def test_failed_lookups_are_told_from_other_connection_errors(examples: list[str], code: str) -> None:
    assert judged(*examples, category="connection").code == code


def test_an_answer_explains_its_line_and_an_exception_explains_the_answer() -> None:
    explanations = Explanations({}, {}, all_runbooks())
    page = finding("http/status", "backend", code="500")
    answer = finding("logs/application-errors", "backend", "warning", code="answer")
    bug = finding("logs/application-errors", "backend", "warning")
    assert explanations.does(page, answer)
    assert not explanations.does(page, bug)
    assert explanations.does(bug, page)


def test_what_the_database_says_at_first_hand_explains_what_its_clients_log() -> None:
    stack = {"db": ServiceSummary(), "backend": ServiceSummary(depends_on=("db",))}
    explanations = Explanations(stack, {}, all_runbooks())
    first, second = (finding("logs/database-errors", name, "warning") for name in ("db", "backend"))
    assert explanations.does(first, second)
    assert not explanations.does(second, first)


def test_a_histogram_is_known_by_its_own_name_too() -> None:
    body = '# TYPE took histogram\ntook_bucket{le="1"} 2\ntook_sum 1.5\ntook_count 2\n# TYPE none summary\n'
    assert metric_names(body) == {"took", "took_bucket", "took_sum", "took_count"}


def test_a_client_that_went_away_is_no_error_of_the_database() -> None:
    assert meaning("connection to client lost", "postgres").category == CLIENT
