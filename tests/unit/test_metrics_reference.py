"""The reference of metrics: every name is sound, standard or our own, and found by what people look for."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from exporters.reference import BASE_UNITS, declarations, entries, matching, standard_exporter, unit_of
from exporters.reference_text import rendered
from opsctl.facts import facts_class
from opsctl.facts.base import Info, Metric
from opsctl.kinds import KINDS
from opsctl.metrics import declared_metrics
from tests.cli.running import opsctl

DATA = Path(__file__).parent / "data" / "metrics"
STANDARD = json.loads((DATA / "standard.json").read_text())
ELSEWHERE = [
    line.partition(",")[0].strip()
    for line in (DATA / "standard_elsewhere.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
NOT_BASE = {"opsctl_host_pressure_percent": "the kernel's own number, with its own name for it"}
ENTRIES = entries()


def family(metric: Metric | Info) -> str:
    return metric.heading if isinstance(metric, Metric) else metric.name


def elsewhere(name: str) -> bool:
    """Return whether the name is a standard one that the list of the anchors does not hold."""
    return any(re.fullmatch(pattern.replace("*", ".*"), name) for pattern in ELSEWHERE)


def test_a_name_has_one_type_one_unit_and_one_help() -> None:
    said: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    for _, metric, _, _ in declarations():
        said[family(metric)].add((metric.type, unit_of(metric), metric.help))
    assert {name: found for name, found in said.items() if len(found) > 1} == {}


def test_every_declaration_is_in_the_reference() -> None:
    names = {item.name for item in ENTRIES}
    for kind in KINDS:
        assert {family(metric) for metric, _ in declared_metrics(facts_class(kind))} <= names, kind
    assert {"opsctl_finding", "opsctl_build_info", "opsctl_exporter_scrapes_total"} <= names


@pytest.mark.parametrize("item", ENTRIES, ids=lambda item: item.name)
def test_a_metric_is_sound(item) -> None:
    assert re.fullmatch(r"[a-z][a-zA-Z0-9_]*", item.name)
    assert item.help
    assert not item.help.endswith(".")
    assert item.paths
    assert all(re.fullmatch(r"[a-z_][a-zA-Z0-9_]*", label) for label in item.labels)
    if item.standard:
        assert item.name in STANDARD or elsewhere(item.name)
        return
    assert item.name.startswith("opsctl_")
    assert (item.type == "counter") == item.name.endswith("_total")
    if item.name not in NOT_BASE:
        assert not re.search(r"_(ms|milliseconds|minutes|hours|days|percent|kb|mb|kib|mib)(_|$)", item.name)
        assert item.unit in ("", *BASE_UNITS)
        ends = item.name.removesuffix("_total")
        assert ends.endswith(f"_{item.unit}") or "_per_" in ends or not item.unit


def test_what_is_standard_elsewhere_is_declared_and_not_in_the_list() -> None:
    names = {item.name for item in ENTRIES}
    for pattern in ELSEWHERE:
        found = [name for name in names if re.fullmatch(pattern.replace("*", ".*"), name)]
        assert found, pattern
        assert "*" in pattern or pattern not in STANDARD


def test_the_exporter_of_a_standard_name() -> None:
    assert standard_exporter("pg_up") == "postgres_exporter"
    assert standard_exporter("opsctl_finding") == ""


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("redis_memory_used_bytes", ["redis_memory_used_bytes"]),
        ("redis.used_memory", ["redis_memory_used_bytes"]),
        ("pg_up", ["pg_up"]),
        ("*_finding", ["opsctl_finding"]),
        ("no-such-metric", []),
    ],
)
def test_what_a_pattern_finds(pattern: str, expected: list[str]) -> None:
    found = [item.name for item in matching(ENTRIES, pattern)]
    assert set(expected) <= set(found)
    assert expected or not found
    assert "*" not in pattern or found == expected


def test_a_path_finds_what_is_on_it() -> None:
    assert all("/metrics/redis" in item.paths for item in matching(ENTRIES, "/metrics/redis"))
    assert "probe_success" in {item.name for item in matching(ENTRIES, "/probe")}


def test_every_format_says_the_same() -> None:
    items = matching(ENTRIES, "redis.*memory*")
    assert len(items) > 5
    assert [row["name"] for row in json.loads(rendered(items, "json"))] == [item.name for item in items]
    assert yaml.safe_load(rendered(items, "yaml")) == json.loads(rendered(items, "json"))
    for output in ("text", "markdown"):
        for item in items:
            assert item.name in rendered(items, output), output
    one = rendered(items[:1], "text")
    assert items[0].facts[0] in one
    assert items[0].paths[0] in one


def test_the_command() -> None:
    ended = opsctl("metrics", "redis_up", "-O", "json")
    assert ended.code == 0
    (row,) = json.loads(ended.stdout)
    assert (row["name"], row["standard"], row["paths"]) == ("redis_up", "redis_exporter", ["/metrics/redis"])
    ended = opsctl("metrics", "redis_upp")
    assert ended.code == 3
    assert "Did you mean 'redis_up'" in ended.stderr
