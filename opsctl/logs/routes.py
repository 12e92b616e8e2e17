"""From a request's path to its route: what names one thing among many becomes a placeholder. Bounded.

A route gets its name with the first answer that is no client's error, so that strangers who try paths
leave none behind. Where a folder has shown more than `MOST_CHILDREN` names, further ones are `:name`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from opsctl.logs.signs import API_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_ROUTES = 60
MOST_CHILDREN = 20
MOST_PREFIXES = 500
MOST_SEGMENTS = 8
OTHER = "other"

_FILE = re.compile(
    r".*\.(js|mjs|css|map|png|jpe?g|gif|svg|webp|avif|ico|woff2?|ttf|otf|eot|mp4|webm|mp3|pdf|txt|xml|json"
    r"|wasm|zip|gz|csv|xlsx?|docx?)",
    re.I,
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.I)
_HASH = re.compile(r"(?=[a-f]*\d)[0-9a-f]{8,}", re.I)
_DATE = re.compile(r"\d{4}-\d\d(?:-\d\d)?")
_WORD = re.compile(r"[\w.~-]+", re.ASCII)
_TWO_DIGITS = re.compile(r"\d\D*\d")
SHORT_WORD, LONGEST_WORD = 11, 40


def placeholder(segment: str) -> str:
    """Return what stands for one part of a path: itself where it is a plain word. Pure."""
    length = len(segment)
    if length <= SHORT_WORD and segment.isalpha() and segment.isascii():
        return segment
    if segment.isdecimal():
        return ":id"
    if not _WORD.fullmatch(segment):
        return ":email" if "@" in segment else ":slug"
    if length >= 8 and _HASH.fullmatch(segment):
        return ":hash"
    digits = _TWO_DIGITS.search(segment) is not None
    if digits:
        if API_VERSION.match(segment):
            return segment
        if length == 36 and _UUID.fullmatch(segment):
            return ":uuid"
        if length in (7, 10) and _DATE.fullmatch(segment):
            return ":date"
    if length > SHORT_WORD and _mixed(segment):
        return ":token"
    return ":slug" if digits or length > LONGEST_WORD else segment


def _mixed(segment: str) -> bool:
    """Return whether it looks drawn by lot: capitals and small letters are mixed."""
    if segment.islower() or segment.isupper():
        return False
    capitals = sum(map(str.isupper, segment))
    return 1 < capitals < len(segment) - 1


def segments(path: str) -> list[str]:
    """Return the parts of a path with placeholders; the first is empty, and the last after a `/`. Pure."""
    parts = path.split("/", MOST_SEGMENTS + 1)
    if len(parts) > MOST_SEGMENTS:
        parts = [*parts[:MOST_SEGMENTS], ":rest"]
    last = len(parts) - 1
    result = [""]
    for at, part in enumerate(parts[1:], 1):
        if not part:
            if at == last:
                result.append("")
            continue
        file = _FILE.fullmatch(part) if at == last and "." in part else None
        if file is not None:
            result.append(f":file.{file.group(1).lower()}")
        else:
            result.append(part if part == ":rest" else placeholder(part))
    return result


class RoutesState(msgspec.Struct, kw_only=True):
    """What was learned of the routes."""

    names: list[str] = []
    children: dict[str, list[str]] = {}


class Routes:
    """The routes of one nginx.

    Args:
        state: what another process has learned.
        redact: takes secrets out of a text; a path that holds any gets no name.
        most: how many routes get names.
    """

    def __init__(
        self, state: RoutesState | None = None, redact: Callable[[str], str] = str, most: int = MOST_ROUTES
    ) -> None:
        state = state or RoutesState()
        self._most, self._redact = most, redact
        self._names = dict.fromkeys(state.names)
        self._children = {prefix: set(names) for prefix, names in state.children.items()}

    @property
    def full(self) -> bool:
        """Whether no further route gets a name."""
        return len(self._names) >= self._most

    def name(self, target: str, good: bool) -> str:
        """Return the route of a request's target.

        Args:
            target: as in the request line: a path, perhaps with a query.
            good: whether it was answered, so that a new name may be learned.
        """
        path = target.partition("?")[0].partition("#")[0]
        if not path.startswith("/"):
            return OTHER
        parts = segments(path)
        route = self._collapsed(parts, False)
        if route in self._names:
            return route
        if not good or self.full or self._redact(path) != path:
            return OTHER
        route = self._collapsed(parts, True)
        self._names[route] = None
        return route

    def state(self) -> RoutesState:
        """Return what was learned."""
        return RoutesState(
            names=list(self._names),
            children={prefix: sorted(names) for prefix, names in self._children.items()},
        )

    def _collapsed(self, parts: list[str], learn: bool) -> str:
        route = ""
        for part in parts[1:]:
            if part and part[0] != ":":
                names = self._children.get(route)
                if names is None:
                    if learn and len(self._children) < MOST_PREFIXES:
                        self._children[route] = {part}
                elif part not in names:
                    if len(names) >= MOST_CHILDREN:
                        part = ":name"
                    elif learn:
                        names.add(part)
            route = f"{route}/{part}"
        return route or "/"
