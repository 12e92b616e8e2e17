"""What looks that follow each other remember."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest

from opsctl.facts.postgres_relations import Database
from opsctl.facts.redis import Queue
from opsctl.probes.base import ProbeContext
from opsctl.probes.postgres_window import since_the_last_look
from opsctl.probes.redis_window import since_the_last_look as redis_since
from opsctl.probes.remembering import OLDEST_SECONDS, SHARE, earlier, for_metrics, memory, remembered
from opsctl.stack.specs import PostgresSpec
from tests.unit.contexts import context_for


def context(kept: dict[str, Any] | None) -> ProbeContext:
    options = {} if kept is None else {"detail": "metrics", "kept": kept}
    plain = context_for("postgres", PostgresSpec(dsn="postgresql://localhost/app"), Path("/"), 3.0)
    return dataclasses.replace(plain, options=options)


def aged(kept: dict[str, Any], name: str, seconds: float) -> None:
    """Make what is remembered older: one value, or samples."""
    known = kept[name]
    if isinstance(known[0], tuple):
        kept[name] = tuple((at - seconds, sample) for at, sample in known)
    else:
        kept[name] = (known[0] - seconds, *known[1:])


def test_a_diagnosis_remembers_nothing() -> None:
    once = context(None)
    assert memory(once) is None
    assert not for_metrics(once)
    calls = iter((1, 2))
    assert [remembered(once, "x", 60, lambda: next(calls)) for _ in range(2)] == [1, 2]
    assert earlier(once, "x", 1, 0, 60) is None


def test_what_is_remembered_is_read_again_when_it_is_old() -> None:
    kept: dict[str, Any] = {}
    calls = iter((1, 2, 3))
    assert remembered(context(kept), "x", 60, lambda: next(calls)) == 1
    aged(kept, "x", 50)
    assert remembered(context(kept), "x", 60, lambda: next(calls)) == 1
    aged(kept, "x", 20)
    assert remembered(context(kept), "x", 60, lambda: next(calls)) == 2


def test_what_takes_long_is_read_less_often() -> None:
    kept: dict[str, Any] = {"x": (time.monotonic() - 60, 1.0, "old")}
    assert 1.0 / SHARE < 60
    assert remembered(context(kept), "x", 1, lambda: "new") == "new"
    kept = {"x": (time.monotonic() - 60, 2.0, "old")}
    assert remembered(context(kept), "x", 1, lambda: "new") == "old"


def test_what_is_empty_or_fails_is_asked_for_again() -> None:
    kept: dict[str, Any] = {}
    assert remembered(context(kept), "x", 60, dict) == {}
    with pytest.raises(ZeroDivisionError):
        remembered(context(kept), "x", 60, lambda: 1 / 0)
    assert remembered(context(kept), "x", 60, lambda: "there") == "there"


def test_the_earlier_sample_is_neither_too_young_nor_too_old() -> None:
    kept: dict[str, Any] = {}
    assert earlier(context(kept), "x", "first", 1, 60) is None
    assert earlier(context(kept), "x", "too soon", 1, 60) is None
    aged(kept, "x", 30)
    found = earlier(context(kept), "x", "second", 1, 60)
    assert found is not None
    assert found[1] == "first"
    assert 30 <= found[0] < 60
    aged(kept, "x", 100)
    assert earlier(context(kept), "x", "third", 1, 60) is None
    aged(kept, "x", 2)
    found = earlier(context(kept), "x", "fourth", 1, 60)
    assert found is not None
    assert found[1] == "third"


def test_of_looks_that_come_in_pairs_each_has_an_earlier_one() -> None:
    kept: dict[str, Any] = {}
    found = []
    for turn in range(4):
        pair = []
        for name in ("first", "second"):
            pair.append(earlier(context(kept), "x", f"{name} {turn}", 1, 60))
            aged(kept, "x", 0.4)
        found.append(pair)
        aged(kept, "x", 14.2)
    assert found[0] == [None, None]
    for turn, pair in enumerate(found[1:], 1):
        samples = [item[1] for item in pair if item is not None]
        assert samples == [f"first {turn - 1}"] * 2


def postgres_values(deadlocks: int, wal: int) -> dict[str, Any]:
    databases = [Database(datname="app", deadlocks=deadlocks, temp_bytes=0)]
    return {"databases": databases, "checkpoints_requested": 3, "wal_position": wal}


def test_a_window_is_what_happened_since_the_look_before() -> None:
    kept: dict[str, Any] = {}
    rows = [{"queryid": "1"}]
    first = postgres_values(5, 1000)
    assert since_the_last_look(context(kept), first, {"deadlocks"}, rows) == (rows, [])
    assert "window" not in first
    aged(kept, "counters", 10)
    second = postgres_values(7, 1500)
    later = [{"queryid": "2"}]
    assert since_the_last_look(context(kept), second, {"deadlocks", "statements"}, later) == (rows, later)
    window = second["window"]
    assert (window.deadlocks, window.wal_bytes, window.checkpoints_requested) == (2, 500, 0)
    assert 10 <= window.seconds < OLDEST_SECONDS


def test_without_a_reason_there_is_no_window() -> None:
    kept: dict[str, Any] = {}
    since_the_last_look(context(kept), postgres_values(5, 1), set(), [])
    aged(kept, "counters", 10)
    values = postgres_values(9, 2)
    assert since_the_last_look(context(kept), values, set(), []) == ([], [])
    assert "window" not in values


def redis_values(evicted: int, length: int, used: int) -> dict[str, Any]:
    return {
        "evicted_keys": evicted,
        "refused_writes": 0,
        "used_memory": used,
        "maxmemory": 100,
        "queues": [Queue(name="jobs", length=length, limit=10)],
    }


def test_redis_rates_are_those_since_the_look_before() -> None:
    kept: dict[str, Any] = {}
    values = redis_values(100, 20, 99)
    redis_since(context(kept), values)
    assert values.get("evicted_per_second") is None
    assert values["queues"][0].growth_per_second is None
    aged(kept, "counters", 10)
    values = redis_values(1100, 40, 99)
    redis_since(context(kept), values)
    assert 0 < values["evicted_per_second"] <= 100
    assert 0 < values["queues"][0].growth_per_second <= 2
    aged(kept, "counters", 10)
    values = redis_values(1200, 5, 10)  # nothing is full and nothing is long any more
    redis_since(context(kept), values)
    assert values["evicted_per_second"] == 0
    assert values["queues"][0].growth_per_second is None
