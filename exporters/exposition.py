"""Facts to a page of Prometheus text, fast: what each record declares is laid out once.

Says the same as `opsctl.metrics.exposition(samples(...))`, several times faster. A page never fails
for what a target reports: a series that is there already is left out, a label without a value is empty.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opsctl.metrics import declaration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import msgspec

    from opsctl.facts.base import Info, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MEMORY = 20_000
"""How many label texts are remembered in their written form."""
_RECORDS = 500
"""Of how many records the beginnings of the lines are remembered: small pages, which are asked for most,
are written from them; of large ones they would take more memory than the time is worth."""


@dataclass(frozen=True, slots=True)
class _Line:
    """How a field becomes a line: the template takes the labels' texts, in their order."""

    field: str
    family: str
    header: str
    template: str
    chosen: tuple[int, ...] | None
    """Which texts the template takes; None for the labels as they are. -1 is the key of a dictionary."""
    mapping: bool
    metric: Metric
    beside: tuple[int, ...] = ()
    """Texts that may be empty; the label is then left out."""

    def begin(self, texts: tuple[str, ...]) -> str:
        """Return the line up to its number."""
        return self.template % (texts if self.chosen is None else tuple([texts[i] for i in self.chosen]))


@dataclass(frozen=True, slots=True)
class _InfoLine:
    family: str
    header: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A record's lines under given labels; `sources` says where each label's text comes from.

    `beside` are the fields whose texts follow those of the labels.
    """

    names: tuple[str, ...]
    sources: tuple[tuple[str, int], ...]
    beside: tuple[str, ...]
    lines: tuple[_Line, ...]
    infos: tuple[_InfoLine, ...]
    children: tuple[tuple[str, bool, _Plan], ...]


@functools.cache
def _plan(record: type[msgspec.Struct], outer: tuple[str, ...]) -> _Plan:
    declared = declaration(record)
    own = {label: field for field, label in declared.labels}
    names = tuple(sorted({*outer, *own}))
    sources = tuple((own[name], -1) if name in own else ("", outer.index(name)) for name in names)
    infos: dict[str, tuple[Info, list[tuple[str, str]]]] = {}
    for field, info in declared.infos:
        infos.setdefault(info.name, (info, []))[1].append((field, info.label))
    beside = tuple(sorted({field for number in declared.numbers for field in number.metric.beside.values()}))
    return _Plan(
        names,
        sources,
        beside,
        tuple(
            _line(number.field, number.metric, number.mapping, names, beside) for number in declared.numbers
        ),
        tuple(
            _InfoLine(name, _header(name, info.type, info.help), tuple(fields))
            for name, (info, fields) in infos.items()
        ),
        tuple((child.field, child.many, _plan(child.record, names)) for child in declared.children),
    )


def _header(name: str, type: str, help: str) -> str:
    words = help.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {words}\n# TYPE {name} {type}\n"


def _line(
    field: str, metric: Metric, mapping: bool, names: tuple[str, ...], beside: tuple[str, ...]
) -> _Line:
    """Lay a line out; the fields of `beside` that are empty texts are no labels of it."""
    slots: dict[str, int | str] = {name: index for index, name in enumerate(names)}
    own = {label: len(names) + beside.index(name) for label, name in metric.beside.items() if name in beside}
    slots |= own
    if mapping:
        slots[metric.key] = -1
    slots |= metric.labels
    parts, chosen = [], []
    for name, source in sorted(slots.items()):
        if isinstance(source, int):
            chosen.append(source)
            parts.append(f'{name}="%s"')
        else:
            parts.append(f'{name}="{_escaped(source)}"'.replace("%", "%%"))
    return _Line(
        field,
        metric.heading,
        _header(metric.heading, metric.type, metric.help),
        f"{metric.name}{{{','.join(parts)}}} " if parts else f"{metric.name} ",
        None if chosen == list(range(len(names))) else tuple(chosen),
        mapping,
        metric,
        tuple(own.values()),
    )


def _without(line: _Line, plan: _Plan, values: tuple[str, ...]) -> _Line:
    """Return the line without the labels whose texts are empty; their places are kept."""
    first = len(plan.names)
    beside = tuple(name if values[first + index] else "" for index, name in enumerate(plan.beside))
    return _line(line.field, line.metric, line.mapping, plan.names, beside)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def number_text(value: Any) -> str | None:
    """Return a number as Prometheus reads it; None for what is no number."""
    kind = type(value)
    if kind is int:
        return str(value)
    if kind is float:
        if value - value == 0.0:
            return repr(value)
        return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
    if kind is bool:
        return "1" if value else "0"
    return None


class LabelTexts:
    """Label texts in the form in which they are written: cleaned of secrets, escaped; remembered.

    Args:
        clean: what takes secrets out of a text.
        version: changes when `clean` knows more than before.
    """

    def __init__(self, clean: Callable[[str], str] = str, version: Callable[[], int] = int) -> None:
        self._clean, self._version = clean, version
        self._known: dict[str, str] = {}
        self._beginnings: dict[tuple[int, tuple[str, ...]], list[str | None]] = {}
        self._of = version()

    def refresh(self) -> None:
        """Forget what was cleaned when less was known to be secret."""
        if len(self._known) > _MEMORY or self._of != self._version():
            self._of, self._known, self._beginnings = self._version(), {}, {}
        if len(self._beginnings) >= _RECORDS:  # what is there no more gives its place
            self._beginnings = {}

    def beginnings(self, plan: _Plan, labels: tuple[str, ...]) -> list[str | None]:
        """Return the lines of a record up to their numbers, to be filled in; None where not yet known."""
        key = id(plan), labels  # plans stay for good
        known = self._beginnings.get(key)
        if known is None:
            known = [None] * len(plan.lines)
            if len(self._beginnings) < _RECORDS:
                self._beginnings[key] = known
        return known

    def __call__(self, value: Any) -> str:
        """Return the text for between the quotes; empty for a value that is not there."""
        if type(value) is not str:
            value = "" if value is None else str(value)
        known = self._known.get(value)
        if known is None:
            known = self._known[value] = _escaped(self._clean(value)) if value else ""
        return known


class Page:
    """One page of exposition: families together, each series once, the first one wins."""

    def __init__(self, texts: LabelTexts | None = None) -> None:
        self._texts = texts or LabelTexts()
        self._texts.refresh()
        self._families: dict[str, tuple[str, dict[str, str]]] = {}

    def add(self, record: msgspec.Struct, base: Mapping[str, str] | None = None) -> None:
        """Add what a facts record declares; `base` labels go to all of it, where it has none of that name."""
        labels = {name: text for name, text in (base or {}).items() if text}
        names = tuple(sorted(labels))
        self._add(_plan(type(record), names), record, tuple(self._texts(labels[name]) for name in names))

    def add_metric(self, metric: Metric, labels: Mapping[str, str], value: float) -> None:
        """Add one sample by itself."""
        names = tuple(sorted(labels))
        line = _line("", metric, False, names, ())
        self._put(line, tuple(self._texts(labels[name]) for name in names), value)

    def series(self) -> int:
        """Return how many series there are."""
        return sum(len(series) for _, series in self._families.values())

    def encoded(self) -> bytes:
        """Return the page; bytes of file names that are no UTF-8 become question marks."""
        parts: list[str] = []
        for header, series in self._families.values():
            parts.append(header)
            parts += [f"{line}{value}\n" for line, value in series.items()]
        return "".join(parts).encode("utf-8", "replace")

    def _put(self, line: _Line, texts: tuple[str, ...], value: Any) -> None:
        number = number_text(value)
        if number is None:
            return
        family = self._families.get(line.family)
        if family is None:
            family = self._families[line.family] = (line.header, {})
        family[1].setdefault(line.begin(texts), number)

    def _add(self, plan: _Plan, record: Any, outer: tuple[str, ...]) -> None:
        texts = self._texts
        labels = tuple(
            [texts(getattr(record, field)) if field else outer[index] for field, index in plan.sources]
        )
        values = labels
        if plan.beside:
            values += tuple([texts(getattr(record, field)) for field in plan.beside])
        families, beginnings = self._families, texts.beginnings(plan, labels)
        for index, line in enumerate(plan.lines):
            value = getattr(record, line.field)
            if value is None:
                continue
            if line.beside and not all(values[place] for place in line.beside):
                line = _without(line, plan, values)
            if line.mapping:
                for key, item in value.items():
                    self._put(line, (*values, texts(key)), item)
                continue
            if plan.lines[index].beside:
                self._put(line, labels if line.chosen is None else values, value)
                continue
            number = str(value) if type(value) is int else number_text(value)  # most are whole
            if number is None:
                continue
            begin = beginnings[index]
            if begin is None:
                begin = beginnings[index] = line.begin(labels)
            family = families.get(line.family)
            if family is None:
                family = families[line.family] = (line.header, {})
            family[1].setdefault(begin, number)
        for info in plan.infos:
            self._info(info, plan, record, labels)
        for field, many, child in plan.children:
            inner = getattr(record, field)
            if inner is None:
                continue
            for item in inner if many else (inner,):
                self._add(child, item, labels)

    def _info(self, info: _InfoLine, plan: _Plan, record: Any, labels: tuple[str, ...]) -> None:
        own = {label: self._texts(text) for field, label in info.fields if (text := getattr(record, field))}
        if not own:
            return
        pairs = {**dict(zip(plan.names, labels, strict=True)), **own}
        inside = ",".join(f'{name}="{text}"' for name, text in sorted(pairs.items()))
        family = self._families.setdefault(info.family, (info.header, {}))
        family[1].setdefault(f"{info.family}{{{inside}}} ", "1")
