"""nginx' `log_format` to what reads its lines: a pattern that finds the fields that are counted. Pure.

Understood: any format with the request (or its method and path) and the status; JSON is one of these
when its `log_format` is known, and is read by the names of its keys when not.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opsctl.probes.nginx_config import Directive

COMBINED = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent"'
)
"""What nginx writes where nothing else is said (ngx_http_log_module, `combined`)."""

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_NAMES = {
    "request": ("request",),
    "method": ("request_method", "method"),
    "uri": ("request_uri", "uri", "document_uri", "path", "url"),
    "status": ("status", "status_code"),
    "size": ("body_bytes_sent", "bytes_sent", "bytes", "size"),
    "time": ("request_time", "request_duration", "duration"),
    "upstream_time": ("upstream_response_time", "upstream_time"),
    "upstream": ("upstream_addr", "upstream"),
}
"""What is counted -> the variables, and the keys of JSON, that hold it, the best first."""
_ATTEMPTS = rb"[^ ,\n]+(?:(?:, | : )[^ ,\n]+)*"
"""One value per upstream that was tried: `10.0.0.1:80, 10.0.0.2:80 : 10.0.0.3:80`."""


class Row(NamedTuple):
    """What a line says of one request, as it stands there; empty where the format does not have it."""

    target: bytes
    """The method and the path with a space between; the path's query where it does not end the field."""
    status: bytes
    size: bytes
    time: bytes
    upstream_time: bytes
    upstream: bytes


class Format:
    """Reads lines of one format.

    Attributes:
        has_time: whether the lines say how long requests took.
    """

    has_time = False

    def rows(self, data: bytes) -> list[tuple[bytes, ...]]:
        """Return a `Row` for each line that is of the format; lines have their ends."""
        raise NotImplementedError


class _Template(Format):
    def __init__(self, pattern: bytes, order: dict[str, int]) -> None:
        self._find = re.compile(pattern, re.M).findall
        self.has_time = "time" in order
        self._plain = "request" in order
        places = [
            order.get(name) for name in ("request", "status", "size", "time", "upstream_time", "upstream")
        ]
        self._order = order
        self._getter: Callable[[Any], tuple[bytes, ...]] | None = None
        self._as_found = places == list(range(len(places)))
        if self._plain and all(place is not None for place in places):
            self._getter = operator.itemgetter(*[place for place in places if place is not None])
        self._places = places

    def rows(self, data: bytes) -> list[tuple[bytes, ...]]:
        found: list[tuple[bytes, ...]] = self._find(data)
        if self._as_found:
            return found
        if self._getter is not None:
            return list(map(self._getter, found))
        if self._plain:
            request, status, size, time, upstream_time, upstream = (
                -1 if place is None else place for place in self._places
            )
            # the last group always matches nothing: what a format lacks is read there
            return [
                (row[request], row[status], row[size], row[time], row[upstream_time], row[upstream])
                for row in found
            ]
        method, uri = self._order.get("method", -1), self._order["uri"]
        _, status, size, time, upstream_time, upstream = (
            -1 if place is None else place for place in self._places
        )
        return [
            (
                row[method] + b" " + row[uri],
                *(row[status], row[size], row[time], row[upstream_time], row[upstream]),
            )
            for row in found
        ]


def compiled(template: str, escape: str = "default") -> Format | None:
    """Return what reads a `log_format`; None where it does not say what is counted.

    Args:
        template: the format, its strings joined.
        escape: default, json or none.
    """
    pattern, order = [b"^"], dict[str, int]()
    pieces = _VARIABLE.split(template)
    wanted = {name: role for role, names in _NAMES.items() for name in reversed(names)}
    taken: dict[str, str] = {}
    for name in (pieces[at] or pieces[at + 1] for at in range(1, len(pieces), 3)):
        role = wanted.get(name)
        if role and (role not in taken or _NAMES[role].index(name) < _NAMES[role].index(taken[role])):
            taken[role] = name
    if "status" not in taken or not ({"request", "uri"} & taken.keys()):
        return None
    pattern.append(re.escape(pieces[0].encode()))
    for at in range(1, len(pieces), 3):
        name, literal = pieces[at] or pieces[at + 1], pieces[at + 2].encode()
        role = wanted.get(name, "")
        body = _value(name, role, literal, escape)
        if role and taken.get(role) == name and role not in order:
            order[role] = len(order)
            pattern.append(b"(" + body + b")")
        else:
            pattern.append(b"(?:" + body + b")")
        pattern.append(re.escape(literal))
    complete = all(
        name in order for name in ("request", "status", "size", "time", "upstream_time", "upstream")
    )
    pattern.append(rb"\r?$" if complete else rb"\r?$()")
    try:
        return _Template(b"".join(pattern), order)
    except re.error:
        return None


def _value(name: str, role: str, literal: bytes, escape: str) -> bytes:
    """Return the pattern of one variable that is followed by a literal."""
    end = literal[:1]
    if end == b'"' and role == "request" and escape != "json":
        return rb'[^"? \n]*(?: [^"? \n]*)?)(?:[^"\n]*'  # the group ends before the query and the protocol
    if end == b'"':
        return rb'(?:[^"\\\n]|\\.)*' if escape == "json" else rb'[^"\n]*'
    if name.startswith("upstream_"):
        return _ATTEMPTS
    if role in ("status", "size", "time") or end == b" " or not end:
        if name == "remote_user":
            return rb"[^\n]*?"
        return rb"[^ \n]*" if end in (b" ", b"") else rb"[^ \n]*?"
    return rb"[^" + re.escape(end) + rb"\n]*"


class _Json(Format):
    """Lines that are JSON objects with nginx' names, or others', as keys."""

    has_time = True

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(dict[str, Any]).decode

    def rows(self, data: bytes) -> list[tuple[bytes, ...]]:
        return list(self._rows(data.split(b"\n")))

    def _rows(self, lines: Iterable[bytes]) -> Iterator[tuple[bytes, ...]]:
        for line in lines:
            if line[:1] != b"{":
                continue
            try:
                value = self._decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            found = {
                role: next((value[name] for name in names if name in value), "")
                for role, names in _NAMES.items()
            }
            target = found["request"] or f"{found['method']} {found['uri']}"
            if found["status"] == "" or target == " ":
                continue
            yield tuple(
                str(part).encode("utf-8", "replace")
                for part in (
                    *(target, found["status"], found["size"]),
                    *(found["time"], found["upstream_time"], found["upstream"]),
                )
            )


class _Any(Format):
    """Lines of which only is known that nginx wrote them: combined with anything behind it, or JSON."""

    _LINE = (
        rb'^[^"\n]*"([^"? \n]*(?: [^"? \n]*)?)[^"\n]*" (\d{3}) (\d+|-)'
        rb'(?: [^\n]*?\b(?:rt|request_time)[=:]"?(\d+\.\d+))?[^\n]*$()'
    )

    def __init__(self) -> None:
        self._template = _Template(self._LINE, {"request": 0, "status": 1, "size": 2, "time": 3})
        self._json = _Json()

    def rows(self, data: bytes) -> list[tuple[bytes, ...]]:
        found = self._template.rows(data)
        return found + self._json.rows(data) if data[:1] == b"{" or b"\n{" in data else found


def guessing() -> Format:
    """Return what reads lines whose format nobody has told."""
    return _Any()


def of_configuration(directives: Iterable[Directive]) -> tuple[dict[str, Format], list[str]]:
    """Return what reads each access log that a configuration writes, and the logs that tell of all requests.

    Where one block writes several, these hold only the first file: they tell of the same requests.
    """
    items = list(directives)
    formats = {"combined": compiled(COMBINED)}
    for item in items:
        if item.name == "log_format" and len(item.arguments) > 1:
            escape = next((word[7:] for word in item.arguments[1:2] if word.startswith("escape=")), "")
            text = "".join(item.arguments[2 if escape else 1 :])
            formats[item.arguments[0]] = compiled(text, escape or "default")
    found: dict[str, Format] = {}
    first: dict[int, str] = {}
    last: dict[int, int] = {}
    for at, item in enumerate(items):
        depth = len(item.blocks)
        last[depth] = at
        block = last.get(depth - 1, -1)  # what opened the block stands before all that is in it
        if item.name != "access_log" or not item.arguments:
            continue
        path, *options = item.arguments
        if not path.startswith("/") or "$" in path:
            continue
        named = options[0] if options and "=" not in options[0] else "combined"
        found.setdefault(path, formats.get(named) or guessing())
        if not path.startswith(("/dev/", "/proc/")):
            first.setdefault(block, path)
    return found, list(dict.fromkeys(first.values()))
