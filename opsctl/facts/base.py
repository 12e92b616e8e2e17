"""How facts declare their metrics.

A facts record is a frozen struct. Each numeric field says in place what it is called outside:

    used_memory: Annotated[int | None, gauge("redis_memory_used_bytes", "…", unit="bytes")] = None

Lists of records carry labels; the record's `Label` fields name them. Dictionaries of numbers
carry one label, named by `key=`. Strings that matter outside are `Info` labels. From these
declarations alone come the exposition, the metrics reference, and the way back from metrics
to facts (`opsctl/metrics.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import msgspec

MetricType = Literal["gauge", "counter", "untyped", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """The outside name of one numeric field.

    `labels` are fixed label pairs (one metric, several fields: `state="idle"`); `key` names the
    label that a dictionary's keys become; `unit` is a Prometheus base unit or empty. `beside` are
    labels whose value stands in a text field of the same record (label -> field), left out where it
    is empty: for a label that not all metrics of the record have. `family` is what metrics share
    that are one in the exposition: the buckets, sum and count of a histogram.
    """

    name: str
    type: MetricType
    help: str
    unit: str = ""
    key: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    beside: dict[str, str] = field(default_factory=dict)
    family: str = ""

    @property
    def heading(self) -> str:
        """The name under which HELP and TYPE stand."""
        return self.family or self.name


@dataclass(frozen=True, slots=True)
class Label:
    """The outside name of a string field that tells the records of a list apart.

    To Prometheus an empty label is one that is not there; an `optional` one may come back absent.
    """

    name: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Info:
    """A string field shown as `name{label="value"} 1`."""

    name: str
    label: str
    help: str
    type: MetricType = "gauge"


def gauge(name: str, help: str, unit: str = "", key: str = "", **labels: str) -> Metric:
    """Declare a value that goes up and down."""
    return Metric(name, "gauge", help, unit, key, labels)


def counter(name: str, help: str, unit: str = "", key: str = "", **labels: str) -> Metric:
    """Declare a value that only grows until its process restarts."""
    return Metric(name, "counter", help, unit, key, labels)


def untyped(name: str, help: str, unit: str = "", key: str = "", **labels: str) -> Metric:
    """Declare a value that the field's standard exporter leaves untyped."""
    return Metric(name, "untyped", help, unit, key, labels)


def histogram(
    name: str, help: str, unit: str = "", part: Literal["bucket", "sum", "count"] = "bucket"
) -> Metric:
    """Declare one of the three fields of a histogram.

    The buckets are a dictionary: upper limit as text -> how many were at most that, `+Inf` last.
    """
    return Metric(f"{name}_{part}", "histogram", help, unit, "le" if part == "bucket" else "", family=name)


def beside(metric: Metric, **fields: str) -> Metric:
    """Return the metric with labels that text fields of the same record hold: label=field."""
    return replace(metric, beside=fields)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A labelled part of facts: one database, one mount point, one container."""


class Connection(Record, frozen=True, kw_only=True):
    """How reaching a server ended.

    `state` is one of: ok, refused, timeout, name-unresolved, unreachable, auth-failed, tls, loading,
    clients-exhausted, closed, protocol, no-permission, missing.
    `detail` is the server's or system's own words.
    """

    state: Annotated[
        str, Info("opsctl_connection_info", "state", "How reaching the target ended: ok, refused, timeout, …")
    ]
    detail: str = ""
    address: str = ""
    seconds: Annotated[
        float | None,
        gauge("opsctl_connection_seconds", "Time until the target was reached", unit="seconds"),
    ] = None


class FactProblem(Record, frozen=True, kw_only=True):
    """One part of the facts that could not be read, why, and what would change that."""

    part: str
    code: str
    message: str
    hint: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base of every kind's facts.

    `up` is whether the target answered as itself. Where it is False, only the checks that
    judge reachability run; all others are `blocked`.
    """

    up: bool = True
    problems: list[FactProblem] = []

    def problem(self, part: str) -> FactProblem | None:
        """Return why `part` could not be read, or None where it was."""
        return next((problem for problem in self.problems if problem.part == part), None)


__all__ = [
    "Annotated",
    "Connection",
    "FactProblem",
    "Facts",
    "Info",
    "Label",
    "Metric",
    "MetricType",
    "Record",
    "beside",
    "counter",
    "gauge",
    "histogram",
    "untyped",
]
