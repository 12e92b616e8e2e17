"""How long one probe may take follows from `--timeout`: only so is the hint to give it longer true."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsctl import engine, look
from opsctl.probes.base import ProbeContext, ProbeError
from opsctl.stack.reader import parse


@pytest.mark.parametrize(("deadline", "seconds"), [(1.0, 3.0), (10.0, 3.0), (20.0, 6.0), (60.0, 18.0)])
def test_who_allows_more_in_all_allows_more_each(deadline: float, seconds: float) -> None:
    assert engine.probe_seconds(deadline) == pytest.approx(seconds)


@pytest.mark.parametrize(("deadline", "least", "most"), [(600.0, 100.0, 180.0), (10.0, 0.0, 3.0)])
def test_probes_are_given_that_time(
    monkeypatch: pytest.MonkeyPatch, deadline: float, least: float, most: float
) -> None:
    given: list[float] = []

    def probe(context: ProbeContext) -> object:
        given.append(context.left)
        raise ProbeError("missing", "only its time was of interest")

    monkeypatch.setattr(look, "probe_for", lambda _kind, _detail: probe)
    stack = parse(b"{name: t, services: {a: {redis: 'redis://127.0.0.1:1/0'}}}", "t.yml", Path("/"))
    engine.collect(stack, deadline=deadline)
    assert given
    assert all(least < left <= most for left in given)
