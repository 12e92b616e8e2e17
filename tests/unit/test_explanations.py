"""The runbooks' own `explains`, put to findings: what is one fault and what are two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.causes import Causes, rank
from opsctl.diagnose import role_of
from opsctl.explanations import Explanations
from opsctl.judge import is_down
from opsctl.model import Finding, ServiceSummary
from opsctl.runbooks import all_runbooks, code_class, effect
from tests.unit.findings import finding, services

STACK = services(db=[], redis=[], backend=["db", "redis"], nginx=["backend"], pages=["nginx"])


def ranked(*findings: Finding, through: dict[str, frozenset[str]] | None = None) -> Causes:
    by = Explanations(STACK, {}, all_runbooks(), through=through, witnesses=findings)
    return rank(findings, by, role_of, is_down)


def names(causes: Causes) -> set[str]:
    return {f"{cause.finding.id}:{cause.finding.target}" for cause in causes.proven}


def refused(target: str = "backend") -> Finding:
    return finding("http/refused", target, code="refused")


def answers(code: int, target: str = "backend", subject: str = "") -> Finding:
    return finding("http/status", target, code=str(code), subject=subject)


DEAD = [
    finding("postgres/down", "db", code="refused"),
    finding("redis/down", "redis", code="refused"),
    finding("container/exited", "db", code="stopped"),
    finding("systemd/inactive", "db", code="stopped"),
    finding("systemd/failed", "db"),
]
dead = pytest.mark.parametrize("cause", DEAD, ids=lambda item: item.id)


@dead
@pytest.mark.parametrize(
    "effect",
    [answers(500), answers(503), finding("http/body", "backend"), finding("http/timeout", "backend")],
    ids=lambda item: f"{item.id}{item.code}",
)
def test_a_dead_dependency_explains_an_api_that_answers_badly(cause: Finding, effect: Finding) -> None:
    assert names(ranked(cause, effect)) == {f"{cause.id}:{cause.target}"}


@dead
def test_an_api_that_is_not_there_is_a_second_fault(cause: Finding) -> None:
    assert names(ranked(cause, refused())) == {f"{cause.id}:{cause.target}", "http/refused:backend"}


@dead
@pytest.mark.parametrize("witness", ["logs/connection-errors", "logs/database-errors"])
def test_an_api_whose_log_says_that_it_died_of_the_dependency_is_the_same_fault(
    cause: Finding, witness: str
) -> None:
    causes = ranked(cause, refused(), finding(witness, "backend", "warning"))
    assert names(causes) == {f"{cause.id}:{cause.target}"}
    assert "http/refused" in [item.id for item in causes.proven[0].chain]


@pytest.mark.parametrize("slug", ["systemd/crash-looping", "systemd/failed", "container/restarting"])
def test_an_api_that_dies_at_start_is_the_same_fault_to_the_502_in_front(slug: str) -> None:
    causes = ranked(
        finding("postgres/down", "db", code="refused"),
        finding(slug, "backend"),
        refused(),
        finding("nginx/upstream-refused", "nginx", code="refused"),
        answers(502, "nginx"),
        through={"nginx/http": frozenset({"nginx"})},
    )
    assert names(causes) == {"postgres/down:db"}
    assert len(causes.proven[0].chain) == 4


@dead
@pytest.mark.parametrize("code", [401, 403, 404, 302])
def test_a_page_that_is_not_there_is_never_the_databases_fault(cause: Finding, code: int) -> None:
    assert f"http/status:{'pages'}" in names(ranked(cause, answers(code, "pages")))


def test_a_forbidden_page_beside_a_502_of_the_same_service_is_a_second_fault() -> None:
    causes = ranked(
        finding("postgres/down", "db", code="refused"),
        answers(502, "nginx", "http://x/api/"),
        answers(403, "nginx", "http://x/"),
    )
    assert names(causes) == {"postgres/down:db", "http/status:nginx"}
    assert [item.finding.code for item in causes.proven if item.finding.id == "http/status"] == ["403"]


def test_two_containers_that_somebody_stopped_are_two_faults_and_one_that_gave_up_is_none() -> None:
    db = finding("container/exited", "db", code="stopped")
    assert names(ranked(db, finding("container/exited", "backend", code="error"))) == {"container/exited:db"}
    assert len(names(ranked(db, finding("container/exited", "backend", code="stopped")))) == 2


def test_what_nginx_says_of_an_upstream_explains_only_what_is_asked_through_it() -> None:
    log = finding("nginx/upstream-refused", "nginx", code="refused")
    direct = answers(502)
    assert names(ranked(log, direct)) == {"nginx/upstream-refused:nginx", "http/status:backend"}
    through = {direct.target_id: frozenset({"nginx"})}
    assert names(ranked(log, direct, through=through)) == {"nginx/upstream-refused:nginx"}
    assert len(names(ranked(log, answers(500), through=through))) == 2, "a 500 is the application's own"


def test_one_dead_resolver_is_one_cause() -> None:
    causes = ranked(
        finding("network/name-unresolved", "host", subject="db.internal"),
        finding("postgres/down", "db", code="name-unresolved"),
        finding("redis/down", "redis", code="name-unresolved"),
        finding("http/name-unresolved", "pages"),
        answers(500),
    )
    assert names(causes) == {"network/name-unresolved:host"}
    assert len(causes.proven[0].chain) == 4
    refusing = ranked(
        finding("network/name-unresolved", "host"), finding("postgres/down", "db", code="refused")
    )
    assert len(names(refusing)) == 2


def test_an_entry_has_a_slug_a_code_and_a_witness() -> None:
    item = effect("http/refused=closed beside logs/*-errors")
    assert (item.slug, item.code, item.beside) == ("http/refused", "closed", "logs/*-errors")
    assert effect("http/status=same").fits("503", "502")
    assert not effect("http/status=same").fits("404", "502")
    assert effect("http/status").fits("404", "")


@given(st.text(max_size=60), st.text(max_size=10), st.text(max_size=10))
def test_any_text_is_an_entry(text: str, code: str, own: str) -> None:
    item = effect(text)
    assert item.fits(code, own) in (True, False)
    assert item.names(code) in (True, False)
    assert code_class(code) or not code


def test_pages_without_a_process_lie_where_those_who_make_them_have_their_files() -> None:
    files = {"backend": ["/srv/shop/storage"], "nginx": ["/var/log/nginx"]}
    stack = {
        **services(backend=[], nginx=["backend"]),
        "pages": ServiceSummary(depends_on=("backend", "nginx")),
    }
    stack["backend"] = ServiceSummary(unit="shop.service")
    for mount, alone in (("/srv/shop", True), ("/var/log/nginx", False)):
        findings = (finding("host/inodes-full", "host", subject=mount), answers(500, "pages"))
        by = Explanations(
            stack, {}, all_runbooks(), mounts=["/", *files["nginx"], "/srv/shop"], files=files,
            through={findings[1].target_id: frozenset({"nginx"})}, witnesses=findings,
        )  # fmt: skip
        found = names(rank(findings, by, role_of, is_down))
        assert found == (
            {"host/inodes-full:host"} if alone else {"host/inodes-full:host", "http/status:pages"}
        )


def test_a_key_of_another_certificate_takes_nginx_down_and_not_the_other_way_round() -> None:
    findings = [finding("tls/key-mismatch", "nginx"), finding("nginx/down", "nginx")]
    assert names(ranked(*findings)) == {"tls/key-mismatch:nginx"}


@pytest.mark.parametrize(("status", "roots"), [("warning", 1), ("critical", 2)])
def test_a_missing_replica_explains_one_request_that_waited_in_vain_and_no_outage(
    status: str, roots: int
) -> None:
    waiting = finding("nginx/upstream-timeout", "nginx", status)
    causes = ranked(finding("postgres/replica-missing", "db", "warning"), waiting)
    assert len([*causes.proven, *causes.also]) == roots


@pytest.mark.parametrize(
    "effect",
    [finding("nginx/upstream-timeout", "nginx"), answers(504, "nginx"), finding("http/timeout", "nginx")],
    ids=lambda item: item.id,
)
def test_one_replica_that_hangs_explains_the_requests_that_went_to_it(effect: Finding) -> None:
    hangs = finding("container/unhealthy", "backend", "warning")
    assert names(ranked(hangs, effect)) == {"container/unhealthy:backend"}


def test_one_replica_that_hangs_explains_its_services_page_that_waits_for_the_next_one() -> None:
    """The page is asked through the load balancer, which gives the replica up after a while."""
    hangs = finding("container/unhealthy", "backend", "warning")
    slow = finding("http/slow", "backend", "warning")
    causes = ranked(hangs, slow, through={slow.target_id: frozenset(["nginx"])})
    assert [cause.finding.id for cause in (*causes.proven, *causes.also)] == ["container/unhealthy"]


@pytest.mark.parametrize(
    "effect", [answers(500, "nginx"), answers(502, "nginx"), finding("http/body", "nginx")]
)
def test_one_replica_that_hangs_is_not_why_the_others_fail(effect: Finding) -> None:
    hangs = finding("container/unhealthy", "backend", "warning")
    assert names(ranked(hangs, effect)) == {f"{effect.id}:nginx"}
    whole = finding("container/unhealthy", "backend")
    assert "container/unhealthy:backend" in names(ranked(whole, effect))
