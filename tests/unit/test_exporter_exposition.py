"""The exporter's pages: what the declarations say, readable by Prometheus' own client, never failing."""

from __future__ import annotations

import math
from typing import Annotated, Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporters.exposition import Labels, LabelTexts, Page, number_text
from opsctl.facts import facts_class
from opsctl.facts.base import Facts, Info, Label, Metric, Record, beside, counter, gauge, histogram
from opsctl.kinds import KINDS
from opsctl.metrics import declared_metrics, exposition, facts_from_series, parse_exposition, samples
from tests.unit.structs import structs

BASE = {"service": 'a "b"\\\n', "server": "127.0.0.1:5432"}
SETTINGS = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


class Mount(Record, frozen=True, kw_only=True):
    name: Annotated[str, Label("mountpoint")]
    size: Annotated[int | None, gauge("test_size_bytes", "Size")] = None
    idle: Annotated[float | None, counter("test_seconds_total", "Time", mode="100%")] = None
    shares: Annotated[dict[str, float], gauge("test_share", "Share\nof \\", key="by")] = {}
    number: str = ""
    used: Annotated[int | None, beside(gauge("test_used_bytes", "Used"), id="number")] = None
    version: Annotated[str, Info("test_info", "version", "Info")] = ""


class MountFacts(Facts, frozen=True, kw_only=True, tag="test-mounts"):
    mounts: list[Mount] = []


def written(*facts: Facts, base: dict[str, str] | None = None) -> str:
    page = Page()
    for item in facts:
        page.add(item, Labels(base or {}))
    return page.encoded().decode()


def rows(text: str) -> list[tuple[str, list[tuple[str, str]], str]]:
    return sorted(
        (name, sorted(labels.items()), value)
        for name, found in parse_exposition(text).items()
        for labels, value in found
    )


@pytest.mark.parametrize("kind", KINDS)
@SETTINGS
@given(data=st.data())
def test_a_page_says_what_the_declarations_say(kind: str, data: st.DataObject) -> None:
    facts = data.draw(structs(facts_class(kind)))
    base = {"stack": BASE["service"], "target": "db"}  # names that no record uses itself
    assert rows(written(facts, base=base)) == rows(exposition(samples(facts, base)))


@pytest.mark.parametrize("kind", KINDS)
@SETTINGS
@given(data=st.data())
def test_a_page_is_read_by_the_client_library(kind: str, data: st.DataObject) -> None:
    facts = data.draw(structs(facts_class(kind)))
    text = written(facts, base=BASE)
    names = {metric.name for metric, _ in declared_metrics(type(facts))}
    theirs = sorted(  # their reader adds _total to counters that the field's exporter names without
        (
            sample.name if sample.name in names else sample.name.removesuffix("_total"),
            sorted(sample.labels.items()),
            repr(float(sample.value)),
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )
    assert theirs == sorted((name, labels, repr(float(value))) for name, labels, value in rows(text))
    headings = {
        metric.name: metric.heading
        for metric, _ in declared_metrics(type(facts))
        if isinstance(metric, Metric)
    }
    for name in parse_exposition(text):
        assert text.count(f"# TYPE {headings.get(name, name)} ") == 1
        assert text.count(f"# HELP {headings.get(name, name)} ") == 1


def test_every_form_of_a_field_is_written_as_prometheus_wants_it() -> None:
    mount = Mount(name='/a"\\\n', size=2**53 + 1, idle=0.1, shares={"x": 1.0, "y": math.inf}, version="1")
    assert written(MountFacts(mounts=[mount]), base={"service": "db", "server": ""}).splitlines() == [
        "# HELP test_size_bytes Size",
        "# TYPE test_size_bytes gauge",
        f'test_size_bytes{{mountpoint="/a\\"\\\\\\n",service="db"}} {2**53 + 1}',
        "# HELP test_seconds_total Time",
        "# TYPE test_seconds_total counter",
        'test_seconds_total{mode="100%",mountpoint="/a\\"\\\\\\n",service="db"} 0.1',
        "# HELP test_share Share\\nof \\\\",
        "# TYPE test_share gauge",
        'test_share{by="x",mountpoint="/a\\"\\\\\\n",service="db"} 1.0',
        'test_share{by="y",mountpoint="/a\\"\\\\\\n",service="db"} +Inf',
        "# HELP test_info Info",
        "# TYPE test_info gauge",
        'test_info{mountpoint="/a\\"\\\\\\n",service="db",version="1"} 1',
    ]


def test_a_duplicate_and_a_label_without_a_value_do_not_fail_the_page() -> None:
    nameless = Mount(name=cast("str", None), size=3)
    wrong = Mount(name="/b", size=cast("int", "many"))
    page = MountFacts(mounts=[Mount(name="/", size=1), Mount(name="/", size=2), nameless, wrong])
    assert [line for line in written(page).splitlines() if not line.startswith("#")] == [
        'test_size_bytes{mountpoint="/"} 1',
        'test_size_bytes{mountpoint=""} 3',
    ]


def test_a_label_of_the_record_itself_is_kept_where_the_page_has_one_of_that_name() -> None:
    text = written(MountFacts(mounts=[Mount(name="/", size=1)]), base={"mountpoint": "outside"})
    assert 'test_size_bytes{mountpoint="/"} 1' in text


def test_a_label_that_only_some_records_have_is_left_out_of_the_others() -> None:
    mounts = [Mount(name="/", number="7", used=1), Mount(name="/b", used=2)]
    assert written(MountFacts(mounts=mounts)).splitlines()[2:] == [
        'test_used_bytes{id="7",mountpoint="/"} 1',
        'test_used_bytes{mountpoint="/b"} 2',
    ]


def test_families_of_several_targets_stand_together() -> None:
    page = Page()
    for service in ("a", "b"):
        page.add(MountFacts(mounts=[Mount(name="/", size=1, idle=1.0)]), Labels({"service": service}))
    names = [line.split("{")[0] for line in page.encoded().decode().splitlines() if line[0] != "#"]
    assert names == ["test_size_bytes"] * 2 + ["test_seconds_total"] * 2
    assert page.series() == 4


def test_bytes_that_are_no_text_are_replaced() -> None:
    text = written(MountFacts(mounts=[Mount(name="/\udcff", size=1)]))
    assert 'mountpoint="/?"' in text


def test_labels_are_cleaned_anew_when_more_is_known_to_be_secret() -> None:
    secrets: list[str] = []

    def clean(text: str) -> str:
        return "***" if text in secrets else text

    texts = LabelTexts(clean, lambda: len(secrets))
    facts = MountFacts(mounts=[Mount(name="hunter2", size=1)])
    first = Page(texts)
    first.add(facts)
    assert b"hunter2" in first.encoded()
    secrets.append("hunter2")
    second = Page(texts)
    second.add(facts)
    assert b"hunter2" not in second.encoded()


def test_what_was_cleaned_of_fewer_secrets_is_not_remembered_among_the_new() -> None:
    secrets: list[str] = []

    def clean(text: str) -> str:
        if not secrets:  # while this text is cleaned, another thread learns of a secret and begins a page
            secrets.append("hunter2")
            texts.refresh()
            return text
        return "***" if text in secrets else text

    texts = LabelTexts(clean, lambda: len(secrets))
    texts("hunter2")
    assert texts("hunter2") == "***"


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "1"), (7, "7"), (0.5, "0.5"), (math.nan, "NaN"), (-math.inf, "-Inf"), ("7", None), (None, None)],
)
def test_numbers(value: Any, text: str | None) -> None:
    assert number_text(value) == text


class Latency(Record, frozen=True, kw_only=True):
    route: Annotated[str, Label("route")]
    buckets: Annotated[dict[str, int], histogram("test_seconds", "Time")] = {}
    sum: Annotated[float, histogram("test_seconds", "Time", part="sum")] = 0.0
    count: Annotated[int, histogram("test_seconds", "Time", part="count")] = 0


class LatencyFacts(Facts, frozen=True, kw_only=True, tag="test-latency"):
    routes: list[Latency] = []


def test_a_histogram_is_one_family_to_the_client_library() -> None:
    routes = [
        Latency(route="/a", buckets={"0.1": 1, "+Inf": 3}, sum=2.5, count=3),
        Latency(route="/b", buckets={"0.1": 0, "+Inf": 1}, sum=9.0, count=1),
    ]
    facts = LatencyFacts(routes=routes)
    page = Page()
    page.add(facts)
    for text in (page.encoded().decode(), exposition(samples(facts))):
        (family,) = text_string_to_metric_families(text)
        assert (family.name, family.type, family.documentation) == ("test_seconds", "histogram", "Time")
        found = {(sample.name, *sorted(sample.labels.values())): sample.value for sample in family.samples}
        assert found == {
            ("test_seconds_bucket", "/a", "0.1"): 1,
            ("test_seconds_bucket", "+Inf", "/a"): 3,
            ("test_seconds_sum", "/a"): 2.5,
            ("test_seconds_count", "/a"): 3,
            ("test_seconds_bucket", "/b", "0.1"): 0,
            ("test_seconds_bucket", "+Inf", "/b"): 1,
            ("test_seconds_sum", "/b"): 9,
            ("test_seconds_count", "/b"): 1,
        }
        assert text.count("# TYPE") == 1
        assert facts_from_series(LatencyFacts, parse_exposition(text)) == facts
