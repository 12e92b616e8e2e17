"""Hypothesis strategies made from msgspec types: any facts record, with any values it allows."""

from __future__ import annotations

import functools
import types
import typing
from typing import Any

import msgspec
from hypothesis import strategies as st

from opsctl.facts.base import Info
from opsctl.metrics import declaration

NUMBERS = st.one_of(st.integers(-(10**15), 10**15), st.integers(-(2**63), 2**63 - 1))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
# every character that UTF-8 can carry: label values are free text
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for a type hint of facts."""
    if typing.get_origin(hint) is typing.Annotated:
        return values(typing.get_args(hint)[0])
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values(part) for part in arguments])
    if hint is type(None):
        return st.none()
    if hint is bool:
        return st.booleans()
    if hint is int:
        return NUMBERS
    if hint is float:
        return FLOATS
    if hint is str:
        return TEXT
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is list:
        inner = arguments[0]
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            labels = [name for name, _ in declaration(inner).labels]
            return st.lists(
                structs(inner),
                max_size=3,
                unique_by=(lambda item: tuple(getattr(item, name) for name in labels)) if labels else None,
            )
        return st.lists(values(inner), max_size=3)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return structs(hint)
    raise TypeError(f"no strategy for {hint!r}")


@functools.cache
def structs(record: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Return a strategy for a record: required fields always, the others sometimes at their default."""
    hints = typing.get_type_hints(record, include_extras=True)
    required, optional = {}, {}
    for field in msgspec.structs.fields(record):
        if field.required and is_info(hints[field.name]):  # no metric says "empty"
            required[field.name] = TEXT.filter(bool)
            continue
        (required if field.required else optional)[field.name] = values(hints[field.name])
    return st.fixed_dictionaries(required, optional=optional).map(lambda given: record(**given))


def is_info(hint: Any) -> bool:
    """Return whether a text field is shown as a label of an info metric."""
    return typing.get_origin(hint) is typing.Annotated and any(
        isinstance(extra, Info) for extra in typing.get_args(hint)[1:]
    )
