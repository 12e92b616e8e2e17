"""data: what a query may return, and limits that stand beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.checks import find_check
from opsctl.checks.base import CheckContext, Limits, NotObserved
from opsctl.facts.base import FactProblem
from opsctl.facts.data import DataFacts, Measurement
from opsctl.model import Finding, Status, Target
from opsctl.probes.data import number


def run(facts: DataFacts, limits: Limits | None = None) -> list[Finding]:
    check = find_check("data/threshold")
    target = Target(kind="data", service="db", name="waiting")
    return list(
        check.function(
            facts, CheckContext(check, target, limits or Limits(), datetime(2026, 11, 21, tzinfo=UTC))
        )
    )


@pytest.mark.parametrize(
    ("rows", "value"), [([(3,)], 3.0), ([(Decimal("2.5"),)], 2.5), ([(True,)], 1.0), ([(-1.5,)], -1.5)]
)
def test_one_number(rows: list[tuple[Any, ...]], value: float) -> None:
    assert number(rows) == value


@pytest.mark.parametrize("rows", [[], [(1, 2)], [(1,), (2,)], [("many",)], [(None,)], [(b"1",)]])
def test_anything_else_is_said(rows: list[tuple[Any, ...]]) -> None:
    with pytest.raises(ValueError, match="the query"):
        number(rows)


@pytest.mark.parametrize(
    ("value", "below", "status"),
    [(4, False, Status.OK), (5, False, Status.WARNING), (50, False, Status.CRITICAL),
     (60, True, Status.OK), (50, True, Status.WARNING), (5, True, Status.CRITICAL)],
)  # fmt: skip
def test_limits_beside_the_query(value: float, below: bool, status: Status) -> None:
    low, high = (50, 5) if below else (5, 50)
    item = Measurement(name="waiting", value=value, warning=low, critical=high, below=below)
    (finding,) = run(DataFacts(measurements=[item], query="select count(*) from t", unit="rows"))
    assert finding.status is status
    assert finding.subject == "waiting"
    assert finding.evidence[0].source == "select count(*) from t"


def test_a_query_that_failed_is_not_ok() -> None:
    problem = FactProblem(part="waiting", code="timeout", message="waiting: canceled")
    facts = DataFacts(measurements=[Measurement(name="waiting", warning=1)], problems=[problem])
    with pytest.raises(NotObserved, match="canceled"):
        run(facts)
    with pytest.raises(NotObserved):
        run(DataFacts())


@given(
    st.floats(allow_nan=False), st.none() | st.floats(allow_nan=False), st.none() | st.floats(allow_nan=False)
)
def test_any_value_and_limits_are_judged(value: float, warning: float | None, critical: float | None) -> None:
    item = Measurement(name="n", value=value, warning=warning, critical=critical)
    (finding,) = run(DataFacts(measurements=[item]))
    if warning is None and critical is None:
        assert finding.status is Status.OK
