"""What one scrape does must not tell on another: hurried ones, given up looks, env files that hang."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from exporters import looking
from exporters.application import Application, Pages, _Scrape
from exporters.exposition import Page
from exporters.looking import Lookout
from exporters.requests import Request
from exporters.self_facts import CollectorFacts
from exporters.verdicts import Verdicts
from opsctl.model import Reading
from opsctl.stack.stack import Stack
from opsctl.stack.targets import Assignment
from tests.servers.base import wait_until
from tests.unit.exporter import LONG, lookout, stack
from tests.unit.test_exporter_pages import SERVICES, well

DATABASE = {"db": SERVICES["db"]}
TWO = {"cache": SERVICES["cache"]}
HURRIED = LONG / 3


def collector(watched: Lookout, target: str) -> CollectorFacts:
    (found,) = [item for item in watched.collectors(str) if item.target == target]
    return found


def test_verdicts_of_one_in_a_hurry_are_not_for_those_who_have_more_time() -> None:
    looks: list[float] = []

    def looker(_stack: Stack, item: Assignment, seconds: float, *_: object) -> Reading:
        """What it looks at takes long to answer."""
        looks.append(seconds)
        facts = well(item) if seconds > HURRIED else None
        return Reading(target=item.target, taken_at=datetime.now(UTC), duration_seconds=1.0, facts=facts)

    verdicts = Verdicts(Lookout(stack(DATABASE), looker, LONG))
    hurried = verdicts.facts(time.monotonic() + HURRIED)
    count = len(looks)
    patient = verdicts.facts(time.monotonic() + 2 * LONG)
    assert len(looks) == 2 * count
    assert patient.checks["unknown"] < hurried.checks["unknown"]
    assert verdicts.facts(time.monotonic() + 2 * LONG) is patient
    assert verdicts.facts(time.monotonic() + HURRIED) is patient


def test_env_files_that_hang_do_not_hold_a_page_of_several_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    watched = lookout(stack(TWO), well)
    chosen = watched.of_kinds(["redis"])
    assert all(item.facts for item in watched.readings(chosen, time.monotonic() + LONG))
    monkeypatch.setattr(looking, "SECRETS_SECONDS", 0.0)
    monkeypatch.setattr(looking, "SECRETS_WAIT_SECONDS", 0.1)
    monkeypatch.setattr(looking, "Secrets", lambda *_: gate.wait(LONG))
    try:
        for _ in range(3):
            assert all(item.facts for item in watched.readings(chosen, time.monotonic() + LONG))
    finally:
        gate.set()


def test_where_no_env_file_was_ever_read_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    watched = lookout(stack(TWO), well)
    monkeypatch.setattr(looking, "Secrets", lambda *_: gate.wait(LONG))
    try:
        readings = watched.readings(watched.of_kinds(["redis"]), time.monotonic() + 0.3)
        assert [item.problem and item.problem.code for item in readings] == ["timeout", "timeout"]
    finally:
        gate.set()


def test_a_look_that_many_wait_for_in_vain_failed_once() -> None:
    gate, inside = threading.Event(), threading.Event()

    def looker(_stack: Stack, item: Assignment, *_: object) -> Reading:
        inside.set()
        assert gate.wait(LONG)
        return Reading(target=item.target, taken_at=datetime.now(UTC), duration_seconds=1.0, facts=well(item))

    watched = Lookout(stack(DATABASE), looker, LONG)
    chosen = watched.of_kinds(["postgres"])
    watched.secrets()
    for _ in range(3):
        (reading,) = watched.readings(chosen, time.monotonic() + 0.2)
        assert reading.problem is not None
        assert inside.wait(LONG)
    told = collector(watched, "db/postgres")
    assert (told.success, told.looks, told.failures) == (False, 0, 1)
    gate.set()
    wait_until(
        lambda: watched.readings(chosen, time.monotonic() + LONG)[0].facts is not None, "it landed", LONG
    )
    assert collector(watched, "db/postgres").success is True


def test_a_look_that_lands_late_does_not_take_the_place_of_a_newer_one() -> None:
    watched = lookout(stack(DATABASE), well)
    (item,) = watched.of_kinds(["postgres"])
    now = datetime.now(UTC)

    def landed(age: float, good: bool) -> None:
        at = now - timedelta(seconds=age)
        facts = well(item) if good else None
        watched._count(Reading(target=item.target, taken_at=at, duration_seconds=age, facts=facts))

    landed(1.0, good=True)
    landed(60.0, good=False)
    told = collector(watched, "db/postgres")
    assert (told.success, told.duration, told.looks, told.failures) == (True, 1.0, 2, 1)
    assert told.succeeded_at == pytest.approx(now.timestamp() - 1)
    landed(0.0, good=False)
    assert collector(watched, "db/postgres").success is False


def test_who_answers_instead_has_no_more_time_than_the_first_had() -> None:
    limits: list[float] = []

    def page(_request: Request, until: float) -> Page:
        limits.append(until)
        time.sleep(0.01)
        return Page()

    scrape = _Scrape(Application(lookout(stack(DATABASE), well)), Request("GET", "/here"), 1.0, 5.0)
    pages: Pages = {"/here": page}
    assert [scrape._answer(pages).status for _ in range(2)] == [200, 200]
    assert limits[0] == limits[1] < time.monotonic() + 5.0
