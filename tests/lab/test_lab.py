"""Each system is booted, looked at while it is healthy, broken fault by fault, and must be diagnosed rightly.

`OPSCTL_LAB` says how much of the catalogue runs: `all`, a number N for every Nth fault of each kind on
each system (the first of each kind always), or `off`. By default it is every fourth, so that the whole
of `make test` stays short; `make lab` runs all of it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence

import pytest

from tests.lab.faults.base import Fault
from tests.lab.runner import Run, chosen, table
from tests.lab.score import broken_gates, summary
from tests.lab.stacks import SYSTEMS

EVERY = 4
CONTROLS = 12


def sample(faults: Sequence[Fault], every: int) -> list[Fault]:
    """Return the first fault of each kind on each system, and every Nth after it; in their own order."""
    seen: dict[tuple[str, str], int] = defaultdict(int)
    result = []
    for fault in faults:
        if seen[fault.system, fault.kind] % every == 0:
            result.append(fault)
        seen[fault.system, fault.kind] += 1
    return result


def on_each_system(names: Sequence[str] = tuple(sorted(SYSTEMS))) -> list[object]:
    """Return the systems as test parameters; what uses one system runs in one process."""
    return [pytest.param(name, marks=pytest.mark.xdist_group(f"lab-{name}")) for name in names]


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("name", on_each_system())
def test_root_causes_are_named(name: str, lab: Run, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = os.environ.get("OPSCTL_LAB") or str(EVERY)
    if wanted == "off":
        pytest.skip("OPSCTL_LAB=off")
    faults = sample(chosen([], [name]), 1 if wanted == "all" else int(wanted))
    lab.control_count = CONTROLS
    with capsys.disabled():
        lab.of_system(name, faults)
    results = [item for item in lab.results if item.system == name]
    controls = [item for item in lab.controls if item.system == name]
    report = lab.report()
    report["summary"] = summary(results, controls)
    report["broken_gates"] = broken_gates(report["summary"])
    with capsys.disabled():
        print(f"\n{name}\n\n{table(report)}\n", flush=True)
    assert len(results) + len(lab.left_out) >= len(faults)
    assert not report["broken_gates"]
    assert sum(not item.echo for item in controls) >= CONTROLS
