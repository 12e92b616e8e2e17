"""Monitoring: answers and logs of both programs, what the checks make of facts, and whose trouble it is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.diagnose import diagnose
from opsctl.explanations import Explanations
from opsctl.facts.base import Connection, FactProblem, Facts
from opsctl.facts.http import HttpFacts
from opsctl.facts.monitoring import (
    Integration,
    Link,
    MonitoringFacts,
    RuleGroup,
    ScrapeTarget,
    SendFailure,
)
from opsctl.judge import judge
from opsctl.logs.entries import Line
from opsctl.model import Diagnosis, Finding, Reading, ServiceSummary, Snapshot, StackSummary, Status, Target
from opsctl.probes import monitoring_parsing as parsing
from opsctl.runbooks import Explains, Runbook
from opsctl.stack import reader
from opsctl.stack.errors import StackError
from opsctl.stack.targets import assignments
from opsctl.watching import observed
from tests.unit.findings import finding

DATA = Path(__file__).parent / "data" / "monitoring"
NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
AT = NOW.timestamp()


def read(name: str) -> Any:
    return parsing.data_of((DATA / name).read_bytes())


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def lines(name: str) -> list[Line]:
    return [Line(text) for text in (DATA / name).read_text().splitlines()]


# what they answer


def test_targets() -> None:
    total, (down, up, unknown) = parsing.targets_of(read("targets.json"))
    assert total == 3
    assert (down.job, down.instance, down.up, down.interval) == ("backend", "backend:8000", False, 90)
    assert down.address == "backend:8000"
    assert down.last_error == "dial tcp: lookup backend on 127.0.0.11:53: no such host"
    assert up.up is True
    assert unknown.up is None
    assert unknown.address == "new:443"
    assert "canary" not in repr((down, up, unknown))


def test_rules() -> None:
    total, alerting, (bad, good) = parsing.groups_of(read("rules.json"))
    assert (total, alerting) == (4, 2)
    assert (bad.name, bad.rules, bad.failing, bad.failing_rules) == ("bad", 2, 1, ["Joined"])
    assert "many-to-many" in bad.last_error
    assert good.failing == 0


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"status":"error","data":{}}', b'{"status":"success"}', b"[" * 9999]
)
def test_an_answer_that_is_none(body: bytes) -> None:
    assert parsing.data_of(body) is None


def test_totals_of_one_label() -> None:
    page = (
        '# HELP sent_total x\nsent_total{integration="email",reason="a"} 2\n'
        'sent_total{integration="email",reason="b"} 3\nsent_total_other 9\nsent_total{integration="x"} NaN\n'
        'sent_total{integration="te\\"l"} 1.5e+02\n'
    )
    assert parsing.totals(page, "sent_total", "integration") == {"email": 5, 'te\\"l': 150}
    assert parsing.totals("a 1\n", "a", "none") == {"": 1}


def test_version() -> None:
    page = 'x 1\nprometheus_build_info{branch="",goversion="go1",version="2.42.0"} 1\n'
    assert parsing.version_of(page) == "2.42.0"
    assert parsing.version_of("") == ""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15s", 15), ("1m30s", 90), ("1h", 3600), ("500ms", 0.5), ("2w", 1209600), ("", None), ("5", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert parsing.duration_seconds(text) == seconds


def test_the_longest_group_interval() -> None:
    config = "route:\n  group_interval: 30s\n  routes:\n  - group_interval: 5m\n  - repeat_interval: 4h\n"
    assert parsing.group_interval(config) == 300
    assert parsing.group_interval("route: {}\n") is None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (
            'Post "http://127.0.0.1:28081/bot1:x/sendMessage": dial tcp 127.0.0.1:9: refused',
            "127.0.0.1:28081",
        ),
        ("https://api.telegram.org/x", "api.telegram.org:443"),
        ("establish connection to server: dial tcp 127.0.0.1:3: connect: connection refused", "127.0.0.1:3"),
        ("dial tcp [::1]:25: connect: connection refused", "[::1]:25"),
        ("telegram: Unauthorized (401)", ""),
    ],
)
def test_the_other_side_of_a_failure(text: str, address: str) -> None:
    assert parsing.address_of(text) == address


# when it failed


def test_failures_in_a_row() -> None:
    assert parsing.since_up([(1, 1), (2, 0), (3, 1), (4, 0), (5, 0)]) == (2, 3)
    assert parsing.since_up([(1, 0)]) == (1, None)
    assert parsing.since_up([]) == (0, None)


@pytest.mark.parametrize(
    ("attempts", "failed", "outcome"),
    [
        ([5, 6, 7, 8], [5, 6, 7, 8], (4, None, 3)),
        ([5, 6, 7, 8], [5, 6, 7, 7], (3, 4, 2)),
        ([5, 5, 5], [2, 2, 2], (None, None, None)),
        ([5, 7], [5, 6], (2, 2, 1)),
        ([50, 1, 1], [50, 0, 0], (None, 2, None)),  # started anew, and well since
        ([50, 2, 2], [50, 2, 2], (2, None, 1)),
        ([], [], (None, None, None)),
    ],
)
def test_outcomes_from_totals(attempts: list[float], failed: list[float], outcome: tuple[Any, Any]) -> None:
    def points(values: list[float]) -> list[tuple[float, float]]:
        return [(float(at), value) for at, value in enumerate(values, start=1)]

    assert parsing.last_outcomes(points(attempts), points(failed)) == outcome


def test_the_log_names_the_receiver_and_the_reason() -> None:
    found = {item.integration: item for item in parsing.failures_of(lines("alertmanager-0.25.log"), 0)}
    assert set(found) == {"webhook[0]", "telegram[0]", "email[0]"}
    assert found["telegram[0]"].receiver == "people"
    assert found["telegram[0]"].reason == "telegram: Unauthorized (401)"
    assert found["email[0]"].address == "127.0.0.1:3"
    webhook = found["webhook[0]"]
    assert webhook.sent_at == unix("2026-11-21T06:53:40.000Z")
    assert webhook.failed_at == unix("2026-11-21T06:53:36.641Z")
    assert "canary" not in repr(found).lower()


def test_the_log_of_a_newer_alertmanager() -> None:
    (item,) = parsing.failures_of(lines("alertmanager-0.28.log"), 0)
    assert (item.receiver, item.integration) == ("people", "telegram[0]")
    assert item.reason == "telegram: Bad Request: chat not found (400)"


def test_the_log_of_prometheus() -> None:
    (item,) = parsing.failures_of(lines("prometheus.log"), 0)
    assert item.address == "127.0.0.1:9093"
    assert item.reason == "bad response status 503 Service Unavailable"


def test_json_lines_and_old_lines() -> None:
    text = (
        '{"ts":"2026-11-21T06:53:36Z","receiver":"a","integration":"email[0]",'
        '"msg":"Notify attempt failed, will retry later","err":"535 no"}'
    )
    (item,) = parsing.failures_of([Line(text)], 0)
    assert item.reason == "535 no"
    assert parsing.failures_of([Line(text)], AT) == []


@given(st.text(max_size=400), st.sampled_from(["", "Notify ", 'msg="Notify for alerts failed" err="', "{"]))
def test_any_line_is_survived(text: str, before: str) -> None:
    for item in parsing.failures_of([Line(before + text, 5.0)], 0):
        assert len(item.reason) <= 300
    parsing.fields_of(text)
    parsing.reason_text(text)
    parsing.address_of(text)
    parsing.shown_url(text)
    parsing.totals(text, "a", "b")
    parsing.group_interval(text)
    parsing.version_of(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["activeTargets", "labels", "groups", "rules", "result", "values", "metric", "health", "name"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(_JSON)
def test_any_answer_is_survived(data: Any) -> None:
    parsing.targets_of(data)
    parsing.groups_of(data)
    parsing.alertmanagers_of(data)
    parsing.series_of(data, "job", "instance")


# what the checks make of it

PROMETHEUS: dict[str, Any] = {
    "program": "prometheus",
    "url": "http://127.0.0.1:9090",
    "version": "2.42.0",
    "targets_total": 3,
    "rules_total": 4,
    "alerting_rules": 2,
    "alertmanagers": 1,
    "links": [
        Link(name="http://127.0.0.1:9093/api/v2/alerts", address="127.0.0.1:9093", attempts=9, failed=0)
    ],
    "retry_seconds": 90.0,
}
ALERTMANAGER: dict[str, Any] = {
    "program": "alertmanager",
    "url": "http://127.0.0.1:9093",
    "active_alerts": 1,
    "retry_seconds": 300.0,
    "integrations": [Integration(name="telegram", attempts=9, failed=0)],
}


def snapshot(*readings: tuple[Target, Facts], leans: dict[str, tuple[str, ...]] | None = None) -> Snapshot:
    names = {target.service for target, _ in readings}
    return Snapshot(
        schema=1,
        opsctl_version="0",
        stack=StackSummary(
            name="x",
            flow="containers",
            origin="",
            services={name: ServiceSummary(depends_on=(leans or {}).get(name, ())) for name in names},
        ),
        taken_at=NOW,
        duration_seconds=0,
        deadline_seconds=10,
        readings=tuple(
            Reading(target=target, taken_at=NOW, duration_seconds=0, facts=facts)
            for target, facts in readings
        ),
    )


def facts_of(base: dict[str, Any], **change: Any) -> MonitoringFacts:
    return MonitoringFacts(**({"connection": Connection(state="ok", seconds=0.01)} | base | change))


def judged(base: dict[str, Any], **change: Any) -> dict[str, list[Finding]]:
    target = Target(kind="monitoring", service="watch", address="127.0.0.1:9090")
    found: dict[str, list[Finding]] = {}
    for item in judge(snapshot((target, facts_of(base, **change)))):
        found.setdefault(item.id.partition("/")[2], []).append(item)
    return found


def failing(found: dict[str, list[Finding]]) -> dict[str, str]:
    return {name: item.summary for name, items in found.items() for item in items if item.status.failing}


@pytest.mark.parametrize("base", [PROMETHEUS, ALERTMANAGER])
def test_a_healthy_one_yields_nothing(base: dict[str, Any]) -> None:
    found = judged(base)
    assert len(found) == 5
    assert {item.status for items in found.values() for item in items} == {Status.OK}


@pytest.mark.parametrize(
    ("base", "name"), [(PROMETHEUS, "prometheus-down"), (ALERTMANAGER, "alertmanager-down")]
)
@pytest.mark.parametrize("state", ["refused", "timeout", "loading", "protocol", "name-unresolved", "closed"])
def test_down(base: dict[str, Any], name: str, state: str) -> None:
    found = judged(base, up=False, connection=Connection(state=state, detail="said so"))
    assert list(failing(found)) == [name]
    assert found["target-down"][0].status is Status.BLOCKED
    assert "said so" in found[name][0].summary


def test_a_login_that_is_asked_for_is_no_outage() -> None:
    found = judged(PROMETHEUS, up=False, connection=Connection(state="auth-failed", detail="401"))
    assert failing(found) == {}
    assert found["prometheus-down"][0].status is Status.UNKNOWN


def target(**change: Any) -> ScrapeTarget:
    values: dict[str, Any] = {
        "job": "node",
        "instance": "10.0.0.5:9100",
        "url": "http://10.0.0.5:9100/metrics",
        "up": False,
    }
    values |= {"address": "10.0.0.5:9100", "failures": 4, "last_up_at": AT - 240, "last_error": "refused"}
    return ScrapeTarget(**(values | change))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "target 10.0.0.5:9100 of job node is down for 4 min: refused"),
        ({"last_up_at": None}, "target 10.0.0.5:9100 of job node was not up once in the last day: refused"),
        ({"last_up_at": None, "failures": None}, "target 10.0.0.5:9100 of job node is down: refused"),
        ({"failures": 1}, None),
        ({"up": None}, None),
        ({"up": True}, None),
    ],
)
def test_targets_that_are_down(change: dict[str, Any], words: str | None) -> None:
    assert failing(judged(PROMETHEUS, targets=[target(**change)])).get("target-down") == words


def test_a_rule_that_fails() -> None:
    group = RuleGroup(
        name="shop", file="/etc/a.yml", rules=3, failing=1, failing_rules=["Late"], last_error="many"
    )
    assert failing(judged(PROMETHEUS, groups=[group])) == {
        "rule-failing": "rule Late of group shop fails: many"
    }


def test_parts_that_were_not_read_are_unknown() -> None:
    problems = [
        FactProblem(part=part, code="timeout", message="late") for part in ("targets", "rules", "metrics")
    ]
    found = judged(PROMETHEUS, problems=problems)
    assert {found[name][0].status for name in ("target-down", "rule-failing", "notification-failing")} == {
        Status.UNKNOWN
    }


def test_no_alertmanager_is_a_fault_only_where_one_is_wanted() -> None:
    none: dict[str, Any] = {"alertmanagers": 0, "links": []}
    assert failing(judged(PROMETHEUS, **none)) == {}
    assert failing(judged(PROMETHEUS, **none, wants_alertmanager=True, alerting_rules=0)) == {}
    assert list(failing(judged(PROMETHEUS, **none, wants_alertmanager=True))) == ["notification-failing"]
    found = judged(PROMETHEUS, **none, wants_alertmanager=True, config_loaded_at=AT - 3)
    assert found["notification-failing"][0].status is Status.UNKNOWN


def telegram(**change: Any) -> Integration:
    values: dict[str, Any] = {"name": "telegram", "attempts": 9, "failed": 4}
    return Integration(**(values | change))


def said(**change: Any) -> SendFailure:
    values: dict[str, Any] = {
        "receiver": "people",
        "integration": "telegram[0]",
        "failed_at": AT - 30,
        "reason": "401",
    }
    return SendFailure(**(values | change))


LOG = {"log": "docker compose logs"}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"integrations": [telegram()]}, Status.UNKNOWN),  # a lifetime total alone
        ({"integrations": [telegram(grows=True)]}, Status.CRITICAL),
        ({"integrations": [telegram(attempts=4)]}, Status.CRITICAL),  # not one of them ever went well
        ({"integrations": [telegram(attempts=4)], "active_alerts": 0}, Status.UNKNOWN),
        ({"integrations": [telegram(grows=False)], "active_alerts": 0}, Status.OK),
        ({"integrations": [telegram()], "failures": [said()], **LOG}, Status.CRITICAL),
        ({"integrations": [telegram()], "failures": [said(sent_at=AT - 10)], **LOG}, Status.OK),
        ({"integrations": [telegram()], "failures": [said(failed_at=AT - 400)], **LOG}, Status.OK),
        ({"integrations": [telegram()], "failures": [], **LOG}, Status.OK),
        ({"integrations": [telegram()], "failures": [said()], "config_loaded_at": AT - 5, **LOG}, Status.OK),
        ({"integrations": [telegram(last_failed_at=AT - 20)], "history": True}, Status.CRITICAL),
        (
            {"integrations": [telegram(last_failed_at=AT - 2, failed_after=AT - 7)], "history": True}
            | {"config_loaded_at": AT - 8},
            Status.CRITICAL,
        ),
        (  # counted between two samples, and the configuration was replaced between the two
            {"integrations": [telegram(last_failed_at=AT - 2, failed_after=AT - 7)], "history": True}
            | {"config_loaded_at": AT - 5},
            Status.UNKNOWN,
        ),
        (
            {"integrations": [telegram(last_failed_at=AT - 20, last_sent_at=AT - 5)], "history": True},
            Status.OK,
        ),
        (  # an attempt that failed and its retry, between the same two samples
            {"integrations": [telegram(last_failed_at=AT - 20, last_sent_at=AT - 20)], "history": True},
            Status.UNKNOWN,
        ),
        ({"integrations": [telegram(last_sent_at=AT - 5)], "history": True}, Status.OK),
        (
            {"integrations": [telegram(last_sent_at=AT - 5)], "history": True, "failures": [said()], **LOG},
            Status.OK,
        ),
    ],
)
def test_whether_sending_fails_now(change: dict[str, Any], status: Status) -> None:
    (found,) = judged(ALERTMANAGER, **change)["notification-failing"]
    assert found.status is status, found.summary


def test_each_receiver_that_fails_is_named() -> None:
    failures = [said(), said(receiver="night", reason="chat not found")]
    found = judged(ALERTMANAGER, integrations=[telegram()], failures=failures, **LOG)
    assert [item.summary for item in found["notification-failing"]] == [
        "receiver people cannot be told by telegram[0], last 30 s ago: 401",
        "receiver night cannot be told by telegram[0], last 30 s ago: chat not found",
    ]


def test_prometheus_cannot_reach_its_alertmanager() -> None:
    link = msgspec.structs.replace(PROMETHEUS["links"][0], failed=3, last_failed_at=AT - 20)
    found = judged(PROMETHEUS, links=[link], history=True)
    assert failing(found) == {
        "notification-failing": "Prometheus cannot send alerts to 127.0.0.1:9093, last 20 s ago"
    }


# whose trouble it is


def stack_with(address: str, url: str, *others: tuple[Target, Facts]) -> Snapshot:
    watch = Target(kind="monitoring", service="watch", address="127.0.0.1:9090")
    down = target(job="shop", instance=address, address=address, url=url)
    return snapshot((watch, facts_of(PROMETHEUS, targets=[down])), *others)


def http(url: str, address: str, **more: Any) -> tuple[Target, Facts]:
    facts = HttpFacts(up=False, url=url, connection=Connection(state="refused", detail="refused"))
    return Target(kind="http", service="api", name=url, address=address, **more), facts


def root_causes(diagnosis: Diagnosis) -> list[str]:
    return [item.finding.id for item in diagnosis.root_causes]


@pytest.mark.parametrize(
    ("address", "scraped", "other"),
    [
        (
            "127.0.0.1:8000",
            "http://127.0.0.1:8000/metrics",
            http("http://localhost:8000/health", "localhost:8000"),
        ),
        (
            "shop.ru:443",
            "https://shop.ru/metrics",
            http("https://shop.ru/metrics", "shop.ru:443", via="nginx"),
        ),
        (
            "shop.ru:443",
            "https://shop.ru/metrics",
            http("https://shop.ru/health", "shop.ru:443", via="nginx"),
        ),
    ],
)
def test_a_target_hangs_below_the_cause_of_the_service_that_is_there(
    address: str, scraped: str, other: tuple[Target, Facts]
) -> None:
    taken = stack_with(address, scraped, other)
    assert set(observed(taken).values()) == {frozenset({"api"})}
    diagnosis = diagnose(taken)
    assert root_causes(diagnosis) == ["http/refused"]
    assert "monitoring/target-down" in [item.id for item in diagnosis.root_causes[0].chain]


def test_a_target_elsewhere_is_a_fault_of_its_own() -> None:
    taken = stack_with(
        "127.0.0.1:8001", "http://127.0.0.1:8001/metrics", http("http://127.0.0.1:8000/", "127.0.0.1:8000")
    )
    assert observed(taken) == {}
    diagnosis = diagnose(taken)
    assert root_causes(diagnosis) == ["http/refused"]
    assert [item.id for item in diagnosis.also] == ["monitoring/target-down"] or "monitoring/target-down" in [
        item.finding.id for item in diagnosis.root_causes
    ]


def books(rules: dict[str, dict[str, list[str]]]) -> dict[str, Runbook]:
    return {
        slug: Runbook(slug=slug, severity="critical", flow="x", explains=Explains(**scopes))
        for slug, scopes in rules.items()
    }


def test_what_a_service_leans_on_explains_what_is_observed_of_it() -> None:
    effect = finding("monitoring/target-down", "watch", "warning", subject="shop backend:8000")
    rules = {"container/exited": {"dependents": ["monitoring/target-down", "container/exited"]}}
    services = {"backend": ServiceSummary(depends_on=("db",))}
    about = {(effect.target_id, effect.subject): {"backend"}}
    found = Explanations(services, {}, books(rules), observed=about)
    assert found.can(finding("container/exited", "db"), effect)
    assert not found.can(finding("container/exited", "other"), effect)


# the stack file


def parse(text: str) -> Any:
    return reader.parse(
        f"name: x\nservices:\n  watch:\n    monitoring: {text}\n".encode(), "f.yml", Path("/")
    )


def test_each_program_is_a_target() -> None:
    stack = parse("{prometheus: 'http://a:9090', alertmanager: 'http://a:9093'}")
    found = [item.target for item in assignments(stack) if item.target.kind == "monitoring"]
    assert [(item.name, item.address) for item in found] == [
        ("prometheus", "a:9090"),
        ("alertmanager", "a:9093"),
    ]


@pytest.mark.parametrize(
    "text", ["{}", "{prometheus: 'ftp://a'}", "{prometheus: 'http://u:secret@a'}", "{url: 'http://a'}"]
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(StackError) as error:
        parse(text)
    assert "secret" not in str(error.value)
