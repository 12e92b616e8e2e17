"""Every documented address, unit, container, log, port and variable of each system is looked at by opsctl."""

from __future__ import annotations

import pytest

from tests.lab.documented import Walk, documented
from tests.lab.runner import Run
from tests.lab.stacks import SYSTEMS
from tests.lab.test_lab import on_each_system


def test_every_system_has_its_row() -> None:
    for name in SYSTEMS:
        row = documented(name)
        assert row["urls"]
        assert row["logs"]
        assert row.get("units") or row.get("containers")


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("name", on_each_system())
def test_documented_checks(name: str, lab: Run) -> None:
    bench = lab.booted(name)
    bench.lab.wait_healthy()
    assert bench.settled()
    for _ in range(2):  # so that every log has something to say
        bench.lab.see_load()
    walk = Walk(bench.lab)
    differences = walk.differences()
    if differences:  # a busy machine may have made one answer late
        bench.lab.see_load()
        differences = Walk(bench.lab).differences()
    assert not differences, "\n".join(differences)
    assert len(walk.asked) >= 15, walk.asked
