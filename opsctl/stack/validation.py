"""Plain values to specs: all errors at once, each at its line, with a suggestion for a misspelt key.

msgspec stops at the first error of a conversion, so the records are walked here field by field.
"""

from __future__ import annotations

import difflib
import functools
import types
import typing
from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.stack.errors import StackProblem, shown_key
from opsctl.stack.specs import VARIABLE_PATTERN, Spec

if TYPE_CHECKING:
    from opsctl.stack.yaml_reader import Document, Path


_WRONG: Any = object()
"""Stands for a value that was reported; it is left out, so that the rest can still be checked."""


def check_spec(document: Document, value: Any, spec: type[Spec]) -> Any:
    """Return what is right of `value` in the long form that msgspec converts.

    Everything that is wrong goes to `document.problems` and is left out. None where nothing is left.
    """
    result = _check_record(document, value, spec, ())
    return None if result is _WRONG else result


def _check_record(document: Document, value: Any, spec: type[Spec], path: Path) -> Any:
    where = ".".join(str(part) for part in path) or "the file"
    if isinstance(value, str) and spec.shorthand:
        value = {spec.shorthand: value}
    if value is None and not _required(spec):
        value = {}
    if not isinstance(value, dict):
        _add(document, path, f"{where}: expected keys and values, got {_name(value)}")
        return _WRONG
    hints = _hints(spec)
    result: dict[str, Any] = {}
    for key, item in value.items():
        if key not in hints:
            close = difflib.get_close_matches(str(key), hints, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else f"; known keys: {', '.join(sorted(hints))}"
            _add(document, (*path, key), f"{where}: unknown key {shown_key(key)}{meant}")
            continue
        checked = _check_value(document, item, hints[key], (*path, key))
        if checked is not _WRONG:
            result[key] = checked
    for key in _required(spec):
        if key not in value:
            _add(document, path, f"{where}: {key!r} is missing")
    return result if all(key in result for key in _required(spec)) or not path else _WRONG


@functools.cache  # msgspec evaluates the annotations anew at each call
def _fields(spec: type[Spec]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(spec)


@functools.cache
def _hints(spec: type[Spec]) -> dict[Any, Any]:
    return {field.encode_name: field.type for field in _fields(spec)}


@functools.cache
def _required(spec: type[Spec]) -> tuple[str, ...]:
    return tuple(field.encode_name for field in _fields(spec) if field.required)


def _check_value(document: Document, value: Any, hint: Any, path: Path) -> Any:
    plain = plain_hint(hint)
    optional = optional_spec(plain)
    if optional is not None and value is not None:
        return _check_record(document, value, optional, path)
    if is_spec(plain):
        return _check_record(document, value, plain, path)
    origin, arguments = typing.get_origin(plain), typing.get_args(plain)
    if origin is list and is_spec(arguments[0]):
        items = value if isinstance(value, list) else [value]
        places = [(*path, index) if isinstance(value, list) else path for index in range(len(items))]
        checked = [
            _check_record(document, item, arguments[0], place)
            for item, place in zip(items, places, strict=True)
        ]
        return [item for item in checked if item is not _WRONG]
    if origin is list and isinstance(value, str):
        value = [value]
    if origin is dict and is_spec(arguments[1]):
        if not isinstance(value, dict):
            _add(document, path, f"{'.'.join(map(str, path))}: expected names, got {_name(value)}")
            return _WRONG
        named = {
            key: _check_record(document, item, arguments[1], (*path, key)) for key, item in value.items()
        }
        # a service of which nothing is right is still there for those that lean on it
        return {key: {} if item is _WRONG else item for key, item in named.items()}
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        _add(document, path, f"{'.'.join(map(str, path))}: {_plain_words(str(error))}")
        return _WRONG
    return value


def is_spec(hint: Any) -> bool:
    """Return whether a type hint is a record of the stack file."""
    return isinstance(hint, type) and issubclass(hint, Spec)


def plain_hint(hint: Any) -> Any:
    """Return a type hint without its annotations."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def optional_spec(hint: Any) -> type[Spec] | None:
    """Return the record of an optional field, None for every other type."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next((part for part in typing.get_args(hint) if is_spec(part)), None)
    return None


def _name(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, str):  # not quoted: it may be an env file, and a secret
        return "text"
    return "true or false" if isinstance(value, bool) else "a number"


def _plain_words(message: str) -> str:
    """Turn msgspec's wording into a sentence about the value."""
    if VARIABLE_PATTERN in message:
        return "expected the name of a variable (letters, digits and _), not its value"
    message = message.partition(" - at ")[0]
    for old, new in (("`", ""), ("Expected", "expected"), ("Invalid", "invalid"), ("Object", "object")):
        message = message.replace(old, new)
    return message


def _add(document: Document, path: Path, message: str) -> None:
    document.problems.append(StackProblem(document.line(path), message))
