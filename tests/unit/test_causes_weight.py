"""How severe a cause is: what it explains counts, but not what a graver cause accounts for by itself."""

from __future__ import annotations

import pytest

from opsctl.causes import rank
from opsctl.checks.base import Role
from tests.unit.findings import explanations, finding, services

STACK = services(cache=[], backend=["cache"], proxy=["backend"])
RULES = {
    "container/exited": {"dependents": ["logs/errors", "http/status"]},
    "postgres/locks": {"dependents": ["logs/errors", "http/status"]},
    "logs/errors": {"service": ["http/status"]},
}


def role_of(slug: str) -> Role:
    return "symptom" if slug in ("logs/errors", "http/status") else "cause"


@pytest.mark.parametrize(
    ("lesser", "with_cache", "wanted"),
    [
        # one backend of five is gone, and so is the cache: users miss the cache
        ("container/exited", True, ["container/exited@cache"]),
        # nothing else explains what users see
        ("container/exited", False, ["container/exited@backend"]),
        # a cause that is known to hurt as a warning stands beside the other
        ("postgres/locks", True, ["container/exited@cache", "postgres/locks@backend"]),
    ],
)
def test_a_lesser_cause_beside_one_that_is_enough(lesser: str, with_cache: bool, wanted: list[str]) -> None:
    findings = [
        finding(lesser, "backend", "warning", subject="backend_1"),
        finding("logs/errors", "proxy", "warning"),
        finding("http/status", "proxy"),
    ]
    if with_cache:
        findings.append(finding("container/exited", "cache"))
    even = ("logs/errors", "postgres/locks")
    causes = rank(findings, explanations(STACK, RULES, even_as_warning=even), role_of, lambda _: False)
    assert [f"{item.finding.id}@{item.finding.target}" for item in causes.proven] == wanted


@pytest.mark.parametrize("stopped", [True, False])
def test_a_symptom_in_a_log_stands_back_where_a_graver_cause_is_enough(stopped: bool) -> None:
    """A stranger tries passwords at the database while the application is stopped by somebody else."""
    rules = {
        "systemd/inactive": {"dependents": ["http/status"]},
        "logs/errors": {"dependents": ["http/status"]},
    }
    stack = services(database=[], backend=["database"], site=["backend"])
    findings = [finding("logs/errors", "database", "warning"), finding("http/status", "site")]
    if stopped:
        findings.append(finding("systemd/inactive", "backend"))
    by = explanations(stack, rules, even_as_warning=("logs/errors",))
    named = [item.finding.id for item in rank(findings, by, role_of, lambda _: False).proven]
    assert named == (["systemd/inactive"] if stopped else ["logs/errors"])
