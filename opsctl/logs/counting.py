"""Counts the errors of a log by class and by kind as its lines come. Bounded; counts never go down.

A kind of error has a series of its own once it is among the first `FIRST_SHOWN`, or has come
`OFTEN` times while there is room; until then it is counted under `other`, and what was counted
there stays there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from opsctl.facts.logs import LogTemplateTotal
from opsctl.logs.analysis import MAX_TEXT, failed, meaning_of_entry, tells_of_failure
from opsctl.logs.classes import CLASSES, CLIENT, Meaning, meaning, meaning_of_warning
from opsctl.logs.entries import Line
from opsctl.logs.heads import MAX_LINE
from opsctl.logs.streaming import Assembler, OpenEntry
from opsctl.logs.templates import MAX_GROUPS, MAX_WORDS, Group, Templates, identity, mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opsctl.logs.entries import Entry

MOST_SHOWN = 50
FIRST_SHOWN = 30
OFTEN = 20
OTHER = "other"
_REMEMBERED, _TEXT_LIMIT = 500, 500
_MAYBE = (b'" 5', b"[error]", b"[crit]", b"[alert]", b"[emerg]", b"[warn]")
"""What stands in each line of an access log, or of an error log mixed into it, that may be an error."""


class KnownTemplate(msgspec.Struct, kw_only=True):
    """A kind of error as it is kept on disk; its texts are redacted."""

    id: str
    category: str
    peer: str
    marker: str
    text: str
    level: str
    words: list[str]
    count: int


class ErrorState(msgspec.Struct, kw_only=True):
    """All that was counted of one log."""

    lines: int = 0
    unparsed: int = 0
    bytes: int = 0
    errors: dict[str, int] = {}
    rest: dict[str, int] = {}
    templates: list[KnownTemplate] = []
    open: OpenEntry | None = None


@dataclass(slots=True)
class _Shown:
    """A kind of error that has a series of its own."""

    id: str
    text: str
    level: str
    group: Group
    count: int = 0


class ErrorCounter:
    """Counts the errors in one log.

    Args:
        format: the log's format.
        redact: makes texts safe to keep.
        state: what another process has counted.
    """

    def __init__(self, format: str, redact: Callable[[str], str], state: ErrorState | None = None) -> None:
        state = state or ErrorState()
        self._format, self._redact = format, redact
        self._templates = Templates(_REMEMBERED, _TEXT_LIMIT)
        self._assembler = Assembler(format, self._take, state.open)
        self._assembler.unparsed = state.unparsed
        self.lines, self.bytes = state.lines, state.bytes
        self._errors = {**dict.fromkeys(CLASSES, 0), **state.errors}
        self._rest = {**dict.fromkeys(CLASSES, 0), **state.rest}
        self._shown: dict[int, _Shown] = {}
        self._by_id: dict[str, _Shown] = {}
        self._unnamed: dict[int, int] = {}
        for known in state.templates:
            group = self._templates.restore(
                known.words, known.level, Meaning(known.category, known.peer, known.marker)
            )
            self._show(group, _Shown(known.id, known.text, known.level, group, known.count))

    @property
    def unparsed(self) -> int:
        """Lines that were not of the log's format."""
        return self._assembler.unparsed

    @property
    def errors(self) -> dict[str, int]:
        """Errors by class."""
        return dict(self._errors)

    def feed(self, data: bytes) -> None:
        """Take in whole lines, each with its end; bytes that are no UTF-8 are replaced."""
        self.bytes += len(data)
        self.lines += data.count(b"\n")
        if self._format == "nginx":
            self._feed_access(data)
            return
        add = self._assembler.add
        for raw in data[:-1].split(b"\n"):
            add(Line(raw[: MAX_LINE * 4].decode("utf-8", "replace").rstrip("\r")))

    def feed_lines(self, lines: Iterable[Line]) -> None:
        """Take in lines of a store that has levels of its own."""
        for line in lines:
            self.lines += 1
            self.bytes += len(line.text) + 1
            self._assembler.add(line)

    def _feed_access(self, data: bytes) -> None:
        """Look only at lines that may be errors: each is an entry by itself."""
        starts = sorted({data.rfind(b"\n", 0, at) + 1 for mark in _MAYBE for at in _places(data, mark)})
        for start in starts:
            raw = data[start : data.find(b"\n", start)]
            self._assembler.add(Line(raw[: MAX_LINE * 4].decode("utf-8", "replace").rstrip("\r")))
            self._assembler.end()

    def idle(self) -> None:
        """Count the entry that is open: nothing has come for a while."""
        self._assembler.end()

    def templates(self) -> list[LogTemplateTotal]:
        """Return the counts by kind, those without a name of their own by class at the end."""
        found = [
            LogTemplateTotal(
                id=item.id, category=item.group.meaning.category, text=item.text, count=item.count
            )
            for item in self._by_id.values()
        ]
        return found + [
            LogTemplateTotal(id=OTHER, category=category, count=count)
            for category, count in self._rest.items()
        ]

    def state(self) -> ErrorState:
        """Return all that was counted; an open entry is counted now."""
        self.idle()
        return ErrorState(
            lines=self.lines,
            unparsed=self.unparsed,
            bytes=self.bytes,
            errors=self.errors,
            rest=dict(self._rest),
            templates=[
                KnownTemplate(
                    id=item.id,
                    category=item.group.meaning.category,
                    peer=item.group.meaning.peer,
                    marker=item.group.meaning.marker,
                    text=self._redact(item.text),
                    level=item.level,
                    words=self._redact(item.group.text).split()[:MAX_WORDS] or ["(empty)"],
                    count=item.count,
                )
                for item in self._by_id.values()
            ],
            open=self._assembler.open_entry(),
        )

    def _take(self, entry: Entry) -> None:
        if not tells_of_failure(entry):
            return
        mere = not failed(entry)
        judge = meaning_of_warning if mere else meaning
        level = "warning" if mere else "error"
        group = self._templates.add(
            self._key(entry), level, lambda: meaning_of_entry(judge, entry, self._format)
        )
        category = group.meaning.category
        if category == CLIENT:
            return
        self._errors[category] = self._errors.get(category, 0) + 1
        shown = self._shown.get(id(group)) or self._name(group, level)
        if shown is None:
            self._rest[category] = self._rest.get(category, 0) + 1
        else:
            shown.count += 1

    def _key(self, entry: Entry) -> str:
        """Return what tells kinds apart; of a request that failed only its route and status."""
        at = entry.message.find('" 5') if self._format == "nginx" and entry.route else -1
        if at >= 0:
            return f'{entry.route}" {entry.message[at + 2 : at + 5]}'
        return entry.key[:MAX_LINE]

    def _name(self, group: Group, level: str) -> _Shown | None:
        """Return the series of a group that has none yet, where it gets one."""
        if len(self._templates.groups) >= MAX_GROUPS and group is self._templates.groups[-1]:
            return None  # the group of all the rest
        often = self._unnamed[id(group)] = self._unnamed.get(id(group), 0) + 1
        room = FIRST_SHOWN if often < OFTEN else MOST_SHOWN
        if often > 1 and len(self._by_id) >= room:
            return None
        text = mask(self._redact(group.first_text))[:MAX_TEXT] or "(empty)"
        name = identity(group.meaning.category, text)
        known = self._by_id.get(name)
        if known is None and len(self._by_id) >= room:
            return None
        self._unnamed.pop(id(group), None)
        return self._show(group, known or _Shown(name, text, level, group))

    def _show(self, group: Group, shown: _Shown) -> _Shown:
        self._shown[id(group)] = self._by_id[shown.id] = shown
        return shown


def _places(data: bytes, mark: bytes) -> Iterable[int]:
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + 1)
