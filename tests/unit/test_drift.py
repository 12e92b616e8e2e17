"""The faces of a slug hold together: check, runbook, flow, catalogue. A missing one fails here."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
import pytest

from opsctl.checks import all_checks, find_check
from opsctl.checks.base import Check
from opsctl.facts import facts_class
from opsctl.facts.base import Info
from opsctl.kinds import KINDS
from opsctl.metrics import declared_metrics
from opsctl.resources import shipped
from opsctl.runbooks import all_runbooks, effect, flow_names, load_flow, page

CATALOGUE = (Path(__file__).parent / "data" / "catalogue.txt").read_text().split()
LATER_KINDS = ("backup",)
"""Kinds of the catalogue that have no probe yet; runbooks may already name their findings."""

SECTIONS = (
    "What it means",
    "Who is hit",
    "Check first",
    "Causes and fixes",
    "Safe stop-gap",
    "Do not",
    "Verify it is over",
    "False positives and tuning",
    "Escalate",
)
SLUGS = [check.slug for check in all_checks()]


def test_the_catalogue_is_covered() -> None:
    missing = [slug for slug in CATALOGUE if slug not in SLUGS]
    assert missing == []


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.slug)
def test_every_check_says_what_it_is_and_has_its_runbook(check: Check) -> None:
    assert check.summary.endswith("."), "the first line of the docstring states the symptom"
    assert len(check.summary) <= 110
    assert check.needs
    runbook = all_runbooks().get(check.slug)
    assert runbook is not None, f"runbooks/{check.slug}.md is missing"
    assert runbook.slug == check.slug
    text = page(check.slug)
    missing = [section for section in SECTIONS if f"\n## {section}\n" not in text]
    assert missing == []
    assert f"opsctl verify {check.slug}" in text


def test_every_runbook_has_its_check() -> None:
    assert sorted(set(all_runbooks()) - set(SLUGS)) == []


@pytest.mark.parametrize("slug", sorted(all_runbooks()))
def test_a_runbook_names_only_what_exists(slug: str) -> None:
    runbook = all_runbooks()[slug]
    assert runbook.flow in flow_names()
    for scope in msgspec.structs.astuple(runbook.explains):
        for text in scope:
            item = effect(text)
            for pattern in filter(None, (item.slug, item.beside)):
                later = pattern.partition("/")[0] in LATER_KINDS
                known = any(fnmatchcase(name, pattern) for name in SLUGS)
                assert later or known, f"{pattern} matches no check"
            if item.code:
                assert find_check(item.slug).code, f"{text}: {item.slug} gives no code"


@pytest.mark.parametrize("name", flow_names())
def test_a_flow_leads_only_where_something_is(name: str) -> None:
    flow = load_flow(name)
    assert flow.flow == name
    assert flow.start in flow.steps
    for step in flow.steps.values():
        assert not step.next or step.next in flow.steps
        for answer in step.answers:
            assert not answer.then or answer.then in flow.steps
            assert not answer.flow or answer.flow in flow_names()
            for pattern in answer.when:
                bare = pattern.partition("@")[0]
                later = bare.partition("/")[0] in LATER_KINDS
                assert later or any(fnmatchcase(slug, bare) for slug in SLUGS), f"{pattern} matches no check"


def _reachable(entry: str) -> set[str]:
    """Return the slugs that some answer names in the trees below an entry tree."""
    seen: set[str] = set()
    waiting = [entry]
    patterns: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for step in load_flow(name).steps.values():
            for answer in step.answers:
                patterns.update(pattern.partition("@")[0] for pattern in answer.when)
                if answer.flow:
                    waiting.append(answer.flow)
    patterns.discard("*")  # the net below everything is not an answer
    return {slug for slug in SLUGS if any(fnmatchcase(slug, pattern) for pattern in patterns)}


def test_every_finding_is_reached_by_an_entry_tree() -> None:
    reached = _reachable("containers") | _reachable("systemd")
    assert sorted(set(SLUGS) - reached) == []


@pytest.mark.parametrize("kind", KINDS)
def test_metric_names_are_declared_once_with_one_type_and_help(kind: str) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for metric, _ in declared_metrics(facts_class(kind)):
        form = "gauge" if isinstance(metric, Info) else metric.type
        assert seen.setdefault(metric.name, (form, metric.help)) == (form, metric.help), metric.name
        assert metric.help
        assert metric.name.replace("_", "").isalnum()


def test_metric_names_mean_the_same_in_every_kind() -> None:
    types: dict[str, str] = {}
    for kind in KINDS:
        for metric, _ in declared_metrics(facts_class(kind)):
            form = "gauge" if isinstance(metric, Info) else metric.type
            assert types.setdefault(metric.name, form) == form, metric.name


def test_shipped_folders_are_there() -> None:
    assert (shipped("runbooks") / "flows").is_dir()


MACHINE_WIDE = ("docker/", "host/", "container/all-down")
"""Whose failure really hits everything on the machine."""
ANYWHERE = {
    ("network/name-unresolved", "http/name-unresolved"): "the machine's one resolver is asked by all",
    ("network/name-unresolved", "telegram/unreachable=name-unresolved"): "it is asked by all",
    (
        "network/name-unresolved",
        "logs/connection-errors=name-unresolved",
    ): "the names are those that the stack needs",
    (
        "network/name-unresolved",
        "postgres/down=name-unresolved",
    ): "the machine's one resolver is asked by all",
    ("network/name-unresolved", "redis/down=name-unresolved"): "the machine's one resolver is asked by all",
    (
        "postgres/long-query",
        "host/cpu-saturated",
    ): "it runs on that machine; explains nothing worse than itself",
    (
        "postgres/long-query",
        "host/io-pressure",
    ): "it runs on that machine; explains nothing worse than itself",
    (
        "postgres/statements-slow",
        "host/cpu-saturated",
    ): "as postgres/long-query: the machine's own goes first",
    ("postgres/statements-slow", "host/io-pressure"): "as postgres/long-query: the machine's own goes first",
}
"""What else may explain by the machine alone, and why that hides no independent fault."""


def test_only_what_hits_the_machine_explains_by_the_machine() -> None:
    pairs = {
        (slug, pattern)
        for slug, runbook in all_runbooks().items()
        for pattern in runbook.explains.host
        if not slug.startswith(MACHINE_WIDE)
    }
    assert pairs == set(ANYWHERE)


@pytest.mark.parametrize(
    "check", [item for item in all_checks() if item.role == "risk"], ids=lambda item: item.slug
)
def test_a_risk_explains_nothing_but_the_same_risk_seen_elsewhere(check: Check) -> None:
    explains = all_runbooks()[check.slug].explains
    for text in (text for scope in msgspec.structs.astuple(explains) for text in scope):
        assert find_check(effect(text).slug).role == "risk", "a risk hurts nobody yet"


DATABASES = ("postgres/", "redis/")


@pytest.mark.parametrize("slug", sorted(slug for slug in all_runbooks() if slug.startswith(DATABASES)))
def test_a_database_explains_no_page_that_is_not_there_and_no_process_without_a_witness(slug: str) -> None:
    runbook = all_runbooks()[slug]
    for item in map(effect, runbook.explains.dependents):
        if item.names("http/status"):
            assert not item.fits("404", ""), "a 4xx has reasons of its own"
        if item.names("http/refused"):
            assert item.beside, "a process that is not there may have died of anything"


def test_a_machines_process_limit_explains_its_own_service_only() -> None:
    assert all_runbooks()["host/open-files-exhausted"].explains.host == []


def test_a_wrong_clock_is_not_blamed_for_certificates() -> None:
    runbook = all_runbooks()["host/clock-skew"]
    assert not any(msgspec.structs.astuple(runbook.explains))
    assert not runbook.even_as_warning
