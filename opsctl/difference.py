"""Two snapshots compared: findings gone, new and changed, and facts that changed notably. Pure."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.diagnose import coverage
from opsctl.judge import judge
from opsctl.metrics import declaration
from opsctl.model import Finding, Snapshot, Status, worst

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.base import Metric

NOTABLE = 0.25
"""A number that moved by a quarter of its larger value is worth a line."""
LEAST_SECONDS = 0.1
"""Durations below this are noise."""
MOST_A_TARGET = 8


class ChangedFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One finding in both snapshots, whose status or measured value is another now."""

    old: Finding
    new: Finding


class ChangedFact(msgspec.Struct, frozen=True, kw_only=True):
    """One fact of one target that is notably different."""

    target: str
    fact: str
    old: str | int | float | bool | None
    new: str | int | float | bool | None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What changed between two snapshots."""

    old_stack: str
    new_stack: str
    old_at: datetime
    new_at: datetime
    gone: tuple[Finding, ...]
    new: tuple[Finding, ...]
    changed: tuple[ChangedFinding, ...]
    appeared: tuple[str, ...]
    disappeared: tuple[str, ...]
    facts: tuple[ChangedFact, ...]
    more_facts: int
    unseen: int = 0
    """How many checks of the new snapshot could not look: there nothing new can be ruled out."""

    @property
    def status(self) -> Status:
        """The worst of what is new or worse; `ok` where nothing is."""
        worse = [item.new for item in self.changed if item.new.status.rank > item.old.status.rank]
        return worst(finding.status for finding in (*self.new, *worse))


def compare(old: Snapshot, new: Snapshot) -> Difference:
    """Return what changed from one snapshot to another."""
    before = {item.key: item for item in judge(old)}
    judged = judge(new)
    after = {item.key: item for item in judged}
    quiet = (Status.OK, Status.BLOCKED)  # a blocked one only follows its parent
    noted_before = {key: item for key, item in before.items() if item.status not in quiet}
    noted_after = {key: item for key, item in after.items() if item.status not in quiet}
    both = [(noted_before[key], noted_after[key]) for key in noted_after if key in noted_before]
    old_ids = {reading.target.id for reading in old.readings}
    new_ids = {reading.target.id for reading in new.readings}
    facts = list(_facts(old, new))
    kept: list[ChangedFact] = []
    counts: Counter[str] = Counter()
    for fact in facts:
        counts[fact.target] += 1
        if counts[fact.target] <= MOST_A_TARGET:
            kept.append(fact)

    def ordered(items: list[Finding]) -> tuple[Finding, ...]:
        return tuple(sorted(items, key=lambda item: item.status.rank))

    return Difference(
        old_stack=old.stack.name,
        new_stack=new.stack.name,
        old_at=old.taken_at,
        new_at=new.taken_at,
        gone=ordered([item for key, item in noted_before.items() if key not in noted_after]),
        new=ordered([item for key, item in noted_after.items() if key not in noted_before]),
        changed=tuple(
            ChangedFinding(old=first, new=second)
            for first, second in both
            if (first.status, first.summary) != (second.status, second.summary)
        ),
        appeared=tuple(sorted(new_ids - old_ids)),
        disappeared=tuple(sorted(old_ids - new_ids)),
        facts=tuple(kept),
        more_facts=len(facts) - len(kept),
        unseen=coverage(judged).unknown,
    )


def _facts(old: Snapshot, new: Snapshot) -> Iterator[ChangedFact]:
    before = {reading.target.id: reading.facts for reading in old.readings}
    for reading in new.readings:
        first, second = before.get(reading.target.id), reading.facts
        if first is None or second is None or type(first) is not type(second):
            continue
        yield from _record(reading.target.id, "", first, second)


def _record(target: str, prefix: str, old: Any, new: Any) -> Iterator[ChangedFact]:
    """Compare two records of one type, field by field; lists by their labels."""
    metrics = {number.field: number.metric for number in declaration(_struct(new)).numbers}
    for field in msgspec.structs.fields(type(new)):
        if field.name in ("problems", "connection"):
            continue
        first, second = getattr(old, field.name), getattr(new, field.name)
        yield from _values(target, f"{prefix}{field.name}", first, second, metrics.get(field.name))


def _values(target: str, name: str, old: Any, new: Any, metric: Metric | None) -> Iterator[ChangedFact]:
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        yield from _record(target, f"{name}.", old, new)
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in new:
            if key in old:
                yield from _values(target, f"{name}.{key}", old[key], new[key], metric)
    elif isinstance(old, list) and isinstance(new, list):
        before = {key: item for item in old if (key := _identity(item))}
        for item in new:
            key = _identity(item)
            if key and key in before:
                yield from _record(target, f"{name}[{key}].", before[key], item)
    elif _notable(old, new, metric):
        yield ChangedFact(target=target, fact=name, old=old, new=new)


def _identity(item: Any) -> str:
    """Return the labels that tell a record of a list apart, empty where it has none."""
    if not isinstance(item, msgspec.Struct):
        return ""
    return ",".join(str(getattr(item, name)) for name, _ in declaration(_struct(item)).labels)


def _struct(value: msgspec.Struct) -> type[msgspec.Struct]:
    return type(value)


def _notable(old: Any, new: Any, metric: Metric | None) -> bool:
    """Return whether a value changed in a way worth a line."""
    if old == new or old is None or new is None or old == "" or new == "":
        return False
    if isinstance(new, (str, bool)):
        return metric is not None or isinstance(new, bool) or len(str(old)) + len(str(new)) <= 120
    if not isinstance(new, (int, float)) or metric is None:
        return False
    if metric.type == "counter":
        return bool(new < old)  # it was reset: the process restarted
    if "uptime" in metric.name:
        return bool(new < old)
    if "timestamp" in metric.name or metric.name.endswith(("_time", "_time_seconds")):
        return False
    largest = max(abs(old), abs(new))
    if metric.unit == "seconds" and largest < LEAST_SECONDS:
        return False
    return bool(abs(new - old) >= NOTABLE * largest)
