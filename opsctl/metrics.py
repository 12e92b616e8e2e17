"""Facts to metrics and back: samples, the text exposition format, and the way home.

The declarations stand beside the fields (`opsctl/facts/`); nothing here names a metric.
Text follows the Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

import functools
import math
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from opsctl.facts.base import Facts, Info, Label, Metric, Record

F = TypeVar("F", bound=Facts)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of exposition: a metric, its labels in order, and its value."""

    metric: Metric
    labels: tuple[tuple[str, str], ...]
    value: float | int


@dataclass(frozen=True, slots=True)
class _Number:
    field: str
    metric: Metric
    convert: type
    mapping: bool


@dataclass(frozen=True, slots=True)
class _Child:
    field: str
    record: type[msgspec.Struct]
    many: bool


@dataclass(frozen=True, slots=True)
class Declaration:
    """What one record declares: numbers, info strings, labels, and nested records."""

    numbers: tuple[_Number, ...]
    infos: tuple[tuple[str, Info], ...]
    labels: tuple[tuple[str, str], ...]
    children: tuple[_Child, ...]
    optional: frozenset[str] = frozenset()
    """Labels that may be empty, which to Prometheus is the same as absent."""


def _unwrap_optional(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [part for part in typing.get_args(hint) if part is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return hint


def _number_type(hint: Any) -> type:
    """Return int, float or bool for a numeric hint; float for a union of int and float."""
    hint = _unwrap_optional(hint)
    if hint in (int, float, bool):
        return typing.cast("type", hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = set(typing.get_args(hint)) - {type(None)}
        if parts == {int, float}:
            return float
    raise TypeError(f"a metric needs int, float or bool, not {hint!r}")


@functools.cache
def declaration(record: type[msgspec.Struct]) -> Declaration:
    """Read a record's declarations once.

    Raises:
        TypeError: a metric on a field that is not numeric.
    """
    numbers: list[_Number] = []
    infos: list[tuple[str, Info]] = []
    labels: list[tuple[str, str]] = []
    children: list[_Child] = []
    optional: set[str] = set()
    for name, hint in typing.get_type_hints(record, include_extras=True).items():
        if name.startswith("__"):
            continue
        extras: tuple[Any, ...] = ()
        if typing.get_origin(hint) is typing.Annotated:
            hint, *rest = typing.get_args(hint)
            extras = tuple(rest)
        plain = _unwrap_optional(hint)
        origin, arguments = typing.get_origin(plain), typing.get_args(plain)
        for extra in extras:
            if isinstance(extra, Metric):
                if origin is dict:
                    numbers.append(_Number(name, extra, _number_type(arguments[1]), True))
                else:
                    numbers.append(_Number(name, extra, _number_type(hint), False))
            elif isinstance(extra, Info):
                infos.append((name, extra))
            elif isinstance(extra, Label):
                labels.append((name, extra.name))
                if extra.optional:
                    optional.add(extra.name)
        if origin in (list, tuple) and arguments and _is_record(arguments[0]):
            children.append(_Child(name, arguments[0], True))
        elif _is_record(plain):
            children.append(_Child(name, plain, False))
    return Declaration(tuple(numbers), tuple(infos), tuple(labels), tuple(children), frozenset(optional))


def _is_record(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Record)


def declared_metrics(facts: type[msgspec.Struct]) -> Iterator[tuple[Metric | Info, tuple[str, ...]]]:
    """Yield every metric a facts record can emit, with its label names, each once."""
    yield from _declared(facts, ())


def _declared(
    record: type[msgspec.Struct], outer: tuple[str, ...]
) -> Iterator[tuple[Metric | Info, tuple[str, ...]]]:
    declared = declaration(record)
    names = outer + tuple(label for _, label in declared.labels)
    for number in declared.numbers:
        own = (number.metric.key,) if number.mapping else ()
        yield number.metric, names + own + tuple(number.metric.labels) + tuple(number.metric.beside)
    for _, info in declared.infos:
        yield info, (*names, info.label)
    for child in declared.children:
        yield from _declared(child.record, names)


def samples(facts: msgspec.Struct, base: Mapping[str, str] | None = None) -> Iterator[Sample]:
    """Yield the samples of a facts record, `base` labels first.

    Fields that are None yield nothing: unknown is absent, never 0.
    """
    yield from _samples(facts, tuple((base or {}).items()))


def _samples(record: msgspec.Struct, outer: tuple[tuple[str, str], ...]) -> Iterator[Sample]:
    declared = declaration(type(record))
    labels = outer + tuple((label, getattr(record, name)) for name, label in declared.labels)
    for number in declared.numbers:
        value = getattr(record, number.field)
        if value is None:
            continue
        fixed = tuple(number.metric.labels.items())
        if number.metric.beside:
            fixed += tuple(
                (label, text)
                for label, field in number.metric.beside.items()
                if (text := getattr(record, field))
            )
        if number.mapping:
            for key, item in value.items():
                yield Sample(number.metric, (*labels, (number.metric.key, key), *fixed), item)
        else:
            yield Sample(number.metric, labels + fixed, value)
    infos: dict[str, tuple[Info, list[tuple[str, str]]]] = {}
    for name, info in declared.infos:  # several fields of one name are labels of one series
        value = getattr(record, name)
        if value:
            infos.setdefault(info.name, (info, []))[1].append((info.label, value))
    for info, pairs in infos.values():
        yield Sample(Metric(info.name, info.type, info.help), (*labels, *pairs), 1)
    for child in declared.children:
        value = getattr(record, child.field)
        if value is None:
            continue
        for item in value if child.many else (value,):
            yield from _samples(item, labels)


def _escape_label(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number_text(value: float | int) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def exposition(items: Iterable[Sample]) -> str:
    """Return the text exposition: families together, each series once, the first one wins."""
    families: dict[str, tuple[Metric, dict[tuple[str, tuple[tuple[str, str], ...]], float | int]]] = {}
    for sample in items:
        _, series = families.setdefault(sample.metric.heading, (sample.metric, {}))
        series.setdefault((sample.metric.name, tuple(sorted(sample.labels))), sample.value)
    lines: list[str] = []
    for family, (metric, series) in families.items():
        lines.append(f"# HELP {family} {_escape_help(metric.help)}")
        lines.append(f"# TYPE {family} {metric.type}")
        for (name, labels), value in series.items():
            inside = ",".join(f'{key}="{_escape_label(text)}"' for key, text in labels)
            lines.append(
                f"{name}{{{inside}}} {_number_text(value)}" if inside else f"{name} {_number_text(value)}"
            )
    return "\n".join(lines) + "\n" if lines else ""


Series = dict[str, list[tuple[dict[str, str], str]]]
"""Metric name -> [(labels, value as text)]: what the way back to facts reads."""


def parse_exposition(text: str) -> Series:
    """Read text exposition into series, keeping each value's own digits.

    Raises:
        ValueError: a line that is not exposition, with its number.
    """
    result: Series = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        name, labels, rest = _parse_line(line, number)
        value = rest.split()[0]
        try:
            float(value)
        except ValueError:
            raise ValueError(f"line {number}: {value[:40]!r} is not a number") from None
        result.setdefault(name, []).append((labels, value))
    return result


def _parse_line(line: str, number: int) -> tuple[str, dict[str, str], str]:
    brace, space = line.find("{"), line.find(" ")
    if brace < 0 or -1 < space < brace:
        name, _, rest = line.partition(" ")
        if not rest:
            raise ValueError(f"line {number}: no value after {name!r}")
        return name, {}, rest
    labels: dict[str, str] = {}
    position = brace + 1
    while True:
        if position >= len(line):
            raise ValueError(f"line {number}: labels do not end")
        if line[position] == "}":
            break
        equals = line.find('="', position)
        if equals < 0:
            raise ValueError(f"line {number}: a label without a quoted value")
        key, position, parts = line[position:equals], equals + 2, []
        while position < len(line) and line[position] != '"':
            if line[position] == "\\" and position + 1 < len(line):
                escaped = line[position + 1]
                parts.append({"n": "\n"}.get(escaped, escaped))
                position += 2
            else:
                parts.append(line[position])
                position += 1
        labels[key] = "".join(parts)
        position += 1
        if position < len(line) and line[position] == ",":
            position += 1
    rest = line[position + 1 :].strip(" ")
    if not rest:
        raise ValueError(f"line {number}: no value")
    return line[:brace], labels, rest


def _convert(text: str, kind: type) -> float | int | bool:
    if kind is bool:
        return float(text) != 0
    if kind is int:
        try:
            return int(text)
        except ValueError:
            return int(float(text))
    return float(text)


def facts_from_series(facts: type[F], series: Series, base: Mapping[str, str] | None = None) -> F:
    """Rebuild facts from metrics whose labels contain `base`.

    Only what was declared comes back; everything else takes its default, required text is empty.
    Numbers keep their own digits, whatever their size.

    Raises:
        msgspec.ValidationError: a required number has no sample.
    """
    return msgspec.convert(_with_required(facts, _rebuild(facts, series, dict(base or {}))), facts)


def _with_required(record: type[msgspec.Struct], values: dict[str, Any]) -> dict[str, Any]:
    """Fill in required fields that metrics do not carry: empty text, empty lists, records of those."""
    hints = typing.get_type_hints(record)
    children = {child.field: child for child in declaration(record).children}
    for field in msgspec.structs.fields(record):
        child = children.get(field.name)
        if field.name in values and child is not None:
            items = values[field.name]
            values[field.name] = (
                [_with_required(child.record, item) for item in items]
                if child.many
                else _with_required(child.record, items)
            )
        elif field.required and field.name not in values:
            if child is not None:
                values[field.name] = [] if child.many else _with_required(child.record, {})
            elif hints[field.name] is str:
                values[field.name] = ""
            elif typing.get_origin(hints[field.name]) in (list, dict, tuple):
                values[field.name] = typing.get_origin(hints[field.name])()
    return values


def _rebuild(record: type[msgspec.Struct], series: Series, known: dict[str, str]) -> dict[str, Any]:
    declared = declaration(record)
    values: dict[str, Any] = {}
    tag = record.__struct_config__.tag
    if tag is not None:
        values["kind"] = tag
    for name, label in declared.labels:
        values[name] = known[label]
    for number in declared.numbers:
        wanted = known | number.metric.labels
        matching = [
            (labels, text) for labels, text in series.get(number.metric.name, []) if _carries(labels, wanted)
        ]
        if number.mapping:
            key = number.metric.key
            mapping = {
                labels[key]: _convert(text, number.convert) for labels, text in matching if key in labels
            }
            if mapping:
                values[number.field] = mapping
        elif matching:
            values[number.field] = _convert(matching[0][1], number.convert)
        for label, field in number.metric.beside.items() if matching else ():
            if label in matching[0][0]:
                values.setdefault(field, matching[0][0][label])
    for name, info in declared.infos:
        for labels, _ in series.get(info.name, []):
            if _carries(labels, known) and info.label in labels:
                values[name] = labels[info.label]
                break
    for child in declared.children:
        if child.many:
            items = [
                _rebuild(child.record, series, known | keys) for keys in _keys(child.record, series, known)
            ]
            if items:
                values[child.field] = items
        else:
            inner = _rebuild(child.record, series, known)
            if inner:
                values[child.field] = inner
    return values


def _carries(labels: dict[str, str], wanted: dict[str, str]) -> bool:
    """Return whether a series has these labels; an empty one is the same as none."""
    return wanted.items() <= labels.items() or (
        "" in wanted.values() and all(labels.get(name, "") == value for name, value in wanted.items())
    )


def _keys(record: type[msgspec.Struct], series: Series, known: dict[str, str]) -> list[dict[str, str]]:
    """Return the label sets that tell a list's records apart, in order of appearance.

    A record may be known by what the records inside it say alone.
    """
    declared = declaration(record)
    names = [label for _, label in declared.labels]
    required = [name for name in names if name not in declared.optional]
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for metric, _ in declared_metrics(record):
        name, fixed = metric.name, metric.labels if isinstance(metric, Metric) else {}
        for labels, _ in series.get(name, []):
            if _carries(labels, known | fixed) and all(label in labels for label in required):
                own = {name: labels.get(name, "") for name in names}
                found.setdefault(tuple(own.values()), own)
    return list(found.values())
