"""YAML text to plain values with the line of every key, safe against hostile files.

The event stream of PyYAML's C parser is read in a loop, never recursively: depth, size and
aliases are bounded before anything is built, and duplicate keys are errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from opsctl.stack.errors import StackError, StackProblem, shown_key

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 20
MAX_NODES = 50_000

Path = tuple[str | int, ...]


@dataclass(slots=True)
class Document:
    """A parsed file: its value, and the line on which each path begins."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[StackProblem] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """Return the line of a path, or of its nearest known parent."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


@dataclass(slots=True)
class _Frame:
    container: Any
    path: Path
    key: str | None = None
    awaiting_key: bool = True


class _Scalars(yaml.SafeLoader):
    """Only PyYAML's own rules for plain scalars (true, 3, 1.5, null)."""

    def __init__(self) -> None:
        super().__init__("")

    def value(self, event: yaml.ScalarEvent) -> Any:
        tag = event.tag
        if tag is None or tag == "!":
            tag = self.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
        node = yaml.ScalarNode(tag, event.value)
        if tag == "tag:yaml.org,2002:timestamp":
            return event.value
        return self.construct_object(node)


def read(data: bytes, origin: str) -> Document:
    """Parse one YAML document.

    Raises:
        StackError: not text, not YAML, too large, too deep, or with aliases.
    """

    def fail(line: int, message: str) -> StackError:
        return StackError(origin, [StackProblem(line, message)])

    if len(data) > MAX_BYTES:
        raise fail(1, f"the file has {len(data)} bytes; a stack file may have {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise fail(line, f"not UTF-8 text (byte {error.start}); is this the right file?") from None
    document = Document(None)
    scalars = _Scalars()
    stack: list[_Frame] = []
    nodes, seen_document = 0, False
    loader = yaml.CSafeLoader(text)
    try:
        while True:
            event = loader.get_event()
            if event is None or isinstance(event, yaml.StreamEndEvent):
                break
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.DocumentStartEvent):
                if seen_document:
                    raise fail(line, "a second document begins here; a stack file is one document")
                seen_document = True
                continue
            if isinstance(event, yaml.AliasEvent):
                raise fail(line, "an alias (*): write the value out; aliases are not accepted")
            if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                stack.pop()
                continue
            if not isinstance(event, (yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                continue
            nodes += 1
            if nodes > MAX_NODES:
                raise fail(line, f"more than {MAX_NODES} values; this is not a stack file")
            if len(stack) >= MAX_DEPTH:
                raise fail(line, f"nested deeper than {MAX_DEPTH} levels; this is not a stack file")
            _place(document, stack, event, scalars, line)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise fail(mark.line + 1 if mark else 1, f"not YAML: {problem}") from None
    finally:
        loader.dispose()
        scalars.dispose()
    return document


def _place(document: Document, stack: list[_Frame], event: Any, scalars: _Scalars, line: int) -> None:
    """Put the value that begins with `event` where it belongs."""
    frame = stack[-1] if stack else None
    if frame and isinstance(frame.container, dict) and frame.awaiting_key:
        _key(document, frame, event, line, stack)
        return
    path: Path
    if frame is None:
        path = ()
    elif isinstance(frame.container, dict):
        path = (*frame.path, frame.key or "")
    else:
        path = (*frame.path, len(frame.container))
    document.lines.setdefault(path, line)
    value: Any
    if isinstance(event, yaml.ScalarEvent):
        try:
            value = scalars.value(event)
        except (ValueError, OverflowError, LookupError, yaml.YAMLError):
            document.problems.append(
                StackProblem(line, f"this is not a value of type {_type(event.tag)}; put it in quotes")
            )
            value = None
        if isinstance(value, str) and "\0" in value:  # no path, name or address can hold one
            document.problems.append(StackProblem(line, "a zero byte; no name and no path can hold one"))
            value = ""
    else:
        value = {} if isinstance(event, yaml.MappingStartEvent) else []
        stack.append(_Frame(value, path))
    if frame is None:
        document.value = value
    elif isinstance(frame.container, dict):
        frame.container[frame.key] = value
        frame.awaiting_key = True
    else:
        frame.container.append(value)


def _type(tag: str | None) -> str:
    """Return the name of one of YAML's own types; another tag may be anything and is not quoted."""
    own = "tag:yaml.org,2002:"
    return tag.removeprefix(own) if tag and tag.startswith(own) else "number"


def _key(document: Document, frame: _Frame, event: Any, line: int, stack: list[_Frame]) -> None:
    if not isinstance(event, yaml.ScalarEvent):
        document.problems.append(StackProblem(line, "a list or mapping cannot be a key"))
        stack.append(_Frame({} if isinstance(event, yaml.MappingStartEvent) else [], (*frame.path, "?")))
        frame.key, frame.awaiting_key = "?", False
        return
    key = event.value.replace("\0", "?")
    path = (*frame.path, key)
    if key in frame.container:
        document.problems.append(
            StackProblem(line, f"key {shown_key(key)} is written twice; first on line {document.line(path)}")
        )
    document.lines.setdefault(path, line)
    frame.key, frame.awaiting_key = key, False
