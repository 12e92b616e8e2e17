"""What the facts of services declare is what standard dashboards ask for: names, types and labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from opsctl.facts import facts_class
from opsctl.metrics import declared_metrics

DATA = Path(__file__).parent / "data" / "metrics"
STANDARD: dict[str, dict[str, Any]] = json.loads((DATA / "standard.json").read_text())
EXPORTERS: dict[str, tuple[tuple[str, ...], tuple[str, ...], int]] = {
    "postgres_exporter": (("pg_",), ("postgres",), 80),
    "redis_exporter": (("redis_",), ("redis",), 20),
    "cadvisor": (("container_", "machine_"), ("container", "docker"), 20),
    "systemd_exporter": (("systemd_", "node_systemd_"), ("systemd",), 10),
    "nginx-prometheus-exporter": (("nginx_",), ("nginx",), 8),
    "blackbox_exporter": (("probe_",), ("http", "tls"), 10),
}
"""Exporter -> (how its names begin, the kinds that declare them, how many are queried at least)."""


def left_out() -> dict[str, str]:
    lines = (DATA / "left_out_services.txt").read_text().splitlines()
    pairs = (line.partition(",") for line in lines if line and not line.startswith("#"))
    return {name.strip(): reason.strip() for name, _, reason in pairs}


def declared(kinds: tuple[str, ...]) -> dict[str, tuple[str, set[str]]]:
    result: dict[str, tuple[str, set[str]]] = {}
    for kind in kinds:
        for metric, labels in declared_metrics(facts_class(kind)):
            result.setdefault(metric.name, (metric.type, set()))[1].update(labels)
    return result


DECLARED = {exporter: declared(kinds) for exporter, (_, kinds, _) in EXPORTERS.items()}


def of(exporter: str) -> list[str]:
    """Return the standard names that an exporter emits."""
    return [name for name in STANDARD if name.startswith(EXPORTERS[exporter][0])]


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_nearly_every_name_that_dashboards_ask_for_is_declared(exporter: str) -> None:
    queried = {name for name in of(exporter) if STANDARD[name]["queried_by"]}
    assert len(queried) >= EXPORTERS[exporter][2]
    wanted = queried - left_out().keys()
    missing = sorted(wanted - DECLARED[exporter].keys())
    assert len(missing) <= 0.05 * len(wanted), missing


def test_what_is_left_out_is_a_standard_name_with_a_reason_and_not_declared() -> None:
    every = {name for names in DECLARED.values() for name in names}
    for name, reason in left_out().items():
        assert name in STANDARD
        assert len(reason) > 10, name
        assert name not in every


CASES = [(exporter, name) for exporter in EXPORTERS for name in of(exporter) if name in DECLARED[exporter]]


@pytest.mark.parametrize(("exporter", "name"), CASES)
def test_types_and_labels_are_the_standard_ones(exporter: str, name: str) -> None:
    """Labels that copy a container's own are left out: the page names the service instead."""
    kind, labels = DECLARED[exporter][name]
    wanted = {label for label in STANDARD[name]["labels"] if not label.endswith("*")}
    assert (kind, labels) == (STANDARD[name]["type"], wanted)
