"""Whole diagnoses of the small stack: healthy means silence, and one fault means one cause."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opsctl.diagnose import diagnose
from opsctl.engine import collect
from opsctl.model import Diagnosis, Status
from tests.servers.base import wait_until
from tests.servers.small_stack import SmallStack

pytestmark = pytest.mark.live

OPSCTL = Path(sys.executable).with_name("opsctl")
HEALTHY_RUNS = 100


@pytest.fixture
def small() -> Iterator[SmallStack]:
    with SmallStack("whole") as stack:
        yield stack


def look(small: SmallStack) -> Diagnosis:
    return diagnose(collect(small.stack()))


def failing(diagnosis: Diagnosis) -> list[str]:
    return [f"{item.id}:{item.target}: {item.summary}" for item in diagnosis.findings if item.status.failing]


def causes(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    return [(cause.finding.id, cause.finding.target) for cause in diagnosis.root_causes]


def settle(small: SmallStack) -> None:
    """Wait until nothing is reported any more."""
    wait_until(lambda: not failing(look(small)), "the stack to be healthy again", seconds=120)


def test_a_healthy_stack_yields_no_finding_in_a_hundred_runs(small: SmallStack) -> None:
    for _ in range(HEALTHY_RUNS):
        diagnosis = look(small)
        assert failing(diagnosis) == []
        assert diagnosis.status is Status.OK
        assert diagnosis.root_causes == ()


@contextlib.contextmanager
def all_slots_taken(small: SmallStack) -> Iterator[None]:
    import psycopg

    taken: list[Any] = []
    try:
        with contextlib.suppress(psycopg.OperationalError):
            while len(taken) < 100:
                taken.append(small.postgres.connect())
        yield
    finally:
        for connection in taken:
            connection.close()


@contextlib.contextmanager
def undone(inject: Callable[[], object], undo: Callable[[], object]) -> Iterator[None]:
    inject()
    try:
        yield
    finally:
        undo()


def faults(small: SmallStack) -> dict[str, tuple[contextlib.AbstractContextManager[None], tuple[str, str]]]:
    """Return each fault with the root cause that it must lead to."""
    postgres, redis, api, nginx = small.postgres, small.redis, small.api, small.nginx
    return {
        "postgres stopped": (undone(postgres.crash, postgres.start), ("postgres/down", "db")),
        "postgres frozen": (undone(postgres.freeze, postgres.thaw), ("postgres/hung", "db")),
        "postgres slots taken": (all_slots_taken(small), ("postgres/connections", "db")),
        "redis stopped": (undone(redis.stop, redis.start), ("redis/down", "redis")),
        "redis frozen": (undone(redis.freeze, redis.thaw), ("redis/hung", "redis")),
        "api stopped": (undone(api.stop, api.start), ("http/refused", "backend")),
        "api frozen": (undone(api.freeze, api.thaw), ("http/timeout", "backend")),
        "nginx stopped": (undone(nginx.stop, nginx.start), ("nginx/down", "nginx")),
    }


NAMES = (
    "postgres stopped",
    "postgres frozen",
    "postgres slots taken",
    "redis stopped",
    "redis frozen",
    "api stopped",
    "api frozen",
    "nginx stopped",
)


@pytest.mark.parametrize("name", NAMES)
def test_one_fault_is_named_first_and_alone_and_is_gone_afterwards(small: SmallStack, name: str) -> None:
    fault, expected = faults(small)[name]
    with fault:
        diagnosis = look(small)
        assert causes(diagnosis) == [expected], failing(diagnosis)
        assert diagnosis.path
        assert diagnosis.root_causes[0].finding.remediation
    settle(small)


def test_two_independent_faults_are_both_named(small: SmallStack) -> None:
    small.redis.stop()
    small.postgres.crash()
    assert sorted(causes(look(small))) == [("postgres/down", "db"), ("redis/down", "redis")]


def test_an_api_that_died_by_itself_is_named_beside_a_database_that_is_down(small: SmallStack) -> None:
    small.api.stop()
    small.postgres.crash()
    assert sorted(causes(look(small))) == [("http/refused", "backend"), ("postgres/down", "db")]
    small.api.start()
    assert causes(look(small)) == [("postgres/down", "db")], "an API that answers badly is its effect"


def test_a_page_that_is_missing_is_not_the_databases_fault(small: SmallStack) -> None:
    (small.nginx.static_root / "index.html").unlink()
    small.postgres.crash()
    diagnosis = look(small)
    assert sorted(causes(diagnosis)) == [("http/status", "nginx"), ("postgres/down", "db")]
    page = next(cause.finding for cause in diagnosis.root_causes if cause.finding.id == "http/status")
    assert page.code in ("403", "404")


def test_with_everything_frozen_the_report_is_whole_and_in_time(small: SmallStack) -> None:
    deadline = 5.0
    frozen = (small.postgres, small.redis, small.api)
    for server in frozen:
        server.freeze()
    try:
        began = time.monotonic()
        done = subprocess.run(
            [OPSCTL, "diagnose", "--stack", small.file, "--output", "json", "--timeout", str(deadline)],
            capture_output=True,
            timeout=60,
            check=False,
        )
        wall = time.monotonic() - began
    finally:
        for server in frozen:
            server.thaw()
    report = json.loads(done.stdout)
    assert done.returncode == 2, done.stderr
    assert report["duration_seconds"] < deadline * 2, "looking ends at the deadline, judging comes after it"
    assert wall < deadline * 3, "the process lived on long after its deadline"
    named = {(cause["id"], cause["target"]) for cause in report["root_causes"]}
    assert {("postgres/hung", "db"), ("redis/hung", "redis")} <= named
    assert report["coverage"]["checks"] == sum(
        report["coverage"][part] for part in ("ran", "blocked", "unknown")
    )
    assert {item["target"] for item in report["findings"]} >= {"db", "redis", "backend"}


def test_a_saved_snapshot_gives_the_same_diagnosis(small: SmallStack, tmp_path: Path) -> None:
    from opsctl import snapshot as files

    small.postgres.crash()
    taken = collect(small.stack())
    files.save(taken, tmp_path / "s.json")
    live, saved = diagnose(taken), diagnose(files.load(tmp_path / "s.json"))
    assert causes(live) == causes(saved) == [("postgres/down", "db")]
    assert live.findings == saved.findings
    assert live.path == saved.path
