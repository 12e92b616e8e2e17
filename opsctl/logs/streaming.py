"""From lines to entries as the lines come, however they are cut into pieces. Bounded; never raises.

Says the same as `entries.assemble` of what failed, and keeps nothing of what did not. An entry is
handed on when the next one begins, or when nothing has come for a while; what still belongs to it
then is passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from opsctl.logs.entries import (
    HEADED,
    JOINS,
    Entry,
    Line,
    add_body,
    belongs,
    entry_of,
    is_head,
    may_fail,
    unread_entry,
)
from opsctl.logs.formats import READERS
from opsctl.logs.heads import MAX_LINE

if TYPE_CHECKING:
    from collections.abc import Callable


class OpenEntry(msgspec.Struct, kw_only=True):
    """What must be known of the last entry to tell what goes on with it."""

    level: str
    traceback: bool
    exception: bool


class Assembler:
    """Puts lines together.

    Args:
        format: the log's format.
        take: is given each entry once, as far as it had come.
        known: the last entry of another process, which has counted it.
    """

    def __init__(self, format: str, take: Callable[[Entry], None], known: OpenEntry | None = None) -> None:
        self._format, self._read, self._take = format, READERS[format], take
        self._current: Entry | None = None
        self._taken = self._passed = False
        self.unparsed = 0
        if known is not None:
            self._current = Entry(None, False, known.level, "")
            self._current.traceback = known.traceback
            self._current.exception = "(known)" if known.exception else ""
            self._taken = True

    def add(self, line: Line) -> None:
        """Take in the next line."""
        text = line.text[:MAX_LINE]
        first = text[:1]
        if is_head(text, first, self._format) and not may_fail(text):
            if self._format == "postgres" and JOINS.search(text, 0, 300):
                return
            self.end()
            self._current, self._passed = None, True
            return
        head = self._read(text) if first and first not in " \t" else None
        current = self._current
        if head is not None and head.joins:
            if current is not None:
                add_body(current, text, head.message)
            return
        if head is None:
            if not text.strip() or (self._passed and belongs(None, text, self._format)):
                return
            if current is not None and belongs(current, text, self._format):
                add_body(current, text, "")
                return
            self.unparsed += 1
            if self._format in HEADED:
                return
        self.end()
        self._current = unread_entry(line, text) if head is None else entry_of(line, head)
        self._taken = self._passed = False

    def end(self) -> None:
        """Hand on the entry that is open; what follows may still belong to it."""
        if self._current is not None and not self._taken:
            self._taken = True
            self._take(self._current)

    def open_entry(self) -> OpenEntry | None:
        """Return what another process must know to go on here; call `end` before."""
        current = self._current
        if current is None:
            return None
        return OpenEntry(level=current.level, traceback=current.traceback, exception=bool(current.exception))
