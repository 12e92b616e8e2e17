"""Why notifications wait in freemarket's database: what does not run, or cannot send, is the reason."""

from __future__ import annotations

import pytest

from opsctl.explanations import Explanations
from opsctl.model import ServiceSummary
from opsctl.runbooks import all_runbooks
from opsctl.stack.reader import SHIPPED, load
from tests.unit.findings import finding


@pytest.fixture(scope="module")
def freemarket() -> Explanations:
    spec = load(SHIPPED / "freemarket.yml").spec
    services = {
        name: ServiceSummary(depends_on=tuple(each.depends_on)) for name, each in spec.services.items()
    }
    return Explanations(services, {}, all_runbooks())


@pytest.mark.parametrize(
    "slug",
    [
        "container/exited",
        "container/paused",
        "container/missing",
        "container/restarting",
        "telegram/unreachable",
        "telegram/token-invalid",
        "telegram/conflict",
        "telegram/token-missing",
    ],
)
def test_a_bot_that_cannot_send_explains_the_queue(freemarket: Explanations, slug: str) -> None:
    queue = finding("data/threshold", "db")
    assert freemarket.does(finding(slug, "bot"), queue)
    assert not freemarket.does(queue, finding(slug, "bot"))


def test_what_does_not_lean_on_the_database_does_not(freemarket: Explanations) -> None:
    assert not freemarket.does(finding("container/exited", "frontend"), finding("data/threshold", "db"))
