"""Ranking: who explains whom, and what is left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from opsctl.causes import Causes, rank
from opsctl.explanations import Explanations
from opsctl.model import Finding, Target
from tests.unit.findings import explanations, finding, services

STACK = services(db=[], redis=[], backend=["db", "redis"], nginx=["backend"], bot=["backend"])
RULES = {
    "postgres/down": {"service": ["data/*"], "dependents": ["http/*", "logs/*", "nginx/*", "container/*"]},
    "postgres/connections": {"dependents": ["http/*"]},
    "redis/down": {"dependents": ["http/*", "logs/*"]},
    "container/exited": {
        "service": ["postgres/down", "http/refused"],
        "dependents": ["http/*", "nginx/*", "container/*"],
    },
    "http/refused": {"dependents": ["nginx/*", "http/status"]},
    "nginx/upstream-refused": {"service": ["http/status"]},
    "host/disk-full": {"filesystem": ["postgres/*"]},
    "logs/application-errors": {"service": ["http/status"]},
}
SYMPTOMS = {"http/status", "http/refused", "http/slow", "logs/connection-errors", "nginx/upstream-refused"}
RISKS = {"config/debug-enabled", "php/debug-enabled", "postgres/pool-budget"}


def role(slug: str) -> str:
    return "symptom" if slug in SYMPTOMS else "risk" if slug in RISKS else "cause"


def ranked(*findings: Finding, by: Explanations | None = None) -> Causes:
    return rank(
        findings,
        by or explanations(STACK, RULES),
        role,  # type: ignore[arg-type]
        lambda item: item.id.endswith(("/down", "/exited")),
    )


def names(causes: Causes) -> list[tuple[str, str]]:
    return [(cause.finding.id, cause.finding.target) for cause in causes.proven]


def test_a_chain_through_three_services_has_one_root() -> None:
    causes = ranked(
        finding("http/status", "nginx"),
        finding("nginx/upstream-refused", "nginx"),
        finding("http/refused", "backend"),
        finding("container/exited", "backend"),
        finding("container/exited", "db"),
        finding("postgres/down", "db"),
        finding("logs/connection-errors", "backend"),
    )
    assert names(causes) == [("container/exited", "db")]
    assert len(causes.proven[0].chain) == 6


def test_two_independent_causes_are_both_named_most_severe_first() -> None:
    causes = ranked(
        finding("redis/down", "redis"),
        finding("telegram/token-invalid", "bot"),
        finding("http/status", "backend"),
    )
    assert names(causes) == [("redis/down", "redis"), ("telegram/token-invalid", "bot")]


def test_a_warning_does_not_explain_what_is_worse_than_itself() -> None:
    weak = finding("postgres/connections", "db", "warning")
    causes = ranked(weak, finding("http/status", "backend"))
    assert names(causes) == [("http/status", "backend")]
    assert causes.also == [weak]


def test_a_warning_explains_worse_where_its_runbook_says_so() -> None:
    by = explanations(STACK, RULES, even_as_warning=("postgres/connections",))
    causes = ranked(
        finding("postgres/connections", "db", "warning"), finding("http/status", "backend"), by=by
    )
    assert names(causes) == [("postgres/connections", "db")]


def test_a_risk_beside_a_fault_is_noticed_but_no_cause() -> None:
    causes = ranked(finding("config/debug-enabled", "backend", "warning"), finding("redis/down", "redis"))
    assert names(causes) == [("redis/down", "redis")]
    assert [item.id for item in causes.also] == ["config/debug-enabled"]


def test_a_risk_explains_the_same_risk_seen_elsewhere_and_nothing_that_hurts() -> None:
    rules = {"php/debug-enabled": {"service": ["config/debug-enabled", "http/status"]}}
    causes = ranked(
        finding("php/debug-enabled", "backend", "warning"),
        finding("config/debug-enabled", "backend", "warning"),
        finding("http/status", "backend", "warning"),
        by=explanations(STACK, rules, even_as_warning=("php/debug-enabled",)),
    )
    assert names(causes) == [("http/status", "backend")]
    assert [item.id for item in causes.also] == ["php/debug-enabled"]


def test_a_risk_alone_is_what_there_is_to_say() -> None:
    assert names(ranked(finding("config/debug-enabled", "backend", "warning"))) == [
        ("config/debug-enabled", "backend")
    ]


def test_nothing_explains_in_the_wrong_direction_or_an_unrelated_service() -> None:
    causes = ranked(finding("container/exited", "bot"), finding("http/status", "backend"))
    assert set(names(causes)) == {("container/exited", "bot"), ("http/status", "backend")}


def test_a_symptom_whose_suspects_were_all_seen_is_the_cause_itself() -> None:
    causes = ranked(
        finding("http/status", "backend"),
        finding("postgres/down", "db", "ok", summary="PostgreSQL answers"),
        finding("logs/application-errors", "backend", "ok"),
    )
    assert names(causes) == [("http/status", "backend")]
    assert ("postgres/down", "PostgreSQL answers") in [(row.id, row.because) for row in causes.ruled_out]


def test_a_symptom_with_an_unseen_suspect_proves_nothing() -> None:
    causes = ranked(finding("http/status", "backend"), finding("postgres/down", "db", "unknown"))
    assert causes.proven == []
    assert [cause.finding.id for cause in causes.unproven] == ["http/status"]
    assert [(item.id, item.target) for item in causes.candidates] == [("postgres/down", "db")]


def test_a_symptom_with_a_blocked_suspect_proves_nothing() -> None:
    causes = ranked(finding("http/status", "backend"), finding("postgres/down", "db", "blocked"))
    assert causes.proven == []
    assert [(item.id, item.target) for item in causes.candidates] == [("postgres/down", "db")]


def test_an_unseen_suspect_does_not_unprove_a_cause() -> None:
    causes = ranked(finding("redis/down", "redis"), finding("postgres/down", "db", "unknown"))
    assert names(causes) == [("redis/down", "redis")]
    assert causes.candidates == []


def test_a_full_disk_explains_only_what_lives_on_it() -> None:
    targets = {"db/postgres": Target(kind="postgres", service="db", paths=("/data/pg",))}
    by = explanations(STACK, RULES, targets)
    down = finding("postgres/down", "db")
    same = ranked(finding("host/disk-full", "host", subject="/data"), down, by=by)
    assert names(same) == [("host/disk-full", "host")]
    other = ranked(finding("host/disk-full", "host", subject="/dat"), down, by=by)
    assert set(names(other)) == {("host/disk-full", "host"), ("postgres/down", "db")}


def test_a_full_root_is_not_blamed_for_what_lives_on_a_file_system_below_it() -> None:
    targets = {"db/postgres": Target(kind="postgres", service="db", paths=("/pgdata/15",))}
    by = explanations(STACK, RULES, targets, mounts=("/", "/pgdata"))
    causes = ranked(finding("host/disk-full", "host", subject="/"), finding("postgres/down", "db"), by=by)
    assert set(names(causes)) == {("host/disk-full", "host"), ("postgres/down", "db")}


def test_two_full_disks_are_two_faults_and_two_dead_replicas_are_one() -> None:
    disks = [finding("host/disk-full", "host", subject=mount) for mount in ("/", "/data")]
    assert names(ranked(*disks)) == [("host/disk-full", "host")] * 2
    replicas = [finding("container/exited", "backend", subject=name) for name in ("backend-1", "backend-2")]
    assert names(ranked(*replicas)) == [("container/exited", "backend")]


def test_a_circle_still_has_a_root() -> None:
    rules = {
        "a/one": {"host": ["a/two"]},
        "a/two": {"host": ["a/three"]},
        "a/three": {"host": ["a/one"]},
    }
    by = explanations(STACK, rules)
    causes = ranked(finding("a/one", "db"), finding("a/two", "db"), finding("a/three", "db"), by=by)
    assert len(causes.proven) == 1
    assert len(causes.proven[0].chain) == 2


def test_the_same_fault_at_several_places_of_a_service_is_one_fault() -> None:
    first, second = (finding("http/status", "backend", subject=url) for url in ("/health", "/items"))
    causes = ranked(first, second)
    assert names(causes) == [("http/status", "backend")]
    assert len(causes.proven[0].chain) == 1


def test_a_critical_fault_comes_before_a_warning_that_explains_much() -> None:
    by = explanations(STACK, RULES, even_as_warning=("postgres/connections",))
    pages = [finding("http/status", "backend", subject=f"/{number}") for number in range(4)]
    weak = finding("postgres/connections", "db", "warning")
    causes = ranked(weak, *pages, finding("telegram/token-invalid", "bot"), by=by)
    assert names(causes) == [("telegram/token-invalid", "bot"), ("postgres/connections", "db")]
    assert [cause.status.value for cause in causes.proven] == ["critical", "critical"]


def test_a_critical_risk_is_not_hidden_behind_a_warning() -> None:
    causes = ranked(finding("config/debug-enabled", "backend"), finding("redis/down", "redis", "warning"))
    assert names(causes) == [("config/debug-enabled", "backend")]
    assert [item.id for item in causes.also] == ["redis/down"]


slugs = st.sampled_from([*RULES, "http/status", "logs/connection-errors", "config/debug-enabled"])
targets = st.sampled_from([*STACK, "host"])
statuses = st.sampled_from(["ok", "warning", "critical", "unknown", "blocked"])


@given(st.lists(st.tuples(slugs, targets, statuses), max_size=25))
def test_every_failing_finding_is_accounted_for(rows: list[tuple[str, str, str]]) -> None:
    """Each finding as severe as the worst is a root, in a chain, or noticed beside; order plays no part."""
    unique = {(slug, target): status for slug, target, status in rows}
    findings = [finding(slug, target, status) for (slug, target), status in unique.items()]
    causes = ranked(*findings)
    named = {cause.finding.key for cause in (*causes.proven, *causes.unproven)}
    named |= {item.key for cause in (*causes.proven, *causes.unproven) for item in cause.chain}
    beside = {item.key for item in causes.also}
    failing = [item for item in findings if item.status.failing]
    unaccounted = [item for item in failing if item.key not in named | beside]
    worst = max((item.status.rank for item in failing), default=0)
    # what a mere warning beside the cause explains is left to the list of findings
    assert all(item.status.rank < worst for item in unaccounted)
    if failing:
        assert causes.proven or causes.unproven
        assert all(cause.status.rank == worst for cause in (*causes.proven, *causes.unproven))
        own = [cause.finding.status.rank for cause in causes.proven]
        assert own == sorted(own, reverse=True)
    assert ranked(*reversed(findings)).proven == causes.proven


def test_a_502_is_the_fault_of_the_service_that_listens_there_though_no_depends_on_says_so() -> None:
    stack = services(db=[], products=["db"], nginx=[], pages=["nginx"])
    by = explanations(stack, RULES, passes_to={"nginx": {"products"}})
    causes = ranked(
        finding("nginx/upstream-refused", "nginx"),
        finding("container/exited", "db"),
        finding("http/status", "pages"),
        by=by,
    )
    assert names(causes) == [("container/exited", "db"), ("http/status", "pages")]
