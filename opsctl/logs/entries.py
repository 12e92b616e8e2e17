"""From lines to entries: what belongs together is put together. Pure; never raises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from opsctl.logs.formats import READERS
from opsctl.logs.heads import ERROR_LEVELS, MAX_LINE
from opsctl.logs.patterns import Pattern
from opsctl.logs.signs import Signs, requested_route

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opsctl.logs.heads import Head

MAX_BODY_LINES = 400
HEADED = frozenset({"laravel", "postgres", "nginx-error"})
"""Formats in which each entry begins with a head, and what has none goes on with the entry above."""
_CONTINUES = Pattern(
    r"[ \t]|Traceback \(most recent call last\)|During handling of the above|The above exception was"
    r"|Caused by:|\.\.\. \d+ more|#\d+ |\[stacktrace\]|\[previous exception\]|\"\}|\[SQL: "
    r"|\(Background on this|\[parameters: |DETAIL: |HINT: |LINE \d|-->|\^|\}|$"
    r"|Multiple connection attempts failed|- host: "
)
JOINS = Pattern(r"\b(?:DETAIL|HINT|STATEMENT|CONTEXT|QUERY|LOCATION):\s")
_GROUP = Pattern(r"^(?: {0,80}\| ?){1,8}")
"""The bars that Python draws before the lines of exception groups."""
_EXCEPTION = Pattern(
    r"(?:[\w.$\\]{0,200}[.\\])?[A-Z]\w{0,80}(?:Error|Exception|Exit|Interrupt|Timeout|Refused|Conflict|Violation"
    r"|Failure|Disconnect)\w{0,30}(?::|\(|$)"
)
_LAST_OF_TRACEBACK = Pattern(r"[A-Za-z_][\w.]{2,200}(?::\s|$)")
_TRACEBACK = "Traceback (most recent call last)"
_GROUP_BEGINS = Pattern(r" *\+ Exception Group Traceback")


class Line(NamedTuple):
    """A line as it was stored; `time` and `level` are the store's own, where it keeps any."""

    text: str
    time: float | None = None
    level: str = ""


@dataclass(slots=True)
class Entry:
    """One event of the log.

    `exception` is the last exception's own line, where there was one; `quiet_before` is how many
    entries without any word of failure were passed over before it. `undated` says that it may be
    of now and that this cannot be told. `route` is the request that failed, `passed` how many good
    answers to it stood before this entry, `back` and `started` how many words of recovery.
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
    undated: bool = False
    route: str = ""
    passed: int = 0
    back: int = 0
    started: int = 0

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
    """Entries of a log, how much of it was understood, and the signs of recovery up to its end."""

    entries: list[Entry] = field(default_factory=list)
    signs: Signs = field(default_factory=Signs)
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
_JSON_FAILURE = Pattern(r'"(?:level|severity|lvl)\w*":\s?[4-6]\d|"\w{0,20}status\w{0,20}":\s?"?5\d\d')
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
    signs = result.signs
    current: Entry | None = None
    quiet, understood = SAMPLE, True
    passed: Line | None = None
    for line in lines:
        text = line.text[:MAX_LINE]
        first = text[:1]
        if quiet < SAMPLE and is_head(text, first, format) and not may_fail(text):
            result.count(understood)
            if format == "postgres" and JOINS.search(text, 0, 300):
                continue  # goes with the entry above, whichever that is
            signs.active = signs.active or _tells_of_failure(current)
            if signs.active:
                signs.see(text)
            quiet, passed, current = quiet + 1, line, None
            continue
        head = read(text) if first and first not in " \t" else None
        if head is not None and head.joins:
            if current is not None:
                add_body(current, text, head.message)
            result.count(True)
            continue
        if head is None and (not text.strip() or (passed is not None and belongs(None, text, format))):
            continue
        if head is None and current is not None and belongs(current, text, format):
            add_body(current, text, "")
            result.count(True)
            continue
        if head is None and format in HEADED:  # the end of an entry that was cut, or another format
            result.count(False)
            continue
        signs.active = signs.active or _tells_of_failure(current)
        understood = head is not None
        current = unread_entry(line, text) if head is None else entry_of(line, head)
        current.quiet_before = quiet if result.entries else 0
        _note_signs(signs, current, text)
        quiet, passed = 0, None
        result.count(understood)
        result.entries.append(current)
    if passed is not None:
        head = read(passed.text[:MAX_LINE])
        last = entry_of(passed, head) if head is not None else unread_entry(passed, passed.text)
        last.quiet_before = quiet - 1
        result.entries.append(last)
    return result


def is_head(text: str, first: str, format: str) -> bool:
    """Return whether a line begins an entry for certain, by its first characters alone."""
    if format == "laravel":
        return first == "[" and text[5:6] == "-" and text.find("] ", 20, 40) > 0
    if format in ("postgres", "nginx-error"):
        return first.isdigit() and text[4:5] in ("-", "/") and text[13:14] == ":"
    return first.isdigit() or first == "{" or (first == "I" and text.startswith("INFO:"))


def _tells_of_failure(entry: Entry | None) -> bool:
    """Return whether an entry makes it worth looking for signs of recovery."""
    return entry is not None and (entry.is_error or entry.level in ("", "warning"))


def _note_signs(signs: Signs, entry: Entry, text: str) -> None:
    """Tell the signs of an entry, and the entry what they have counted before it."""
    if entry.route:
        signs.failed(entry.route)
    elif signs.active and entry.level in ("", "info", "debug"):
        signs.see(text)
    entry.passed = signs.passed.get(entry.route, 0)
    late = signs.came_late(text)
    entry.back, entry.started = signs.back - late, signs.started - late


def entry_of(line: Line, head: Head) -> Entry:
    """Return the entry that begins with a line."""
    known = line.time is not None
    message, _, body = head.message.partition("\n")
    entry = Entry(
        line.time if known else head.time, head.naive and not known, head.level or line.level, message
    )
    entry.route = head.route
    for extra in body.split("\n")[:MAX_BODY_LINES] if body else ():
        add_body(entry, extra, "")
    return entry


def unread_entry(line: Line, text: str) -> Entry:
    """Return the entry of a line that is of no format."""
    entry = Entry(line.time, False, line.level, text, route=requested_route(text))
    if text.startswith(_TRACEBACK):
        entry.traceback, entry.message = True, ""
    elif _EXCEPTION.match(text):
        entry.exception = text[:1000]
    return entry


def belongs(current: Entry | None, text: str, format: str) -> bool:
    """Return whether a line without a head goes on with the entry above."""
    if format in HEADED:
        return True
    if _CONTINUES.match(text):
        return True
    if current is None:
        return False
    if current.traceback:
        return bool(_LAST_OF_TRACEBACK.match(text))
    return current.is_error and not current.exception and bool(_EXCEPTION.match(text))


def add_body(entry: Entry, text: str, detail: str) -> None:
    """Add a line to the entry that it goes on with."""
    entry.lines += 1
    if entry.lines > MAX_BODY_LINES:
        return
    if detail and not entry.detail:
        entry.detail = detail
    if entry.traceback and text[:8].lstrip()[:1] == "|":
        text = _GROUP.sub("", text, count=1)
    text = text.removeprefix("Caused by: ")
    if text.startswith(_TRACEBACK) or _GROUP_BEGINS.match(text):
        entry.traceback = True
    elif text.startswith("Error: ") or (_LAST_OF_TRACEBACK if entry.traceback else _EXCEPTION).match(text):
        entry.exception = text[:1000]
