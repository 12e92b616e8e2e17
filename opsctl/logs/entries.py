"""From lines to entries: what belongs together is put together. Pure; never raises."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from opsctl.logs.formats import ERROR_LEVELS, MAX_LINE, READERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opsctl.logs.formats import Head

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
    """One event of the log.

    `exception` is the last exception's own line, where there was one; `quiet_before` is how many
    entries without any word of failure were passed over before it.
    """

    time: float | None
    naive: bool
    level: str
    message: str
    exception: str = ""
    detail: str = ""
    lines: int = 1
    traceback: bool = False
    quiet_before: int = 0

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

    def count(self, understood: bool) -> None:
        """Count one line."""
        if understood:
            self.parsed += 1
        else:
            self.unparsed += 1


_FAILURE_WORDS = (
    "err", "warn", "fatal", "crit", "alert", "emerg", "panic", "exce", "fail", "refus", "conflict", "denied",
    "timed out", "timeout", "trace", "terminated", "detail:", '" 5', " # ",
)  # fmt: skip
_JSON_FAILURE = re.compile(r'"(?:level|severity|lvl)\w*":\s?[4-6]\d|"\w{0,20}status\w{0,20}":\s?"?5\d\d')
SAMPLE = 50


def may_fail(text: str) -> bool:
    """Return whether a line could be about a failure: cheap, and wrong only on the safe side."""
    lowered = text.lower()
    return any(word in lowered for word in _FAILURE_WORDS) or (
        text[0] == "{" and _JSON_FAILURE.search(lowered) is not None
    )


def assemble(lines: Iterable[Line], format: str) -> Assembly:
    """Return the entries of lines in the order in which they were written.

    Lines without any word of failure are nearly all lines of nearly all logs: they are counted
    and passed over, but for the first, each `SAMPLE`th and the last.
    """
    read = READERS[format]
    result = Assembly()
    current: Entry | None = None
    quiet, understood = SAMPLE, True
    passed: Line | None = None
    for line in lines:
        text = line.text[:MAX_LINE]
        first = text[:1]
        if quiet < SAMPLE and (first.isdigit() or first == "{") and not may_fail(text):
            quiet, passed, current = quiet + 1, line, None
            result.count(understood)
            continue
        head = read(text) if first and first not in " \t" else None
        if head is not None and not (head.joins and current is not None):
            current, understood = _entry(line, head), True
        elif head is not None and current is not None:
            _add_body(current, text, head.message)
            result.count(True)
            continue
        elif not text.strip() or (passed is not None and _belongs(None, text, format)):
            continue
        elif current is not None and _belongs(current, text, format):
            _add_body(current, text, "")
            result.count(True)
            continue
        else:
            current, understood = _unread(line, text), False
        current.quiet_before = quiet if result.entries else 0
        quiet, passed = 0, None
        result.count(understood)
        result.entries.append(current)
    if passed is not None:
        head = read(passed.text[:MAX_LINE])
        last = _entry(passed, head) if head is not None else _unread(passed, passed.text)
        last.quiet_before = quiet - 1
        result.entries.append(last)
    return result


def _entry(line: Line, head: Head) -> Entry:
    known = line.time is not None
    message, _, body = head.message.partition("\n")
    entry = Entry(
        line.time if known else head.time, head.naive and not known, head.level or line.level, message
    )
    for extra in body.split("\n")[:MAX_BODY_LINES] if body else ():
        _add_body(entry, extra, "")
    return entry


def _unread(line: Line, text: str) -> Entry:
    entry = Entry(line.time, False, line.level, text)
    if text.startswith(_TRACEBACK):
        entry.traceback, entry.message = True, ""
    elif _EXCEPTION.match(text):
        entry.exception = text[:1000]
    return entry


def _belongs(current: Entry | None, text: str, format: str) -> bool:
    """Return whether a line without a head goes on with the entry above."""
    if format in ("laravel", "postgres", "nginx-error"):
        return True
    if _CONTINUES.match(text):
        return True
    if current is None:
        return False
    if current.traceback:
        return bool(_LAST_OF_TRACEBACK.match(text))
    return current.is_error and not current.exception and bool(_EXCEPTION.match(text))


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
