"""What each page of the exporter can hold, as files: `python -m tests.unit.exporter_golden` writes them.

A page is made of facts in which every field is filled, for two targets of each kind, by the code that
makes the real ones. A line is `name type label,label`. A change of these files is a change of what
dashboards and alerts are built on.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from exporters.exposition import LabelTexts, Page
from exporters.pages import PAGES, PROBED, labels_of, write
from exporters.self_facts import DialFacts, ExporterFacts, ProbeFallbackFacts, VerdictFacts
from opsctl.facts import facts_class
from opsctl.facts.base import Facts
from opsctl.metrics import parse_exposition
from opsctl.model import HOST_SERVICE, Reading, Target

GOLDEN = Path(__file__).parent / "data" / "metrics" / "golden"
COMMAND = "python -m tests.unit.exporter_golden"
R = TypeVar("R", bound=msgspec.Struct)


def full(record: type[R], number: int = 1) -> R:
    """Return a record in which every field has a value; `number` makes its texts different."""
    hints = typing.get_type_hints(record, include_extras=False)
    return record(
        **{
            field.name: _value(hints[field.name], f"{field.name}-{number}", number)
            for field in msgspec.structs.fields(record)
        }
    )


def _value(hint: Any, text: str, number: int) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _value(next(part for part in arguments if part is not type(None)), text, number)
    if origin is typing.Literal:
        return arguments[0]
    if origin in (list, tuple):
        return origin([_value(arguments[0], text, number)])
    if origin is dict:
        return {"+Inf": _value(arguments[1], text, number)}  # a key that the buckets of a histogram take, too
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return full(hint, number)
    if hint in (bool, int, float):
        return hint(1)
    return text


def pages() -> dict[str, str]:
    """Return the text of a page for every path, by the name of its file."""
    made = {name: kinds_page(kinds) for name, (kinds, _) in PAGES.items()}
    made["findings"] = _records(VerdictFacts)
    made["exporter"] = _records(ExporterFacts)
    made["probe"] = _records(DialFacts, *(facts_class(kind) for kind in PROBED), ProbeFallbackFacts)
    return made


def _records(*records: type[msgspec.Struct]) -> str:
    page = Page()
    for record in records:
        page.add(full(record))
    return page.encoded().decode()


def kinds_page(
    kinds: tuple[str, ...],
    change: Callable[[Facts], Facts] = lambda facts: facts,
    texts: LabelTexts | None = None,
) -> str:
    """Return the page of two targets of each kind, their facts full and then changed."""
    readings = [
        Reading(
            target=Target(
                kind=kind,
                service=HOST_SERVICE if kind in ("host", "network") else "shop",
                name=f"target-{number}",
            ),
            taken_at=datetime(2026, 1, 1, tzinfo=UTC),
            duration_seconds=0.1,
            facts=change(full(facts_class(kind), number)),
        )
        for kind in kinds
        for number in (1, 2)
    ]
    page = Page(texts)
    write(page, readings, labels_of([reading.target for reading in readings]))
    return page.encoded().decode()


def families(text: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return what a page holds: name of the family -> (type, label names of its series)."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    labels: dict[str, set[str]] = {name: set() for name in kinds}
    for name, series in parse_exposition(text).items():
        family = name if name in kinds else re.sub(r"_(bucket|sum|count)$", "", name)
        for found, _ in series:
            labels[family].update(found)
    return {name: (kind, frozenset(labels[name])) for name, kind in kinds.items()}


def golden(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return what a page may hold, from its file."""
    found = {}
    for line in (GOLDEN / f"{name}.txt").read_text().splitlines():
        family, kind, labels = f"{line} ".split(" ")[:3]
        found[family] = (kind, frozenset(filter(None, labels.split(","))))
    return found


def lines(text: str) -> str:
    """Return a page's families as the text of a file."""
    return "".join(
        f"{name} {kind} {','.join(sorted(labels))}".rstrip() + "\n"
        for name, (kind, labels) in sorted(families(text).items())
    )


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for old in GOLDEN.glob("*.txt"):
        old.unlink()
    for name, text in pages().items():
        (GOLDEN / f"{name}.txt").write_text(lines(text))
