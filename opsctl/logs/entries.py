"""From lines to entries: what belongs together is put together. Pure; never raises."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from opsctl.logs.formats import ERROR_LEVELS, MAX_LINE, READERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_BODY_LINES = 400
_CONTINUES = re.compile(
    r"[ \t]|Traceback \(most recent call last\)|During handling of the above|The above exception was"
    r"|Caused by:|\.\.\. \d+ more|#\d+ |\[stacktrace\]|\[previous exception\]|\"\}|\[SQL: "
    r"|\(Background on this|\[parameters: |DETAIL: |HINT: |LINE \d|-->|\^|\}|$"
)
_EXCEPTION = re.compile(
    r"(?:[\w.$\\]{0,200}[.\\])?[A-Z]\w{0,80}(?:Error|Exception|Exit|Interrupt|Timeout|Refused|Conflict|Violation"
    r"|Failure|Disconnect)\w{0,30}(?::|\(|$)"
)
_LAST_OF_TRACEBACK = re.compile(r"[A-Za-z_][\w.]{2,200}(?::\s|$)")
_TRACEBACK = "Traceback (most recent call last)"


class Line(NamedTuple):
    """A line as it was stored; `time` and `level` are the store's own, where it keeps any."""

    text: str
    time: float | None = None
    level: str = ""


@dataclass(slots=True)
class Entry:
    """One event of the log. `exception` is the last exception's own line, where there was one."""

    time: float | None
    naive: bool
    level: str
    message: str
    exception: str = ""
    detail: str = ""
    lines: int = 1
    traceback: bool = False

    @property
    def is_error(self) -> bool:
        """Whether the entry itself says that something failed."""
        return self.level in ERROR_LEVELS or (self.traceback and self.level != "debug")

    @property
    def key(self) -> str:
        """The text that tells events apart: the message, and the exception that ended it."""
        first = self.message.split("\n", 1)[0]
        if self.exception and self.exception not in first:
            return f"{first} | {self.exception}" if first else self.exception
        return first


@dataclass
class Assembly:
    """Entries of a log, and how much of it was understood."""

    entries: list[Entry] = field(default_factory=list)
    parsed: int = 0
    unparsed: int = 0


def assemble(lines: Iterable[Line], format: str) -> Assembly:
    """Return the entries of lines in the order in which they were written."""
    read = READERS[format]
    result = Assembly()
    current: Entry | None = None
    for line in lines:
        text = line.text[:MAX_LINE]
        head = read(text) if text and text[0] not in " \t" else None
        if head is not None and head.joins and current is not None:
            _add_body(current, text, head.message)
            result.parsed += 1
        elif head is not None:
            known = line.time is not None
            message, _, body = head.message.partition("\n")
            current = Entry(
                line.time if known else head.time,
                False if known else head.naive,
                head.level or line.level,
                message,
            )
            for extra in body.split("\n")[:MAX_BODY_LINES] if body else ():
                _add_body(current, extra, "")
            result.entries.append(current)
            result.parsed += 1
        elif current is not None and _belongs(current, text, format, line):
            _add_body(current, text, "")
            result.parsed += 1
        elif not text.strip():
            continue
        else:
            current = Entry(line.time, False, line.level, text)
            if text.startswith(_TRACEBACK):
                current.traceback, current.message = True, ""
            elif _EXCEPTION.match(text):
                current.exception = text
            result.entries.append(current)
            result.unparsed += 1
    return result


def _belongs(current: Entry, text: str, format: str, line: Line) -> bool:
    """Return whether a line without a head goes on with the entry above."""
    if format in ("laravel", "postgres", "nginx-error"):
        return True
    if _CONTINUES.match(text):
        return True
    return current.traceback and bool(_LAST_OF_TRACEBACK.match(text))


def _add_body(entry: Entry, text: str, detail: str) -> None:
    entry.lines += 1
    if entry.lines > MAX_BODY_LINES:
        return
    if detail and not entry.detail:
        entry.detail = detail
    if text.startswith(_TRACEBACK):
        entry.traceback = True
    elif (_LAST_OF_TRACEBACK if entry.traceback else _EXCEPTION).match(text):
        entry.exception = text[:1000]


def with_zone(entries: list[Entry], offset: int) -> None:
    """Shift naive times by a zone's offset, in place."""
    for entry in entries:
        if entry.naive and entry.time is not None:
            entry.time -= offset


def with_carried_times(entries: list[Entry]) -> None:
    """Give entries without a time the time of the entry before, in place."""
    last: float | None = None
    for entry in entries:
        if entry.time is None:
            entry.time = last
        else:
            last = entry.time


def error_run_at_end(entries: list[Entry]) -> Iterator[Entry]:
    """Yield the errors that are the very last entries: those that a log without times dates by itself."""
    for entry in reversed(entries):
        if not entry.is_error:
            return
        yield entry
