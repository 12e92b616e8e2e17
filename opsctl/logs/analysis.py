"""From a log's lines to its facts: counts by class, templates, and how much was understood. Pure."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Any

from opsctl.facts.logs import LogTemplate
from opsctl.logs import entries as assembling
from opsctl.logs.classes import CLASSES, CLIENT, Meaning, meaning, meaning_of_warning
from opsctl.logs.templates import Group, Templates, mask
from opsctl.logs.times import zone_offset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opsctl.logs.entries import Assembly, Entry, Line

WINDOW_SECONDS = 600.0
RECENT_SECONDS = 60.0
HISTORY_SECONDS = 3600.0
"""How far back a log is read where the byte limit allows: what was never seen in it is new."""
MAX_TEMPLATES = 50
MAX_TEXT = 200
_LAST_TIMES = 10


class Analysis:
    """Takes in the lines of one or several logs and says what is in them.

    Args:
        format: the logs' format.
        now: unix seconds; entries from later are taken as of now.
        redact: makes texts safe to keep.
    """

    def __init__(self, format: str, now: float, redact: Callable[[str], str]) -> None:
        self._format, self._now, self._redact = format, now, redact
        self._templates = Templates()
        self._parsed = self._unparsed = self._entries = self._untimed = 0
        self._dated = False
        self._first: float | None = None
        self._last: float | None = None

    def add(self, lines: Iterable[Line], written_at: float | None = None) -> None:
        """Take in the lines of one log, oldest first.

        Args:
            lines: the lines.
            written_at: when the file was last changed; tells the zone of times without one.
        """
        found = assembling.assemble(lines, self._format)
        self._parsed += found.parsed
        self._unparsed += found.unparsed
        self._date(found, written_at)
        for entry in found.entries:
            self._take(entry)

    def _date(self, found: Assembly, written_at: float | None) -> None:
        """Put every entry's time right: zone, missing times, the end of a log without times."""
        if written_at is not None:
            naive = next((item.time for item in reversed(found.entries) if item.naive and item.time), None)
            if naive is not None:
                assembling.with_zone(found.entries, zone_offset(naive, written_at))
        self._dated = self._dated or any(item.time is not None for item in found.entries)
        assembling.with_carried_times(found.entries)
        if written_at is not None and found.entries and found.entries[-1].time is None:
            found.entries[-1].time = written_at
            for entry in assembling.error_run_at_end(found.entries):
                entry.time = written_at

    def _take(self, entry: Entry) -> None:
        at = None if entry.time is None else min(entry.time, self._now)
        if at is not None:
            self._first = at if self._first is None else min(self._first, at)
            self._last = at if self._last is None else max(self._last, at)
            if at >= self._now - WINDOW_SECONDS:
                self._entries += 1 + entry.quiet_before
        warning = entry.level == "warning" and not entry.traceback
        failed = entry.is_error or (entry.exception and not entry.level)
        bare = not entry.level and not failed and _sounds_like_failure(entry.message)
        if not (failed or warning or bare):
            return
        judge = meaning_of_warning if warning or bare else meaning
        group = self._templates.add(
            entry.key,
            "warning" if warning or bare else "error",
            lambda: _meaning(judge, entry, self._format),
        )
        if group.meaning.category == CLIENT:
            return
        group.last_text = entry.key
        group.fatal = group.fatal or _is_fatal(entry, group, self._format)
        if at is None:
            group.untimed += 1
            self._untimed += 1
        else:
            group.times.append(at)

    def values(self) -> dict[str, Any]:
        """Return the fields of `LogsFacts` that the lines give."""
        since = self._now - WINDOW_SECONDS
        errors = dict.fromkeys(CLASSES, 0)
        shown: list[LogTemplate] = []
        for group in self._templates.groups:
            within = sum(1 for at in group.times if at >= since)
            if within and group.meaning.category in errors:
                errors[group.meaning.category] += within
                shown.append(self._template(group, within))
        shown.sort(key=lambda item: (-item.recent, -item.count, item.id))
        return {
            "errors": errors,
            "entries": self._entries,
            "untimed_errors": 0 if self._dated else self._untimed,
            "lines_parsed": self._parsed,
            "lines_unparsed": self._unparsed,
            "last_entry_at": self._last,
            "covered_seconds": None if self._first is None else max(self._now - self._first, 0.0),
            "templates": _unique(shown)[:MAX_TEMPLATES],
            "taken_at": self._now,
        }

    def _template(self, group: Group, within: int) -> LogTemplate:
        """Redact first and mask and cut then: a secret that is cut or masked is no longer known."""
        example = self._redact(group.last_text)
        text = mask(self._redact(group.first_text))
        words = text.split()
        if len(words) == len(group.words):
            text = " ".join("<*>" if b == "<*>" else a for a, b in zip(words, group.words, strict=True))
        if group.words == ["(other", "errors)"]:
            text = "(other errors)"
        text = text[:MAX_TEXT] or "(empty)"
        times = sorted(group.times)
        last = [at for at in times if at >= self._now - WINDOW_SECONDS][-_LAST_TIMES:]
        gaps = [later - earlier for earlier, later in itertools.pairwise(last)]
        return LogTemplate(
            id=hashlib.blake2s(f"{group.meaning.category} {text}".encode(), digest_size=4).hexdigest(),
            category=group.meaning.category,
            peer=group.meaning.peer,
            marker=group.meaning.marker,
            text=text,
            example=example[:MAX_TEXT],
            count=within,
            recent=sum(1 for at in times if at >= self._now - RECENT_SECONDS),
            fatal=group.fatal,
            first_seen=times[0],
            last_seen=times[-1],
            longest_gap_seconds=max(gaps) if gaps else None,
        )


def _unique(templates: list[LogTemplate]) -> list[LogTemplate]:
    """Keep the first of templates whose redacted texts have become the same: ids tell series apart."""
    return list({item.id: item for item in reversed(templates)}.values())[::-1]


def _meaning(judge: Callable[[str, str], Meaning], entry: Entry, format: str) -> Meaning:
    """Judge the exception first: it is the most precise; the message names what was being done."""
    if entry.exception:
        found = judge(f"{entry.exception} {entry.detail}", format)
        if found.category != "application" or found.marker:
            return found
        outer = judge(entry.message, format)
        return outer if outer.marker else found
    return judge(f"{entry.message} {entry.detail}", format)


_FAILURE_WORDS = (
    "error",
    "fail",
    "refused",
    "fatal",
    "panic",
    "exception",
    "timed out",
    "conflict",
    "denied",
)


def _sounds_like_failure(message: str) -> bool:
    """Return whether a line without a level is worth asking what it means."""
    lowered = message[:500].lower()
    return any(word in lowered for word in _FAILURE_WORDS)


def _is_fatal(entry: Entry, group: Group, format: str) -> bool:
    """Return whether one such entry is enough: the process says that it cannot go on.

    PostgreSQL's FATAL ends one session, not the server; only PANIC and a crash do that.
    """
    if format == "postgres":
        return group.meaning.marker == "crash"
    return entry.level == "fatal" or group.meaning.marker == "crash"
