"""The reference of every metric, made from the declarations of the facts and of the exporter itself."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

import msgspec

from exporters import self_facts
from exporters.pages import paths_of
from opsctl.facts import facts_class
from opsctl.facts.base import Info, Metric
from opsctl.kinds import KINDS
from opsctl.metrics import declaration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STANDARD = {
    "node_": "node_exporter",
    "pg_": "postgres_exporter",
    "redis_": "redis_exporter",
    "nginx_": "nginx-prometheus-exporter",
    "container_": "cAdvisor",
    "machine_": "cAdvisor",
    "systemd_": "systemd_exporter",
    "probe_": "blackbox_exporter",
    "phpfpm_": "php-fpm_exporter",
    "process_": "client libraries",
    "engine_": "Docker engine",
    "prometheus_": "Prometheus",
    "alertmanager_": "Alertmanager",
}
"""How standard names begin -> whose they are. Names of our own begin with `opsctl_`; there are no others."""

BASE_UNITS = ("seconds", "bytes", "celsius", "ratio", "volts", "amperes", "joules", "watts", "hertz", "bits")
"""Units that a name may end in, before `_total` (Prometheus' naming practice, and node_exporter's bits)."""

_OWN_RECORDS: tuple[tuple[str, type[msgspec.Struct], str], ...] = (
    ("exporter", self_facts.ExporterFacts, "/metrics"),
    ("findings", self_facts.VerdictFacts, "/metrics/findings"),
    ("dial", self_facts.DialFacts, "/probe"),
    ("probe", self_facts.ProbeFallbackFacts, "/probe"),
)
"""What the exporter adds to the facts of the kinds: name, record, path."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One metric. `labels` come on top of those that all pages add (`service`, `server`)."""

    name: str
    type: str
    labels: list[str]
    unit: str
    help: str
    paths: list[str]
    standard: str = ""
    """The exporter whose name it is; empty for a name of our own."""
    facts: list[str]
    """Where the value stands: kind and field, `postgres.sessions.active`."""


def unit_of(metric: Metric | Info) -> str:
    """Return the declared unit, or the base unit that the name ends in; empty for plain numbers."""
    if isinstance(metric, Info):
        return ""
    ends = metric.name.removesuffix("_total").rpartition("_")[2]
    return metric.unit or (ends if ends in BASE_UNITS else "")


def standard_exporter(name: str) -> str:
    """Return whose standard name it is; empty for our own."""
    return next((exporter for start, exporter in STANDARD.items() if name.startswith(start)), "")


def declared_fields(
    record: type[msgspec.Struct], place: str, outer: tuple[str, ...] = ()
) -> Iterator[tuple[str, Metric | Info, tuple[str, ...]]]:
    """Yield (place of the field, its metric, label names) of a record and of those inside it."""
    declared = declaration(record)
    names = outer + tuple(label for _, label in declared.labels)
    for number in declared.numbers:
        metric = number.metric
        own = (metric.key,) if number.mapping else ()
        yield f"{place}.{number.field}", metric, (*names, *own, *metric.labels, *metric.beside)
    for field, info in declared.infos:
        yield f"{place}.{field}", info, (*names, info.label)
    for child in declared.children:
        yield from declared_fields(child.record, f"{place}.{child.field}", names)


def entries() -> list[Entry]:
    """Return every metric that some page can show, one entry a name, sorted by name.

    The first declaration says type, unit and help; tests hold that the others say the same.
    """
    found: dict[str, tuple[Metric | Info, set[str], dict[str, None], dict[str, None]]] = {}
    for place, metric, labels, paths in declarations():
        name = metric.heading if isinstance(metric, Metric) else metric.name
        _, known, where, places = found.setdefault(name, (metric, set(), {}, {}))
        known.update(labels)
        where.update(dict.fromkeys(paths))
        places[place] = None
    return [
        Entry(
            name=name,
            type=metric.type,
            labels=sorted(labels),
            unit=unit_of(metric),
            help=metric.help,
            paths=list(paths),
            standard=standard_exporter(name),
            facts=list(places),
        )
        for name, (metric, labels, paths, places) in sorted(found.items())
    ]


def declarations() -> Iterator[tuple[str, Metric | Info, tuple[str, ...], tuple[str, ...]]]:
    """Yield (place, metric, label names, paths) of every declaration: the kinds', then the exporter's."""
    for kind in KINDS:
        for place, metric, labels in declared_fields(facts_class(kind), kind):
            yield place, metric, labels, paths_of(kind)
    for name, record, path in _OWN_RECORDS:
        for place, metric, labels in declared_fields(record, name):
            yield place, metric, labels, (path,)


def matching(items: Iterable[Entry], pattern: str) -> list[Entry]:
    """Return the metrics that a pattern means: by name, help, path or field.

    `*` and `?` make it a pattern of the whole name or field; a path is meant as it is;
    else it is a part of the name, of the help or of the field.
    """
    wanted = pattern.strip().lower()
    if wanted.startswith("/"):
        return [item for item in items if wanted in item.paths]
    if "*" in wanted or "?" in wanted:
        return [
            item
            for item in items
            if any(fnmatch.fnmatchcase(text.lower(), wanted) for text in (item.name, *item.facts))
        ]
    return [
        item
        for item in items
        if any(wanted in text.lower() for text in (item.name, item.help, item.standard, *item.facts))
    ]
