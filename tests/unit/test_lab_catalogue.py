"""Every slug of opsctl is shown by a fault of the lab, or left out for a reason that is written down."""

from __future__ import annotations

import pytest
import yaml

from opsctl.checks import all_checks
from opsctl.model import HOST_SERVICE
from opsctl.stack.reader import SHIPPED
from tests.lab.faults import all_faults
from tests.lab.faults.base import Cause
from tests.lab.faults.left_out import LEFT_OUT
from tests.lab.stacks import SYSTEMS

SLUGS = {check.slug for check in all_checks()}


def shown() -> set[str]:
    """Slugs that a fault expects as its cause, or as a symptom on the way to it."""
    causes: list[Cause] = [cause for fault in all_faults() for cause in (*fault.expect, *fault.shows)]
    return {slug for slugs, _ in causes for slug in slugs.split("|")}


def test_every_slug_has_a_fault_or_a_reason() -> None:
    assert sorted(SLUGS - shown() - set(LEFT_OUT)) == []


def test_nothing_is_left_out_that_is_shown_or_unknown() -> None:
    assert sorted(set(LEFT_OUT) - SLUGS) == []
    assert sorted(set(LEFT_OUT) & shown()) == []
    assert all(len(reason.split()) >= 8 for reason in LEFT_OUT.values())


def test_every_expectation_is_a_slug_of_opsctl() -> None:
    wrong = {slug for slug in shown() if "*" not in slug and slug not in SLUGS}
    assert sorted(wrong) == []


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_every_expectation_is_of_a_service_of_its_system(name: str) -> None:
    stack = yaml.safe_load((SHIPPED / f"{name}.yml").read_text())
    services = {*SYSTEMS[name].services, *stack["services"], HOST_SERVICE}
    faults = [fault for fault in all_faults() if fault.system == name]
    roles = {(fault.name, role) for fault in faults for _, role in (*fault.expect, *fault.shows)}
    assert sorted(item for item in roles if item[1] not in services) == []
