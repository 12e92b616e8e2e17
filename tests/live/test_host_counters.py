"""This machine's counters: read as an exporter reads them, plausible, and in standard form."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from opsctl.facts.host import HostFacts
from opsctl.metrics import exposition, facts_from_series, parse_exposition, samples
from opsctl.probes import host as probe
from opsctl.stack.specs import HostSpec
from tests.unit.contexts import context_for

pytestmark = pytest.mark.live


def look(folder: Path, **options: Any) -> HostFacts:
    context = context_for("host", HostSpec(), folder, seconds=60.0)
    return probe.probe(dataclasses.replace(context, options=options))


def test_the_machine_as_an_exporter_shows_it(tmp_path: Path) -> None:
    facts = look(tmp_path, detail="metrics", kept={})
    text = exposition(samples(facts))
    ours = [(sample.metric.name, dict(sample.labels), float(sample.value)) for sample in samples(facts)]
    families = list(text_string_to_metric_families(text))
    theirs = [(item.name, item.labels, float(item.value)) for family in families for item in family.samples]
    names = {name for name, _, _ in ours}
    theirs = [(name if name in names else name.removesuffix("_total"), *rest) for name, *rest in theirs]
    assert sorted(theirs, key=repr) == sorted(ours, key=repr)
    assert len(ours) > 150
    counters = {sample.metric.name for sample in samples(facts) if sample.metric.type == "counter"}
    assert all(value >= 0 for name, _, value in ours if name in counters)
    back = facts_from_series(HostFacts, parse_exposition(text))
    assert sorted(exposition(samples(back)).splitlines()) == sorted(text.splitlines())


def test_the_figures_are_plausible(tmp_path: Path) -> None:
    facts = look(tmp_path, detail="metrics")
    counters = facts.counters
    assert counters is not None
    assert counters.memory is not None
    total = facts.memory_total or 0
    assert 0 < (counters.memory.active or 0) < total
    assert 0 < (counters.memory.slab or 0) < total
    assert (counters.forks or 0) > 0
    assert (counters.context_switches or 0) >= (counters.forks or 0)
    assert (counters.page_faults or 0) > 0
    loopback = next(item for item in counters.network if item.device == "lo")
    assert (loopback.mtu_bytes or 0) >= 1280
    assert loopback.received_bytes == loopback.transmitted_bytes
    assert {item.ip for item in counters.udp_queues} >= {"v4"}
    assert len(counters.packet_queues) >= 1
    assert all((queue.processed or 0) >= 0 for queue in counters.packet_queues)
    assert counters.sockets is not None
    assert counters.sockets.used is not None
    assert counters.protocols is not None
    assert counters.protocols.tcp_in_segments is not None
    assert counters.clock is not None
    assert 0.9 < (counters.clock.frequency_adjustment_ratio or 0) < 1.1
    assert counters.entropy_pool_bits is not None
    assert all(-14 * 3600 <= offset <= 14 * 3600 for offset in counters.time_zone.values())
    name = os.uname()
    assert (facts.kernel, facts.kernel_release, facts.machine) == (name.sysname, name.release, name.machine)
    assert {item.device for item in counters.disks} == {item.device for item in facts.disks}


def test_counters_only_grow(tmp_path: Path) -> None:
    before, after = (look(tmp_path, detail="metrics").counters for _ in range(2))
    assert before is not None
    assert after is not None
    for field in ("context_switches", "forks", "interrupts", "page_faults"):
        assert getattr(after, field) >= getattr(before, field), field
    for one, other in zip(before.packet_queues, after.packet_queues, strict=False):
        if one.cpu == other.cpu:
            assert (other.processed or 0) >= (one.processed or 0)


def test_a_diagnosis_does_without(tmp_path: Path) -> None:
    facts = look(tmp_path)
    assert facts.counters is None
    assert facts.kernel_release == ""
    assert b"forks" not in msgspec.json.encode(facts)


def test_what_takes_a_walk_over_all_processes_is_kept_for_a_while(tmp_path: Path) -> None:
    kept: dict[str, Any] = {}
    look(tmp_path, detail="metrics", kept=kept)
    assert {"clock_daemon", "process_files"} <= kept.keys()
    made, version, _ = kept["clock_daemon"]
    kept["clock_daemon"] = (made, version, "a daemon")
    assert look(tmp_path, detail="metrics", kept=kept).clock_daemon == "a daemon"
    kept["clock_daemon"] = (made - 2 * probe.SELDOM_SECONDS, version, "a daemon")
    assert look(tmp_path, detail="metrics", kept=kept).clock_daemon != "a daemon"
