"""Values by metric name into the record that declares those metrics.

The kernel's files name their fields, and the standard metric names are made of those by rule. So
a parser yields names and numbers, and the record's own declarations say which of them are facts.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar

from opsctl.facts.base import Record
from opsctl.metrics import declaration

if TYPE_CHECKING:
    from collections.abc import Mapping

R = TypeVar("R", bound=Record)


@functools.cache
def fields_of(record: type[Record]) -> tuple[tuple[str, str], ...]:
    """Return (metric name, field) of a record's plain numbers."""
    return tuple(
        (number.metric.name, number.field) for number in declaration(record).numbers if not number.mapping
    )


@functools.cache
def metrics_of(record: type[Record]) -> frozenset[str]:
    """Return the names of the metrics of a record's plain numbers."""
    return frozenset(metric for metric, _ in fields_of(record))


def named(record: type[R], values: Mapping[str, float], **labels: str) -> R | None:
    """Return the record with those of the values that it declares; None where it declares none of them."""
    found = {field: values[name] for name, field in fields_of(record) if name in values}
    return record(**labels, **found) if found else None


def every(record: type[R], rows: Mapping[str, Mapping[str, float]], label: str) -> list[R]:
    """Return a record for each row that has a declared value, the row's key in the field `label`."""
    found = (named(record, values, **{label: key}) for key, values in rows.items())
    return [item for item in found if item is not None]
