"""Facts to metrics text and back: what is declared survives unchanged, for every kind."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from opsctl.facts import facts_class
from opsctl.facts.base import Info
from opsctl.kinds import KINDS
from opsctl.metrics import (
    declaration,
    declared_metrics,
    exposition,
    facts_from_series,
    parse_exposition,
    samples,
)
from tests.unit.structs import structs

BASE = {"stack": "shop", "target": "db/postgres"}
SETTINGS = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def declared(record: Any) -> Any:
    """Return what of a record its metrics carry: numbers, info strings, labels, and records with them.

    A record of a list of which nothing but labels is known leaves no trace; neither does an
    empty list, and a nested record without a single value reads as absent.
    """
    own = declaration(type(record))
    result: dict[str, Any] = {}
    seen = False
    for number in own.numbers:
        value = getattr(record, number.field)
        if value is not None and value != {}:
            result[number.field] = value
            seen = True
    for name, _ in own.infos:
        value = getattr(record, name)
        if value:
            result[name] = value
            seen = True
    for child in own.children:
        value = getattr(record, child.field)
        items = value if child.many else [value]
        known = [plain for item in items or [] if item is not None and (plain := declared(item))]
        if known:
            result[child.field] = sorted(known, key=repr) if child.many else known[0]
            seen = True
    if seen:
        result |= {name: getattr(record, name) for name, _ in own.labels}
    return result


@pytest.mark.parametrize("kind", KINDS)
@SETTINGS
@given(data=st.data())
def test_numbers_survive_the_way_to_metrics_and_back(kind: str, data: st.DataObject) -> None:
    facts = data.draw(structs(facts_class(kind)))
    text = exposition(samples(facts, BASE))
    series = parse_exposition(text)
    back = facts_from_series(type(facts), series, BASE)
    assert declared(back) == declared(facts)


@pytest.mark.parametrize("kind", KINDS)
@SETTINGS
@given(data=st.data())
def test_the_text_means_to_prometheus_what_it_means_to_us(kind: str, data: st.DataObject) -> None:
    facts = data.draw(structs(facts_class(kind)))
    text = exposition(samples(facts, BASE))
    names = {metric.name for metric, _ in declared_metrics(type(facts))}
    theirs = sorted(  # their reader adds _total to counters that the field's exporter names without
        (
            sample.name if sample.name in names else sample.name.removesuffix("_total"),
            sorted(sample.labels.items()),
            float(sample.value),
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )
    ours = sorted(
        (name, sorted(labels.items()), float(value))
        for name, rows in parse_exposition(text).items()
        for labels, value in rows
    )
    assert ours == theirs


@pytest.mark.parametrize("kind", KINDS)
def test_declarations_are_sound(kind: str) -> None:
    import re

    types: dict[str, str] = {}
    for metric, labels in declared_metrics(facts_class(kind)):
        assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", metric.name)
        assert metric.help
        assert not metric.help.endswith(".")
        assert len(set(labels)) == len(labels), f"{metric.name}: a label twice"
        for label in labels:
            assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label)
        kind_of = getattr(metric, "type", "gauge")
        assert types.setdefault(metric.name, kind_of) == kind_of, f"{metric.name} has two types"


@given(st.text(max_size=300))
def test_reading_exposition_fails_with_nothing_but_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        parse_exposition(text)


@pytest.mark.parametrize("kind", KINDS)
def test_one_metric_has_one_set_of_labels(kind: str) -> None:
    """Else the way back could take one record's value for another's."""
    labels_of: dict[str, frozenset[str]] = {}
    for metric, labels in declared_metrics(facts_class(kind)):
        if isinstance(metric, Info):  # several text fields may be labels of one series
            continue
        assert labels_of.setdefault(metric.name, frozenset(labels)) == frozenset(labels), metric.name


def test_numbers_keep_their_digits_and_unknown_is_absent() -> None:
    from opsctl.facts.base import Connection
    from opsctl.facts.redis import RedisFacts

    facts = RedisFacts(connection=Connection(state="ok"), used_memory=2**53 + 1, fragmentation_ratio=0.1)
    text = exposition(samples(facts, {"target": 'a "b"\\\n'}))
    assert "redis_memory_used_bytes" in text
    assert f" {2**53 + 1}\n" in text
    assert "redis_connected_clients" not in text
    back = facts_from_series(RedisFacts, parse_exposition(text), {"target": 'a "b"\\\n'})
    assert (back.used_memory, back.fragmentation_ratio) == (2**53 + 1, 0.1)
    assert back.connected_clients is None


@pytest.mark.parametrize(
    "line", ["up", 'up{a="b"', 'up{a="b}', "up{a=b} 1", 'up{a="b"}', "up one", 'up{a="b"} one']
)
def test_a_line_that_is_no_exposition_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        parse_exposition(f"ok 1\n{line}\n")


def test_an_optional_label_that_is_empty_may_come_back_absent() -> None:
    """A Prometheus server drops empty labels."""
    from opsctl.facts.host import HostFacts

    text = 'node_filesystem_files{device="/dev/vda",fstype="ext4",mountpoint="/"} 7\n'
    text += 'node_filesystem_device_error{device="d",fstype="nfs",mountpoint="/n",device_error="hung"} 1\n'
    root, remote = facts_from_series(HostFacts, parse_exposition(text)).filesystems
    assert (root.mountpoint, root.files, root.error) == ("/", 7, "")
    assert (remote.mountpoint, remote.device_error, remote.error) == ("/n", True, "hung")
