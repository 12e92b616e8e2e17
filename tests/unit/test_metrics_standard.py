"""What the machine's facts declare is what standard dashboards ask for: names, types and labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from opsctl.facts.base import Info
from opsctl.facts.host import HostFacts
from opsctl.metrics import declared_metrics

DATA = Path(__file__).parent / "data" / "metrics"
STANDARD: dict[str, dict[str, Any]] = json.loads((DATA / "standard.json").read_text())
BY_KERNEL = "node_memory_"
"""Kernels differ in the fields of /proc/meminfo: some names are made by the rule alone."""


def left_out() -> dict[str, str]:
    lines = (DATA / "left_out.txt").read_text().splitlines()
    pairs = (line.partition(",") for line in lines if line and not line.startswith("#"))
    return {name.strip(): reason.strip() for name, _, reason in pairs}


def of_the_machine(name: str) -> bool:
    return name.startswith("node_") and not name.startswith("node_systemd_")


def declared() -> dict[str, tuple[str, set[str]]]:
    result: dict[str, tuple[str, set[str]]] = {}
    for metric, labels in declared_metrics(HostFacts):
        known = result.setdefault(metric.name, ("gauge" if isinstance(metric, Info) else metric.type, set()))
        known[1].update(labels)
    return result


DECLARED = declared()


def test_nearly_every_name_that_dashboards_ask_of_a_machine_is_declared() -> None:
    queried = {name for name, known in STANDARD.items() if known["queried_by"] and of_the_machine(name)}
    assert len(queried) > 150
    wanted = queried - left_out().keys()
    missing = sorted(wanted - DECLARED.keys())
    assert len(missing) <= 0.05 * len(wanted), missing


def test_what_is_left_out_is_a_standard_name_with_a_reason_and_not_declared() -> None:
    for name, reason in left_out().items():
        assert name in STANDARD
        assert len(reason) > 10, name
        assert name not in DECLARED


@pytest.mark.parametrize("name", sorted(name for name in DECLARED if of_the_machine(name)))
def test_types_and_labels_are_the_standard_ones(name: str) -> None:
    if name.startswith(BY_KERNEL) and name not in STANDARD:
        assert DECLARED[name] == ("gauge", set())
        return
    kind, labels = DECLARED[name]
    assert (kind, sorted(labels)) == (STANDARD[name]["type"], sorted(STANDARD[name]["labels"]))
